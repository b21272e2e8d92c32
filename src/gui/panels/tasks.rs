//! At the bottom: work under way and what happened.

use eframe::egui::{self, Align, Layout, ProgressBar, RichText, Ui};

use super::super::app::Cx;
use super::super::command::Command;
use super::super::jobs::Job;
use super::super::messages::Level;
use super::super::widgets::command_button;
use crate::task::Progress;

/// Workers with their bars above, messages below.
pub fn show(ui: &mut Ui, cx: Cx<'_>) {
    ui.horizontal(|ui| {
        ui.label(RichText::new("Tasks and messages").strong());
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            command_button(ui, cx, Command::ClearMessages, "Clear");
            command_button(ui, cx, Command::CopyMessages, "Copy");
            command_button(ui, cx, Command::Cancel, "Cancel");
        });
    });
    for job in cx.state.jobs.shown() {
        job_row(ui, cx, job);
    }
    egui::ScrollArea::vertical().id_salt("messages").auto_shrink(false).stick_to_bottom(true).show(ui, |ui| {
        if cx.state.messages.all().is_empty() && cx.state.jobs.shown().next().is_none() {
            ui.label(RichText::new("Nothing under way").color(cx.theme.muted));
        }
        for message in cx.state.messages.all() {
            let (mark, color) = match message.level {
                Level::Info => ("", cx.theme.ink),
                Level::Warning => ("Warning: ", cx.theme.warning),
                Level::Error => ("Error: ", cx.theme.danger),
            };
            let times = if message.count > 1 { format!("  (x{})", message.count) } else { String::new() };
            let text = RichText::new(format!("{mark}{}{times}", message.text)).color(color);
            ui.add(egui::Label::new(text).wrap().selectable(true));
        }
    });
}

fn job_row(ui: &mut Ui, cx: Cx<'_>, job: &Job) {
    ui.horizontal(|ui| {
        ui.label(RichText::new(&job.title).color(cx.theme.ink));
        let bar = ProgressBar::new(job.progress.fraction().unwrap_or(0.0) as f32);
        let text =
            if job.is_cancelling() { "stopping at the next safe point".to_owned() } else { words(&job.progress) };
        ui.add(bar.desired_width(220.0).desired_height(12.0).fill(cx.theme.accent));
        ui.label(RichText::new(text).color(cx.theme.muted));
    });
}

/// Progress in words: stage, counts, time left.
pub fn words(progress: &Progress) -> String {
    let mut text = progress.stage.clone();
    match progress.total {
        Some(total) => text.push_str(&format!("  {} of {total} {}", progress.done, progress.unit)),
        None if progress.done > 0 => text.push_str(&format!("  {} {}", progress.done, progress.unit)),
        None => {}
    }
    if let Some(left) = progress.remaining_secs().filter(|_| progress.elapsed_secs > 1.0) {
        text.push_str(&format!("  {} left", duration(left)));
    }
    text
}

fn duration(secs: f64) -> String {
    let secs = secs.round().max(0.0) as u64;
    match secs {
        0..60 => format!("{secs} s"),
        60..3600 => format!("{} min {:02} s", secs / 60, secs % 60),
        _ => format!("{} h {:02} min", secs / 3600, secs % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_reads_as_a_sentence() {
        let progress = Progress {
            stage: "analysing".to_owned(),
            done: 30,
            total: Some(40),
            unit: "batches",
            elapsed_secs: 90.0,
            ..Progress::default()
        };
        assert_eq!(words(&progress), "analysing  30 of 40 batches  30 s left");
        assert_eq!(words(&Progress { total: None, ..progress }), "analysing  30 batches");
        assert_eq!([59.4, 61.0, 7322.0].map(duration), ["59 s", "1 min 01 s", "2 h 02 min"]);
    }
}
