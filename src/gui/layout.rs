//! The tabs in the middle: views that can be split, moved and stacked.

use eframe::egui::{self, Stroke, WidgetText};
use egui_tiles::{Behavior, SimplificationOptions, TabState, Tile, TileId, Tiles, Tree, UiResponse};

use super::app::Cx;
use super::theme::Theme;
use super::views::{View, Views};

/// Which view stands where, with what each view remembers.
pub struct Layout {
    tree: Tree<View>,
    views: Views,
}

impl Default for Layout {
    fn default() -> Self {
        Self { tree: Tree::new_tabs(egui::Id::unique("views"), View::ALL.to_vec()), views: Views::default() }
    }
}

impl Layout {
    /// Brings a view to the front, wherever it stands.
    pub fn show(&mut self, view: View) {
        self.tree.make_active(|_, tile| matches!(tile, Tile::Pane(pane) if *pane == view));
    }

    /// All views in one row of tabs.
    pub fn reset(&mut self) {
        self.tree = Tree::new_tabs(egui::Id::unique("views"), View::ALL.to_vec());
    }

    /// Draws the tabs and the views in front.
    pub fn ui(&mut self, ui: &mut egui::Ui, cx: Cx<'_>) {
        let mut panes = Panes { cx, views: &mut self.views };
        self.tree.ui(&mut panes, ui);
    }
}

struct Panes<'a> {
    cx: Cx<'a>,
    views: &'a mut Views,
}

impl Panes<'_> {
    fn theme(&self) -> &Theme {
        self.cx.theme
    }
}

impl Behavior<View> for Panes<'_> {
    fn pane_ui(&mut self, ui: &mut egui::Ui, _tile: TileId, pane: &mut View) -> UiResponse {
        egui::Frame::new().fill(self.theme().canvas).inner_margin(10).show(ui, |ui| {
            ui.set_min_size(ui.available_size());
            self.views.ui(*pane, ui, self.cx);
        });
        UiResponse::None
    }

    fn tab_title_for_pane(&mut self, pane: &View) -> WidgetText {
        pane.title().into()
    }

    fn simplification_options(&self) -> SimplificationOptions {
        SimplificationOptions { all_panes_must_have_tabs: true, ..Default::default() }
    }

    fn tab_bar_height(&self, _style: &egui::Style) -> f32 {
        28.0
    }

    fn gap_width(&self, _style: &egui::Style) -> f32 {
        4.0
    }

    fn tab_title_spacing(&self, _visuals: &egui::Visuals) -> f32 {
        12.0
    }

    fn tab_bar_color(&self, _visuals: &egui::Visuals) -> egui::Color32 {
        self.theme().bar
    }

    fn tab_bg_color(
        &self,
        _visuals: &egui::Visuals,
        _tiles: &Tiles<View>,
        _tile: TileId,
        state: &TabState,
    ) -> egui::Color32 {
        if state.active { self.theme().canvas } else { self.theme().bar }
    }

    fn tab_outline_stroke(
        &self,
        _visuals: &egui::Visuals,
        _tiles: &Tiles<View>,
        _tile: TileId,
        _state: &TabState,
    ) -> Stroke {
        Stroke::NONE
    }

    fn tab_bar_hline_stroke(&self, _visuals: &egui::Visuals) -> Stroke {
        Stroke::new(1.0, self.theme().border)
    }

    fn tab_text_color(
        &self,
        _visuals: &egui::Visuals,
        _tiles: &Tiles<View>,
        _tile: TileId,
        state: &TabState,
    ) -> egui::Color32 {
        if state.active { self.theme().ink } else { self.theme().muted }
    }

    // The keys of the view menu do this, without the pointer.
    fn cycle_tabs_with_keyboard(&self) -> bool {
        true
    }
}
