//! What went wrong.

use eframe::egui::{Label, RichText, Ui};

use crate::error::Error;
use crate::gui::theme::WindowTheme;
use crate::gui::wording::worded;

/// Why something could not be done, in a text that can be selected and copied.
pub(crate) fn fault(ui: &mut Ui, theme: &WindowTheme, error: &Error) {
    ui.add(Label::new(RichText::new(worded(error)).color(theme.danger)).wrap().selectable(true));
}
