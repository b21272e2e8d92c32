//! Contents that do not widen what they stand in.

use eframe::egui::{Ui, UiBuilder};

/// Draws `add` in all the room that there is and takes no more, however much the contents would: panels keep the width of
/// whatever stood in them once, and theirs is for a person to drag.
pub(crate) fn held(ui: &mut Ui, add: impl FnOnce(&mut Ui)) {
    let room = ui.available_rect_before_wrap();
    let mut contents = ui.new_child(UiBuilder::new().max_rect(room));
    add(&mut contents);
    ui.advance_cursor_after_rect(room);
}
