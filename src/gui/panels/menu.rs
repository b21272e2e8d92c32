//! The menu bar.

use eframe::egui::{self, Align, Layout, RichText, ScrollArea, Ui};

use crate::gui::action::Action;
use crate::gui::command::{Command, Menu};
use crate::gui::context::Cx;
use crate::gui::messages::Severity;
use crate::gui::purpose::PathPurpose;
use crate::gui::widgets::{command_button, command_item, show_bars};
use crate::hub::short_name;
use crate::words::counted;

/// Height of the window that a menu leaves for the bar that it hangs from and its own frame.
const BESIDE_MENU: f32 = 60.0;
const LEAST_MENU: f32 = 120.0;

/// Menus on the left, what is open and the palette on the right.
pub(super) fn show(ui: &mut Ui, cx: Cx<'_>) {
    egui::MenuBar::new().ui(ui, |ui| {
        for &menu in Menu::ALL {
            ui.menu_button(menu.title(), |ui| {
                // A menu that is longer than the window is scrolled.
                let most = (ui.ctx().content_rect().height() - BESIDE_MENU).max(LEAST_MENU);
                // Popups offer less height than the window has.
                ui.set_max_height(most);
                show_bars(ui);
                ScrollArea::vertical()
                    .max_height(most)
                    .min_scrolled_height(most)
                    .show(ui, |ui| menu_items(ui, cx, menu));
            });
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            command_button(ui, cx, Command::Palette, "Commands");
            if !cx.state.settings.show_tasks {
                status(ui, cx);
            }
            if let Some(model) = &cx.state.model {
                let (kept, all) = cx.state.kept_heads();
                let plan = &cx.state.draft.now().active().title();
                let text = format!("{}   {plan}: {kept} of {} kept", model.facts.name, counted(all, "heads"));
                ui.add(egui::Label::new(RichText::new(text).color(cx.theme.muted)).truncate());
            }
        });
    });
}

/// Work and trouble in a few words, where the panel that shows them is closed.
fn status(ui: &mut Ui, cx: Cx<'_>) {
    let trouble = cx.state.messages.last().filter(|m| m.level != Severity::Info);
    let color = match trouble.map(|m| m.level) {
        Some(Severity::Error) => cx.theme.danger,
        Some(_) => cx.theme.warning,
        None => cx.theme.muted,
    };
    let working = cx.state.jobs.shown().map(|job| format!("{}: {}", job.title, job.words()));
    let text = working.chain(trouble.map(|m| m.text.clone())).collect::<Vec<_>>().join("   ");
    if !text.is_empty() {
        let short: String = text.chars().take(60).collect();
        let short = if short.len() < text.len() { format!("{short}…") } else { short };
        let button = ui.button(RichText::new(short).color(color)).on_hover_text(text);
        if button.clicked() {
            cx.out.command(Command::ToggleTasks);
        }
    }
}

fn menu_items(ui: &mut Ui, cx: Cx<'_>, menu: Menu) {
    ui.set_min_width(250.0);
    let mut is_first = true;
    for section in Command::sections() {
        if section.first().is_none_or(|c| c.spec().menu != menu) {
            continue;
        }
        if !is_first {
            ui.separator();
        }
        is_first = false;
        let opens = section.contains(&Command::OpenModel);
        for command in section {
            if command_item(ui, cx, command).clicked() {
                ui.close();
            }
        }
        if opens {
            recent(ui, cx);
        }
    }
}

/// What was open before.
fn recent(ui: &mut Ui, cx: Cx<'_>) {
    let all = &cx.state.settings.recent;
    ui.add_enabled_ui(!all.is_empty(), |ui| {
        ui.menu_button("Open recent", |ui| {
            ui.set_min_width(250.0);
            for path in all {
                let name = short_name(path);
                if ui.button(name).on_hover_text(path.display().to_string()).clicked() {
                    cx.send(Action::Path(PathPurpose::Open, path.clone()));
                    ui.close();
                }
            }
        });
    });
}
