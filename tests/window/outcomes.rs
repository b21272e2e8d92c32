//! What some work came to is in sight when it comes.

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;

use crate::desk::Desk;

#[test]
fn an_outcome_is_the_last_line_and_a_warning_stands_above_it_once() {
    let sample = pillars::workspace::sample().expect("the bundled sample");
    let mut desk = Desk::start(Some(sample.model));
    let path = desk.folder.path().join("rows.tsv");
    let rows = "He walked and walked and walked until the sun went down behind the old and quiet houses.\tEmma\n\
                She spoke and spoke and spoke until the sun went down behind the old and quiet houses.\tPride and Prejudice\n";
    std::fs::write(&path, format!("sentence\tlabel\n{}", rows.repeat(10))).unwrap();
    desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &path);
    desk.toggle("none");
    desk.toggle("Sequence length: auto");
    desk.set("Sequence length", 12.0);
    let last = |desk: &Desk| desk.messages().lines().last().unwrap_or_default().to_owned();
    let cut = |desk: &Desk| desk.messages().matches("ut to 12 tokens").count();
    desk.press(Key::F5);
    desk.settle();
    assert!(last(&desk).starts_with("Run finished") && cut(&desk) == 1, "{}", desk.messages());
    desk.prune_everywhere();
    desk.press(Key::F6);
    desk.settle();
    assert!(last(&desk).starts_with("Measured ") && cut(&desk) == 1, "{}", desk.messages());
    // The proof is brought into sight, above the button that stays where it is.
    desk.chord(Modifiers::COMMAND, Key::Num5);
    let export = |desk: &mut Desk, name: &str| {
        desk.harness.get_by_role_and_label(Role::TextInput, "Folder").focus();
        desk.harness.run_ok();
        desk.chord(Modifiers::COMMAND, Key::A);
        desk.type_text(desk.folder.path().join(name).to_str().unwrap());
        desk.click("Export");
        desk.settle();
    };
    let is_in_sight = |desk: &Desk, words: &str| {
        let tabs = desk.harness.get_by_label("1. Choose").rect();
        let fold = desk.harness.get_by_role_and_label(Role::TextInput, "Folder").rect().top();
        let mut found = desk.harness.query_all_by_label_contains(words).map(|node| node.rect());
        // It may stand among the messages too.
        found.any(|rect| rect.top() > 0.0 && rect.bottom() <= fold && rect.left() < tabs.left() + 200.0)
    };
    export(&mut desk, "smaller");
    assert!(desk.state().export.done.is_some(), "{}", desk.messages());
    assert!(last(&desk).starts_with("Exported to ") && cut(&desk) == 1, "{}", desk.messages());
    assert!(is_in_sight(&desk, "Proved equal to the"));
    // So is why one was refused.
    std::fs::write(desk.folder.path().join("taken"), "a file").unwrap();
    export(&mut desk, "taken");
    let why =
        desk.state().export.failure.as_ref().map(ToString::to_string).unwrap_or_else(|| panic!("{}", desk.messages()));
    assert!(is_in_sight(&desk, &why[..12]), "{why}");
}
