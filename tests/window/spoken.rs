//! What a screen reader finds: every control has a name, in every view and box.

use eframe::egui::accesskit::{Role, Toggled};
use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT, Queryable};

use crate::desk::Desk;

/// Controls that a person acts on and that say nothing about themselves.
fn unnamed(desk: &Desk) -> Vec<String> {
    let acts = |role| {
        matches!(
            role,
            Role::Button
                | Role::CheckBox
                | Role::RadioButton
                | Role::ComboBox
                | Role::Slider
                | Role::SpinButton
                | Role::TextInput
                | Role::MultilineTextInput
                | Role::Link
                | Role::Tab
                | Role::MenuItem
                | Role::MenuItemCheckBox
                | Role::MenuItemRadio
                | Role::Grid
                | Role::Image
                | Role::ProgressIndicator
        )
    };
    let nodes = desk.harness.root().children_recursive();
    let nodes: Vec<_> = nodes.map(|n| n.accesskit_node()).filter(|n| acts(n.role())).collect();
    assert!(nodes.len() > 3, "nothing to act on was found");
    nodes
        .into_iter()
        .filter(|n| n.label().is_none_or(|l| l.trim().is_empty()))
        .map(|n| format!("{:?} {:?} at {:?}", n.role(), n.value(), n.raw_bounds()))
        .collect()
}

fn check(desk: &Desk, place: &str) {
    let unnamed = unnamed(desk);
    assert!(unnamed.is_empty(), "{place}: {unnamed:#?}");
}

#[test]
fn every_control_has_a_name() {
    let mut desk = Desk::with_results("bert");
    desk.command("select all heads");
    desk.press(Key::F6);
    desk.settle();
    desk.command("measure the quality curve");
    desk.settle();
    desk.command("duplicate plan");
    let keys = [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5, Key::Num6, Key::Num7];
    for (number, key) in keys.into_iter().enumerate() {
        desk.chord(Modifiers::COMMAND, key);
        desk.settle();
        check(&desk, &format!("view {}", number + 1));
    }
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.chord(Modifiers::COMMAND, Key::T);
    check(&desk, "the curve as a table");
    desk.chord(Modifiers::COMMAND, Key::T);
    for (place, keys) in [
        ("palette", (Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::P)),
        ("path", (Modifiers::COMMAND, Key::L)),
        ("shortcuts", (Modifiers::NONE, Key::F1)),
    ] {
        desk.chord(keys.0, keys.1);
        assert!(desk.state().overlay.is_some());
        check(&desk, place);
        desk.press(Key::Escape);
        assert!(desk.state().overlay.is_none(), "Escape closes the {place}");
    }
    for (place, words) in [
        ("downloaded models", "open downloaded model"),
        ("the program", "about pillars"),
        ("comparison", "compare with"),
        ("picture", "save picture"),
        ("saved plan", "save plan"),
    ] {
        desk.command(words);
        desk.settle();
        assert!(desk.state().overlay.is_some(), "{place}: {}", desk.messages());
        check(&desk, place);
        desk.press(Key::Escape);
        assert!(desk.state().overlay.is_none(), "Escape closes the {place}");
    }
    for menu in ["File", "Edit", "Run", "View", "Help"] {
        desk.harness.get_all_by_role_and_label(Role::Button, menu).next().unwrap().click();
        desk.harness.run();
        check(&desk, menu);
        desk.press(Key::Escape);
    }
    desk.command("close model");
    check(&desk, "the welcome screen");
}

#[test]
fn plots_say_their_values() {
    let mut desk = Desk::with_results("bert");
    desk.command("measure the quality curve");
    desk.settle();
    desk.chord(Modifiers::COMMAND, Key::Num5);
    let said = |desk: &Desk| {
        let node = desk.harness.get_by_role_and_label(Role::Image, "Quality against heads kept");
        node.accesskit_node().value().unwrap()
    };
    // Where fewest heads stay, nothing beats what is there.
    assert!(said(&desk).contains("Pareto front") && said(&desk).contains("with 25 % of the heads"), "{}", said(&desk));
}

#[test]
fn lists_say_what_is_chosen_and_every_box_is_named_by_its_setting() {
    let desk = Desk::with_input("bert");
    let list = desk.harness.get_by_role_and_label(Role::ComboBox, "Metric");
    let (value, told) = (list.accesskit_node().value().unwrap(), list.accesskit_node().description().unwrap());
    assert!(!value.is_empty() && told.starts_with(&value), "{value}: {told}");
    for name in ["Groups per layer: auto", "Batch size: auto", "Sequence length: auto"] {
        desk.harness.get_by_role_and_label(Role::CheckBox, name);
    }
    let root = desk.harness.root();
    assert_eq!(root.accesskit_node().label().as_deref(), Some("Pillars"));
}

#[test]
fn tabs_and_lines_of_menus_say_what_they_are() {
    let mut desk = Desk::with_input("bert");
    desk.chord(Modifiers::COMMAND, Key::Num4);
    let told = |desk: &Desk, role, name: &str| {
        let node = desk.harness.get_by_role_and_label(role, name).accesskit_node();
        (node.is_selected(), node.toggled())
    };
    assert_eq!(told(&desk, Role::Tab, "Votes"), (Some(true), None));
    assert_eq!(told(&desk, Role::Tab, "Overview"), (Some(false), None));
    assert_eq!(told(&desk, Role::Button, "Save picture…"), (None, None), "it does not stay pressed");
    desk.click("View");
    assert!(told(&desk, Role::MenuItemRadio, "Dark theme").1.is_some());
    assert_eq!(told(&desk, Role::MenuItem, "Reset the layout"), (None, None));
    desk.press(Key::Escape);
    desk.click("Help");
    let is_on = if desk.state().settings.show_guide { Toggled::True } else { Toggled::False };
    assert_eq!(told(&desk, Role::MenuItemCheckBox, "First steps"), (None, Some(is_on)));
}

#[test]
fn a_head_says_whether_it_stays_and_can_be_clicked() {
    let mut desk = Desk::with_results("bert");
    let head = desk.head("encoder.0", 1);
    let name = head.to_string();
    let told = |desk: &Desk| {
        let node = desk.harness.get_by_role_and_label(Role::Cell, &name).accesskit_node();
        (node.toggled(), node.description().unwrap_or_default())
    };
    let kept = desk.state().is_kept(head);
    let (toggled, description) = told(&desk);
    assert_eq!(toggled, Some(if kept { Toggled::True } else { Toggled::False }));
    assert!(
        description.starts_with(if kept { "kept" } else { "pruned" }) && description.contains("vote"),
        "{description}"
    );
    let grid = desk.harness.get_by_role_and_label(Role::Grid, "Heads").accesskit_node();
    assert_eq!(grid.children().filter(|node| node.role() == Role::Cell).count(), 8);
    desk.harness.get_by_role_and_label(Role::Cell, &name).click_accesskit();
    desk.harness.run_ok();
    assert_eq!(desk.state().selection.cursor, Some(head));
}
