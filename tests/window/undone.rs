//! A run that is taken back.

use std::sync::Arc;

use eframe::egui::{Key, Modifiers};

use crate::desk::{Desk, tokens};

/// Another input for the model that is open.
fn read_other(desk: &mut Desk, lines: usize) -> std::path::PathBuf {
    let folder = desk.folder.path().join("other");
    std::fs::create_dir_all(&folder).unwrap();
    let path = tokens(&folder, lines, 9);
    desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &path);
    path
}

#[test]
fn undo_brings_back_the_results_of_the_run_before_with_what_was_made_of_them() {
    let mut desk = Desk::with_results("bert");
    desk.prune_everywhere();
    desk.press(Key::F6);
    desk.settle();
    let first = Arc::clone(&desk.state().results.as_ref().unwrap().analysis);
    let (plan, measured) = (desk.state().plan().unwrap(), desk.state().measured.clone());
    assert!(!measured.is_empty() && plan.kept != pillars::network::Kept::all());
    read_other(&mut desk, 30);
    desk.press(Key::F5);
    desk.settle();
    let second = Arc::clone(&desk.state().results.as_ref().unwrap().analysis);
    assert!(!Arc::ptr_eq(&first, &second));
    assert_eq!(desk.state().draft.undo_name(), Some("run"));
    let after = desk.state().plan().unwrap();
    desk.chord(Modifiers::COMMAND, Key::Z);
    desk.settle();
    assert!(Arc::ptr_eq(&first, &desk.state().results.as_ref().unwrap().analysis));
    assert_eq!((desk.state().plan().unwrap().kept, &desk.state().measured), (plan.kept.clone(), &measured));
    assert!(desk.messages().contains("Undone: run, and shown are the results of 2 batches"), "{}", desk.messages());
    assert!(!desk.state().differences.is_empty(), "the settings are still those of the second run");
    desk.chord(Modifiers::COMMAND, Key::Y);
    desk.settle();
    assert!(Arc::ptr_eq(&second, &desk.state().results.as_ref().unwrap().analysis));
    assert_eq!(desk.state().plan().unwrap().kept, after.kept);
    // Once more, and a step before the run goes on from there.
    desk.chord(Modifiers::COMMAND, Key::Z);
    desk.chord(Modifiers::COMMAND, Key::Z);
    desk.settle();
    assert!(Arc::ptr_eq(&first, &desk.state().results.as_ref().unwrap().analysis));
    assert_ne!(desk.state().plan().unwrap().kept, plan.kept);
}

#[test]
fn the_results_of_the_run_before_stay_where_one_fails_or_is_cancelled() {
    let mut desk = Desk::with_results("bert");
    let first = Arc::clone(&desk.state().results.as_ref().unwrap().analysis);
    let plan = desk.state().plan().unwrap();
    let path = read_other(&mut desk, 30_000);
    desk.harness.key_press(Key::F5);
    desk.wait("progress", |state| state.jobs.shown().any(|job| job.progress.done > 2));
    desk.harness.key_press_modifiers(Modifiers::COMMAND, Key::Period);
    desk.settle();
    assert!(desk.messages().contains("Run: cancelled"), "{}", desk.messages());
    std::fs::write(path, "{\"input_ids\": [5, 5000000]}\n").unwrap();
    desk.press(Key::F5);
    desk.settle();
    assert!(desk.messages().contains("error: Run: "), "{}", desk.messages());
    assert!(Arc::ptr_eq(&first, &desk.state().results.as_ref().unwrap().analysis));
    assert_eq!(desk.state().plan().unwrap().kept, plan.kept);
    assert_ne!(desk.state().draft.undo_name(), Some("run"));
}
