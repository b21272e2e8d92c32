//! Lists that are only read: nothing in them takes the keyboard, so its keys scroll them.

use eframe::egui::{Key, ScrollArea, Ui, Vec2, vec2};

/// What an arrow key scrolls by.
const LINE: f32 = 40.0;
/// What stays in sight where a page is turned.
const OVERLAP: f32 = 30.0;
/// Further than any list goes.
const ALL: f32 = 1e6;

/// Draws a list in `area`, at most `height` high. In a box that was opened just now, which `fresh` says, it begins at its top,
/// wherever it was left.
pub(in crate::gui) fn read_list(ui: &mut Ui, area: ScrollArea, height: f32, fresh: bool, add: impl FnOnce(&mut Ui)) {
    let area = area.min_scrolled_height(height).max_height(height).animated(false);
    let area = if fresh { area.scroll_offset(Vec2::ZERO) } else { area };
    area.show(ui, |ui| {
        scroll_by_keys(ui, height);
        add(ui);
    });
}

fn scroll_by_keys(ui: &Ui, height: f32) {
    let page = (height - OVERLAP).max(LINE);
    let keys = [
        (Key::ArrowUp, LINE),
        (Key::ArrowDown, -LINE),
        (Key::PageUp, page),
        (Key::PageDown, -page),
        (Key::Home, ALL),
        (Key::End, -ALL),
    ];
    let by: f32 = ui.input(|i| keys.iter().map(|(key, by)| by * i.num_presses(*key) as f32).sum());
    if by != 0.0 {
        ui.scroll_with_delta(vec2(0.0, by));
    }
}
