//! What surrounds the tabs.

mod cached;
mod data;
mod focus;
mod guide;
mod inspector;
mod menu;
mod model;
mod overlay;
mod palette;
mod run;
mod side;
mod tasks;
pub(super) mod told;
mod welcome;

use eframe::egui::{self, CentralPanel, Frame, Margin, Panel, ScrollArea, Sense, Ui, UiBuilder, Vec2, vec2};

use super::context::Cx;
use super::layout::ViewLayout;

/// Text being typed and other short-lived things that belong to one panel each.
#[derive(Default)]
pub(super) struct Buffers {
    welcome: welcome::Welcome,
    overlay: overlay::Overlays,
    focus: focus::FocusRing,
    side: side::Side,
}

/// The least room in which everything can be used; with very large letters or in a very small window it is scrolled.
const LEAST: Vec2 = vec2(720.0, 520.0);
/// Narrower than this, the inspector stands below the model, so that the views keep most of the width: all tabs, what can be
/// done with a view, and two columns where a view has them.
const TWO_SIDES: f32 = 1150.0;

/// Draws the whole window.
pub(super) fn show(ui: &mut Ui, cx: Cx<'_>, layout: &mut ViewLayout, buffers: &mut Buffers) {
    buffers.focus.bring(ui.ctx());
    let room = ui.available_size();
    if room.x >= LEAST.x && room.y >= LEAST.y {
        content(ui, cx, layout, buffers, true);
    } else {
        // What is under way, and the buttons that stop it, may not be scrolled away with the panel at the bottom.
        if cx.state.jobs.shown().next().is_some() {
            let strip = Frame::new().fill(cx.theme.panel).inner_margin(Margin::symmetric(10, 4));
            Panel::bottom("workers").frame(strip).show(ui, |ui| tasks::alone(ui, cx));
        } else {
            // What has the keyboard keeps it while work begins and ends.
            ui.skip_ahead_auto_ids(1);
        }
        let room = ui.available_size();
        ScrollArea::both().id_salt("window scroll").auto_shrink(false).show(ui, |ui| {
            let (rect, _) = ui.allocate_exact_size(room.max(LEAST), Sense::hover());
            ui.scope_builder(UiBuilder::new().max_rect(rect), |ui| content(ui, cx, layout, buffers, false));
            buffers.focus.follow(ui, rect);
        });
    }
    buffers.overlay.show(ui, cx);
    drop_hint(ui, cx);
    buffers.focus.show(ui.ctx(), cx.theme);
}

/// The menu, the panels and what is between them; what is under way stands elsewhere unless it `has_workers`.
fn content(ui: &mut Ui, cx: Cx<'_>, layout: &mut ViewLayout, buffers: &mut Buffers, has_workers: bool) {
    let theme = cx.theme;
    let has_two_sides = ui.available_width() >= TWO_SIDES;
    let bar = Frame::new().fill(theme.bar).inner_margin(Margin::symmetric(8, 4));
    Panel::top("menu").frame(bar).show(ui, |ui| menu::show(ui, cx));
    let settings = &cx.state.settings;
    if settings.show_tasks {
        let bottom = Panel::bottom("tasks").frame(side::frame(theme)).resizable(true).default_size(96.0).min_size(64.0);
        bottom.max_size(420.0).show(ui, |ui| tasks::show(ui, cx, has_workers));
    }
    if cx.state.model.is_some() {
        buffers.side.show(ui, cx, has_two_sides);
        if settings.show_guide {
            let strip = Frame::new().fill(theme.panel).inner_margin(Margin::symmetric(10, 5));
            Panel::top("guide").frame(strip).show(ui, |ui| guide::show(ui, cx));
        }
        CentralPanel::default().frame(Frame::new().fill(theme.bar)).show(ui, |ui| layout.ui(ui, cx));
    } else {
        let center = Frame::new().fill(theme.canvas).inner_margin(24);
        CentralPanel::default().frame(center).show(ui, |ui| {
            side::scrolled(ui, "welcome scroll", |ui| buffers.welcome.show(ui, cx));
        });
    }
}

/// Says what a drop would do while files hang over the window.
fn drop_hint(ui: &Ui, cx: Cx<'_>) {
    if ui.ctx().input(|i| i.raw.hovered_files.is_empty()) {
        return;
    }
    let area = ui.ctx().content_rect();
    let painter = ui.ctx().layer_painter(egui::LayerId::new(egui::Order::Foreground, egui::Id::unique("drop hint")));
    painter.rect_filled(area, 0.0, cx.theme.canvas.gamma_multiply(0.85));
    painter.rect_stroke(area.shrink(12.0), 8.0, egui::Stroke::new(2.0, cx.theme.accent), egui::StrokeKind::Inside);
    let text = "Drop a model folder, a workspace or a plan to open it";
    painter.text(area.center(), egui::Align2::CENTER_CENTER, text, egui::FontId::proportional(18.0), cx.theme.ink);
}
