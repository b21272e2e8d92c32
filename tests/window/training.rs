//! What a training came to stays with its model, and is told in the words of its task.

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;
use pillars::gui::State;
use pillars::training::TrainingEnd;

use crate::desk::{Desk, fixture, tokens};

const SHIFTED: Modifiers = Modifiers::COMMAND.plus(Modifiers::SHIFT);

/// A window in which the training of a tiny model began, with the view of it in front.
fn training(steps: f64) -> Desk {
    let mut desk = Desk::start(Some(fixture("bert")));
    let input = tokens(desk.folder.path(), 400, 10);
    desk.type_path((SHIFTED, Key::I), &input);
    desk.chord(Modifiers::COMMAND, Key::Num7);
    desk.set_number("Steps", steps);
    desk.set_number("Fine-tuning steps", 3.0);
    let out = desk.folder.path().join("trained");
    desk.enter_folder(&out);
    desk
}

fn records(state: &State) -> usize {
    state.training.watched.as_ref().map_or(0, |(_, watched)| watched.progress().records.len())
}

#[test]
fn a_training_comes_back_with_its_model_and_after_a_restart() {
    let mut desk = training(30.0);
    desk.settle();
    let is_told = |desk: &mut Desk| {
        desk.chord(Modifiers::COMMAND, Key::Num7);
        desk.settle();
        let summary = desk.state().training.summary.clone();
        assert_eq!(summary.map(|s| s.outcome), Some(TrainingEnd::Done), "{}", desk.messages());
        assert!(records(desk.state()) > 0);
        assert!(desk.harness.query_by_role_and_label(Role::Button, "Open the result").is_some());
        assert!(!desk.shows("No training run yet"));
    };
    is_told(&mut desk);
    // An export is made of it too, so that its tick is there.
    desk.press(Key::F5);
    desk.settle();
    let smaller = desk.folder.path().join("smaller");
    desk.type_path((Modifiers::COMMAND, Key::E), &smaller);
    assert!(desk.state().export.done.is_some(), "{}", desk.messages());
    desk.type_path((Modifiers::COMMAND, Key::L), &fixture("llama"));
    desk.chord(Modifiers::COMMAND, Key::Num7);
    assert!(desk.shows("No training run yet") && desk.state().export.done.is_none());
    desk.type_path((Modifiers::COMMAND, Key::L), &fixture("bert"));
    is_told(&mut desk);
    assert!(desk.state().export.done.is_some());
    // What lies in the folder is what a later start tells of.
    let mut desk = desk.reopen();
    desk.settle();
    is_told(&mut desk);
    assert!(desk.shows("result"));
    desk.command("start afresh");
    desk.settle();
    desk.chord(Modifiers::COMMAND, Key::Num7);
    assert!(desk.shows("No training run yet"));
}

#[test]
fn a_training_that_was_stopped_is_resumed_after_a_restart() {
    let mut desk = training(100_000.0);
    desk.wait("a record", |state| records(state) >= 1);
    desk.click("Stop");
    desk.settle();
    let before = records(desk.state());
    assert!(desk.shows("The run is not finished"), "{}", desk.messages());
    let mut desk = desk.reopen();
    desk.settle();
    desk.chord(Modifiers::COMMAND, Key::Num7);
    desk.settle();
    assert_eq!(records(desk.state()), before);
    assert!(desk.shows("The run is not finished"), "{}", desk.messages());
    // It goes on as it was begun, whatever is chosen on the left by now.
    desk.set_number("Steps", 5.0);
    desk.click("Resume");
    desk.wait("a further record", |state| records(state) > before);
    desk.click("Stop");
    desk.settle();
}

#[test]
fn training_a_classifier_speaks_of_labels_and_its_metric() {
    let sample = pillars::workspace::sample().expect("the bundled sample");
    let mut desk = Desk::start(Some(sample.model));
    // All batches of the training data vote.
    desk.toggle("all");
    desk.set("Batches", 20.0);
    desk.chord(Modifiers::COMMAND, Key::Num7);
    desk.set_number("Steps", 2.0);
    desk.set_number("Fine-tuning steps", 1.0);
    desk.set_number("Held-out batches", 2.0);
    let out = desk.folder.path().join("trained");
    desk.enter_folder(&out);
    desk.settle();
    let state = desk.state();
    assert!(state.training.summary.is_some(), "{}", desk.messages());
    let record = state.training.watched.as_ref().unwrap().1.progress().records.last().unwrap().clone();
    assert!(record.per_label && record.metric_name.as_deref() == Some("accuracy"), "{record:?}");
    for words in ["Loss per label", "loss per label", "Accuracy", ", accuracy ", "tokens/s"] {
        assert!(desk.shows(words), "{words}");
    }
    for words in ["Perplexity", "perplexity", "oss per token", "--held-out"] {
        assert!(!desk.shows(words), "{words}");
    }
    // What is counted is what was read: every sequence has one label, and many tokens.
    let request = pillars::training::request_of(&out).unwrap();
    let labels_per_second = request.reading.batch_size as f64 / (record.parts.forward + record.parts.backward);
    assert!(record.tokens_per_second > 2.0 * labels_per_second, "{record:?}");
}
