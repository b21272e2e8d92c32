//! What is told to screen readers beyond what egui tells them.

use eframe::egui::accesskit::{Node, Role};
use eframe::egui::{Context, FullOutput, Plugin};

/// The name of the window.
const WINDOW: &str = "Pillars";

/// Completes what a frame tells screen readers: the window has a name, and lists say what is chosen in them. On Linux the
/// value of a list reaches nobody, its description does.
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
