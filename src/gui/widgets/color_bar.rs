//! The colors of a scale with the values at their ends.

use eframe::egui::{Color32, Mesh, Pos2, Rect, RichText, Sense, Ui, pos2, vec2};

use super::facts::number_cell;
use crate::chart::{Rgb, Scale, Unit};
use crate::gui::theme::{WindowTheme, color};

/// Width of the gradient.
const WIDTH: f32 = 110.0;

/// A gradient of the measure of this name and unit, with its ends; `missing` names the color of cells without a value.
pub(crate) fn color_bar(
    ui: &mut Ui,
    theme: &WindowTheme,
    scale: &Scale,
    (measure, unit): (&str, Unit),
    missing: Option<&str>,
) {
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 5.0;
        let text = |value| RichText::new(unit.format(value)).small().color(theme.muted);
        number_cell(ui, measure, text(scale.low));
        let (rect, _) = ui.allocate_exact_size(vec2(WIDTH, 10.0), Sense::hover());
        ui.painter().add(gradient(rect, scale));
        number_cell(ui, measure, text(scale.high));
        if let Some(words) = missing {
            super::swatch(ui, theme, theme.missing, words);
        }
    });
}

fn gradient(rect: Rect, scale: &Scale) -> Mesh {
    let mut mesh = Mesh::default();
    let column = |x: f32, fill: Color32, mesh: &mut Mesh| {
        let at = |y: f32| -> Pos2 { pos2(x, y) };
        mesh.colored_vertex(at(rect.top()), fill);
        mesh.colored_vertex(at(rect.bottom()), fill);
    };
    let steps = 32;
    for step in 0..=steps {
        let share = step as f32 / steps as f32;
        let rgb = scale.color_at(f64::from(share)).unwrap_or(Rgb::BLACK);
        column(rect.left() + rect.width() * share, color(rgb), &mut mesh);
    }
    for step in 0..steps {
        let first = 2 * step;
        mesh.add_triangle(first, first + 1, first + 2);
        mesh.add_triangle(first + 1, first + 2, first + 3);
    }
    mesh
}
