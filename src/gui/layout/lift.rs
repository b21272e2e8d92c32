//! Rows of tabs stand beside each other, never inside a tab: a view that is dropped at the edge of another one splits
//! the whole row of that one.

use egui_tiles::{Container, Tile, TileId, Tiles, Tree};

use crate::gui::view::View;

/// Takes panes that were split inside a tab out of their row of tabs, so that the row stands beside what was dropped.
/// `dropped` is what a person moved, where that is known.
pub(super) fn lift(tree: &mut Tree<View>, dropped: Option<TileId>) {
    // Every step takes one split out of a row; a tree has no more of them than tiles.
    for _ in 0..tree.tiles.len() {
        let Some((row, split)) = nested(&tree.tiles) else { return };
        if step(tree, row, split, dropped).is_none() {
            return;
        }
    }
}

/// A row of tabs with a split among its tabs.
fn nested(tiles: &Tiles<View>) -> Option<(TileId, TileId)> {
    tiles.iter().find_map(|(row, tile)| {
        let Tile::Container(Container::Tabs(tabs)) = tile else { return None };
        let is_split = |id: &&TileId| matches!(tiles.get(**id), Some(Tile::Container(Container::Linear(_))));
        Some((*row, *tabs.children.iter().find(is_split)?))
    })
}

fn step(tree: &mut Tree<View>, row: TileId, split: TileId, dropped: Option<TileId>) -> Option<()> {
    let tiles = &mut tree.tiles;
    let above = tiles.parent_of(row);
    let parts = tiles.get_container(split)?.children_vec();
    // What stood there before; the row of tabs goes on with it.
    let stayed = *parts.iter().find(|part| !dropped.is_some_and(|d| holds(tiles, **part, d))).or(parts.first())?;
    let (views, active) = match tiles.get(stayed)? {
        Tile::Container(Container::Tabs(tabs)) => (tabs.children.clone(), tabs.active),
        _ => (vec![stayed], Some(stayed)),
    };
    if !views.contains(&stayed) {
        tiles.remove(stayed);
    }
    let Some(Tile::Container(Container::Tabs(tabs))) = tiles.get_mut(row) else { return None };
    let place = tabs.children.iter().position(|id| *id == split)?;
    tabs.children.splice(place..=place, views);
    tabs.active = active;
    let Some(Tile::Container(container)) = tiles.get_mut(split) else { return None };
    container.replace_child(stayed, row)?;
    match above.and_then(|id| tiles.get_mut(id)) {
        Some(Tile::Container(container)) => _ = container.replace_child(row, split)?,
        _ => tree.root = Some(split),
    }
    Some(())
}

/// Whether `id` lies in `tile`.
fn holds(tiles: &Tiles<View>, tile: TileId, id: TileId) -> bool {
    tile == id
        || tiles.get_container(tile).is_some_and(|c| c.children_vec().into_iter().any(|part| holds(tiles, part, id)))
}
