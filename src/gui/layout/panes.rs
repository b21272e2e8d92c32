//! How the tabs and the panes below them look, and what can be done with every view.

use eframe::egui::{self, Stroke, WidgetText};
use egui_tiles::{Behavior, SimplificationOptions, TabState, TileId, Tiles, UiResponse};

use crate::gui::command::Command;
use crate::gui::context::Cx;
use crate::gui::theme::WindowTheme;
use crate::gui::view::View;
use crate::gui::views::Views;

/// The views while they are drawn.
pub(super) struct Panes<'a> {
    pub cx: Cx<'a>,
    pub views: &'a mut Views,
    /// The view that was used last.
    pub front: &'a mut View,
    /// Several views can be seen.
    pub is_split: bool,
}

impl Panes<'_> {
    fn theme(&self) -> &WindowTheme {
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

    /// What can be done with every view: at the right of its row of tabs.
    fn top_bar_right_ui(
        &mut self,
        tiles: &Tiles<View>,
        ui: &mut egui::Ui,
        _tile: TileId,
        tabs: &egui_tiles::Tabs,
        _scroll: &mut f32,
    ) {
        let Some(view) = tabs.active.and_then(|id| tiles.get_pane(&id)).copied() else { return };
        // Where there is little room, tabs come first; the menu and the keys do the same.
        let is_narrow = ui.available_width() < tabs.children.len() as f32 * 78.0 + 150.0;
        if self.cx.state.model.is_none() || is_narrow {
            return;
        }
        ui.add_space(8.0);
        for (command, text) in [(Command::SavePicture, "Save picture…"), (Command::ToggleTable, "Table")] {
            let is_on = command == Command::ToggleTable && self.views.is_table(view);
            let button = egui::Button::selectable(is_on, egui::RichText::new(text).size(12.0));
            let enabled = command.enabled(self.cx.state);
            let response = ui.add_enabled(enabled.is_ok(), button).on_hover_text(command.spec().tooltip);
            let response = match enabled {
                Err(reason) => response.on_disabled_hover_text(format!("Not now: {reason}")),
                Ok(()) => response,
            };
            if response.clicked() {
                *self.front = view;
                self.cx.out.command(command);
            }
        }
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
        tiles: &Tiles<View>,
        tile: TileId,
        state: &TabState,
    ) -> egui::Color32 {
        // Where several views can be seen, commands act on one of them.
        match (state.active, self.is_split && tiles.get_pane(&tile) == Some(self.front)) {
            (true, true) => self.theme().accent,
            (true, false) => self.theme().ink,
            (false, _) => self.theme().muted,
        }
    }

    // A listed command does this, without the pointer.
    fn cycle_tabs_with_keyboard(&self) -> bool {
        false
    }
}
