//! Another model is opened while work is under way.

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers, vec2};
use egui_kittest::kittest::Queryable;

use crate::desk::{Desk, fixture, tokens};

const OPEN: (Modifiers, Key) = (Modifiers::COMMAND, Key::L);

/// A window in which a long run is under way.
fn running(desk: &mut Desk) {
    let input = tokens(desk.folder.path(), 400_000, 12);
    desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &input);
    desk.harness.key_press(Key::F5);
    desk.wait("progress", |state| state.jobs.shown().any(|job| job.progress.done > 0));
}

fn name(desk: &Desk) -> String {
    desk.state().model.as_ref().unwrap().facts.name.clone()
}

#[test]
fn a_run_that_has_gone_on_for_a_while_is_not_stopped_without_a_question() {
    let mut desk = Desk::start(Some(fixture("bert")));
    running(&mut desk);
    let began = std::time::Instant::now();
    while began.elapsed().as_secs_f64() < 5.5 {
        desk.harness.step();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let is_running = |desk: &Desk| desk.state().jobs.shown().any(|job| job.title == "Run");
    assert!(is_running(&desk), "{}", desk.messages());
    // With letters so large that the window is scrolled as a whole, it can be stopped wherever that is scrolled to.
    desk.harness.set_size(vec2(640.0, 360.0));
    desk.harness.run_steps(3);
    let stop = desk.harness.get_by_role_and_label(Role::Button, "Cancel: Run").rect();
    assert!(stop.right() <= 640.0 && stop.bottom() <= 360.0, "{stop:?}");
    desk.harness.set_size(vec2(1280.0, 800.0));
    desk.harness.run_steps(3);
    // What is no model is opened without a question.
    let asks = |desk: &mut Desk| {
        let began = std::time::Instant::now();
        while !desk.shows("Stop the run of bert, ") {
            desk.harness.step();
            assert!(began.elapsed().as_secs() < 60, "no question: {}", desk.messages());
        }
    };
    desk.begin_with(OPEN, &fixture("llama"));
    asks(&mut desk);
    assert!(is_running(&desk) && name(&desk) == "bert");
    desk.click("Keep running");
    assert!(is_running(&desk) && name(&desk) == "bert" && !desk.shows("Stop the run of"));
    desk.begin_with(OPEN, &fixture("llama"));
    asks(&mut desk);
    assert!(desk.harness.query_by_role_and_label(Role::Button, "Keep running").is_some());
    desk.click("Stop and open");
    desk.settle();
    assert_eq!(name(&desk), "llama");
    assert!(desk.messages().contains("Run: cancelled, because its model was closed"), "{}", desk.messages());
}

#[test]
fn a_run_that_has_just_begun_is_begun_again_as_easily() {
    let mut desk = Desk::start(Some(fixture("bert")));
    running(&mut desk);
    desk.begin_with(OPEN, &fixture("llama"));
    desk.settle();
    assert_eq!(name(&desk), "llama");
}
