//! Another analysis or model beside what is open.

use eframe::egui::{Key, Modifiers};
use pillars::analysis::Document;
use pillars::chart::Picture;
use pillars::gui::View;

use crate::desk::{Desk, fixture, tokens};

impl Desk {
    pub fn compare_with(&mut self, path: &std::path::Path) {
        self.command("compare with");
        self.type_text(path.to_str().unwrap());
        self.harness.key_press(Key::Enter);
        self.harness.run_ok();
        self.settle();
    }
}

#[test]
fn another_analysis_stands_beside_the_results() {
    let mut desk = Desk::with_results("bert");
    let first = desk.state().results.as_ref().unwrap().analysis.clone();
    let path = desk.folder.path().join("before.json");
    first.write(&path).unwrap();
    // The same model on other text.
    let other = tokens(&desk.folder.path().join(""), 7, 9);
    desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &other);
    desk.press(Key::F5);
    desk.settle();
    desk.compare_with(&path);
    assert!(desk.shows("Two analyses side by side"), "{}", desk.messages());
    assert!(desk.shows("adjusted Rand") && desk.shows("before.json"));
    let Picture::SideBySide(found) = desk.same(View::Overview) else { panic!("no comparison") };
    assert_eq!(found.rows.len(), 2);
    for (row, (now, before)) in
        found.rows.iter().zip(desk.state().results.as_ref().unwrap().analysis.sites.iter().zip(&first.sites))
    {
        assert_eq!(row.kept, [now.kept.clone(), before.kept.clone()]);
    }
    desk.click("Back to the overview");
    assert!(matches!(desk.same(View::Overview), Picture::Overview(_)));
    desk.compare_with(std::path::Path::new("/nowhere.json"));
    assert!(desk.messages().contains("no analysis of this name"), "{}", desk.messages());
}

#[test]
fn another_model_stands_beside_the_one_that_is_open() {
    let mut desk = Desk::with_input("bert");
    desk.compare_with(&fixture("bert"));
    let Picture::SideBySide(found) = desk.same(View::Overview) else { panic!("{}", desk.messages()) };
    assert!(found.rows.iter().all(|row| row.kept[0] == row.kept[1] && (row.cosine.unwrap() - 1.0).abs() < 1e-5));
    assert!(
        desk.shows("Loss change 0.0000, with 95 % between 0.0000 and 0.0000") && desk.shows(" in the first model, "),
        "{:?}",
        found.caption
    );
    desk.compare_with(&fixture("vit"));
    assert!(desk.messages().contains("do not read and predict the same things"), "{}", desk.messages());
}
