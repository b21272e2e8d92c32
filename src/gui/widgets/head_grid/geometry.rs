//! Where the cells of a head grid lie.

use eframe::egui::{Pos2, Rect, Vec2, pos2, vec2};

use crate::network::SiteKind;
use crate::plan::{Shape, SiteShape};

/// A column of words to the right of the heads.
pub(crate) struct Summary {
    pub title: &'static str,
    pub width: f32,
    /// One entry per layer.
    pub entries: Vec<String>,
}

/// Width of the names of layers.
pub(super) const NAMES: f32 = 84.0;
/// Height of the numbers of heads.
pub(super) const NUMBERS: f32 = 20.0;
/// Room between key/value groups.
const GROUP_GAP: f32 = 8.0;
/// Height of the heading over layers of one kind.
pub(super) const HEADING: f32 = 26.0;
/// Room between heads and the words about whole layers.
const BESIDE: f32 = 20.0;
/// Least and largest width of the bars of layers, their numbers included.
const BARS: [f32; 2] = [128.0, 520.0];
/// Cells stay this wide where bars take room from them.
const READABLE: f32 = 30.0;

/// Sizes that fit a model into a room, and the height of every layer.
pub(super) struct Geometry {
    /// Left upper corner of the first head.
    pub origin: Pos2,
    /// Size of one head.
    pub cell: Vec2,
    /// Tops of the layers below the origin.
    pub tops: Vec<f32>,
    /// Headings over layers of one kind, with their tops; empty where all are of one kind.
    pub headings: Vec<(SiteKind, f32)>,
    /// Whether heads that share a key/value head stand together.
    pub grouped: bool,
    /// Width of all heads.
    pub width: f32,
    /// Whether there is room for the words about whole layers.
    pub has_summaries: bool,
    /// Left end and width of the bars of layers, from the origin; none where there is no room.
    pub bars: Option<(f32, f32)>,
    pub size: Vec2,
}

impl Geometry {
    /// Fits `shape` into `room`, its corner at the origin of coordinates.
    pub(super) fn fit(shape: &Shape, in_order: bool, summaries: &[Summary], wants_bars: bool, room: Vec2) -> Self {
        let sites = shape.sites();
        let columns = sites.iter().map(|s| s.heads).max().unwrap_or(1) as f32;
        let gaps = if in_order { sites.iter().map(|s| gaps_before(s, s.heads)).max().unwrap_or(0) } else { 0 };
        let gaps_width = gaps as f32 * GROUP_GAP;
        let kinds = {
            let mut kinds: Vec<SiteKind> = sites.iter().map(|s| s.site.kind).collect();
            kinds.dedup();
            if kinds.len() > 1 { kinds.len() } else { 0 }
        };
        let words: f32 = summaries.iter().map(|s| s.width).sum::<f32>() + BESIDE;
        let heads_room = room.x - NAMES - gaps_width - 4.0;
        let has_summaries = !summaries.is_empty() && (heads_room - words) / columns >= 16.0;
        let words = if has_summaries { words } else { 0.0 };
        let least = BARS[0] + if has_summaries { 0.0 } else { BESIDE };
        let beside = if wants_bars && (heads_room - words - least) / columns >= READABLE { least } else { 0.0 };
        let by_width = ((heads_room - words - beside) / columns).clamp(5.0, 96.0);
        let by_height = (room.y - NUMBERS - 4.0 - kinds as f32 * HEADING) / sites.len() as f32;
        // Never taller than wide, never more than twice as wide as tall.
        let height = by_height.clamp(13.0, 48.0).min(by_width).floor();
        let cell = vec2(by_width.min(height * 2.0).floor(), height);
        let mut tops = Vec::with_capacity(sites.len());
        let mut headings = Vec::new();
        let (mut top, mut last) = (0.0, None);
        for site in sites {
            if kinds > 0 && last != Some(site.site.kind) {
                headings.push((site.site.kind, top));
                top += HEADING;
            }
            last = Some(site.site.kind);
            tops.push(top);
            top += cell.y;
        }
        let width = cell.x * columns + gaps_width;
        let used = NAMES + width + words + 4.0;
        let left = width + words.max(BESIDE);
        let bars_width = (room.x - NAMES - left - 4.0).min(BARS[1]);
        let bars = (wants_bars && bars_width >= BARS[0]).then_some((left, bars_width));
        let across = bars.map_or(used, |(left, width)| NAMES + left + width);
        let size = vec2(across, NUMBERS + top + 4.0);
        let origin = pos2(NAMES, NUMBERS);
        Self { origin, cell, tops, headings, grouped: gaps > 0, width, has_summaries, bars, size }
    }

    /// The same at `corner`.
    pub(super) fn at(self, corner: Pos2) -> Self {
        Self { origin: corner + self.origin.to_vec2(), ..self }
    }

    /// The top of a layer in the window.
    pub(super) fn top(&self, row: usize) -> f32 {
        self.origin.y + self.tops.get(row).copied().unwrap_or(0.0)
    }

    /// The place of the head in a column of a layer.
    pub(super) fn place(&self, row: usize, site: &SiteShape, column: usize) -> Rect {
        let gaps = if self.grouped { gaps_before(site, column) as f32 * GROUP_GAP } else { 0.0 };
        let at = pos2(self.origin.x + column as f32 * self.cell.x + gaps, self.top(row));
        Rect::from_min_size(at, self.cell)
    }

    /// The layer at a height.
    pub(super) fn row_at(&self, y: f32) -> Option<usize> {
        let down = y - self.origin.y;
        let row = self.tops.partition_point(|top| *top <= down).checked_sub(1)?;
        (down < self.tops.get(row)? + self.cell.y).then_some(row)
    }

    /// The column of a layer at a distance from the left.
    pub(super) fn column_at(&self, site: &SiteShape, x: f32) -> Option<usize> {
        let across = x - self.origin.x;
        let wide = self.cell.x * site.queries_per_kv() as f32 + GROUP_GAP;
        let group = if self.grouped && site.kv_heads < site.heads { (across / wide).floor() } else { 0.0 };
        let column = ((across - group * GROUP_GAP) / self.cell.x).floor();
        let column = (column >= 0.0).then_some(column as usize).filter(|c| *c < site.heads)?;
        // Between two groups there is no head.
        let place = column as f32 * self.cell.x + gaps_before(site, column) as f32 * GROUP_GAP;
        (!self.grouped || (place..place + self.cell.x).contains(&across)).then_some(column)
    }
}

/// Gaps between key/value groups to the left of a head; none where every query head has its own.
pub(super) fn gaps_before(site: &SiteShape, column: usize) -> usize {
    if site.kv_heads == site.heads { 0 } else { column.min(site.heads.saturating_sub(1)) / site.queries_per_kv() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(sites: &[(&str, usize, usize)]) -> Shape {
        Shape::from_iter(sites.iter().enumerate().map(|(stored, (site, heads, kv_heads))| SiteShape {
            site: site.parse().unwrap(),
            heads: *heads,
            kv_heads: *kv_heads,
            stored,
        }))
    }

    #[test]
    fn every_place_is_found_again() {
        let shape = shape(&[
            ("encoder.0", 8, 8),
            ("encoder.1", 8, 8),
            ("decoder.0", 8, 2),
            ("decoder.1", 4, 4),
            ("cross.0", 8, 4),
        ]);
        for in_order in [true, false] {
            let geometry = Geometry::fit(&shape, in_order, &[], false, vec2(600.0, 400.0)).at(pos2(30.0, 50.0));
            assert_eq!(geometry.headings.len(), 3);
            for (row, site) in shape.sites().iter().enumerate() {
                for column in 0..site.heads {
                    let place = geometry.place(row, site, column);
                    for at in [place.center(), place.min + vec2(0.01, 0.01), place.max - vec2(0.01, 0.01)] {
                        assert_eq!(geometry.row_at(at.y), Some(row));
                        assert_eq!(geometry.column_at(site, at.x), Some(column), "{} {column}", site.site);
                    }
                    assert!(place.max.x <= 30.0 + geometry.size.x && place.max.y <= 50.0 + geometry.size.y);
                }
            }
            assert_eq!(geometry.column_at(&shape.sites()[3], geometry.place(3, &shape.sites()[3], 4).center().x), None);
            // A heading belongs to no layer.
            assert_eq!(geometry.row_at(geometry.origin.y + 5.0), None);
        }
    }

    #[test]
    fn few_heads_get_room_and_many_still_fit_the_width() {
        let small = Geometry::fit(&shape(&[("encoder.0", 4, 4)]), true, &[], false, vec2(760.0, 440.0));
        assert_eq!(small.cell, vec2(96.0, 48.0));
        let rows: Vec<(String, usize, usize)> = (0..128).map(|l| (format!("decoder.{l}"), 128, 128)).collect();
        let rows: Vec<(&str, usize, usize)> = rows.iter().map(|(s, h, k)| (s.as_str(), *h, *k)).collect();
        let large = Geometry::fit(&shape(&rows), true, &[], false, vec2(760.0, 440.0));
        assert!(large.size.x <= 760.0 && large.cell.x == large.cell.y, "{:?}", large.cell);
    }

    #[test]
    fn bars_fill_what_heads_leave_and_never_make_them_unreadable() {
        let few = shape(&[("encoder.0", 4, 4), ("encoder.1", 4, 4)]);
        let with = |room| Geometry::fit(&few, true, &[], true, room);
        for room in [vec2(760.0, 440.0), vec2(1500.0, 800.0), vec2(420.0, 300.0)] {
            let geometry = with(room);
            let (left, width) = geometry.bars.unwrap();
            assert!(left >= geometry.width && geometry.cell.x >= READABLE, "{room:?}");
            assert!(geometry.size.x <= room.x && width >= BARS[0], "{room:?}: {:?}", geometry.size);
        }
        assert_eq!(with(vec2(300.0, 300.0)).bars, None);
    }
}
