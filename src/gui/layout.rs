//! The tabs in the middle: views that can be split, moved and stacked.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use eframe::egui::{self, Stroke, WidgetText};
use egui_tiles::{
    Behavior, Container, LinearDir, SimplificationOptions, TabState, Tile, TileId, Tiles, Tree, UiResponse,
};

use serde::Serialize;
use serde_json::Value;

use super::app::Cx;
use super::command::Command;
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

    /// Takes the view in front out of its row of tabs and puts it beside or below the others; false where it is alone.
    pub fn split(&mut self, dir: LinearDir) -> bool {
        let tiles = &mut self.tree.tiles;
        let Some(pane) = tiles.find_pane(&self.front) else { return false };
        let Some(row) = tiles.parent_of(pane) else { return false };
        let above = tiles.parent_of(row);
        match tiles.get_mut(row) {
            Some(Tile::Container(container)) if container.num_children() > 1 => container.remove_child(pane),
            _ => return false,
        };
        let alone = tiles.insert_tab_tile(vec![pane]);
        let both = tiles.insert_container(Container::new_linear(dir, vec![row, alone]));
        match above.and_then(|id| tiles.get_mut(id)) {
            Some(Tile::Container(container)) => _ = container.replace_child(row, both),
            _ => self.tree.root = Some(both),
        }
        true
    }

    /// Moves the view in front into the next row of tabs; false where there is one row.
    pub fn move_on(&mut self) -> bool {
        let rows = self.rows();
        let Some(pane) = self.tree.tiles.find_pane(&self.front) else { return false };
        let Some(now) = rows.iter().position(|row| self.tree.tiles.parent_of(pane) == Some(*row)) else { return false };
        let Some(next) = rows.get((now + 1) % rows.len()).filter(|_| rows.len() > 1) else { return false };
        self.tree.move_tile_to_container(pane, *next, usize::MAX, false);
        self.show(self.front);
        true
    }

    /// Brings the next view of the same row of tabs to the front, or the one before.
    pub fn cycle(&mut self, forward: bool) {
        let tiles = &mut self.tree.tiles;
        let Some(row) = tiles.find_pane(&self.front).and_then(|pane| tiles.parent_of(pane)) else { return };
        let Some(Tile::Container(Container::Tabs(tabs))) = tiles.get(row) else { return };
        let views: Vec<View> = tabs.children.iter().filter_map(|id| tiles.get_pane(id)).copied().collect();
        let Some(now) = views.iter().position(|v| *v == self.front) else { return };
        let step = if forward { 1 } else { views.len() - 1 };
        if let Some(view) = views.get((now + step) % views.len()) {
            self.show(*view);
        }
    }

    /// Every row of tabs, from the left and from above.
    fn rows(&self) -> Vec<TileId> {
        let mut found = Vec::new();
        let mut open: Vec<TileId> = self.tree.root.into_iter().collect();
        while let Some(id) = open.pop() {
            match self.tree.tiles.get(id) {
                Some(Tile::Container(Container::Tabs(_))) => found.push(id),
                Some(Tile::Container(container)) => open.extend(container.children_vec().into_iter().rev()),
                _ => {}
            }
        }
        found
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
        if let Some(tree) = tree.filter(is_sound) {
            self.tree = tree;
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

    /// Shows the numbers of the view in front in place of its picture, or the picture again.
    pub fn toggle_table(&mut self) {
        self.views.toggle_table(self.front);
    }

    /// Draws the tabs and the views in front.
    pub fn ui(&mut self, ui: &mut egui::Ui, cx: Cx<'_>) {
        self.theme = cx.theme.figure;
        let is_split = self.rows().len() > 1;
        let mut panes = Panes { cx, views: &mut self.views, front: &mut self.front, is_split };
        self.tree.ui(&mut panes, ui);
        // A click on a tab brings another view forward.
        if !self.is_visible(self.front) {
            let active = self.tree.active_tiles();
            let is_beside = |id: &&TileId| self.tree.tiles.parent_of(**id) == self.row_of(self.front);
            let shown = active.iter().filter(|id| self.tree.tiles.get_pane(id).is_some());
            let next = shown.clone().find(is_beside).or(shown.clone().next());
            if let Some(view) = next.and_then(|id| self.tree.tiles.get_pane(id)) {
                self.front = *view;
            }
        }
    }

    fn row_of(&self, view: View) -> Option<TileId> {
        self.tree.tiles.find_pane(&view).and_then(|pane| self.tree.tiles.parent_of(pane))
    }
}

/// Whether a tree from a file can be drawn: every view once, no tile inside itself, sizes that are numbers.
fn is_sound(tree: &Tree<View>) -> bool {
    let mut seen = HashSet::new();
    let mut views = Vec::new();
    let mut open: Vec<TileId> = tree.root.into_iter().collect();
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            return false;
        }
        match tree.tiles.get(id) {
            Some(Tile::Pane(view)) => views.push(*view),
            Some(Tile::Container(container)) => {
                if let Container::Linear(linear) = container
                    && !linear.shares.iter().all(|(_, share)| share.is_finite() && *share > 0.0)
                {
                    return false;
                }
                open.extend(container.children_vec());
            }
            None => return false,
        }
    }
    views.len() == View::ALL.len() && View::ALL.iter().all(|view| views.contains(view))
}

struct Panes<'a> {
    cx: Cx<'a>,
    views: &'a mut Views,
    front: &'a mut View,
    is_split: bool,
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
        if self.cx.state.model.is_none() {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Views of every row of tabs.
    fn stands(layout: &Layout) -> Vec<Vec<View>> {
        let views = |row: &TileId| {
            let ids = layout.tree.tiles.get_container(*row).map(Container::children_vec).unwrap_or_default();
            ids.iter().filter_map(|id| layout.tree.tiles.get_pane(id)).copied().collect()
        };
        layout.rows().iter().map(views).collect()
    }

    #[test]
    fn views_split_move_and_come_back() {
        let mut layout = Layout::default();
        layout.show(View::Votes);
        assert!(layout.split(LinearDir::Horizontal));
        assert_eq!(stands(&layout)[1], [View::Votes]);
        assert!(!layout.split(LinearDir::Vertical), "a view alone in its row stays");
        layout.show(View::Prune);
        assert!(layout.move_on());
        assert_eq!(stands(&layout)[1], [View::Votes, View::Prune]);
        assert!(layout.split(LinearDir::Vertical));
        assert_eq!(stands(&layout)[1..], [vec![View::Votes], vec![View::Prune]]);
        assert!(layout.is_visible(View::Votes) && layout.is_visible(View::Prune));
        let mut again = Layout::default();
        again.restore(&layout.save());
        assert_eq!(stands(&again), stands(&layout));
        again.restore(&serde_json::json!({"tree": 7, "views": "x"}));
        assert_eq!(stands(&again), stands(&layout), "what cannot be understood changes nothing");
        // Neither does a tile that holds itself, or a view that stands nowhere.
        let mut looped = layout.save();
        let tiles = looped["tree"]["tiles"]["tiles"].as_object_mut().unwrap();
        let (root, _) = tiles.iter().find(|(_, tile)| tile.pointer("/Container/Linear").is_some()).unwrap();
        let root: u64 = root.parse().unwrap();
        for tile in tiles.values_mut() {
            if let Some(children) = tile.pointer_mut("/Container/Tabs/children").and_then(|c| c.as_array_mut()) {
                children.push(root.into());
            }
        }
        again.restore(&looped);
        let mut torn = layout.save();
        torn["tree"]["tiles"]["tiles"].as_object_mut().unwrap().retain(|_, tile| tile.get("Pane").is_none());
        again.restore(&torn);
        assert_eq!(stands(&again), stands(&layout));
        layout.reset();
        assert_eq!(stands(&layout), [View::ALL.to_vec()]);
        assert!(!layout.move_on());
    }

    #[test]
    fn views_of_a_row_come_forward_in_turn() {
        let mut layout = Layout::default();
        layout.cycle(false);
        assert_eq!(layout.front(), View::Training);
        layout.cycle(true);
        assert_eq!(layout.front(), View::Overview);
    }
}
