//! How the tabs and the panes below them look, and what can be done with every view.

use eframe::egui::{self, Stroke, WidgetText};
use egui_tiles::{Behavior, SimplificationOptions, TabState, TileId, Tiles, UiResponse};

use crate::gui::accessibility::{tell_action, tell_tab};
use crate::gui::command::Command;
use crate::gui::context::Cx;
use crate::gui::theme::WindowTheme;
use crate::gui::view::View;
use crate::gui::views::Views;

/// The views while they are drawn.
pub(super) struct Panes<'a> {
    cx: Cx<'a>,
    views: &'a mut Views,
    /// The view that was used last.
    front: &'a mut View,
    /// Several views can be seen.
    is_split: bool,
    /// The view that takes the keyboard in this frame.
    asked: Option<View>,
    /// Room left and right of the title of a tab in the row that is being drawn.
    spacing: f32,
}

/// Room left and right of the title of a tab: where there is plenty, and where all of them would else not fit.
const WIDE: f32 = 12.0;
const TIGHT: f32 = 5.0;
const TIGHTEST: f32 = 3.0;
/// What can be done with every view, at the right of its tabs.
const TOOLS: [(Command, &str); 2] = [(Command::SavePicture, "Save picture…"), (Command::ToggleTable, "Table")];
/// The menu that holds them where they have no room of their own.
const MORE: &str = "More";
const TOOL_SIZE: f32 = 12.0;

impl<'a> Panes<'a> {
    pub(super) fn new(
        cx: Cx<'a>,
        views: &'a mut Views,
        front: &'a mut View,
        is_split: bool,
        asked: Option<View>,
    ) -> Self {
        Self { cx, views, front, is_split, asked, spacing: WIDE }
    }

    fn theme(&self) -> &WindowTheme {
        self.cx.theme
    }

    /// Divides `room` between the titles of a row of tabs and the tools at its right: tabs come first. True where the tools
    /// have room of their own.
    fn divide(&mut self, ui: &egui::Ui, titles: &[&str], room: f32) -> bool {
        let font = egui::TextStyle::Button.resolve(ui.style());
        let tool_font = egui::FontId { size: TOOL_SIZE, ..font.clone() };
        let width = |text: &str, font: &egui::FontId| {
            ui.painter().layout_no_wrap(text.to_owned(), font.clone(), self.cx.theme.ink).size().x
        };
        let around = 2.0 * ui.spacing().button_padding.x + ui.spacing().item_spacing.x;
        let of_tools = TOOLS.iter().map(|(_, text)| width(text, &tool_font) + around).sum::<f32>() + GAP;
        let of_menu = width(MORE, &tool_font) + around + GAP;
        let of_titles: f32 = titles.iter().map(|title| width(title, &font)).sum();
        let sides = 2.0 * titles.len().max(1) as f32;
        let beside = |tools: f32| (room - tools - of_titles) / sides;
        let has_room = beside(of_tools) >= TIGHT;
        self.spacing = beside(if has_room { of_tools } else { of_menu }).clamp(TIGHTEST, WIDE);
        has_room
    }

    /// A button for one of the tools; true where it was pressed.
    fn tool(&mut self, ui: &mut egui::Ui, view: View, command: Command, text: &str) -> bool {
        let is_on = command == Command::ToggleTable && self.views.is_table(view);
        let button = egui::Button::selectable(is_on, egui::RichText::new(text).size(TOOL_SIZE));
        let enabled = command.enabled(self.cx.state);
        let response = ui.add_enabled(enabled.is_ok(), button).on_hover_text(command.spec().tooltip);
        if command != Command::ToggleTable {
            tell_action(&response);
        }
        let response = match enabled {
            Err(reason) => response.on_disabled_hover_text(format!("Not now: {reason}")),
            Ok(()) => response,
        };
        if response.clicked() {
            *self.front = view;
            self.cx.out.command(command);
        }
        response.clicked()
    }
}

/// Room between the tabs and what is at their right.
const GAP: f32 = 8.0;

/// A view that was asked for with a key has the keyboard as a whole until Tab goes on to what is in it, so that a walk begins
/// there and not at the menu. What is walked with arrow keys takes it at once.
fn anchor(ui: &egui::Ui, view: View, area: egui::Rect, is_asked: bool) {
    let id = ui.scope_id().with(("view", view));
    if is_asked {
        ui.memory_mut(|m| m.request_focus(id));
    }
    if ui.memory(|m| m.has_focus(id)) {
        let response = ui.interact(area, id, egui::Sense::focusable_noninteractive());
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Group, true, format!("{} view", view.title())));
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
            let is_asked = self.asked.take_if(|asked| asked == pane).is_some();
            anchor(ui, *pane, area, is_asked);
            self.views.ui(*pane, ui, self.cx, is_asked);
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
        let titles: Vec<&str> =
            tabs.children.iter().filter_map(|id| tiles.get_pane(id)).map(|view| view.title()).collect();
        let has_room = self.divide(ui, &titles, ui.available_width());
        if self.cx.state.model.is_none() {
            return;
        }
        ui.add_space(GAP);
        if has_room {
            for (command, text) in TOOLS {
                self.tool(ui, view, command, text);
            }
            return;
        }
        ui.menu_button(egui::RichText::new(MORE).size(TOOL_SIZE), |ui| {
            for (command, text) in TOOLS {
                if self.tool(ui, view, command, text) {
                    ui.close();
                }
            }
        });
    }

    /// A tab says that it is one, and that of a view that was asked for is in sight, however many stand before it.
    fn on_tab_button(&mut self, tiles: &mut Tiles<View>, tile: TileId, button: egui::Response) -> egui::Response {
        tell_tab(&button);
        if self.asked.is_some() && tiles.get_pane(&tile).copied() == self.asked {
            button.scroll_to_me(None);
        }
        button
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
        self.spacing
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
