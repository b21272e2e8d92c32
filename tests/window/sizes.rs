//! Small windows, large letters, fine pixels.

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers, Rect};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use pillars::workspace::ProgramSettings;

use crate::desk::Desk;
use crate::pictures::can_draw;

/// A window of 1280 x 720 pixels of a screen with so many pixels to a point, everything in it `zoom` times as large.
fn desk(pixels_per_point: f32, zoom: f32) -> Desk {
    let settings = ProgramSettings { zoom, ..ProgramSettings::default() };
    let points = [1280.0 / pixels_per_point / zoom, 720.0 / pixels_per_point / zoom];
    let builder = Harness::builder().with_size(points).with_pixels_per_point(pixels_per_point).with_max_steps(16);
    let builder = if can_draw() { builder.wgpu() } else { builder };
    Desk::with_results_in(builder, settings)
}

impl Desk {
    /// Where a control lies that cannot be brought into the window, by scrolling where it is not there yet.
    fn out_of_reach(&mut self, role: Role, name: &str) -> Option<String> {
        let window = Rect::from_min_size(eframe::egui::Pos2::ZERO, self.harness.ctx.content_rect().size());
        let Some(node) = self.harness.query_all_by_role_and_label(role, name).next() else {
            return Some(format!("{role:?} {name} is nowhere"));
        };
        node.focus();
        self.harness.run_ok();
        if let Some(node) = self.harness.query_all_by_role_and_label(role, name).next() {
            node.scroll_to_me();
        }
        self.harness.run_ok();
        let found = self.harness.query_all_by_role_and_label(role, name).next();
        // What is larger than its place is scrolled inside it.
        let is_seen = |rect: Rect| {
            let seen = window.expand(1.0).intersect(rect);
            rect.area() > 20.0 && (seen.contains_rect(rect) || seen.size().min_elem() > 40.0)
        };
        match found.map(|node| node.rect()) {
            Some(rect) if is_seen(rect) => None,
            rect => Some(format!("{role:?} {name} at {rect:?} of {window:?}")),
        }
    }
}

#[test]
fn every_control_stays_in_reach_at_every_size() {
    let mut lost = Vec::new();
    for (pixels_per_point, zoom) in [(1.0, 0.5), (1.0, 1.0), (1.0, 1.5), (2.0, 1.0), (1.0, 3.0)] {
        let mut desk = desk(pixels_per_point, zoom);
        let place = format!("{pixels_per_point} pixels to a point, zoom {zoom}");
        for (view, role, name) in [
            (Key::Num1, Role::Grid, "Heads"),
            (Key::Num2, Role::RadioButton, "All layers"),
            (Key::Num3, Role::SpinButton, "Groups"),
            (Key::Num4, Role::Slider, "Vote threshold"),
            (Key::Num5, Role::Button, "Measure this plan"),
            (Key::Num5, Role::TextInput, "Folder"),
            (Key::Num6, Role::Button, "Next"),
            (Key::Num7, Role::TextInput, "Folder"),
        ] {
            desk.chord(Modifiers::COMMAND, view);
            desk.settle();
            lost.extend(desk.out_of_reach(role, name).map(|what| format!("{place}, {view:?}: {what}")));
        }
        for (role, name) in
            [(Role::Button, "Run"), (Role::Button, "File"), (Role::Tab, "Overview"), (Role::ComboBox, "Metric")]
        {
            lost.extend(desk.out_of_reach(role, name).map(|what| format!("{place}: {what}")));
        }
        if can_draw() {
            desk.harness.render().unwrap();
        }
        desk.command("zoom in");
        assert!(desk.state().settings.zoom > zoom || zoom == 3.0);
        desk.command("actual size");
        assert_eq!(desk.state().settings.zoom, 1.0);
    }
    assert!(lost.is_empty(), "{lost:#?}");
}

#[test]
fn sentences_of_the_prune_view_end_before_the_inspector() {
    let mut desk = desk(1.0, 1.0);
    desk.chord(Modifiers::COMMAND, Key::Num5);
    desk.settle();
    let side = desk.harness.get_by_label("Selection").rect().left();
    for words in ["no plan that leaves every layer a head", "change the copy to see both side by side"] {
        let sentence = desk.harness.get_by_label_contains(words).rect();
        assert!(sentence.right() < side, "{words}: {sentence} reaches beyond {side}");
    }
}
