//! Buttons that read the command table.

use eframe::egui::{Button, Response, Ui};

use crate::gui::accessibility::{MenuMark, tell_menu_item};
use crate::gui::command::{Command, caps};
use crate::gui::context::Cx;

/// A button of a command; greyed out with the reason where it cannot be done.
pub(crate) fn command_button(ui: &mut Ui, cx: Cx<'_>, command: Command, text: &str) -> Response {
    show(ui, cx, command, Button::new(text))
}

/// A line of a menu: words, mark and keys.
pub(crate) fn command_item(ui: &mut Ui, cx: Cx<'_>, command: Command) -> Response {
    let mut button = Button::new(command.text_now(cx.state)).selected(command.is_on(cx.state) == Some(true));
    if let Some(keys) = command.spec().keys.first() {
        button = button.shortcut_text(caps(ui.ctx(), keys));
    }
    let response = show(ui, cx, command, button);
    let mark = command.is_on(cx.state).map(|_| match command {
        Command::Theme(_) => MenuMark::OfSeveral,
        _ => MenuMark::Own,
    });
    tell_menu_item(&response, mark);
    response
}

fn show(ui: &mut Ui, cx: Cx<'_>, command: Command, button: Button<'_>) -> Response {
    let spec = command.spec();
    let refusal = command.refusal(cx.state);
    let mut hover = spec.tooltip.to_owned();
    if let Some(keys) = spec.keys.first() {
        hover = format!("{hover} ({})", caps(ui.ctx(), keys));
    }
    let response = ui.add_enabled(refusal.is_none(), button).on_hover_text(hover);
    let response = match refusal {
        Some(reason) => response.on_disabled_hover_text(format!("Not now: {reason}")),
        None => response,
    };
    if response.clicked() {
        cx.out.command(command);
    }
    response
}
