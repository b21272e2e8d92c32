//! Work that is kept: saved by itself, brought back, damaged, moved, of another model.

use std::path::PathBuf;

use eframe::egui::accesskit::Role;
use eframe::egui::{self, Key, Modifiers};
use egui_kittest::kittest::{NodeT, Queryable};
use pillars::analysis::Document;
use pillars::workspace::Workspace;

use crate::desk::{Desk, fixture, tokens};

/// Files of the autosaved workspaces that end so.
fn kept(desk: &Desk, end: &str) -> Vec<PathBuf> {
    let folder = desk.folder.path().join("remembered/workspaces");
    let all = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    all.filter(|p| p.to_str().unwrap().ends_with(end)).collect()
}

#[test]
fn work_survives_a_crash() {
    let mut desk = Desk::with_results("bert");
    let head = desk.head("encoder.1", 0);
    desk.click_head(head, Modifiers::NONE);
    let (plan, tokens) = (desk.state().plan(), desk.state().results.as_ref().unwrap().analysis.tokens);
    // Saved by itself a moment after the last change; the window never gets to say goodbye.
    std::thread::sleep(std::time::Duration::from_millis(1600));
    desk.harness.step();
    desk.settle();
    let Desk { folder, harness } = desk;
    std::mem::forget(harness);
    let again = Desk::start_in(folder, None);
    assert_eq!(again.state().plan(), plan, "{}", again.messages());
    assert_eq!(again.state().results.as_ref().unwrap().analysis.tokens, tokens);
}

#[test]
fn a_reopened_window_knows_the_second_moments_of_its_run() {
    let desk = Desk::with_results("bert");
    let moments = |desk: &Desk| desk.state().results.as_ref().unwrap().moments.as_ref().map(|m| m.moments.clone());
    let (before, plan) = (moments(&desk).unwrap(), desk.state().plan().unwrap());
    assert_eq!(plan.method, "reconstruction");
    let mut desk = desk.reopen();
    assert_eq!(moments(&desk).unwrap(), before);
    assert_eq!(desk.state().plan().unwrap(), plan);
    // Another size is chosen at once, without another run.
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.settle();
    let before = desk.kept();
    desk.votes();
    desk.chord(Modifiers::COMMAND, Key::Z);
    desk.settle();
    assert_eq!((desk.kept(), desk.state().plan().unwrap().method.as_str()), (before, "reconstruction"));
    assert!(!desk.messages().contains("second moments"), "{}", desk.messages());
    // Those of another run are not taken for them, and the window says so.
    let Desk { folder, harness } = desk;
    drop(harness);
    let held = |end: &str| {
        let all = std::fs::read_dir(folder.path().join("remembered/workspaces")).unwrap();
        all.map(|entry| entry.unwrap().path()).find(|path| path.to_str().unwrap().ends_with(end)).unwrap()
    };
    let (analysis, whole) = (held("-analysis.json"), std::fs::read_to_string(held("-analysis.json")).unwrap());
    let mut other: serde_json::Value = serde_json::from_str(&whole).unwrap();
    other["settings"]["input"] = "text other.txt".into();
    std::fs::write(&analysis, other.to_string()).unwrap();
    let again = Desk::start_in(folder, None);
    assert!(moments(&again).is_none());
    assert!(again.messages().contains("are of another run than the analysis"), "{}", again.messages());
    let Desk { folder, harness } = again;
    std::mem::forget(harness);
    std::fs::write(&analysis, whole).unwrap();
    // Where they are gone, it says so too.
    for entry in std::fs::read_dir(folder.path().join("remembered/workspaces")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_str().unwrap().ends_with(".moments.safetensors") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let again = Desk::start_in(folder, None);
    assert!(moments(&again).is_none());
    assert!(again.messages().contains("second moments of the last run are not there"), "{}", again.messages());
}

#[test]
fn a_damaged_workspace_is_told_and_kept() {
    let desk = Desk::with_results("bert").reopen();
    let [path] = &kept(&desk, ".pillars")[..] else { panic!("one workspace is kept") };
    let (path, half) = (path.clone(), std::fs::read_to_string(path).unwrap()[..200].to_owned());
    let Desk { folder, harness } = desk;
    drop(harness);
    std::fs::write(&path, &half).unwrap();
    let mut again = Desk::start_in(folder, None);
    assert!(again.shows("could not be opened") && again.shows("nothing is lost"), "{}", again.messages());
    assert!(again.harness.query_by_role_and_label(Role::Button, "Open the sample").is_some());
    // Working on does not write over what is left of it.
    again.type_path((Modifiers::COMMAND, Key::L), &fixture("bert"));
    let again = again.reopen();
    let aside: Vec<_> = kept(&again, ".pillars").into_iter().filter(|p| *p != path).collect();
    assert_eq!(std::fs::read_to_string(&aside[0]).unwrap(), half);
}

#[test]
fn every_model_has_its_own_work() {
    let mut desk = Desk::with_results("bert");
    let plan = desk.state().plan();
    desk.type_path((Modifiers::COMMAND, Key::L), &fixture("llama"));
    assert!(desk.state().results.is_none());
    desk.click_head(desk.head("decoder.0", 1), Modifiers::NONE);
    // At once, before anything was saved by itself.
    desk.type_path((Modifiers::COMMAND, Key::L), &fixture("bert"));
    assert!(desk.state().results.is_some() && desk.state().plan() == plan, "{}", desk.messages());
    desk.type_path((Modifiers::COMMAND, Key::L), &fixture("llama"));
    assert_eq!(desk.state().draft.now().active().pin(desk.head("decoder.0", 1)), Some(false));
    let desk = desk.reopen();
    assert_eq!(desk.state().model.as_ref().unwrap().facts.name, "llama");
}

#[test]
fn a_run_does_not_outlive_its_model() {
    let mut desk = Desk::start(Some(fixture("bert")));
    let input = tokens(desk.folder.path(), 30_000, 12);
    desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &input);
    desk.harness.key_press(Key::F5);
    desk.wait("progress", |state| state.jobs.shown().any(|job| job.progress.done > 0));
    desk.harness.key_press_modifiers(Modifiers::COMMAND, Key::L);
    desk.harness.step();
    desk.harness.step();
    desk.harness.event(egui::Event::Text(fixture("gpt2").to_str().unwrap().to_owned()));
    desk.harness.step();
    desk.harness.key_press(Key::Enter);
    desk.wait("the other model", |state| state.model.as_ref().is_some_and(|m| m.facts.name == "gpt2"));
    desk.settle();
    assert!(desk.state().results.is_none());
    assert!(desk.messages().contains("Run: cancelled, because its model was closed"), "{}", desk.messages());
}

#[test]
fn saving_never_writes_over_the_file_of_another_model() {
    let mut desk = Desk::with_results("bert");
    let file = desk.folder.path().join("first.pillars");
    desk.chord(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::S);
    desk.type_text(file.to_str().unwrap());
    desk.press(Key::Enter);
    desk.settle();
    let written = std::fs::read(&file).unwrap();
    desk.type_path((Modifiers::COMMAND, Key::L), &fixture("llama"));
    desk.chord(Modifiers::COMMAND, Key::S);
    assert!(desk.state().overlay.is_some(), "a name is asked for");
    desk.press(Key::Escape);
    assert_eq!(std::fs::read(&file).unwrap(), written);
    // Opened again, it is the file that saving writes; so it is after the next start.
    desk.type_path((Modifiers::COMMAND, Key::L), &file);
    assert_eq!(desk.state().file.as_ref(), Some(&file));
    desk.click_head(desk.head("encoder.0", 0), Modifiers::NONE);
    let mut desk = desk.reopen();
    assert_eq!(desk.state().file.as_ref(), Some(&file));
    desk.chord(Modifiers::COMMAND, Key::S);
    desk.settle();
    assert!(desk.state().overlay.is_none() && std::fs::read(&file).unwrap() != written);
}

#[test]
fn an_older_workspace_is_read_and_a_newer_one_refused() {
    let mut desk = Desk::start(None);
    // As version 1 wrote it; its model has moved since.
    let old = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/workspace-1.pillars");
    desk.type_path((Modifiers::COMMAND, Key::L), old.as_ref());
    assert!(desk.shows("The model of this workspace is not where it was"), "{}", desk.messages());
    desk.click("Type its path…");
    desk.type_text(fixture("bert").to_str().unwrap());
    desk.press(Key::Enter);
    desk.settle();
    assert_eq!(desk.state().draft.now().active().name, "By votes");
    assert_eq!((desk.state().results.as_ref().unwrap().analysis.tokens, desk.kept()), (120, 4));
    let newer = desk.folder.path().join("newer.pillars");
    std::fs::write(&newer, r#"{"format": "pillars-workspace", "version": 99}"#).unwrap();
    desk.type_path((Modifiers::COMMAND, Key::L), &newer);
    assert!(desk.messages().lines().last().unwrap().contains("this workspace has version 99, newest known is 3"));
    assert!(desk.state().results.is_some(), "what is open stays");
}

#[test]
fn notes_and_the_layout_come_back() {
    let mut desk = Desk::with_results("bert");
    desk.harness.get_by_role_and_label(Role::MultilineTextInput, "Notes").focus();
    desk.harness.run();
    desk.type_text("heads 0 and 3 look alike");
    // Letters are text there, not commands.
    assert_eq!(
        (desk.state().notes.as_str(), desk.state().draft.undo_name()),
        ("heads 0 and 3 look alike", desk.state().draft.undo_name())
    );
    desk.chord(Modifiers::COMMAND, Key::Num4);
    desk.chord(Modifiers::COMMAND, Key::Backslash);
    desk.chord(Modifiers::COMMAND, Key::Num1);
    let both = |desk: &Desk| {
        desk.shows("votes from 2 batches") && desk.harness.query_by_role_and_label(Role::Grid, "Heads").is_some()
    };
    assert!(both(&desk), "two views stand beside each other");
    let mut desk = desk.reopen();
    assert_eq!(desk.state().notes, "heads 0 and 3 look alike");
    assert!(both(&desk), "and they stand so again");
    desk.command("reset the layout");
    assert!(!both(&desk));
}

#[test]
fn starting_afresh_again_keeps_what_was_kept_before() {
    let mut desk = Desk::with_results("bert");
    for head in 0..2 {
        desk.click_head(desk.head("encoder.0", head), Modifiers::NONE);
        desk.command("start afresh");
        desk.settle();
    }
    let mut files = kept(&desk, "-earlier.pillars");
    files.extend(kept(&desk, "-earlier-2.pillars"));
    let works: Vec<Workspace> = files.iter().map(|file| Workspace::read(file).unwrap()).collect();
    let [first, second] = &works[..] else { panic!("{files:?}") };
    let pin = |work: &Workspace, head: usize| work.draft.active().pin(desk.head("encoder.0", head));
    assert!(
        first.analysis.is_some() && pin(first, 0).is_some() && pin(second, 1).is_some() && pin(second, 0).is_none()
    );
    for file in &files {
        assert!(desk.messages().contains(file.to_str().unwrap()), "{}", desk.messages());
    }
}

#[test]
fn a_plan_from_a_file_says_what_chose_it() {
    let mut desk = Desk::with_results("bert");
    let file = desk.folder.path().join("quarter.json");
    let plan = r#"{"format": "pillars-plan", "version": 1, "method": "reconstruction", "kept": {"encoder.0": [0], "encoder.1": [1, 2]},
                   "notes": ["expected to cost 0.0204 nats"]}"#;
    std::fs::write(&file, plan).unwrap();
    desk.type_path((Modifiers::COMMAND, Key::L), &file);
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.settle();
    assert!(desk.shows("Heads as reconstruction chose them before"), "{}", desk.messages());
    assert!(!desk.shows("Every head stays but those you prune"));
    // What is said of its choice goes with the first edit.
    assert!(desk.shows("xpected to cost 0.0204"));
    desk.chord(Modifiers::COMMAND, Key::Num1);
    desk.click_head(desk.head("encoder.0", 3), Modifiers::NONE);
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.settle();
    assert!(!desk.shows("xpected to cost 0.0204") && desk.shows("Edited from quarter"));
}

#[test]
fn what_is_taken_as_input_is_told_and_images_are_no_input_of_a_model_that_reads_text() {
    let mut desk = Desk::with_input("bert");
    let before = desk.state().run.input.clone().unwrap();
    let photos = desk.folder.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    std::fs::write(photos.join("a.png"), "no matter").unwrap();
    desk.type_path((Modifiers::COMMAND, Key::L), &photos);
    assert_eq!(desk.state().run.input.as_ref(), Some(&before));
    assert!(desk.messages().contains("which this model does not read: the input stays"), "{}", desk.messages());
    let text = desk.folder.path().join("a.txt");
    std::fs::write(&text, "A text.\n").unwrap();
    desk.type_path((Modifiers::COMMAND, Key::L), &text);
    let told = format!("Input: text {} (it was {before})", text.display());
    assert!(desk.messages().contains(&told), "{}", desk.messages());
}

#[test]
fn points_of_a_curve_are_kept_as_they_come() {
    let mut desk = Desk::with_results("llama");
    desk.chord(SHIFTED_M.0, SHIFTED_M.1);
    desk.wait("a point of the curve", |state| state.curves.is_some());
    assert!(desk.state().curves.as_ref().is_some_and(|curves| !curves.points.is_empty()));
    // They are shown as they come, too.
    desk.chord(Modifiers::COMMAND, Key::Num5);
    assert!(desk.harness.query_by_role_and_label(Role::Image, "Quality against heads kept").is_some());
    // As after a kill: what was written by itself is all there is.
    desk.type_path((Modifiers::COMMAND, Key::L), &fixture("bert"));
    assert!(desk.state().curves.is_none());
    desk.type_path((Modifiers::COMMAND, Key::L), &fixture("llama"));
    let curves = desk.state().curves.clone().expect("the points so far come back");
    assert!(!curves.points.is_empty());
    // It goes on from there.
    desk.chord(SHIFTED_M.0, SHIFTED_M.1);
    desk.settle();
    let whole = desk.state().curves.clone().unwrap();
    assert!(curves.points.iter().all(|point| whole.points.contains(point)), "{}", desk.messages());
}

/// The keys that measure the curve.
const SHIFTED_M: (Modifiers, Key) = (Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::M);

#[test]
fn leaving_says_whether_a_training_was_saved() {
    let mut desk = Desk::start(Some(fixture("bert")));
    let input = tokens(desk.folder.path(), 400, 10);
    desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &input);
    desk.chord(Modifiers::COMMAND, Key::Num7);
    desk.harness.get_by_role_and_label(Role::SpinButton, "Steps").set_value_accesskit(100_000.0);
    desk.harness.run_ok();
    desk.enter_folder(&desk.folder.path().join("trained"));
    desk.wait("a record", |state| {
        state.training.run.watched.as_ref().is_some_and(|(_, watched)| !watched.progress().records.is_empty())
    });
    desk.let_begin();
    desk.click("Pause");
    std::thread::sleep(std::time::Duration::from_millis(500));
    let state = desk.folder.path().join("trained/training/state.safetensors");
    // However far it came by now.
    let _ = std::fs::remove_file(&state);
    let root = desk.harness.input_mut().viewports.get_mut(&egui::ViewportId::ROOT).unwrap();
    root.events.push(egui::ViewportEvent::Close);
    desk.harness.step();
    desk.harness.step();
    assert!(desk.shows("Nothing of the training was saved yet"));
    std::fs::write(&state, "a state").unwrap();
    desk.harness.step();
    assert!(desk.shows("can be resumed from its last saved state"));
    std::fs::remove_file(&state).unwrap();
    desk.harness.get_by_role_and_label(Role::Button, "Stay").click();
    desk.harness.step();
    desk.harness.step();
    desk.click("Stop");
    desk.settle();
}

#[test]
fn leaving_asks_before_it_throws_work_away() {
    let mut desk = Desk::start(Some(fixture("bert")));
    let input = tokens(desk.folder.path(), 30_000, 12);
    desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &input);
    desk.harness.key_press(Key::F5);
    desk.wait("progress", |state| state.jobs.shown().any(|job| job.progress.done > 0));
    let root = desk.harness.input_mut().viewports.get_mut(&egui::ViewportId::ROOT).unwrap();
    root.events.push(egui::ViewportEvent::Close);
    desk.harness.step();
    desk.harness.step();
    assert!(desk.shows("Work is under way") && desk.shows("Quit anyway"));
    desk.harness.get_by_role_and_label(Role::Button, "Stay").click();
    desk.harness.step();
    desk.harness.step();
    assert!(desk.state().overlay.is_none() && desk.state().jobs.shown().next().is_some());
    // Each piece of work has a button of its own.
    desk.harness.get_by_role_and_label(Role::Button, "Cancel: Run").click();
    desk.settle();
    assert!(desk.messages().contains("Run: cancelled"), "{}", desk.messages());
}

#[test]
fn undo_goes_on_where_a_model_was_left() {
    let mut desk = Desk::with_results("bert");
    let before = desk.state().plan();
    desk.click_head(desk.head("encoder.1", 0), Modifiers::NONE);
    let (after, name) = (desk.state().plan(), desk.state().draft.undo_name().map(str::to_owned));
    assert!(before != after && name.is_some());
    desk.type_path((Modifiers::COMMAND, Key::L), &fixture("llama"));
    assert_eq!(desk.state().draft.undo_name(), None);
    desk.type_path((Modifiers::COMMAND, Key::L), &fixture("bert"));
    assert_eq!((desk.state().plan(), desk.state().draft.undo_name()), (after.clone(), name.as_deref()));
    desk.chord(Modifiers::COMMAND, Key::Z);
    assert_eq!(desk.state().plan(), before);
    desk.chord(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::Z);
    assert_eq!(desk.state().plan(), after);
}

#[test]
fn what_is_typed_into_one_field_is_one_step() {
    let mut desk = Desk::with_results("bert");
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.harness.get_by_role_and_label(Role::ComboBox, "Chosen by").click();
    desk.harness.run();
    desk.harness.get_by_role_and_label(Role::Button, "random").click_accesskit();
    desk.harness.run_ok();
    desk.settle();
    let seed = |desk: &Desk| desk.state().draft.now().active().proposal.as_ref().unwrap().seed;
    let before = seed(&desk);
    desk.harness.get_by_role_and_label(Role::SpinButton, "Draw").focus();
    desk.harness.run_ok();
    for digit in ["7", "1", "3"] {
        desk.type_text(digit);
    }
    desk.press(Key::Enter);
    desk.settle();
    assert_eq!(seed(&desk), 713);
    desk.chord(Modifiers::COMMAND, Key::Z);
    assert_eq!(seed(&desk), before, "{}", desk.messages());
}

#[test]
fn an_export_goes_on_beside_another_model_and_leaves_it_alone() {
    let mut desk = Desk::start(Some(fixture("bert")));
    let input = tokens(desk.folder.path(), 60_000, 12);
    desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &input);
    let type_path = |desk: &mut Desk, key: Key, path: &std::path::Path| {
        desk.chord(Modifiers::COMMAND, key);
        desk.type_text(path.to_str().unwrap());
        desk.harness.key_press(Key::Enter);
        desk.harness.step();
    };
    let first = desk.folder.path().join("first");
    type_path(&mut desk, Key::E, &first);
    let is_of_bert =
        |state: &pillars::gui::State| state.jobs.shown().any(|job| job.title.starts_with("Export bert to"));
    assert!(is_of_bert(desk.state()), "{}", desk.messages());
    type_path(&mut desk, Key::L, &fixture("llama"));
    desk.wait("the other model", |state| state.model.as_ref().is_some_and(|model| model.facts.name == "llama"));
    assert!(is_of_bert(desk.state()), "the task says whose it is");
    desk.harness.step();
    desk.chord(Modifiers::COMMAND, Key::Num5);
    assert!(!desk.shows("Exporting: "));
    desk.harness.get_by_role_and_label(Role::CheckBox, "Repair").click();
    desk.harness.step();
    desk.harness.step();
    let second = desk.folder.path().join("second");
    type_path(&mut desk, Key::E, &second);
    desk.wait("the second export", |state| state.export.done.is_some() || state.export.failure.is_some());
    assert!(desk.state().export.done.is_some() && second.join("config.json").is_file(), "{}", desk.messages());
    assert!(is_of_bert(desk.state()), "the first goes on");
    let label = format!("Cancel: Export bert to {}", first.display());
    desk.harness.get_by_role_and_label(Role::Button, &label).click();
    desk.settle();
    assert!(desk.messages().contains("Export bert to") && !first.exists(), "{}", desk.messages());
    assert!(desk.state().export.done.is_some() && desk.state().export.failure.is_none());
}

#[test]
fn another_window_on_the_same_model_loses_nothing() {
    use pillars::workspace::Store;
    let mut desk = Desk::with_results("bert");
    let rest = |desk: &mut Desk| {
        std::thread::sleep(std::time::Duration::from_millis(1600));
        desk.harness.step();
        desk.settle();
    };
    rest(&mut desk);
    let fingerprint = desk.state().model.as_ref().unwrap().facts.fingerprint.clone();
    // The other window has a store of its own on the same folder.
    let other = Store::at(desk.folder.path().join("remembered"));
    let theirs =
        Workspace { notes: "theirs".to_owned(), ..other.workspace_of(&fingerprint).unwrap().unwrap().workspace };
    other.save_workspace(&theirs, false).unwrap();
    desk.click_head(desk.head("encoder.0", 0), Modifiers::NONE);
    rest(&mut desk);
    assert!(desk.messages().contains("Another window works on this model too"), "{}", desk.messages());
    let [beside] = &kept(&desk, "-other.pillars")[..] else { panic!("their work is kept in one file") };
    assert_eq!(Workspace::read(beside).unwrap().notes, "theirs");
    let mine = other.workspace_of(&fingerprint).unwrap().unwrap().workspace;
    assert_eq!((mine.notes.as_str(), &mine.draft), ("", desk.state().draft.now()));
    // It is told once.
    let told = desk.messages().matches("Another window").count();
    desk.click_head(desk.head("encoder.0", 0), Modifiers::NONE);
    other.save_workspace(&theirs, false).unwrap();
    rest(&mut desk);
    assert_eq!(desk.messages().matches("Another window").count(), told);
}

#[test]
fn a_named_file_that_somebody_else_wrote_is_not_written_over_unasked() {
    let mut desk = Desk::with_results("bert");
    let file = desk.folder.path().join("shared.pillars");
    let save_as = |desk: &mut Desk, path: &std::path::Path| {
        desk.type_text(path.to_str().unwrap());
        desk.press(Key::Enter);
        desk.settle();
    };
    desk.chord(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::S);
    save_as(&mut desk, &file);
    desk.click_head(desk.head("encoder.0", 0), Modifiers::NONE);
    desk.chord(Modifiers::COMMAND, Key::S);
    desk.settle();
    assert!(desk.state().overlay.is_none(), "its own file it may write: {}", desk.messages());
    let theirs = r#"{"format": "pillars-workspace", "version": 2, "notes": "theirs"}"#;
    std::fs::write(&file, theirs).unwrap();
    desk.click_head(desk.head("encoder.0", 0), Modifiers::NONE);
    desk.chord(Modifiers::COMMAND, Key::S);
    assert!(desk.state().overlay.is_some() && desk.messages().contains("was written by something else"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), theirs);
    // The box offers the same name; taken, it is meant.
    desk.press(Key::Enter);
    desk.settle();
    assert!(!std::fs::read_to_string(&file).unwrap().contains("theirs"), "{}", desk.messages());
}

#[test]
fn what_was_typed_for_one_model_does_not_reach_the_next() {
    let mut desk = Desk::with_results("bert");
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.harness.get_by_role_and_label(Role::TextInput, "Folder").focus();
    desk.harness.run_ok();
    desk.type_text("/tmp/somewhere");
    desk.settle();
    let typed = |desk: &Desk| {
        let node = desk.harness.get_by_role_and_label(Role::TextInput, "Folder");
        node.accesskit_node().value().unwrap_or_default()
    };
    assert_eq!(typed(&desk), "/tmp/somewhere");
    desk.type_path((Modifiers::COMMAND, Key::L), &fixture("llama"));
    desk.settle();
    desk.chord(Modifiers::COMMAND, Key::Num5);
    assert_eq!(typed(&desk), "");
}
