//! Tabs, moved with the mouse.

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers, Pos2, vec2};
use egui_kittest::kittest::Queryable;

use crate::desk::Desk;

impl Desk {
    fn tab(&self, name: &str) -> Pos2 {
        self.harness.get_by_role_and_label(Role::Tab, name).rect().center()
    }

    /// Takes hold of something, moves it in steps as a hand does, and lets go.
    fn drag(&mut self, from: Pos2, to: Pos2) {
        self.harness.hover_at(from);
        self.harness.step();
        self.harness.drag_at(from);
        self.harness.step();
        for step in 1..=8 {
            self.harness.hover_at(from + (to - from) * (step as f32 / 8.0));
            self.harness.step();
        }
        self.harness.drop_at(to);
        self.harness.run_ok();
    }
}

#[test]
fn a_tab_dragged_aside_splits_the_view_and_stays_so() {
    let mut desk = Desk::with_results("bert");
    let both = |desk: &Desk| {
        desk.shows("votes from 2 batches") && desk.harness.query_by_role_and_label(Role::Grid, "Heads").is_some()
    };
    desk.chord(Modifiers::COMMAND, Key::Num1);
    assert!(!both(&desk));
    // Dropped at the right edge of the grid of heads.
    let grid = desk.harness.get_by_role_and_label(Role::Grid, "Heads").rect();
    let (left, right) = (desk.tab("Overview"), desk.tab("Training"));
    let edge = Pos2::new(right.x + 60.0, grid.center().y + 100.0);
    let tab = desk.tab("Votes");
    desk.drag(tab, edge);
    assert!(both(&desk), "two views stand beside each other");
    assert!(desk.tab("Votes").x > left.x + 100.0 && (desk.tab("Votes").y - left.y).abs() < 4.0);
    // The other tabs stay in one row with the view that was there.
    let row: Vec<f32> = ["Overview", "Redundancy", "Training"].map(|name| desk.tab(name).y).to_vec();
    assert!(row.iter().all(|y| (y - left.y).abs() < 4.0), "{row:?}");
    assert!(desk.harness.query_by_label_contains("Horizontal").is_none());
    let mut desk = desk.reopen();
    assert!(both(&desk), "and they stand so again");
    // Back among the others.
    let (from, to) = (desk.tab("Votes"), desk.tab("Groups") + vec2(4.0, 0.0));
    desk.drag(from, to);
    desk.chord(Modifiers::COMMAND, Key::Num1);
    assert!(!both(&desk), "it is one of the tabs again");
}
