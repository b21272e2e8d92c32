//! The field for a folder that is to be written.

use eframe::egui::{Key, RichText, TextEdit, Ui};

use crate::gui::action::Action;
use crate::gui::context::Cx;
use crate::gui::purpose::PathPurpose;

/// A labeled field with a button that lets the path be chosen for `purpose`; true where Enter was pressed in it.
pub(crate) fn folder_field(ui: &mut Ui, cx: Cx<'_>, folder: &mut String, purpose: PathPurpose) -> bool {
    ui.horizontal(|ui| {
        let label = ui.label(RichText::new("Folder").color(cx.theme.muted));
        let width = (ui.available_width() - 80.0).max(60.0);
        let field = TextEdit::singleline(folder).hint_text("New folder to write").desired_width(width);
        let field = ui.add(field).labelled_by(label.id);
        if ui.button("Browse…").clicked() {
            cx.send(Action::AskPath(purpose));
        }
        field.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter))
    })
    .inner
}
