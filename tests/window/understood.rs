//! What a person looks for first is there, in words and in place.

use eframe::egui::accesskit::Role;
use eframe::egui::{self, Key, Modifiers, OutputCommand};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use pillars::chart::Picture;
use pillars::gui::View;
use pillars::plan::Amount;
use pillars::workspace::ProgramSettings;

use crate::desk::Desk;

/// A window of this size after a run of a tiny model.
fn desk(size: [f32; 2]) -> Desk {
    Desk::with_results_in(Harness::builder().with_size(size).with_max_steps(16), ProgramSettings::default())
}

impl Desk {
    fn place(&self, role: Role, label: &str) -> egui::Rect {
        self.harness.get_by_role_and_label(role, label).rect()
    }
}

#[test]
fn the_overview_says_what_its_colors_come_to() {
    let mut desk = desk([1440.0, 900.0]);
    desk.command("keep 50 %");
    desk.settle();
    desk.chord(Modifiers::COMMAND, Key::Num1);
    desk.settle();
    let (kept, heads) = desk.state().kept_heads();
    assert!(kept < heads && desk.shows(&format!("The plan keeps {kept} of {heads} heads")));
    assert!(desk.shows("heads form") && desk.shows("in a layer"));
    let said = |desk: &Desk, bars: &str| {
        let node = desk.harness.get_by_role_and_label(Role::Image, bars);
        node.accesskit_node().value().unwrap_or_default()
    };
    // Bars are about what the colors are about.
    desk.command("color heads by kept");
    desk.settle();
    let share = desk.state().legal_plan().unwrap().kept_at("encoder.0".parse().unwrap(), 4).len() as f64 / 4.0;
    let expected = format!("encoder.0: {} %", share * 100.0);
    assert!(said(&desk, "Heads kept").contains(&expected), "{} lacks {expected}", said(&desk, "Heads kept"));
    desk.command("color heads by vote share");
    desk.settle();
    assert!(said(&desk, "Votes of kept heads").contains("mark"));
    // A head alone in its group is told so.
    desk.command("color heads by group");
    desk.settle();
    let feature = desk.state().feature_results().unwrap();
    let sizes = |group: usize| feature.groups.iter().filter(|g| **g == group).count();
    let alone = (0..4).find(|head| sizes(feature.groups[*head]) == 1);
    let together = (0..4).find(|head| sizes(feature.groups[*head]) > 1);
    if let Some(head) = alone {
        assert!(desk.spoken(desk.head("encoder.0", head)).contains("alone"));
    }
    if let Some(head) = together {
        assert!(!desk.spoken(desk.head("encoder.0", head)).contains("alone"));
    }
    assert!(alone.is_some() || together.is_some());
}

#[test]
fn prune_leads_from_the_choice_to_the_export_and_hides_nothing() {
    let mut desk = desk([1440.0, 900.0]);
    desk.command("measure the quality curve");
    desk.settle();
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.settle();
    desk.rest();
    let steps = ["1. Choose", "2. Repair", "3. Measure", "4. Export"].map(|step| desk.place(Role::Label, step));
    assert!(steps.windows(2).all(|pair| pair[0].bottom() < pair[1].top()), "{steps:?}");
    let curve = desk.place(Role::Image, "Quality against heads kept");
    let saves = desk.place(Role::Label, "What it saves");
    assert!(curve.left() > steps[0].right() && curve.height() > 200.0 && curve.bottom() < saves.top(), "{curve:?}");
    let window = egui::Rect::from_min_size(egui::Pos2::ZERO, egui::vec2(1440.0, 900.0));
    let places = [Role::Button, Role::TextInput].into_iter().zip(["Export", "Folder"]);
    for (role, label) in places {
        let rect = desk.place(role, label);
        assert!(window.contains_rect(rect), "{label} lies at {rect:?}");
    }
    assert!(window.contains_rect(curve) && window.contains_rect(saves));
    // What a measurement brings stands below the picture, and is brought into sight.
    desk.press(Key::F6);
    desk.settle();
    desk.rest();
    assert!(desk.state().measured_now().is_some(), "{}", desk.messages());
    let told = desk.harness.get_by_label_contains("Embeddings keep a mean cosine of").rect();
    assert!(told.bottom() < desk.place(Role::Label, "Tasks and messages").top(), "{told:?}");
}

#[test]
fn attention_follows_the_layer_that_is_picked() {
    let mut desk = desk([1440.0, 900.0]);
    let head = desk.head("encoder.0", 1);
    desk.click_head(head, Modifiers::NONE);
    desk.chord(Modifiers::COMMAND, Key::Num6);
    desk.settle();
    assert!(desk.shows("Attention of encoder.0 head 1"));
    desk.harness.get_by_role_and_label(Role::ComboBox, "Layer").click();
    desk.harness.run();
    desk.click("encoder.1");
    desk.settle();
    desk.rest();
    assert!(desk.state().selection.heads.is_empty());
    assert!(desk.shows("Attention of encoder.1 head 3") && !desk.shows("Attention of encoder.0"));
    // The matrices cover most of the view: two rows of two.
    let all: Vec<egui::Rect> =
        (0..4).map(|h| desk.place(Role::Image, &format!("Attention of encoder.1 head {h}"))).collect();
    let around = all.iter().copied().reduce(egui::Rect::union).unwrap();
    assert!(around.width() > 700.0 && around.height() > 450.0, "{around:?}");
    // Only a part of the tokens is shown, and saved.
    let Picture::Attention(whole) = desk.same(View::Attention) else { panic!() };
    assert_eq!((whole.panels[0].from, whole.panels[0].weights.rows()), ([0, 0], 10));
    desk.harness.get_by_role_and_label(Role::SpinButton, "to").set_value_accesskit(5.0);
    desk.harness.run_ok();
    desk.harness.get_by_role_and_label(Role::SpinButton, "Tokens").set_value_accesskit(2.0);
    desk.harness.run_ok();
    let Picture::Attention(part) = desk.same(View::Attention) else { panic!() };
    let (full, cut) = (&whole.panels[0], &part.panels[0]);
    assert_eq!((cut.from, cut.weights.rows(), cut.weights.cols()), ([2, 2], 4, 4));
    for (query, key) in [(2, 2), (5, 3), (4, 5)] {
        let [a, b] = [full, cut].map(|panel| panel.weight(query, key));
        assert!(a == b || (a.is_nan() && b.is_nan()), "{query} {key}: {a} {b}");
    }
    desk.click("All");
    desk.settle();
    // A word that is held lights its row in every matrix, and the words that it looks at.
    let word = whole.panels[0].queries[3].clone();
    desk.harness.get_all_by_role_and_label(Role::Button, &word).next().unwrap().click();
    desk.harness.run_ok();
    assert!(desk.shows("click it again to let go"));
}

/// What the last frame put into the clipboard.
fn copied(desk: &Desk) -> Option<String> {
    desk.harness.output().platform_output.commands.iter().find_map(|command| match command {
        OutputCommand::CopyText(text) => Some(text.clone()),
        _ => None,
    })
}

#[test]
fn tables_are_sorted_filtered_and_copied() {
    let mut desk = desk([1440.0, 900.0]);
    desk.chord(Modifiers::COMMAND, Key::Num1);
    desk.chord(Modifiers::COMMAND, Key::T);
    desk.settle();
    desk.rest();
    // Every measure of a head is in one table.
    for column in ["votes", "margin", "redundancy", "silhouette", "energy", "layer"] {
        assert!(desk.shows(column), "{column}");
    }
    let field = desk.harness.get_by_role_and_label(Role::TextInput, "Filter");
    field.focus();
    desk.harness.run();
    desk.type_text("site=encoder.1 head>1");
    desk.rest();
    assert!(desk.shows("2 of 8 rows are shown"));
    desk.harness
        .get_all_by_role(Role::Button)
        .find(|n| n.accesskit_node().label().as_deref() == Some("head"))
        .unwrap()
        .click();
    desk.harness.run();
    desk.click("head ↑");
    desk.harness.get_by_role_and_label(Role::Button, "Copy all rows").click();
    let mut found = None;
    for _ in 0..4 {
        desk.harness.step();
        found = found.or(copied(&desk));
    }
    let text = found.expect("rows were copied");
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!((rows.len(), rows[0][0], rows[0][1]), (3, "site", "head"));
    assert_eq!([&rows[1][..2], &rows[2][..2]], [["encoder.1", "3"], ["encoder.1", "2"]], "from the largest down");
}

#[test]
fn the_palette_finds_amounts_heads_and_layers() {
    let mut desk = desk([1280.0, 800.0]);
    desk.command("keep 50 %");
    desk.settle();
    let proposal = desk.state().draft.now().active().proposal.clone().unwrap();
    assert_eq!(proposal.amount, Amount::Ratio(0.5));
    assert_eq!(desk.kept(), 4);
    // While the sign of a share is still to be typed, nothing says that there is no such amount.
    desk.chord(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::P);
    desk.type_text("keep 50");
    assert!(desk.shows("Keep 50 % of all heads") && !desk.shows("No such amount"));
    desk.press(Key::Escape);
    desk.command("keep 1");
    desk.settle();
    assert_eq!(desk.state().draft.now().active().proposal.as_ref().unwrap().amount, Amount::Keep(1));
    desk.command("encoder.1 head 2");
    assert_eq!(desk.state().selection.cursor, Some(desk.head("encoder.1", 2)));
    desk.command("show layer encoder.0");
    assert_eq!(desk.state().site(), Some("encoder.0".parse().unwrap()));
    // A command keeps its place before everything else.
    desk.command("undo");
    assert_eq!(desk.state().draft.now().active().proposal.as_ref().unwrap().amount, Amount::Ratio(0.5));
}

#[test]
fn a_picture_is_saved_in_the_colors_and_the_size_that_were_chosen() {
    let mut desk = desk([1280.0, 800.0]);
    desk.command("dark theme");
    desk.chord(Modifiers::COMMAND, Key::Num1);
    desk.settle();
    desk.chord(Modifiers::COMMAND, Key::P);
    desk.choose("Light");
    desk.choose("Column");
    let path = desk.folder.path().join("picture.svg");
    let field = desk.harness.get_by_role_and_label(Role::TextInput, "Save the picture");
    assert_eq!(field.accesskit_node().value().as_deref(), Some("bert-overview.svg"));
    field.focus();
    desk.harness.run();
    desk.chord(Modifiers::COMMAND, Key::A);
    desk.type_text(path.to_str().unwrap());
    desk.press(Key::Enter);
    desk.settle();
    let svg = std::fs::read_to_string(&path).unwrap();
    let paper = pillars::chart::Theme::LIGHT.background.to_string();
    assert!(svg.contains("width=\"85mm\"") && svg.contains(&format!("fill=\"{paper}\"")), "{}", &svg[..400]);
}

#[test]
fn a_run_is_foretold_and_remembered() {
    let mut desk = Desk::with_input("bert");
    assert!(desk.shows("How long will it take?"));
    desk.command("estimate the run");
    desk.settle();
    let (_, found) = desk.state().estimate.clone().unwrap_or_else(|| panic!("{}", desk.messages()));
    assert!(found.seconds > 0.0 && desk.shows("batches: about"));
    // Of other settings it is told as what it is, and can be made anew.
    desk.toggle("Groups per layer: auto");
    assert!(!desk.shows("batches: about") && desk.shows("with the settings before"));
    assert!(desk.shows("How long will it take?"));
    desk.toggle("Groups per layer: auto");
    assert!(desk.shows("batches: about") && !desk.shows("with the settings before"));
    desk.press(Key::F5);
    desk.settle();
    let analysis = &desk.state().results.as_ref().unwrap().analysis;
    assert_eq!(found.batches, analysis.batches);
    // What it took in the end stands in the place of what was foretold.
    assert!(desk.shows("Last run: ") && !desk.shows("batches: about"));
    assert!(desk.state().last_run_secs.is_some_and(|seconds| seconds > 0.0));
}

#[test]
fn the_first_steps_are_those_of_the_plan_in_front() {
    let mut desk = desk([1440.0, 900.0]);
    desk.command("keep 50 %");
    desk.settle();
    desk.press(Key::F6);
    desk.settle();
    let out = desk.folder.path().join("smaller");
    desk.type_path((Modifiers::COMMAND, Key::E), &out);
    assert!(desk.shows("That is all"), "{}", desk.messages());
    // Another plan was neither measured nor exported.
    desk.command("keep 25 %");
    desk.settle();
    assert!(desk.state().measured_now().is_none() && !desk.shows("That is all"), "{}", desk.messages());
    assert!(desk.shows("What does the plan cost in quality?"));
}

#[test]
fn the_panel_on_the_left_keeps_its_width_whatever_stands_in_it() {
    let mut desk = desk([1440.0, 900.0]);
    let width = |desk: &Desk| desk.place(Role::Tab, "Overview").left();
    let before = width(&desk);
    let text = desk.folder.path().join("lines.txt");
    std::fs::write(&text, "a line\nanother\n").unwrap();
    desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &text);
    assert!(desk.harness.query_by_role_and_label(Role::CheckBox, "Packed").is_some(), "{}", desk.messages());
    assert_eq!(width(&desk), before);
    for (switch, field) in [("Sequence length: auto", "Sequence length"), ("no limit", "Memory limit")] {
        desk.toggle(switch);
        assert_eq!(width(&desk), before, "{switch}");
        let right = desk.place(Role::SpinButton, field).right();
        assert!(right < before, "{field} ends at {right}");
    }
}
