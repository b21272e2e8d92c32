//! What is told to screen readers beyond what egui tells them.

use std::collections::{HashMap, HashSet};

use eframe::egui::accesskit::{Node, NodeId, Role, Toggled};
use eframe::egui::{Context, FullOutput, Plugin, Response};

/// The name of the window.
const WINDOW: &str = "Pillars";

/// Completes what a frame tells screen readers: the window has a name, the cells of a grid are in it, and lists say what is
/// chosen in them. On Linux the value of a list reaches nobody, its description does.
pub(super) struct Accessibility;

impl Plugin for Accessibility {
    fn debug_name(&self) -> &'static str {
        "accessibility"
    }

    fn output_hook(&mut self, _: &Context, output: &mut FullOutput) {
        let Some(update) = &mut output.platform_output.accesskit_update else { return };
        let root = update.tree.as_ref().map(|tree| tree.root);
        for (id, node) in &mut update.nodes {
            if Some(*id) == root && node.label().is_none() {
                node.set_label(WINDOW);
            }
            if node.role() == Role::ComboBox {
                describe(node);
            }
        }
        gather_cells(&mut update.nodes);
    }
}

/// Tells that `button` is a tab, chosen or not: it says of itself that it is a button that stays pressed.
pub(super) fn tell_tab(button: &Response) {
    button.ctx.accesskit_node_builder(button.id, |node| {
        node.set_role(Role::Tab);
        node.set_selected(node.toggled() == Some(Toggled::True));
        node.clear_toggled();
    });
}

/// Tells that `button` stands in a menu: with a mark that comes and goes, one mark among several, or, where it has no `mark`, none.
pub(super) fn tell_menu_item(button: &Response, mark: Option<MenuMark>) {
    button.ctx.accesskit_node_builder(button.id, |node| match mark {
        Some(MenuMark::Own) => node.set_role(Role::MenuItemCheckBox),
        Some(MenuMark::OfSeveral) => node.set_role(Role::MenuItemRadio),
        None => {
            node.set_role(Role::MenuItem);
            node.clear_toggled();
        }
    });
}

/// Tells that `button` does something once: one that is drawn like those that stay pressed says that it is one of them.
pub(super) fn tell_action(button: &Response) {
    button.ctx.accesskit_node_builder(button.id, Node::clear_toggled);
}

/// The mark before a line of a menu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MenuMark {
    /// It comes and goes by itself.
    Own,
    /// One line of several has it.
    OfSeveral,
}

fn of_role(nodes: &[(NodeId, Node)], role: Role) -> HashSet<NodeId> {
    nodes.iter().filter(|(_, node)| node.role() == role).map(|(id, _)| *id).collect()
}

/// Puts cells that stand behind a grid into it.
fn gather_cells(nodes: &mut [(NodeId, Node)]) {
    let cells = of_role(nodes, Role::Cell);
    if cells.is_empty() {
        return;
    }
    let grids = of_role(nodes, Role::Grid);
    let mut inside: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
    for (_, node) in nodes.iter_mut() {
        if !node.children().iter().any(|child| cells.contains(child)) {
            continue;
        }
        let (mut grid, mut outside) = (None, Vec::new());
        for child in node.children() {
            if grids.contains(child) {
                grid = Some(*child);
            }
            match grid {
                Some(grid) if cells.contains(child) => inside.entry(grid).or_default().push(*child),
                _ => outside.push(*child),
            }
        }
        node.set_children(outside);
    }
    for (id, node) in nodes.iter_mut() {
        inside.remove(id).into_iter().flatten().for_each(|cell| node.push_child(cell));
    }
}

/// Puts what is chosen in a list before what is told of it.
fn describe(node: &mut Node) {
    let Some(value) = node.value().filter(|value| !value.is_empty()) else { return };
    let text = match node.description() {
        Some(told) => format!("{value}: {told}"),
        None => value.to_owned(),
    };
    node.set_description(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_behind_a_grid_are_put_into_it() {
        let node = |role, children: &[u64]| {
            let mut node = Node::new(role);
            children.iter().for_each(|id| node.push_child(NodeId(*id)));
            node
        };
        let roles = [
            (0, node(Role::Window, &[1, 2, 3, 4, 5])),
            (1, node(Role::Cell, &[])),
            (2, node(Role::Grid, &[])),
            (3, node(Role::Cell, &[])),
            (4, node(Role::Label, &[])),
            (5, node(Role::Cell, &[])),
        ];
        let mut nodes: Vec<_> = roles.into_iter().map(|(id, node)| (NodeId(id), node)).collect();
        gather_cells(&mut nodes);
        let ids = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
        assert_eq!(nodes[0].1.children(), ids(&[1, 2, 4]));
        assert_eq!(nodes[2].1.children(), ids(&[3, 5]));
    }

    #[test]
    fn a_list_tells_its_choice_before_its_meaning() {
        let mut node = Node::new(Role::ComboBox);
        describe(&mut node);
        assert_eq!(node.description(), None);
        node.set_value("cosine");
        describe(&mut node);
        assert_eq!(node.description(), Some("cosine"));
        node.set_description("What heads are compared by");
        describe(&mut node);
        assert_eq!(node.description(), Some("cosine: What heads are compared by"));
    }
}
