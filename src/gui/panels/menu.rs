//! The menu bar.

use eframe::egui::{self, Align, Layout, RichText, Ui};

use super::super::app::Cx;
use super::super::command::{Command, Menu};
use super::super::widgets::{command_button, command_item};

/// Menus on the left, what is open and the palette on the right.
pub fn show(ui: &mut Ui, cx: Cx<'_>) {
    egui::MenuBar::new().ui(ui, |ui| {
        for menu in Menu::ALL {
            ui.menu_button(menu.title(), |ui| menu_items(ui, cx, menu));
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            command_button(ui, cx, Command::Palette, "Commands");
            if let Some(model) = &cx.state.model {
                let (kept, all) = cx.state.kept_heads();
                let plan = &cx.state.draft.now().active().name;
                let text = format!("{}   {plan}: {kept} of {all} heads kept", model.facts.name);
                ui.add(egui::Label::new(RichText::new(text).color(cx.theme.muted)).truncate());
            }
        });
    });
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
        for command in section {
            if command_item(ui, cx, command).clicked() {
                ui.close();
            }
        }
    }
}
