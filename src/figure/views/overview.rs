//! Every head of a model: attention layers by heads.

use std::collections::BTreeMap;

use super::group_legend;
use crate::chart::color::Rgb;
use crate::chart::palette::GroupStyle;
use crate::chart::theme::Theme;
use crate::chart::{LayerBars, Overview, OverviewRow, Paint};
use crate::figure::export::{Figure, Sheet};
use crate::figure::font::{self, Weight};
use crate::figure::page::{LABEL, LegendSwatch, MARGIN, Page, SMALL, bracket, notches};
use crate::figure::scene::{Anchor, Item, Rect, Scene, Stroke, Text, VerticalAlign};

/// Cells with a tip of their own make a file three times as large; above this many they go without.
const MOST_TIPS: usize = 1024;

impl Overview {
    pub fn figure<'a>(&self, sheet: impl Into<Sheet<'a>>) -> Figure {
        let sheet = sheet.into();
        let theme = sheet.theme;
        let layers = self.layers.as_ref();
        let mut layout = GridSizes::of(&self.rows, layers.is_some(), None);
        // Where there is less room, cells are smaller, and where they would be tiny there are no bars.
        let most = sheet.within(layout.width);
        if layout.width > most {
            layout = GridSizes::of(&self.rows, layers.is_some(), Some(most));
        }
        let layers = layers.filter(|_| layout.has_bars);
        let mut page = Page::new(layout.width, &self.caption, sheet);
        self.legend(&mut page);
        let top = page.y + 18.0;
        let straight = self.is_straight();
        if straight {
            layout.head_numbers(&mut page.scene, top, theme);
        }
        let mut cells = Cells {
            theme,
            paint: &self.paint,
            straight,
            full: BTreeMap::new(),
            small: BTreeMap::new(),
            faint: Vec::new(),
        };
        let total: usize = self.rows.iter().map(|r| r.heads).sum();
        let mut brackets = Vec::new();
        let mut grounds = Vec::new();
        let mut overlays = Scene::new(0.0, 0.0, theme.background, "");
        let mut y = top;
        let mut kind = None;
        let mut named = f64::NEG_INFINITY;
        let mut bars = LayerColumn { at: layout.bars, cell: layout.cell, theme, full: Vec::new(), chance: Vec::new() };
        for (place, row) in self.rows.iter().enumerate() {
            let this = Some(row.site.kind);
            if kind.is_some() && kind != this {
                y += 10.0;
            }
            kind = this;
            // Names that would touch the one above are left out.
            let is_named = y + layout.cell / 2.0 - named >= SMALL + 2.0;
            if let Some(layers) = layers {
                bars.add(layers, place, y, is_named, &mut page.scene);
            }
            if is_named {
                named = y + layout.cell / 2.0;
                let at = [layout.left - 8.0, named];
                page.scene.text(
                    Text::new(row.site.to_string(), at, LABEL.min(layout.pitch.max(SMALL)), theme.ink)
                        .anchored(Anchor::End, VerticalAlign::Middle),
                );
                if let Some(kept) = &row.kept {
                    let text = format!("{} / {}", kept.len(), row.heads);
                    let at = [layout.right + 8.0, named];
                    page.scene
                        .text(Text::new(text, at, SMALL, theme.muted).anchored(Anchor::Start, VerticalAlign::Middle));
                }
            }
            for (column, head) in row.order.iter().copied().enumerate() {
                let rect = Rect::new(layout.left + column as f64 * layout.step, y, layout.cell, layout.cell);
                if !row.keeps(head) {
                    grounds.push(rect);
                }
                cells.add(row, head, rect, &mut overlays, total <= MOST_TIPS);
            }
            if straight && row.kv_heads > 0 && row.kv_heads < row.heads {
                let share = row.heads / row.kv_heads;
                brackets.extend((0..row.kv_heads).map(|g| {
                    let left = layout.left + (g * share) as f64 * layout.step;
                    bracket(
                        left + 0.5,
                        left + (share - 1) as f64 * layout.step + layout.cell - 0.5,
                        y + layout.cell + 3.0,
                    )
                }));
            }
            y += layout.pitch;
        }
        page.scene.fill(grounds, theme.grid);
        let faint = cells.flush(&mut page.scene);
        page.scene.items.append(&mut overlays.items);
        if !faint.is_empty() {
            let stroke = Some(Stroke::solid(theme.axis, 0.75));
            page.scene.push(Item::Rects { rects: faint, fill: None, stroke, radius: 0.0 });
        }
        page.scene.lines(brackets, Stroke::solid(theme.axis, 1.25));
        if self.rows.iter().any(|r| r.kept.is_some()) {
            let at = [layout.right + 8.0, top - 7.0];
            page.scene.text(Text::new("kept", at, SMALL, theme.muted));
        }
        if let Some(layers) = layers {
            bars.finish(layers, top - 7.0, &mut page.scene);
        }
        page.y = y;
        let view = self.clone();
        page.finish(move || view.table())
    }

    fn legend(&self, page: &mut Page<'_>) {
        let theme = page.theme;
        let mut entries = Vec::new();
        if self.paint == Paint::Groups {
            let count = self.rows.iter().flat_map(|r| &r.groups).max().map_or(0, |g| g + 1);
            entries = group_legend(theme, count);
        }
        if self.paint == Paint::Kinds {
            let (kinds, has_other) = self.kinds();
            entries = kinds
                .into_iter()
                .map(|kind| {
                    let swatch = LegendSwatch::Group(GroupStyle::of(theme, kind.index()));
                    (swatch, format!("{} ({})", kind.label(), kind.letters()))
                })
                .collect();
            entries
                .extend(has_other.then(|| (LegendSwatch::Cell(theme.missing.into()), "no known pattern".to_owned())));
        }
        if self.rows.iter().any(|r| r.kept.is_some()) {
            entries.push((LegendSwatch::Cell(theme.axis.into()), "kept".to_owned()));
            entries.push((LegendSwatch::SmallCell(theme.axis), "pruned".to_owned()));
        }
        if self.is_straight() && self.rows.iter().any(|r| r.kv_heads > 0 && r.kv_heads < r.heads) {
            entries.push((LegendSwatch::Bracket(theme.axis), "one key/value head".to_owned()));
        }
        if let Paint::Values { label, unit, scale, .. } = &self.paint {
            let missing = self.rows.iter().any(|r| (0..r.heads).any(|h| r.value(h).is_nan()));
            page.color_bar(scale, label, *unit, missing.then_some((page.theme.missing, "no value")));
        }
        page.legend(&entries);
    }
}

/// Sizes that hold 1 to 128 heads by 1 to 128 layers on a page.
struct GridSizes {
    cell: f64,
    step: f64,
    pitch: f64,
    left: f64,
    right: f64,
    /// Left end of the bars of layers.
    bars: f64,
    has_bars: bool,
    width: f64,
    heads: usize,
}

/// Cells that are smaller than this need the room that bars of layers take.
const TINY: f64 = 6.0;

/// Length of the longest bar of a layer, and room for its number.
const BAR: f64 = 84.0;
const BAR_NUMBER: f64 = 44.0;

/// The bars of layers while they are laid out.
struct LayerColumn<'a> {
    at: f64,
    cell: f64,
    theme: &'a Theme,
    full: Vec<Rect>,
    chance: Vec<Rect>,
}

impl LayerColumn<'_> {
    /// The bar of the layer at `place`, whose cells begin at `y`; its number where there is room.
    fn add(&mut self, layers: &LayerBars, place: usize, y: f64, has_number: bool, scene: &mut Scene) {
        let value = layers.values.get(place).copied().unwrap_or(f64::NAN);
        let height = (self.cell * 0.6).clamp(2.0, 12.0);
        let top = y + (self.cell - height) / 2.0;
        if let Some(length) = LayerBars::length(value, layers.high) {
            self.full.push(Rect::new(self.at, top, (BAR * length).max(0.5), height));
        }
        if let Some(length) = layers.chance.get(place).and_then(|v| LayerBars::length(*v, layers.high)) {
            self.chance.push(Rect::new(self.at + BAR * length - 0.75, top - 1.0, 1.5, height + 2.0));
        }
        if has_number {
            let at = [self.at + BAR + 6.0, y + self.cell / 2.0];
            let text = Text::new(layers.unit.format(value), at, SMALL, self.theme.muted);
            scene.text(text.anchored(Anchor::Start, VerticalAlign::Middle));
        }
    }

    fn finish(self, layers: &LayerBars, base: f64, scene: &mut Scene) {
        scene.fill(self.full, self.theme.accent);
        scene.fill(self.chance, self.theme.ink);
        let label = font::shortened(&layers.label, BAR + BAR_NUMBER, SMALL, Weight::Regular);
        scene.text(Text::new(label, [self.at, base], SMALL, self.theme.muted));
    }
}

impl GridSizes {
    /// Sizes of a grid, at most so wide with all that stands beside it where that is said.
    fn of(rows: &[OverviewRow], has_bars: bool, most: Option<f64>) -> Self {
        let heads = rows.iter().map(|r| r.heads).max().unwrap_or(1);
        let cell = (760.0 / heads as f64).min(720.0 / rows.len() as f64).floor().clamp(6.0, 28.0);
        let gap = if cell >= 14.0 { 2.0 } else { 1.0 };
        let counts: f64 = if rows.iter().any(|r| r.kept.is_some()) { 56.0 } else { 0.0 };
        let shared = rows.iter().any(|r| r.kv_heads > 0 && r.kv_heads < r.heads);
        let names = rows.iter().map(|r| font::width(&r.site.to_string(), LABEL, Weight::Regular)).fold(30.0, f64::max);
        let left = (MARGIN + names + 8.0).ceil();
        let beside = |has_bars: bool| if has_bars { counts.max(16.0) + BAR + BAR_NUMBER } else { counts };
        let step = |has_bars: bool| {
            let room = most.map_or(f64::INFINITY, |most| most - left - beside(has_bars) - MARGIN);
            (cell + gap).min((room / heads as f64).max(1.0))
        };
        let has_bars = has_bars && (most.is_none() || step(true) >= TINY);
        let step = step(has_bars);
        let (cell, gap) = if step < cell + gap { (step * 0.85, step * 0.15) } else { (cell, gap) };
        let right = left + heads as f64 * step - gap;
        let pitch = step + if shared { 5.0 } else { 0.0 };
        let bars = right + counts.max(16.0);
        let end = if has_bars { bars + BAR + BAR_NUMBER } else { right + counts };
        Self { cell, step, pitch, left, right, bars, has_bars, width: (end + MARGIN).max(460.0), heads }
    }

    fn head_numbers(&self, scene: &mut Scene, top: f64, theme: &Theme) {
        let room = font::width(&(self.heads - 1).to_string(), SMALL, Weight::Regular) + 4.0;
        let every = [1, 2, 4, 8, 16, 32].into_iter().find(|n| *n as f64 * self.step >= room).unwrap_or(64);
        for head in (0..self.heads).step_by(every) {
            let at = [self.left + head as f64 * self.step + self.cell / 2.0, top - 7.0];
            scene.text(
                Text::new(head.to_string(), at, SMALL, theme.muted).anchored(Anchor::Middle, VerticalAlign::Base),
            );
        }
        let at = [self.left - 8.0, top - 7.0];
        scene.text(Text::new("head", at, SMALL, theme.muted).anchored(Anchor::End, VerticalAlign::Base));
    }
}

struct Cells<'a> {
    theme: &'a Theme,
    paint: &'a Paint,
    /// Whether the numbers over the columns say which head a cell is.
    straight: bool,
    full: BTreeMap<[u8; 4], Vec<Rect>>,
    small: BTreeMap<[u8; 4], Vec<Rect>>,
    /// Cells whose color the background would swallow: they get an outline.
    faint: Vec<Rect>,
}

impl Cells<'_> {
    fn add(&mut self, row: &OverviewRow, head: usize, rect: Rect, overlays: &mut Scene, with_tip: bool) {
        let (color, style, number) = match self.paint {
            Paint::Groups => match row.groups.get(head) {
                Some(group) => {
                    let style = GroupStyle::of(self.theme, *group);
                    (style.color, Some(style), group.to_string())
                }
                None => (self.theme.missing, None, String::new()),
            },
            Paint::Kept => (self.theme.kept, None, head.to_string()),
            Paint::Kinds => match row.kind(head) {
                Some(kind) => {
                    let style = GroupStyle::of(self.theme, kind.index());
                    (style.color, Some(style), kind.letters().to_owned())
                }
                None => (self.theme.missing, None, String::new()),
            },
            Paint::Values { scale, .. } => (scale.color(row.value(head), self.theme.missing), None, String::new()),
        };
        let number = if self.straight { number } else { head.to_string() };
        let kept = row.keeps(head);
        // A head that goes shrinks: told apart without color, and its own color stays readable.
        let shape = if kept { rect } else { rect.shrunk((rect.w * 0.29).round()) };
        if color.contrast(self.theme.background) < 1.5 && shape.w >= 4.0 {
            self.faint.push(shape.shrunk(0.4));
        }
        let mut marks = Scene::new(0.0, 0.0, self.theme.background, "");
        if let Some(style) = style.filter(|s| kept && s.cycle > 0 && rect.w >= 10.0) {
            notches(&mut marks, rect, style);
        }
        if kept && rect.w >= 18.0 {
            let text = Text::new(number, rect.center(), SMALL, color.ink());
            marks.text(text.anchored(Anchor::Middle, VerticalAlign::Middle));
        }
        if with_tip {
            let mut items =
                vec![Item::Rects { rects: vec![shape], fill: Some(color.into()), stroke: None, radius: 0.0 }];
            items.append(&mut marks.items);
            overlays.push(Item::Group { clip: None, tip: Some(self.tip(row, head)), items });
        } else {
            let layer = if kept { &mut self.full } else { &mut self.small };
            layer.entry(color.rgba()).or_default().push(shape);
            overlays.items.append(&mut marks.items);
        }
    }

    fn tip(&self, row: &OverviewRow, head: usize) -> String {
        let mut tip = format!("{} head {head}", row.site);
        if let Some(group) = row.groups.get(head) {
            tip += &format!(", group {group}");
        }
        if let Some(kind) = row.kind(head).filter(|_| *self.paint == Paint::Kinds) {
            tip += &format!(", {}", kind.label().to_lowercase());
        }
        if let Paint::Values { label, unit, .. } = self.paint {
            tip += &format!(", {} {}", label.to_lowercase(), unit.format(row.value(head)));
        }
        if row.kept.is_some() {
            tip += if row.keeps(head) { ", kept" } else { ", pruned" };
        }
        tip
    }

    /// Draws what has no tip of its own; returns the cells that need an outline.
    fn flush(self, scene: &mut Scene) -> Vec<Rect> {
        for ([r, g, b, _], rects) in self.full.into_iter().chain(self.small) {
            scene.fill(rects, Rgb::new(r, g, b));
        }
        self.faint
    }
}
