//! Rows of an input, looked at before anything runs.

use std::path::Path;

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT, Queryable};
use pillars::corpus::Input;

use crate::desk::Desk;

const INPUT: (Modifiers, Key) = (Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I);

#[test]
fn rows_are_seen_and_columns_chosen_before_anything_runs() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/books/classifier");
    let mut desk = Desk::start(Some(model));
    let path = desk.folder.path().join("rows.csv");
    let rows = "He walked.,Emma\nShe spoke.,Pride and Prejudice\n".repeat(10);
    std::fs::write(&path, format!("words,which\n{rows}")).unwrap();
    desk.type_path(INPUT, &path);
    // The sample leaves half of its own rows for measuring. The field that says so stands above what follows.
    let place = |role, name: &str| desk.harness.get_by_role_and_label(role, name).rect();
    let (held_out, device) = (place(Role::SpinButton, "Held out"), place(Role::ComboBox, "Device"));
    assert!(held_out.bottom() <= device.top(), "{held_out:?} reaches into {device:?}");
    desk.toggle("none");
    // No column is known: what is there can be chosen.
    assert!(
        desk.shows("no column of texts is known") || desk.shows("No column of texts is known"),
        "{}",
        desk.messages()
    );
    desk.pick("Text column", "words");
    desk.settle();
    assert!(desk.shows("Each row is read as a text"), "{}", desk.messages());
    assert!(!desk.shows("Each row is read as a text with a label"));
    desk.pick("Label column", "which");
    desk.settle();
    assert!(desk.shows("Each row is read as a text with a label"), "{}", desk.messages());
    assert!(desk.shows("Quality is measured by loss, accuracy"));
    let Some(Input::Data { columns, .. }) = &desk.state().run.input else { panic!("labeled rows") };
    assert_eq!((columns.text.as_deref(), columns.label.as_deref()), (Some("words"), Some("which")));
    // Each says which column it is, and all end alike.
    let columns = ["Text column", "Pair column", "Label column"].map(|name| {
        let node = desk.harness.get_by_role_and_label(Role::ComboBox, name);
        (node.accesskit_node().value().unwrap_or_default(), node.rect().right())
    });
    assert_eq!(columns.each_ref().map(|(column, _)| column.as_str()), ["words", "none", "which"]);
    assert!(columns.iter().all(|(_, right)| (right - columns[0].1).abs() < 1.0), "{columns:?}");
    desk.click("First rows…");
    for text in ["He walked.", "Pride and Prejudice", "label", "text"] {
        assert!(desk.shows(text), "{text}");
    }
    desk.press(Key::Enter);
    assert!(desk.state().overlay.is_none());
    // It is what the run reads.
    desk.press(Key::F6);
    desk.settle();
    let measured = desk.state().measured.first().unwrap_or_else(|| panic!("{}", desk.messages()));
    assert_eq!(measured.comparison.before.metrics["accuracy"].n, 20);
}

#[test]
fn texts_have_no_rows_to_look_at() {
    let mut desk = Desk::with_input("bert");
    assert!(desk.harness.query_by_role_and_label(Role::Button, "First rows…").is_none());
    // What is no text is refused where it is chosen.
    let path = desk.folder.path().join("numbers.txt");
    std::fs::write(&path, [1, 0, 2, 0]).unwrap();
    desk.type_path(INPUT, &path);
    assert!(desk.shows("byte 1 is NUL") || desk.shows("Byte 1 is NUL"), "{}", desk.messages());
    assert!(desk.state().checked.as_ref().unwrap().is_err());
}
