//! Trees of tabs come from files, which may hold anything.

use std::collections::HashSet;

use egui_tiles::{Container, Tile, TileId, Tree};

use crate::gui::view::View;

/// Whether a tree from a file can be drawn: every view once, no tile inside itself, sizes that are numbers.
pub(super) fn is_sound(tree: &Tree<View>) -> bool {
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
