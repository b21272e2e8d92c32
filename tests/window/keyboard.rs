//! The whole way from an empty window to a pruned checkpoint without a pointer.

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers, Rect, Shape, StrokeKind};
use egui_kittest::kittest::{NodeT, Queryable};
use pillars::model::Model;
use pillars::network::Head;

use crate::desk::{Desk, fixture, tokens};

const SHIFTED: Modifiers = Modifiers::COMMAND.plus(Modifiers::SHIFT);

impl Desk {
    /// Presses Tab until a control of this role and name has the keyboard.
    fn tab_to(&mut self, role: Role, name: &str) {
        for _ in 0..300 {
            self.press(Key::Tab);
            let found = self.harness.query_all_by_role_and_label(role, name).any(|n| n.accesskit_node().is_focused());
            if found {
                return;
            }
        }
        panic!("Tab never comes to {role:?} {name}");
    }
}

#[test]
fn a_model_is_pruned_from_the_keyboard_alone() {
    let mut desk = Desk::start(Some(fixture("bert")));
    desk.command("close model");
    assert!(desk.state().model.is_none());
    // Load: the field of the welcome screen.
    desk.tab_to(Role::TextInput, "Path");
    desk.type_text(fixture("llama").to_str().unwrap());
    desk.harness.key_press(Key::Enter);
    desk.harness.run_ok();
    desk.settle();
    assert!(desk.shows("First steps") && desk.shows("choose what it reads"), "{}", desk.messages());
    let input = tokens(desk.folder.path(), 12, 10);
    desk.type_path((SHIFTED, Key::I), &input);
    // Run: past the menu of that name, the button that the first steps offer next.
    desk.tab_to(Role::Button, "Run");
    desk.tab_to(Role::Button, "Run");
    desk.press(Key::Space);
    desk.settle();
    assert!(desk.state().results.is_some(), "{}", desk.messages());
    // Look: the next offer, then through the layers.
    desk.tab_to(Role::Button, "Show redundancy");
    desk.press(Key::Enter);
    desk.press(Key::CloseBracket);
    assert_eq!(desk.state().site().unwrap().to_string(), "decoder.1");
    // Choose: walk over the heads, prune a whole key/value group, take it back, do it again.
    desk.chord(Modifiers::COMMAND, Key::Num1);
    desk.tab_to(Role::Grid, "Heads");
    desk.press(Key::ArrowDown);
    desk.chord(Modifiers::SHIFT, Key::ArrowRight);
    assert_eq!(desk.state().selection.heads.len(), 2);
    desk.press(Key::X);
    let kept = desk.kept();
    desk.chord(Modifiers::COMMAND, Key::Z);
    desk.chord(SHIFTED, Key::Z);
    assert_eq!(desk.kept(), kept);
    desk.chord(Modifiers::COMMAND, Key::Z);
    // Measure and export: the last offers.
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.tab_to(Role::ComboBox, "Chosen by");
    desk.tab_to(Role::ComboBox, "Keep");
    desk.press(Key::Space);
    desk.tab_to(Role::Button, "a number per layer");
    desk.press(Key::Space);
    assert!(desk.state().has_chosen());
    desk.tab_to(Role::Button, "Measure quality");
    desk.press(Key::Space);
    desk.settle();
    assert!(desk.state().measured_now().is_some(), "{}", desk.messages());
    desk.tab_to(Role::Button, "Export…");
    desk.press(Key::Space);
    desk.settle();
    let out = desk.folder.path().join("smaller");
    desk.type_text(out.to_str().unwrap());
    desk.press(Key::Enter);
    desk.settle();
    let heads: usize = Model::open(&out).unwrap().spec().sites().iter().map(|(_, a)| a.heads).sum();
    assert_eq!(heads, desk.state().legal_plan().unwrap().kept.heads());
    assert!(desk.shows("That is all"), "{}", desk.messages());
    // The way is walked once; it can be put away and fetched again.
    desk.tab_to(Role::Button, "Hide");
    desk.press(Key::Space);
    assert!(!desk.shows("First steps"));
    desk.command("first steps");
    assert!(desk.shows("First steps"));
}

#[test]
fn who_skips_a_step_is_led_on_from_where_they_are() {
    let mut desk = Desk::with_results("bert");
    assert!(desk.harness.query_by_role_and_label(Role::Button, "Show redundancy").is_some());
    // Nobody looked at redundancy, and the plan is left as it was proposed.
    desk.prune_everywhere();
    desk.chord(Modifiers::COMMAND, Key::Num5);
    for over in ["Show redundancy", "Show the plan"] {
        assert!(desk.harness.query_by_role_and_label(Role::Button, over).is_none(), "{over}");
    }
    assert!(desk.shows("\u{2713} Look") && desk.shows("\u{2713} Choose") && !desk.shows("\u{2713} Measure"));
    // A plan that keeps every head is no choice, and nothing of it is to be measured.
    desk.command("keep 100 %");
    desk.chord(Modifiers::COMMAND, Key::Num4);
    desk.settle();
    assert!(desk.shows("Nothing is proposed to go") && !desk.shows("\u{2713} Choose"));
    assert!(desk.harness.query_by_role_and_label(Role::Button, "Find within a budget").is_some());
}

#[test]
fn the_palette_puts_last_what_cannot_be_done_and_says_why() {
    let mut desk = Desk::start(Some(fixture("bert")));
    desk.chord(SHIFTED, Key::P);
    desk.type_text("save");
    assert!(desk.shows("run the model first"));
    let said = |desk: &Desk, text: &str| {
        let mut nodes = desk.harness.query_all_by_label_contains(text);
        nodes.any(|n| n.accesskit_node().is_disabled())
    };
    assert!(said(&desk, "Save analysis…") && !said(&desk, "Save plan…"));
    desk.press(Key::Escape);
    assert!(desk.state().overlay.is_none());
}

/// Every ring that is drawn around something, as far as it can be seen.
fn rings(desk: &Desk) -> Vec<Rect> {
    let window = desk.harness.ctx.content_rect();
    let shapes = desk.harness.output().shapes.iter();
    let rings = shapes.filter_map(|drawn| match &drawn.shape {
        Shape::Rect(ring) if ring.stroke.width == 2.0 && ring.stroke_kind == StrokeKind::Outside => {
            Some(ring.rect.intersect(drawn.clip_rect).intersect(window))
        }
        _ => None,
    });
    rings.filter(|ring| ring.is_positive()).collect()
}

#[test]
fn the_list_of_keys_is_scrolled_by_keys_and_begins_at_its_top() {
    let mut desk = Desk::start(Some(fixture("bert")));
    let last = |desk: &Desk| desk.harness.get_by_label("Move to the next control").rect();
    desk.press(Key::F1);
    let top = last(&desk).top();
    for (down, up, least) in
        [(Key::ArrowDown, Key::ArrowUp, 20.0), (Key::PageDown, Key::PageUp, 100.0), (Key::End, Key::Home, 100.0)]
    {
        desk.press(down);
        let moved = top - last(&desk).top();
        assert!(moved >= least, "{down:?} scrolls by {moved}");
        desk.press(up);
        assert!((last(&desk).top() - top).abs() < 1.0, "{up:?} comes back");
    }
    desk.press(Key::End);
    let close = desk.harness.get_by_role_and_label(Role::Button, "Close").rect();
    assert!(last(&desk).bottom() < close.top(), "the end is in sight");
    desk.press(Key::Escape);
    desk.press(Key::F1);
    assert!((last(&desk).top() - top).abs() < 1.0, "opened again it begins at its top");
}

#[test]
fn the_keyboard_is_seen_wherever_tab_brings_it() {
    let mut desk = Desk::with_results("bert");
    let mut unseen = Vec::new();
    for view in [Key::Num1, Key::Num5, Key::Num7] {
        desk.chord(Modifiers::COMMAND, view);
        desk.settle();
        let mut walked = 0;
        for _ in 0..120 {
            desk.press(Key::Tab);
            let root = desk.harness.root();
            let Some(node) = root.children_recursive().find(|n| n.accesskit_node().is_focused()) else { continue };
            walked += 1;
            // Something of it is in sight, with a ring around that.
            let place = node.rect().expand(4.0);
            if !rings(&desk).iter().any(|ring| place.contains_rect(*ring)) {
                let node = node.accesskit_node();
                unseen.push(format!("{view:?}: {:?} {:?} at {place:?}", node.role(), node.label()));
            }
        }
        assert!(walked > 40, "{view:?}: Tab came to {walked} controls");
    }
    unseen.sort();
    unseen.dedup();
    assert!(unseen.is_empty(), "{unseen:#?}");
}

/// Where the middle of a head's cell is.
fn middle(desk: &Desk, head: Head) -> eframe::egui::Pos2 {
    desk.harness.get_by_role_and_label(Role::Cell, &head.to_string()).rect().center()
}

#[test]
fn keys_act_on_the_cursor_and_drags_begin_where_they_were_pressed() {
    let mut desk = Desk::with_results("bert");
    let [first, second, last] = [0, 1, 3].map(|head| desk.head("encoder.0", head));
    desk.click_head(first, Modifiers::NONE);
    // The pointer rests on another head.
    let away = middle(&desk, last);
    desk.harness.hover_at(away);
    desk.harness.run_ok();
    for key in [Key::Space, Key::Enter] {
        desk.press(key);
        assert_eq!(desk.state().selection.cursor, Some(first), "{key:?}");
    }
    // A fast drag is noticed only where the pointer has come to.
    let (from, to) = (middle(&desk, second), middle(&desk, last));
    desk.harness.hover_at(from);
    desk.harness.drag_at(from);
    desk.harness.run_ok();
    desk.harness.hover_at(to);
    desk.harness.run_ok();
    desk.harness.hover_at(to);
    desk.harness.run_ok();
    desk.harness.drop_at(to);
    desk.harness.run_ok();
    let selected: Vec<usize> = desk.state().selection.heads.iter().map(|head| head.head).collect();
    assert_eq!(selected, [1, 2, 3]);
}

#[test]
fn menus_are_as_high_as_the_window_allows() {
    use pillars::workspace::ThemeChoice;
    let mut desk = Desk::with_results("bert");
    desk.click("View");
    // Far down in the menu, and still where a pointer reaches it without scrolling.
    let node = desk.harness.get_by_role_and_label(Role::MenuItemRadio, "Dark theme");
    assert!(node.rect().bottom() > 450.0 && node.rect().bottom() < 800.0, "{:?}", node.rect());
    node.click();
    desk.harness.run_ok();
    assert_eq!(desk.state().settings.theme, ThemeChoice::Dark);
}

#[test]
fn letters_with_a_modifier_are_no_commands_of_the_bare_letter() {
    let mut desk = Desk::with_results("bert");
    desk.click_head(desk.head("encoder.0", 0), Modifiers::NONE);
    let before = desk.state().draft.now().clone();
    for key in [Key::F, Key::X, Key::K, Key::P, Key::U] {
        for modifiers in [Modifiers::ALT, Modifiers::SHIFT, Modifiers::ALT.plus(Modifiers::SHIFT)] {
            desk.chord(modifiers, key);
            assert_eq!(*desk.state().draft.now(), before, "{modifiers:?} {key:?}");
        }
    }
    desk.press(Key::F);
    assert_ne!(*desk.state().draft.now(), before);
}

#[test]
fn the_key_of_a_view_gives_it_the_keyboard() {
    let mut desk = Desk::with_results("bert");
    // From whatever had it before.
    desk.chord(Modifiers::COMMAND, Key::Num7);
    desk.harness.get_by_role_and_label(Role::TextInput, "Folder").focus();
    desk.harness.run();
    desk.chord(Modifiers::COMMAND, Key::Num1);
    desk.press(Key::ArrowDown);
    let first = desk.state().selection.cursor.expect("arrow keys walk over the heads");
    desk.press(Key::ArrowRight);
    assert_eq!(desk.state().selection.cursor, Some(Head::new(first.site, first.head + 1)));
    // Escape clears the selection, and the keyboard stays with the heads.
    desk.press(Key::Escape);
    assert_eq!(desk.state().selection.cursor, None);
    desk.press(Key::ArrowDown);
    assert!(desk.state().selection.cursor.is_some());
    desk.press(Key::Tab);
    desk.chord(Modifiers::COMMAND, Key::F6);
    desk.press(Key::Escape);
    desk.press(Key::ArrowDown);
    assert!(desk.state().selection.cursor.is_some(), "the key of the next pane comes back to the heads");
    // A view without heads has it as a whole: Tab comes to what is in it, not to the menu.
    desk.chord(Modifiers::COMMAND, Key::Num3);
    desk.settle();
    desk.press(Key::Tab);
    let picker = desk.harness.get_by_role_and_label(Role::ComboBox, "Layer");
    assert!(picker.accesskit_node().is_focused());
}

#[test]
fn enter_in_a_box_does_what_it_is_for_and_escape_closes_it() {
    let mut desk = Desk::with_results("bert");
    let path = desk.folder.path().join("heads.svg");
    let saved = |desk: &mut Desk| {
        desk.settle();
        assert!(desk.state().overlay.is_none(), "{}", desk.messages());
        assert!(path.is_file(), "{}", desk.messages());
        std::fs::remove_file(&path).unwrap();
    };
    // With the keyboard in the field.
    desk.chord(Modifiers::COMMAND, Key::P);
    desk.type_text(path.to_str().unwrap());
    desk.press(Key::Enter);
    saved(&mut desk);
    // After a click on one of the colors, which has no action of its own.
    desk.click("Save picture…");
    desk.type_text(path.to_str().unwrap());
    desk.choose("Light");
    desk.press(Key::Enter);
    saved(&mut desk);
    // With the keyboard on one of them, which Enter leaves as it is.
    desk.chord(Modifiers::COMMAND, Key::P);
    desk.type_text(path.to_str().unwrap());
    desk.harness.get_by_role_and_label(Role::RadioButton, "Dark").focus();
    desk.harness.run();
    desk.press(Key::Enter);
    saved(&mut desk);
    assert_eq!(desk.state().settings.picture.colors, pillars::workspace::PictureColors::Light);
    // On a button of its own, Enter presses that.
    desk.chord(Modifiers::COMMAND, Key::P);
    desk.type_text(path.to_str().unwrap());
    desk.harness.get_by_role_and_label(Role::Button, "Close").focus();
    desk.harness.run();
    desk.press(Key::Enter);
    assert!(desk.state().overlay.is_none());
    desk.settle();
    assert!(!path.exists());
    for keys in [(Modifiers::COMMAND, Key::P), (SHIFTED, Key::P), (SHIFTED, Key::I), (Modifiers::NONE, Key::F1)] {
        desk.chord(keys.0, keys.1);
        assert!(desk.state().overlay.is_some(), "{keys:?}");
        desk.press(Key::Escape);
        assert!(desk.state().overlay.is_none(), "{keys:?}");
    }
    // A name that is given up stays.
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.settle();
    let before = desk.state().draft.now().active().name.clone();
    desk.scroll_and_click("Rename");
    desk.type_text("another");
    desk.press(Key::Escape);
    assert_eq!(desk.state().draft.now().active().name, before);
}
