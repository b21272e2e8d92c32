//! A window in which nothing happens costs nothing.

use std::time::{Duration, Instant};

use eframe::egui::{Key, Modifiers, ViewportId};
use pillars::analysis::{Document, ModelInfo};
use pillars::model::Model;
use pillars::run::Spec;
use pillars::workspace::{ModelRef, Workspace, sample};

use crate::desk::Desk;

const VIEWS: [Key; 7] = [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5, Key::Num6, Key::Num7];

impl Desk {
    /// A workspace of the bundled sample that is to read one batch.
    pub fn sample_workspace() -> (tempfile::TempDir, std::path::PathBuf) {
        let sample = sample().expect("the bundled sample");
        let model = Model::open(&sample.model).unwrap();
        let fingerprint = ModelInfo::of(&model, candle_core::DType::F32).unwrap().fingerprint;
        let run = Spec { input: sample.input, batches: Some(1), ..Spec::default() };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sample.pillars");
        let model = Some(ModelRef { folder: sample.model, fingerprint });
        Workspace { model, run, ..Workspace::default() }.write(&path).unwrap();
        (folder, path)
    }

    /// The bundled sample after a run over one batch.
    pub fn with_sample() -> Self {
        let (folder, path) = Self::sample_workspace();
        let mut desk = Self::start_in(folder, Some(path));
        desk.press(Key::F5);
        desk.settle();
        assert!(desk.state().results.is_some(), "{}", desk.messages());
        desk
    }

    /// When the window wants to be drawn again; `Duration::MAX` where it does not.
    pub fn next_frame(&self) -> Duration {
        self.harness.output().viewport_output[&ViewportId::ROOT].repaint_delay
    }

    /// Frames until none is asked for, nor a moment later: what is saved by itself is written a while after the last
    /// change, and a worker's last word may come after its result.
    pub fn rest(&mut self) {
        let began = Instant::now();
        loop {
            let is_busy = self.next_frame() < Duration::MAX || !self.state().jobs.running().is_empty();
            std::thread::sleep(Duration::from_millis(if is_busy { 20 } else { 100 }));
            if !is_busy && !self.harness.ctx.has_requested_repaint() {
                return;
            }
            let causes = self.harness.ctx.repaint_causes();
            assert!(began.elapsed() < Duration::from_secs(20), "it never rests: {causes:?}, {:?}", self.next_frame());
            self.harness.step();
        }
    }
}

#[test]
fn an_idle_window_asks_for_no_frame_in_any_view() {
    let mut desk = Desk::with_sample();
    for theme in ["light theme", "dark theme"] {
        desk.command(theme);
        for key in VIEWS {
            desk.chord(Modifiers::COMMAND, key);
            desk.settle();
            desk.rest();
            // A frame that somebody else asked for, as the pointer does, asks for no second one for long.
            desk.harness.step();
            desk.rest();
        }
    }
}

#[test]
fn work_under_way_does_ask_for_frames() {
    let mut desk = Desk::start(Some(crate::desk::fixture("bert")));
    let input = crate::desk::tokens(desk.folder.path(), 30_000, 12);
    desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &input);
    desk.harness.key_press(Key::F5);
    desk.harness.step();
    desk.wait("progress", |state| state.jobs.shown().any(|job| job.progress.done > 0));
    // The worker asks for a frame whenever there is something to show; nobody else does here.
    let began = Instant::now();
    while !desk.harness.ctx.has_requested_repaint() {
        assert!(began.elapsed() < Duration::from_secs(5), "progress is not shown");
        std::thread::sleep(Duration::from_millis(5));
    }
    desk.harness.key_press_modifiers(Modifiers::COMMAND, Key::Period);
    desk.settle();
    desk.rest();
}
