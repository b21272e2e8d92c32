//! At the bottom: work under way and what happened.

use eframe::egui::{self, Align, Layout, ProgressBar, RichText, Ui};

use crate::gui::action::Action;
use crate::gui::command::Command;
use crate::gui::context::Cx;
use crate::gui::jobs::Job;
use crate::gui::messages::Severity;
use crate::gui::widgets::command_button;

/// Most height of the workers where they stand alone: two of them, others are scrolled to.
const ALONE: f32 = 50.0;

/// Workers alone, for a window that is scrolled as a whole: whatever is in sight, each can be stopped.
pub(super) fn alone(ui: &mut Ui, cx: Cx<'_>) {
    let area = egui::ScrollArea::vertical().id_salt("workers").auto_shrink([false, true]);
    area.max_height(ALONE).min_scrolled_height(ALONE).show(ui, |ui| {
        for job in cx.state.jobs.shown() {
            job_row(ui, cx, job);
        }
    });
}

/// Workers with their bars above, unless they stand elsewhere; messages below.
pub(super) fn show(ui: &mut Ui, cx: Cx<'_>, has_workers: bool) {
    ui.horizontal(|ui| {
        ui.label(RichText::new("Tasks and messages").strong());
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            command_button(ui, cx, Command::ClearMessages, "Clear");
            command_button(ui, cx, Command::CopyMessages, "Copy");
        });
    });
    for job in cx.state.jobs.shown().filter(|_| has_workers) {
        job_row(ui, cx, job);
    }
    // As many whole lines as there is room for: none is cut in half at the edge.
    let line = ui.text_style_height(&egui::TextStyle::Body);
    let height = (ui.available_height() / line).floor().max(1.0) * line;
    egui::ScrollArea::vertical()
        .id_salt("messages")
        .min_scrolled_height(height)
        .max_height(height)
        .auto_shrink(false)
        .stick_to_bottom(true)
        .show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 0.0;
            if cx.state.messages.all().is_empty() && cx.state.jobs.shown().next().is_none() {
                ui.label(RichText::new("Nothing is running").color(cx.theme.muted));
            }
            for message in cx.state.messages.all() {
                let (mark, color) = match message.level {
                    Severity::Info => ("", cx.theme.ink),
                    Severity::Warning => ("Warning: ", cx.theme.warning),
                    Severity::Error => ("Error: ", cx.theme.danger),
                };
                let times = if message.count > 1 { format!("  (x{})", message.count) } else { String::new() };
                let text = RichText::new(format!("{mark}{}{times}", message.text)).color(color);
                ui.add(egui::Label::new(text).wrap().selectable(true));
            }
        });
}

/// Least widths of the title and the bar of a row, and what the button beside them takes.
const LEAST_TITLE: f32 = 60.0;
const LEAST_BAR: f32 = 60.0;
const CANCEL: f32 = 80.0;

fn job_row(ui: &mut Ui, cx: Cx<'_>, job: &Job) {
    ui.horizontal(|ui| {
        // How far it is stands whole, whatever the title: all of that stands under the pointer.
        let words = egui::WidgetText::from(RichText::new(job.words()).color(cx.theme.muted));
        let told =
            words.clone().into_galley(ui, Some(egui::TextWrapMode::Extend), f32::INFINITY, egui::TextStyle::Body);
        let beside = told.size().x + LEAST_BAR + CANCEL;
        let widest = (ui.available_width() - beside).clamp(LEAST_TITLE, (ui.available_width() * 0.4).max(120.0));
        let title = RichText::new(&job.title).color(cx.theme.ink);
        let galley = egui::WidgetText::from(title.clone()).into_galley(
            ui,
            Some(egui::TextWrapMode::Extend),
            f32::INFINITY,
            egui::TextStyle::Body,
        );
        let size = egui::vec2(galley.size().x.min(widest), ui.spacing().interact_size.y);
        ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| {
            ui.add(egui::Label::new(title).truncate());
        });
        let bar = ProgressBar::new(job.progress.fraction().unwrap_or(0.0) as f32);
        ui.add(
            bar.desired_width((ui.available_width() - told.size().x - CANCEL).clamp(LEAST_BAR, 220.0))
                .desired_height(12.0)
                .fill(cx.theme.accent),
        )
        .accessible_name(format!("Progress: {}", job.title));
        let stop = ui.add_enabled(!job.is_cancelling(), egui::Button::new("Cancel").small());
        let name = format!("Cancel: {}", job.title);
        ui.ctx().accesskit_node_builder(stop.id, |node| node.set_label(name.as_str()));
        if stop.on_hover_text(name).clicked() {
            cx.send(Action::CancelTask(job.id));
        }
        ui.add(egui::Label::new(words).truncate());
    });
}
