//! Every number, and every name over, beside or below one, says what it means and in which unit: under the pointer, and to a
//! screen reader.

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT, Queryable};

use crate::desk::{Desk, fixture, tokens};
use crate::gallery::VIEWS;

/// What screen readers call names of numbers: over a column, beside a value, at an axis.
const NAMES: [&str; 3] = ["column header", "name of a number", "axis"];

/// Whether a text is a number with at most a short unit: `12`, `−0.31`, `87 %`, `1.2 M`, `4.1 kB`.
fn is_number(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let number = words.next().unwrap_or_default().trim_start_matches(['\u{2212}', '-', '+']);
    let is_digits = number.starts_with(|c: char| c.is_ascii_digit())
        && number.chars().all(|c| c.is_ascii_digit() || ".,e-\u{2212}".contains(c));
    is_digits && words.next().is_none_or(|unit| unit.chars().count() <= 2) && words.next().is_none()
}

impl Desk {
    /// Names and numbers that nothing is said of, and how many were looked at.
    fn unexplained(&self, place: &str) -> (Vec<String>, usize) {
        let (mut faults, mut seen) = (Vec::new(), 0);
        for node in self.harness.root().children_recursive() {
            let node = node.accesskit_node();
            let text = node.label().or_else(|| node.value()).unwrap_or_default();
            let is_name = node.role_description().is_some_and(|role| NAMES.contains(&role));
            let is_bare = node.role() == Role::Label && is_number(&text);
            if !(is_name || is_bare) || text.trim().is_empty() {
                continue;
            }
            seen += 1;
            // What a click on a name does is no meaning.
            if node.description().is_none_or(|said| said.len() < 12 || said == "Click to sort") {
                faults.push(format!("{place}: {text:?}"));
            }
        }
        (faults, seen)
    }

    /// The same of every view with its panels; as tables the names of the columns alone.
    fn unexplained_views(&mut self, what: &str) -> Vec<String> {
        let (mut faults, mut seen) = (Vec::new(), 0);
        for (key, view) in VIEWS {
            self.chord(Modifiers::COMMAND, key);
            self.settle();
            self.rest();
            let (found, count) = self.unexplained(&format!("{view} of {what}"));
            faults.extend(found);
            seen += count;
        }
        assert!(seen > 40, "only {seen} names and numbers were found");
        faults
    }
}

#[test]
fn every_number_and_every_name_of_one_is_explained() {
    let mut faults = Vec::new();
    for family in ["bert", "llama"] {
        let mut desk = Desk::with_results(family);
        desk.prune_everywhere();
        let site = if family == "bert" { "encoder.0" } else { "decoder.0" };
        desk.click_head(desk.head(site, 1), Modifiers::NONE);
        desk.press(Key::F6);
        desk.settle();
        desk.command("duplicate plan");
        faults.extend(desk.unexplained_views(family));
        // A search by every method, two heads side by side, an export, the curve.
        desk.chord(Modifiers::COMMAND, Key::Num5);
        desk.harness.get_by_role_and_label(Role::CheckBox, "Every method").click();
        desk.harness.run_ok();
        desk.click("Find");
        desk.settle();
        desk.chord(Modifiers::COMMAND, Key::Num1);
        desk.click_head(desk.head(site, 2), Modifiers::COMMAND);
        let out = desk.folder.path().join("smaller");
        desk.type_path((Modifiers::COMMAND, Key::E), &out);
        assert!(desk.state().export.done.is_some(), "{}", desk.messages());
        desk.command("measure the quality curve");
        desk.settle();
        desk.command("color heads by silhouette");
        faults.extend(desk.unexplained_views(family));
    }
    faults.sort();
    faults.dedup();
    assert!(faults.is_empty(), "{} faults: {faults:#?}", faults.len());
}

#[test]
fn the_columns_of_every_table_are_explained() {
    let mut desk = Desk::with_results("bert");
    desk.press(Key::F6);
    desk.settle();
    desk.command("measure the quality curve");
    desk.settle();
    let mut faults = Vec::new();
    for (key, view) in VIEWS.into_iter().filter(|(_, view)| *view != "training") {
        desk.chord(Modifiers::COMMAND, key);
        desk.chord(Modifiers::COMMAND, Key::T);
        desk.settle();
        desk.rest();
        // Below its picture Prune tells more, which is a table each.
        let below = ["What it saves", "Quality", "Plans side by side"].iter().filter(|_| view == "prune");
        for table in [None].into_iter().chain(below.map(Some)) {
            if let Some(name) = table {
                desk.choose(name);
                desk.settle();
                desk.rest();
            }
            let nodes = desk.harness.root().children_recursive().map(|n| n.accesskit_node());
            let names: Vec<_> = nodes.filter(|n| n.role_description() == Some("column header")).collect();
            assert!(names.len() > 2, "{view} has {} columns", names.len());
            let is_fault = |said: &Option<String>| said.as_ref().is_none_or(|said| said == "Click to sort");
            faults.extend(
                names.iter().filter(|n| is_fault(&n.description())).map(|n| format!("{view}: {:?}", n.label())),
            );
            if table == Some(&"Quality") {
                assert!(desk.shows("whole model"), "{}", desk.messages());
            }
        }
        desk.chord(Modifiers::COMMAND, Key::T);
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_numbers_of_a_training_are_explained() {
    let mut desk = Desk::start(Some(fixture("bert")));
    let input = tokens(desk.folder.path(), 400, 10);
    desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &input);
    desk.chord(Modifiers::COMMAND, Key::Num7);
    desk.set_number("Steps", 30.0);
    desk.set_number("Fine-tuning steps", 3.0);
    let out = desk.folder.path().join("trained");
    desk.enter_folder(&out);
    desk.settle();
    assert!(desk.state().training.run.summary.is_some(), "{}", desk.messages());
    let (faults, seen) = desk.unexplained("training");
    assert!(seen > 8 && faults.is_empty(), "{seen}: {faults:#?}");
}
