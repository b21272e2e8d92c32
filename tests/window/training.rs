//! What a training came to stays with its model, and is told in the words of its task.

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers, vec2};
use egui_kittest::kittest::{NodeT, Queryable};
use pillars::gui::State;
use pillars::training::{Stage, TrainingEnd};

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
    state.training.run.watched.as_ref().map_or(0, |(_, watched)| watched.progress().records.len())
}

#[test]
fn a_training_comes_back_with_its_model_and_after_a_restart() {
    let mut desk = training(30.0);
    desk.settle();
    let is_told = |desk: &mut Desk| {
        desk.chord(Modifiers::COMMAND, Key::Num7);
        desk.settle();
        let summary = desk.state().training.run.summary.clone();
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
fn a_training_that_is_refused_leaves_what_is_shown_of_the_one_before() {
    let mut desk = training(30.0);
    desk.settle();
    let before = records(desk.state());
    assert!(before > 0 && desk.shows("sequences held out"), "{}", desk.messages());
    // The folder is there, and nothing was said of going on with it.
    desk.click("Train");
    desk.settle();
    let training = &desk.state().training;
    assert!(training.failure.as_ref().is_some_and(|e| e.to_string().contains("not empty")), "{}", desk.messages());
    assert_eq!(training.run.summary.as_ref().map(|s| s.outcome), Some(TrainingEnd::Done));
    assert!(!training.run.is_resumable && records(desk.state()) == before);
    assert!(!desk.shows("The run is not finished") && desk.shows("every head, trained"));
    assert!(desk.harness.query_by_role_and_label(Role::Button, "Open the result").is_some());
}

#[test]
fn a_folder_that_is_refused_is_mended_where_it_was_typed() {
    let mut desk = Desk::start(Some(fixture("bert")));
    let input = tokens(desk.folder.path(), 400, 10);
    desk.type_path((SHIFTED, Key::I), &input);
    desk.chord(Modifiers::COMMAND, Key::Num7);
    desk.set_number("Steps", 2.0);
    desk.set_number("Fine-tuning steps", 1.0);
    desk.chord(Modifiers::COMMAND, Key::Num1);
    let taken = desk.folder.path().join("taken");
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(taken.join("thesis.txt"), "mine").unwrap();
    let typed = |desk: &Desk| {
        let field = desk.harness.query_by_role_and_label(Role::TextInput, "Train the model")?;
        field.accesskit_node().value()
    };
    let told = |desk: &Desk| desk.harness.query_all_by_label_contains("the folder exists and is not empty").count();
    let enter = |desk: &mut Desk, path: &std::path::Path| {
        desk.chord(Modifiers::COMMAND, Key::A);
        desk.type_text(path.to_str().unwrap());
        desk.press(Key::Enter);
        desk.settle();
    };
    desk.command("train\u{2026}");
    desk.settle();
    enter(&mut desk, &taken);
    assert_eq!(typed(&desk).as_deref(), taken.to_str(), "{}", desk.messages());
    assert!(desk.state().refused.is_some() && desk.state().training.run.watched.is_none());
    // In the box too, for as long as the path stands there.
    let before = told(&desk);
    desk.type_text("-2");
    assert_eq!(told(&desk) + 1, before);
    // Nothing was made to find that out.
    let free = desk.folder.path().join("free");
    assert!(!free.exists() && std::fs::read_dir(&taken).unwrap().count() == 1);
    enter(&mut desk, &free);
    assert!(typed(&desk).is_none() && desk.state().refused.is_none());
    let summary = desk.state().training.run.summary.as_ref();
    assert_eq!(summary.map(|s| s.outcome), Some(TrainingEnd::Done), "{}", desk.messages());
}

#[test]
fn a_training_that_was_stopped_is_resumed_after_a_restart() {
    let mut desk = training(100_000.0);
    desk.wait("a record", |state| records(state) >= 1);
    desk.let_begin();
    desk.click("Stop");
    desk.settle();
    let before = records(desk.state());
    assert!(desk.shows("The run is not finished"), "{}", desk.messages());
    // What it would have come to is not told as if it had: nothing was removed, and no model is left without a parameter.
    assert_eq!(desk.state().training.run.summary.as_ref().map(|s| s.outcome), Some(TrainingEnd::Stopped));
    assert!(!desk.shows("Parameters") && !desk.shows(" to 0") && !desk.shows("Open the result"));
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
    desk.let_begin();
    desk.click("Stop");
    desk.settle();
}

#[test]
fn a_second_click_on_train_reaches_no_button_and_an_early_vote_is_told() {
    let mut desk = Desk::start(Some(fixture("bert")));
    let input = tokens(desk.folder.path(), 400, 10);
    desk.type_path((SHIFTED, Key::I), &input);
    desk.chord(Modifiers::COMMAND, Key::Num7);
    desk.set_number("Steps", 100_000.0);
    desk.set_number("Fine-tuning steps", 3.0);
    let out = desk.folder.path().join("trained");
    desk.harness.get_by_role_and_label(Role::TextInput, "Folder").focus();
    desk.harness.run_ok();
    desk.type_text(out.to_str().unwrap());
    let place = desk.harness.get_by_role_and_label(Role::Button, "Train").rect();
    let click = |desk: &mut Desk, at: eframe::egui::Pos2| {
        desk.harness.hover_at(at);
        desk.harness.drag_at(at);
        desk.harness.drop_at(at);
        desk.harness.step();
    };
    click(&mut desk, place.center());
    desk.wait("the training", |state| state.jobs.shown().next().is_some());
    desk.harness.step();
    for at in [place.left_center() + vec2(6.0, 0.0), place.center(), place.right_center() - vec2(6.0, 0.0)] {
        click(&mut desk, at);
    }
    let names = ["Pause", "Vote now", "Stop"];
    let is_off =
        names.map(|name| desk.harness.get_by_role_and_label(Role::Button, name).accesskit_node().is_disabled());
    // On a machine that took longer than that moment there is nothing to see.
    let is_fresh = desk.state().jobs.shown().any(|job| job.has_just_begun());
    assert!(!is_fresh || is_off == [true; 3], "{is_off:?}");
    if is_fresh {
        desk.wait("a record", |state| records(state) >= 1);
        let (_, watched) = desk.state().training.run.watched.clone().unwrap();
        assert!(!watched.control.is_paused() && !watched.control.is_stopping());
        assert_eq!(watched.progress().stage, Stage::Constrained);
    }
    desk.let_begin();
    desk.click("Vote now");
    desk.settle();
    let summary = desk.state().training.run.summary.clone().unwrap_or_else(|| panic!("{}", desk.messages()));
    assert!(summary.constrained_steps < 100_000, "{summary:?}");
    let told = format!("oted early, after {} of 100000 steps", summary.constrained_steps);
    assert!(desk.shows(&format!("V{told}")) && desk.messages().contains(&format!("v{told}")), "{}", desk.messages());
    let page = std::fs::read_to_string(out.join("README.md")).unwrap();
    assert!(page.contains(&format!("v{told}")), "{page}");
}

#[test]
fn what_has_no_loss_is_not_offered_for_training() {
    let mut desk = Desk::with_input("clip_text_model");
    desk.chord(Modifiers::COMMAND, Key::Num7);
    desk.enter_folder(&desk.folder.path().join("trained"));
    desk.settle();
    let button = desk.harness.get_by_role_and_label(Role::Button, "Train");
    assert!(button.accesskit_node().is_disabled());
    assert!(desk.shows("predicts nothing that has a loss") && !desk.shows("press Train"));
    assert!(desk.state().training.failure.is_none() && desk.state().training.run.watched.is_none());
    assert!(!desk.folder.path().join("trained").exists());
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
    assert!(state.training.run.summary.is_some(), "{}", desk.messages());
    let record = state.training.run.watched.as_ref().unwrap().1.progress().records.last().unwrap().clone();
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

/// The fixture with its weights in 16 bits.
fn in_half(folder: &std::path::Path) -> std::path::PathBuf {
    let half = folder.join("half");
    std::fs::create_dir(&half).unwrap();
    let source = fixture("bert");
    let weights = candle_core::safetensors::load(source.join("model.safetensors"), &candle_core::Device::Cpu).unwrap();
    let narrow = |tensor: candle_core::Tensor| match tensor.dtype().is_float() {
        true => tensor.to_dtype(candle_core::DType::BF16).unwrap(),
        false => tensor,
    };
    let weights: std::collections::HashMap<_, _> = weights.into_iter().map(|(name, t)| (name, narrow(t))).collect();
    candle_core::safetensors::save(&weights, half.join("model.safetensors")).unwrap();
    std::fs::copy(source.join("config.json"), half.join("config.json")).unwrap();
    half
}

#[test]
fn a_training_writes_the_type_of_the_original_or_the_one_that_is_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let model = in_half(folder.path());
    let mut desk = Desk::start(Some(model));
    let input = tokens(desk.folder.path(), 400, 10);
    desk.type_path((SHIFTED, Key::I), &input);
    desk.chord(Modifiers::COMMAND, Key::Num7);
    desk.set_number("Steps", 2.0);
    desk.set_number("Fine-tuning steps", 1.0);
    let list = desk.harness.get_by_role_and_label(Role::ComboBox, "Written as");
    assert_eq!(list.accesskit_node().value().as_deref(), Some("as the original"));
    let mut written = |choice: Option<&str>, name: &str| {
        if let Some(choice) = choice {
            desk.pick("Written as", choice);
        }
        let out = desk.folder.path().join(name);
        desk.chord(Modifiers::COMMAND, Key::Num7);
        let field = desk.harness.get_by_role_and_label(Role::TextInput, "Folder");
        field.focus();
        desk.harness.run_ok();
        desk.chord(Modifiers::COMMAND, Key::A);
        desk.enter_folder(&out);
        desk.settle();
        assert!(desk.state().training.run.summary.is_some(), "{}", desk.messages());
        pillars::model::Model::open(&out).unwrap().stored().name()
    };
    assert_eq!(written(None, "usual"), "bfloat16");
    assert_eq!(written(Some("float32"), "wide"), "float32");
    assert_eq!(written(Some("float16"), "narrow"), "float16");
    assert_eq!(written(Some("as the original"), "again"), "bfloat16");
}

#[test]
fn the_window_and_the_written_page_tell_the_same_perplexity() {
    let mut desk = training(30.0);
    desk.settle();
    let summary = desk.state().training.run.summary.clone().unwrap_or_else(|| panic!("{}", desk.messages()));
    let page = std::fs::read_to_string(desk.folder.path().join("trained/README.md")).unwrap();
    let mut told = 0;
    for stage in summary.stages() {
        let Some(value) = stage.beside else { continue };
        // Each to its own digits, but of one number.
        let line = page
            .lines()
            .find(|line| line.starts_with(&format!("| {} |", stage.name)))
            .unwrap_or_else(|| panic!("{page}"));
        let figure: f64 = line.trim_matches(['|', ' ']).rsplit('|').next().unwrap().trim().parse().unwrap();
        assert!((figure - value).abs() <= 0.005 + 1e-9, "{line}: {value}");
        let shown = pillars::chart::Unit::Plain.format(value);
        assert!(desk.shows(&shown), "{} {shown}", stage.name);
        told += 1;
    }
    assert!(told > 1, "{page}");
}
