//! The tabs in the middle: views that can be split, moved and stacked.
//!
//! | module | job |
//! | --- | --- |
//! | `lift` | rows of tabs stand beside each other |
//! | `panes` | how tabs and panes look |
//! | `sound` | whether a tree from a file can be drawn |

mod lift;
mod panes;
mod sound;

use eframe::egui;
use egui_tiles::{Container, LinearDir, Tile, TileId, Tree};
use serde::Serialize;
use serde_json::Value;

use self::lift::lift;
use self::panes::Panes;
use self::sound::is_sound;
use super::context::Cx;
use super::state::State;
use super::views::{Draw, ViewChoices, Views};
use crate::chart::{HeadColor, Picture, Theme};
use crate::error::Result;
use crate::gui::view::View;
use crate::run::AttentionInput;

/// Which view stands where, with what each view remembers.
pub(super) struct ViewLayout {
    tree: Tree<View>,
    views: Views,
    front: View,
    /// The view that was just asked for: it takes the keyboard once it is drawn, and its tab is scrolled to.
    asked: Option<View>,
    /// The tab that was moved last.
    dragged: Option<TileId>,
    /// The colors of the last frame, in which pictures are saved.
    theme: &'static Theme,
    /// What a workspace keeps of this, as it was when the revision was asked for, and how often it was another.
    seen: Option<(Tree<View>, ViewChoices)>,
    revision: u64,
}

/// As it stands in a workspace.
#[derive(Serialize)]
struct Saved<'a> {
    tree: &'a Tree<View>,
    views: &'a Views,
}

impl Default for ViewLayout {
    fn default() -> Self {
        Self {
            tree: all_tabs(),
            views: Views::default(),
            front: View::Overview,
            asked: None,
            dragged: None,
            theme: &Theme::LIGHT,
            seen: None,
            revision: 0,
        }
    }
}

fn all_tabs() -> Tree<View> {
    Tree::new_tabs(egui::Id::unique("views"), View::ALL.to_vec())
}

impl ViewLayout {
    /// Brings a view to the front, wherever it stands, and gives it the keyboard.
    pub(super) fn show(&mut self, view: View) {
        self.front = view;
        self.asked = Some(view);
        self.tree.make_active(|_, tile| matches!(tile, Tile::Pane(pane) if *pane == view));
    }

    /// The view that was used last.
    pub(super) fn front(&self) -> View {
        self.front
    }

    /// Whether a view can be seen now.
    pub(super) fn is_visible(&self, view: View) -> bool {
        let is = |tile: &TileId| matches!(self.tree.tiles.get(*tile), Some(Tile::Pane(pane)) if *pane == view);
        self.tree.active_tiles().iter().any(is)
    }

    /// Takes the view in front out of its row of tabs and puts it beside or below the others; false where it is alone.
    pub(super) fn split(&mut self, dir: LinearDir) -> bool {
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
    pub(super) fn move_on(&mut self) -> bool {
        let rows = self.rows();
        let Some(pane) = self.tree.tiles.find_pane(&self.front) else { return false };
        let Some(now) = rows.iter().position(|row| self.tree.tiles.parent_of(pane) == Some(*row)) else { return false };
        let Some(next) = rows.get((now + 1) % rows.len()).filter(|_| rows.len() > 1) else { return false };
        self.tree.move_tile_to_container(pane, *next, usize::MAX, false);
        self.show(self.front);
        true
    }

    /// Brings the next view of the same row of tabs to the front, or the one before.
    pub(super) fn cycle(&mut self, forward: bool) {
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

    /// Gives the keyboard to the view that is seen in the next pane; where there is one pane, to its view.
    pub(super) fn next_pane(&mut self) {
        let tiles = &self.tree.tiles;
        let seen_in = |row: &TileId| match tiles.get(*row) {
            Some(Tile::Container(Container::Tabs(tabs))) => tabs.active.and_then(|id| tiles.get_pane(&id)).copied(),
            _ => None,
        };
        let seen: Vec<View> = self.rows().iter().filter_map(seen_in).collect();
        let next = seen.iter().position(|view| *view == self.front).map_or(0, |now| now + 1);
        if let Some(view) = seen.get(next).or(seen.first()).copied() {
            self.show(view);
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

    /// Empties the fields whose texts belong to one model.
    pub(super) fn forget_model(&mut self) {
        self.views.forget_model();
    }

    /// All views in one row of tabs.
    pub(super) fn reset(&mut self) {
        self.tree = all_tabs();
    }

    /// What a workspace keeps.
    pub(super) fn save(&self) -> Value {
        serde_json::to_value(Saved { tree: &self.tree, views: &self.views }).unwrap_or_default()
    }

    /// Takes up what a workspace kept, as far as it can be understood and still has every view.
    pub(super) fn restore(&mut self, saved: &Value) {
        if let Some(views) = saved.get("views").and_then(|v| serde_json::from_value(v.clone()).ok()) {
            self.views = views;
        }
        let tree = saved.get("tree").and_then(|t| serde_json::from_value::<Tree<View>>(t.clone()).ok());
        if let Some(tree) = tree.filter(is_sound) {
            self.tree = tree;
            lift(&mut self.tree, None);
        }
    }

    /// The text whose attention was asked for.
    pub(super) fn typed_input(&self) -> Option<AttentionInput> {
        self.views.typed_input()
    }

    /// Changes with everything that a workspace keeps. Compares with what was there at the last call: nothing is written
    /// down or hashed.
    pub(super) fn revision(&mut self) -> u64 {
        let chosen = self.views.chosen();
        if self.seen.as_ref().is_none_or(|(tree, views)| *tree != self.tree || *views != chosen) {
            self.seen = Some((self.tree.clone(), chosen));
            self.revision += 1;
        }
        self.revision
    }

    /// What makes the picture of a view, away from the window.
    pub(super) fn picture(&self, view: View, state: &State) -> Result<Draw> {
        self.views.picture(view, state)
    }

    /// The colors of the last frame.
    pub(super) fn theme(&self) -> &'static Theme {
        self.theme
    }

    /// The picture that a view painted last.
    pub(super) fn painted(&self, view: View) -> Option<&Picture> {
        self.views.painted(view)
    }

    /// Shows the numbers of the view in front in place of its picture, or the picture again.
    pub(super) fn toggle_table(&mut self) {
        self.views.toggle_table(self.front);
    }

    /// What the color of a head says in the overview.
    pub(super) fn color_by(&mut self, color: HeadColor) {
        self.views.color_by(color);
    }

    /// Draws the tabs and the views in front.
    pub(super) fn ui(&mut self, ui: &mut egui::Ui, cx: Cx<'_>) {
        self.theme = cx.theme.figure;
        let is_split = self.rows().len() > 1;
        let asked = self.asked.take();
        let mut panes = Panes::new(cx, &mut self.views, &mut self.front, is_split, asked);
        self.tree.ui(&mut panes, ui);
        match self.tree.dragged_id(ui.ctx()) {
            Some(dragged) => self.dragged = Some(dragged),
            None => lift(&mut self.tree, self.dragged),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Views of every row of tabs.
    fn stands(layout: &ViewLayout) -> Vec<Vec<View>> {
        let views = |row: &TileId| {
            let ids = layout.tree.tiles.get_container(*row).map(Container::children_vec).unwrap_or_default();
            ids.iter().filter_map(|id| layout.tree.tiles.get_pane(id)).copied().collect()
        };
        layout.rows().iter().map(views).collect()
    }

    #[test]
    fn views_split_move_and_come_back() {
        let mut layout = ViewLayout::default();
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
        let mut again = ViewLayout::default();
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
    fn a_split_inside_a_tab_becomes_rows_beside_each_other() {
        // As it comes of a tab dropped at the left edge of another one: its place among the tabs is taken by both.
        let mut layout = ViewLayout::default();
        let tiles = &mut layout.tree.tiles;
        let root = layout.tree.root.unwrap();
        let [votes, overview] = [View::Votes, View::Overview].map(|view| tiles.find_pane(&view).unwrap());
        let Some(Tile::Container(row)) = tiles.get_mut(root) else { panic!() };
        row.remove_child(votes);
        let (left, right) = (tiles.insert_tab_tile(vec![votes]), tiles.insert_tab_tile(vec![overview]));
        let both = tiles.insert_container(Container::new_linear(LinearDir::Horizontal, vec![left, right]));
        let Some(Tile::Container(row)) = tiles.get_mut(root) else { panic!() };
        row.replace_child(overview, both).unwrap();
        lift(&mut layout.tree, Some(votes));
        let others: Vec<View> = View::ALL.iter().copied().filter(|view| *view != View::Votes).collect();
        assert_eq!(stands(&layout), [vec![View::Votes], others]);
        assert!(is_sound(&layout.tree));
        let again = layout.save();
        lift(&mut layout.tree, Some(votes));
        assert_eq!(layout.save(), again, "nothing is left to do");
    }

    #[test]
    fn views_of_a_row_come_forward_in_turn() {
        let mut layout = ViewLayout::default();
        layout.cycle(false);
        assert_eq!(layout.front(), View::Training);
        layout.cycle(true);
        assert_eq!(layout.front(), View::Overview);
        layout.next_pane();
        assert_eq!((layout.front(), layout.asked), (View::Overview, Some(View::Overview)), "there is one pane");
        assert!(layout.split(LinearDir::Horizontal));
        layout.show(View::Votes);
        layout.next_pane();
        assert_eq!(layout.front(), View::Overview);
        layout.next_pane();
        assert_eq!(layout.front(), View::Votes);
    }
}
