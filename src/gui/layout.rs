//! The tabs in the middle: views that can be split, moved and stacked.

use std::hash::{DefaultHasher, Hash, Hasher};

use eframe::egui::{self, Stroke, WidgetText};
use egui_tiles::{Behavior, SimplificationOptions, TabState, Tile, TileId, Tiles, Tree, UiResponse};

use serde::Serialize;
use serde_json::Value;

use super::app::Cx;
use super::state::State;
use super::theme::Theme;
use super::views::{Draw, View, Views};
use crate::error::Result;
use crate::figure;

/// Which view stands where, with what each view remembers.
pub struct Layout {
    tree: Tree<View>,
    views: Views,
    front: View,
    /// The colours of the last frame, which pictures take up.
    theme: &'static figure::Theme,
}

/// As it stands in a workspace.
#[derive(Serialize)]
struct Saved<'a> {
    tree: &'a Tree<View>,
    views: &'a Views,
}

impl Default for Layout {
    fn default() -> Self {
        Self { tree: all_tabs(), views: Views::default(), front: View::Overview, theme: &figure::Theme::LIGHT }
    }
}

fn all_tabs() -> Tree<View> {
    Tree::new_tabs(egui::Id::unique("views"), View::ALL.to_vec())
}

impl Layout {
    /// Brings a view to the front, wherever it stands.
    pub fn show(&mut self, view: View) {
        self.front = view;
        self.tree.make_active(|_, tile| matches!(tile, Tile::Pane(pane) if *pane == view));
    }

    /// The view that was used last.
    pub fn front(&self) -> View {
        self.front
    }

    /// Whether a view can be seen now.
    pub fn is_visible(&self, view: View) -> bool {
        let is = |tile: &TileId| matches!(self.tree.tiles.get(*tile), Some(Tile::Pane(pane)) if *pane == view);
        self.tree.active_tiles().iter().any(is)
    }

    /// All views in one row of tabs.
    pub fn reset(&mut self) {
        self.tree = all_tabs();
    }

    /// What a workspace keeps.
    pub fn save(&self) -> Value {
        serde_json::to_value(Saved { tree: &self.tree, views: &self.views }).unwrap_or_default()
    }

    /// Takes up what a workspace kept, as far as it can be understood and still has every view.
    pub fn restore(&mut self, saved: &Value) {
        if let Some(views) = saved.get("views").and_then(|v| serde_json::from_value(v.clone()).ok()) {
            self.views = views;
        }
        let tree = saved.get("tree").and_then(|t| serde_json::from_value::<Tree<View>>(t.clone()).ok());
        if let Some(tree) = tree {
            let panes: Vec<View> =
                tree.tiles.tiles().filter_map(|t| if let Tile::Pane(p) = t { Some(*p) } else { None }).collect();
            if panes.len() == View::ALL.len() && View::ALL.iter().all(|v| panes.contains(v)) {
                self.tree = tree;
            }
        }
    }

    /// Changes with everything that a workspace keeps.
    pub fn revision(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.save().to_string().hash(&mut hasher);
        hasher.finish()
    }

    /// What draws the picture of a view, away from the window.
    pub fn picture(&self, view: View, state: &State) -> Result<Draw> {
        self.views.picture(view, state, self.theme)
    }

    /// Draws the tabs and the views in front.
    pub fn ui(&mut self, ui: &mut egui::Ui, cx: Cx<'_>) {
        self.theme = cx.theme.figure;
        let mut panes = Panes { cx, views: &mut self.views, front: &mut self.front };
        self.tree.ui(&mut panes, ui);
    }
}

struct Panes<'a> {
    cx: Cx<'a>,
    views: &'a mut Views,
    front: &'a mut View,
}

impl Panes<'_> {
    fn theme(&self) -> &Theme {
        self.cx.theme
    }
}

impl Behavior<View> for Panes<'_> {
    fn pane_ui(&mut self, ui: &mut egui::Ui, _tile: TileId, pane: &mut View) -> UiResponse {
        egui::Frame::new().fill(self.theme().canvas).inner_margin(10).show(ui, |ui| {
            let area = ui.available_rect_before_wrap();
            if ui.rect_contains_pointer(area) && ui.input(|i| i.pointer.any_pressed()) {
                *self.front = *pane;
            }
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
