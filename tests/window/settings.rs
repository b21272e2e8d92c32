//! What a run is asked to do.

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;
use pillars::corpus::Input;
use pillars::model::MemoryLimit;

use crate::desk::{Desk, fixture, tokens};

const SHIFTED: Modifiers = Modifiers::COMMAND.plus(Modifiers::SHIFT);

impl Desk {
    pub fn toggle(&mut self, name: &str) {
        let node = self.harness.get_by_role_and_label(Role::CheckBox, name);
        node.scroll_to_me();
        node.click_accesskit();
        self.harness.run_ok();
    }

    pub fn set(&mut self, name: &str, value: f64) {
        self.harness.get_by_role_and_label(Role::SpinButton, name).set_value_accesskit(value);
        self.harness.run_ok();
    }
}

#[test]
fn quality_is_measured_on_what_the_run_left_out() {
    let mut desk = Desk::start(Some(fixture("bert")));
    // 40 sequences of 10 tokens: 5 batches of 8.
    let input = tokens(desk.folder.path(), 40, 10);
    desk.type_path((SHIFTED, Key::I), &input);
    desk.toggle("none");
    assert_eq!(desk.state().run.held_out_every, Some(5));
    desk.press(Key::F5);
    desk.settle();
    let analysis = &desk.state().results.as_ref().unwrap().analysis;
    assert_eq!((analysis.batches, analysis.tokens), (4, 320), "{}", desk.messages());
    desk.press(Key::F6);
    desk.settle();
    let measured = desk.state().measured_now().unwrap();
    assert_eq!(measured.comparison.before.tokens, 80);
    assert!(measured.reading.input.ends_with("one batch in 5 alone"), "{}", measured.reading.input);
    desk.chord(SHIFTED, Key::M);
    desk.settle();
    let curves = desk.state().curves.as_ref().unwrap();
    assert_eq!(curves.whole.unwrap().tokens, 80);
    // Measured on everything, it is another number.
    desk.toggle("none");
    assert!(desk.state().measured_now().is_none());
    desk.chord(Modifiers::COMMAND, Key::Num5);
    assert!(desk.shows("The curve was measured on") && desk.shows("one batch in 5 alone"));
}

#[test]
fn of_a_file_of_its_own_quality_is_measured_on_every_row() {
    let mut desk = Desk::start(Some(fixture("bert")));
    desk.type_path((SHIFTED, Key::I), &tokens(desk.folder.path(), 40, 10));
    desk.toggle("none");
    desk.press(Key::F5);
    desk.settle();
    desk.chord(Modifiers::COMMAND, Key::Num5);
    assert!(desk.shows("Quality is measured on 1 batch in 5 of tokens.jsonl"));
    desk.prune_everywhere();
    // The run never read these: nothing of them is held out of it.
    let folder = desk.folder.path().join("test");
    std::fs::create_dir(&folder).unwrap();
    let path = tokens(&folder, 30, 13);
    let test = folder.join("test.jsonl");
    std::fs::rename(path, &test).unwrap();
    desk.type_path((SHIFTED, Key::I), &test);
    assert_eq!(desk.state().run.held_out_every, Some(5));
    assert!(desk.shows("Quality is measured on all of test.jsonl"));
    desk.press(Key::F6);
    desk.settle();
    let measured = desk.state().measured_now().unwrap_or_else(|| panic!("{}", desk.messages()));
    assert_eq!(measured.comparison.before.sequences, 30);
    assert!(measured.repair.is_some() && !measured.repair_in_sample, "calibrated on what the run read");
    desk.chord(SHIFTED, Key::M);
    desk.settle();
    assert_eq!(desk.state().curves.as_ref().unwrap().whole.unwrap().tokens, 30 * 13);
    // An export tells the same.
    let out = desk.folder.path().join("smaller");
    desk.type_path((Modifiers::COMMAND, Key::E), &out);
    desk.settle();
    let (_, report) = desk.state().export.done.as_ref().unwrap_or_else(|| panic!("{}", desk.messages()));
    assert_eq!(report.measured.as_ref().unwrap().comparison.before.sequences, 30);
}

#[test]
fn memory_is_bounded_where_a_person_says_so() {
    let mut desk = Desk::with_results("bert");
    let whole = desk.state().results.as_ref().unwrap().analysis.clone();
    desk.toggle("no limit");
    assert_eq!(desk.state().run.memory, Some(MemoryLimit(4 << 30)));
    let run = |desk: &mut Desk| {
        desk.press(Key::F5);
        desk.settle();
        desk.state().results.as_ref().unwrap().analysis.sites.clone()
    };
    assert_eq!(run(&mut desk), whole.sites, "the same results");
    // Less than one layer and one batch need.
    desk.set("Memory limit", 64.0);
    assert_eq!(desk.state().run.memory, Some(MemoryLimit(64 << 20)));
    run(&mut desk);
    assert!(desk.messages().contains("one layer and one batch need"), "{}", desk.messages());
    // What needs gradients cannot be bounded, and the form says so.
    desk.toggle("no limit");
    assert_eq!(desk.state().run.memory, None);
}

#[test]
fn a_sample_named_on_the_command_line_comes_with_its_text() {
    let samples = pillars::workspace::samples();
    let twin = samples.iter().find(|sample| sample.model.ends_with("austen-plain")).unwrap().model.clone();
    // In the words of somebody who stands elsewhere.
    let desk = Desk::start(Some(twin.join("../austen-plain")));
    let text = twin.with_file_name("austen.txt");
    let input = desk.state().run.input.clone().unwrap();
    assert!(matches!(&input, Input::Text(path) if path.canonicalize().unwrap() == text.canonicalize().unwrap()));
    assert!(desk.state().checked.as_ref().unwrap().is_ok());
}

#[test]
fn only_devices_that_are_there_are_offered() {
    let desk = Desk::start(Some(fixture("bert")));
    assert_eq!(desk.state().devices, pillars::tensor::DeviceChoice::available());
}

#[test]
fn entropy_is_offered_where_attention_maps_were_compared() {
    let mut desk = Desk::with_results("bert");
    let open = |desk: &mut Desk| {
        desk.chord(Modifiers::COMMAND, Key::Num1);
        desk.harness.get_by_role_and_label(Role::ComboBox, "Color").click();
        desk.harness.run();
    };
    let is_offered = |desk: &Desk| {
        let node = desk.harness.get_by_role_and_label(Role::Button, "Attention entropy");
        !egui_kittest::kittest::NodeT::accesskit_node(&node).is_disabled()
    };
    open(&mut desk);
    assert!(!is_offered(&desk));
    desk.press(Key::Escape);
    desk.click("attention");
    desk.press(Key::F5);
    desk.settle();
    open(&mut desk);
    assert!(is_offered(&desk), "{}", desk.messages());
    desk.click("Attention entropy");
    let head = desk.head("encoder.0", 1);
    assert!(desk.spoken(head).contains("attention entropy"), "{}", desk.spoken(head));
}

#[test]
fn a_command_that_cannot_be_carried_out_says_why_under_the_pointer() {
    let mut desk = Desk::start(Some(fixture("bert")));
    desk.harness.get_by_role_and_label(Role::Button, "Save picture…").hover();
    desk.harness.run_steps(40);
    assert!(desk.shows("Not now: run the model first"));
}

#[test]
fn a_seed_is_what_its_field_shows() {
    let mut desk = Desk::start(Some(fixture("bert")));
    for (typed, used) in [(7.0, 7), (2f64.powi(53), 1 << 53), (2f64.powi(64), 1 << 53), (1e30, 1 << 53), (-1.0, 0)] {
        desk.set("Seed", typed);
        assert_eq!(desk.state().run.seed, used, "{typed}");
        let field = desk.harness.get_by_role_and_label(Role::SpinButton, "Seed");
        assert_eq!(field.value().as_deref(), Some(used.to_string().as_str()), "{typed}");
    }
}
