//! The frame of every figure: title, subtitle, legends, content, notes, one below the other.

use super::export::{Figure, Sheet};
use super::font::{self, Weight};
pub(super) use super::font::{LABEL, SMALL};
use super::scene::{Anchor, Fill, Item, Point, Rect, Scene, Stroke, Text, VerticalAlign};
use crate::chart::Caption;
use crate::chart::axis::Axis;
use crate::chart::color::Rgb;
use crate::chart::number::Unit;
use crate::chart::palette::{GroupStyle, Marker};
use crate::chart::raster::{Raster, Scale};
use crate::chart::table::Table;
use crate::chart::theme::Theme;

/// Font sizes in units of a scene; none is smaller than [`SMALL`].
pub(super) const TITLE: f64 = 15.0;
/// Numbers in cells, on a sheet that has no room for [`SMALL`] ones: of 5 points where those have 7.
pub(super) const CELL: f64 = SMALL * 5.0 / 7.0;
/// Empty border around the content.
pub(super) const MARGIN: f64 = 18.0;

/// A legend entry's sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum LegendSwatch {
    Cell(Fill),
    /// A small cell on empty ground: a head that goes.
    SmallCell(Rgb),
    /// A group's cell with its notches.
    Group(GroupStyle),
    /// A line with or without points on it.
    Line(Stroke, Option<Marker>),
    Mark(Marker, Rgb),
    /// A point that is not filled.
    Hollow(Marker, Rgb),
    /// A bracket below cells.
    Bracket(Rgb),
    Frame(Rgb),
}

/// A figure in the making; everything is placed below what came before.
pub(super) struct Page<'a> {
    pub scene: Scene,
    pub theme: &'a Theme,
    /// Where the next thing goes.
    pub y: f64,
    notes: Vec<String>,
}

impl<'a> Page<'a> {
    /// A page of this width, or as wide as the sheet is, that begins with the caption.
    pub(super) fn new(width: f64, caption: &Caption, sheet: Sheet<'a>) -> Self {
        let (width, theme) = (sheet.within(width).round(), sheet.theme);
        let scene = Scene::new(width, 0.0, theme.background, caption.title.clone());
        let mut page = Self { scene, theme, y: MARGIN, notes: caption.notes.clone() };
        page.paragraph(&caption.title, TITLE, theme.ink, Weight::SemiBold);
        if !caption.subtitle.is_empty() {
            page.y += 2.0;
            page.paragraph(&caption.subtitle, LABEL, theme.muted, Weight::Regular);
        }
        page.y += 12.0;
        page
    }

    /// Width between the margins.
    pub(super) fn inner(&self) -> f64 {
        self.scene.width - 2.0 * MARGIN
    }

    /// The next `height` units over the whole width.
    pub(super) fn take(&mut self, height: f64) -> Rect {
        let rect = Rect::new(MARGIN, self.y, self.inner(), height);
        self.y += height;
        rect
    }

    fn paragraph(&mut self, text: &str, size: f64, color: Rgb, weight: Weight) {
        for line in font::wrapped(text, self.inner(), size, weight) {
            let mut text = Text::new(line, [MARGIN, self.y], size, color).anchored(Anchor::Start, VerticalAlign::Top);
            text.weight = weight;
            self.scene.text(text);
            self.y += (size * 1.4).round();
        }
    }

    /// A heading inside the figure.
    pub(super) fn heading(&mut self, text: &str) {
        self.paragraph(text, LABEL + 1.0, self.theme.ink, Weight::SemiBold);
        self.y += 4.0;
    }

    /// Samples with their names, as many in a line as fit.
    pub(super) fn legend(&mut self, entries: &[(LegendSwatch, String)]) {
        if entries.is_empty() {
            return;
        }
        let (mut x, right) = (MARGIN, self.scene.width - MARGIN);
        for (sample, name) in entries {
            let sample_width =
                if matches!(sample, LegendSwatch::Line(..) | LegendSwatch::Bracket(_)) { 22.0 } else { 12.0 };
            let name = font::shortened(name, self.inner() - sample_width - 6.0, LABEL, Weight::Regular);
            let width = sample_width + 6.0 + font::width(&name, LABEL, Weight::Regular);
            if x > MARGIN && x + width > right {
                x = MARGIN;
                self.y += 18.0;
            }
            draw_sample(&mut self.scene, *sample, Rect::new(x, self.y, sample_width, 12.0));
            let at = [x + sample_width + 6.0, self.y + 6.0];
            self.scene.text(Text::new(name, at, LABEL, self.theme.ink).anchored(Anchor::Start, VerticalAlign::Middle));
            x += width + 16.0;
        }
        self.y += 12.0 + 12.0;
    }

    /// The colors of a scale with their values and, beside them, the color of cells without one and what it means.
    pub(super) fn color_bar(&mut self, scale: &Scale, label: &str, unit: Unit, missing: Option<(Rgb, &str)>) {
        let width = (self.inner() * 0.5).clamp(120.0, 260.0);
        let label = font::shortened(label, self.inner(), LABEL, Weight::Regular);
        let label_width = font::width(&label, LABEL, Weight::Regular);
        let beside = label_width + 10.0 + width <= self.inner();
        let x = if beside { MARGIN + label_width + 12.0 } else { MARGIN };
        let at = [MARGIN, self.y + 5.0];
        self.scene.text(Text::new(label, at, LABEL, self.theme.muted).anchored(Anchor::Start, VerticalAlign::Middle));
        if !beside {
            self.y += 18.0;
        }
        let bar = Rect::new(x, self.y, width, 10.0);
        self.bar(bar, scale, unit);
        if let Some((color, name)) = missing {
            let name_width = font::width(name, LABEL, Weight::Regular);
            let mut at = [bar.right() + 26.0, self.y];
            if at[0] + 18.0 + name_width > self.scene.width - MARGIN {
                at = [x, self.y + 30.0];
                self.y += 22.0;
            }
            let rect = Rect::new(at[0], at[1] - 1.0, 12.0, 12.0);
            draw_sample(&mut self.scene, LegendSwatch::Cell(color.into()), rect);
            self.scene.outline(rect, Stroke::solid(self.theme.axis, 0.75));
            let at = [at[0] + 18.0, at[1] + 5.0];
            self.scene.text(Text::new(name, at, LABEL, self.theme.ink).anchored(Anchor::Start, VerticalAlign::Middle));
        }
        self.y += 10.0 + 26.0;
    }

    fn bar(&mut self, bar: Rect, scale: &Scale, unit: Unit) {
        let steps = 256;
        // Several rows: viewers that smooth would fade a single one towards its edges.
        let raster = Raster::from_fn(10, steps, |_, c| {
            scale.color_at((c as f64 + 0.5) / steps as f64).unwrap_or(self.theme.missing)
        });
        self.scene.push(Item::Image { rect: bar, raster });
        self.scene.outline(bar, Stroke::solid(self.theme.axis, 0.75));
        let axis = Axis::exact("", unit, (scale.low, scale.high), 4);
        for (tick, text) in axis.ticks.iter().zip(axis.tick_labels()) {
            let x = bar.x + bar.w * axis.position(*tick);
            self.scene.line(vec![[x, bar.bottom()], [x, bar.bottom() + 3.0]], Stroke::solid(self.theme.axis, 1.0));
            let text = Text::new(text, [x, bar.bottom() + 6.0], SMALL, self.theme.muted);
            self.scene.text(text.anchored(Anchor::Middle, VerticalAlign::Top));
        }
    }

    /// Adds the notes and ends the page there. `table` gives the numbers when they are asked for.
    pub(super) fn finish(mut self, table: impl Fn() -> Table + Send + Sync + 'static) -> Figure {
        let notes = std::mem::take(&mut self.notes);
        if !notes.is_empty() {
            self.y += 10.0;
        }
        for note in notes {
            self.paragraph(&note, SMALL + 0.5, self.theme.muted, Weight::Regular);
        }
        self.scene.height = (self.y + MARGIN - 4.0).ceil();
        Figure::new(self.scene, table)
    }
}

fn draw_sample(scene: &mut Scene, sample: LegendSwatch, rect: Rect) {
    let [x, y] = rect.center();
    match sample {
        LegendSwatch::Cell(fill) => scene.fill(vec![rect], fill),
        LegendSwatch::SmallCell(color) => scene.fill(vec![Rect::new(x - 2.5, y - 2.5, 5.0, 5.0)], color),
        LegendSwatch::Group(style) => {
            scene.fill(vec![rect], style.color);
            notches(scene, rect, style);
        }
        LegendSwatch::Line(stroke, marker) => {
            scene.line(vec![[rect.x, y], [rect.right(), y]], stroke);
            if let Some(marker) = marker {
                scene.marks(vec![[x, y]], marker, 3.2, stroke.color);
            }
        }
        LegendSwatch::Mark(marker, color) => scene.marks(vec![[x, y]], marker, 4.0, color),
        LegendSwatch::Hollow(marker, color) => {
            let stroke = Some(Stroke::solid(color, 1.5));
            scene.push(Item::Marks { centers: vec![[x, y]], marker, radius: 4.0, fill: None, stroke });
        }
        LegendSwatch::Bracket(color) => {
            scene.lines(vec![bracket(rect.x, rect.right(), y + 2.0)], Stroke::solid(color, 1.25))
        }
        LegendSwatch::Frame(color) => scene.outline(rect.shrunk(1.0), Stroke::solid(color, 1.5)),
    }
}

/// A line below cells from `left` to `right` with its ends turned up.
pub(super) fn bracket(left: f64, right: f64, y: f64) -> Vec<Point> {
    vec![[left, y - 2.0], [left, y], [right, y], [right, y - 2.0]]
}

/// One notch in the upper left corner for every time the group colors have been used up.
pub(super) fn notches(scene: &mut Scene, cell: Rect, style: GroupStyle) {
    let side = (cell.w.min(cell.h) * 0.2).clamp(1.0, 4.0);
    let rects = (0..style.cycle)
        .map(|i| Rect::new(cell.x + 1.0 + i as f64 * (side + 1.0), cell.y + 1.0, side, side))
        .take_while(|r| r.right() <= cell.right())
        .collect();
    scene.fill(rects, style.color.ink());
}
