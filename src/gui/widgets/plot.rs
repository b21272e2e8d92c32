//! Paints the plots of a description with `egui_plot`: they can be moved (drag), looked at closer (Ctrl and the wheel, or a
//! box drawn with the right button), and brought back (double click); the legend hides what is clicked.

use std::collections::HashSet;

use eframe::egui::{
    Align2, Color32, FontId, LayerId, Order, Pos2, Rangef, Rect, Response, RichText, Role, Sense, Stroke, StrokeKind,
    Ui, Vec2, WidgetInfo, pos2, vec2,
};
use egui_plot::{
    AxisHints, Bar, BarChart, FilledArea, GridInput, GridMark, HLine, Line, LineStyle, MarkerShape, PlotBounds,
    PlotPoint, PlotTransform, PlotUi, Points, VLine,
};

use super::facts::{explained, naming};
use super::legend::entries_ui;
use crate::chart::axis::Axis;
use crate::chart::plot::{BAND_OPACITY, BAR_WIDTH, Label, LabelSide, Limit, Mark, Plot, Series};
use crate::chart::{Ink, Marker};
use crate::gui::theme::{WindowTheme, color};

/// A plot on its way to the screen.
pub(crate) struct PlotView<'a> {
    plot: &'a Plot,
    size: Vec2,
    has_legend: bool,
    has_values: bool,
}

/// A plot on the screen: where its values lie.
pub(crate) struct Painted {
    /// The rectangle between the axes.
    pub response: Response,
    transform: PlotTransform,
    is_log: [bool; 2],
}

/// What a screen reader calls the name of an axis.
const OF_AN_AXIS: &str = "axis";
const SMALL: f32 = 11.0;
/// Radius of marks and of rings.
const MARK: f32 = 3.6;
const RING: f32 = 6.0;
/// Radius of the points of a map that have numbers beside them.
const PLACE: f32 = 6.5;
const WIDEST: f32 = 48.0;
/// Room around the points of a map.
const AROUND: f32 = 26.0;

impl<'a> PlotView<'a> {
    /// The plot in this much room, legend included.
    pub(crate) fn new(plot: &'a Plot, size: Vec2) -> Self {
        Self { plot, size, has_legend: true, has_values: true }
    }

    /// The same without a legend: something else says what its colors mean.
    #[must_use]
    pub(crate) fn without_legend(mut self) -> Self {
        self.has_legend = false;
        self
    }

    /// The same without values under the pointer: the view says more about what lies there.
    #[must_use]
    pub(crate) fn without_values(mut self) -> Self {
        self.has_values = false;
        self
    }

    pub(crate) fn show(self, ui: &mut Ui, theme: &WindowTheme) -> Painted {
        let plot = self.plot;
        let id = ui.make_persistent_id(&plot.title);
        let above = ui.cursor().top();
        let mut hidden: HashSet<String> = ui.data(|d| d.get_temp(id)).unwrap_or_default();
        if self.has_legend && entries_ui(ui, theme, &plot.legend(), &mut hidden) {
            ui.data_mut(|d| d.insert_temp(id, hidden.clone()));
        }
        if !plot.y.label.is_empty() {
            let label = RichText::new(&plot.y.label).size(SMALL).color(theme.muted);
            let label = ui.add(eframe::egui::Label::new(label).truncate());
            naming(&label, OF_AN_AXIS);
            explained(label, &plot.y.label);
            // The label of the uppermost tick reaches above the plot.
            ui.add_space(8.0);
        }
        let size = self.size - vec2(0.0, ui.cursor().top() - above);
        let beside = if plot.is_map { 0.0 } else { room_beside(ui, plot, size.x) };
        // Names of vertical limits stand above the data.
        let over = room_over(plot);
        ui.add_space(over);
        let size = vec2((size.x - beside).max(40.0), (size.y - over).max(48.0));
        let (x, y) = if plot.is_map { square(plot, size) } else { (ends(&plot.x), ends(&plot.y)) };
        let is_log = [plot.x.is_log, plot.y.is_log];
        // Two labels do not fit beside each other in the corner.
        let has_corner = plot.x.ticks.first().is_some_and(|first| *first <= plot.x.low);
        let mut drawn = egui_plot::Plot::new(id.with("plot"))
            .width(size.x)
            .height(size.y)
            .default_x_bounds(x.0, x.1)
            .default_y_bounds(y.0, y.1)
            .allow_scroll(false)
            .show_background(false)
            .show_axes(!plot.is_map)
            .show_grid([!plot.y.names.is_empty(), plot.y.names.is_empty()].map(|on| on && !plot.is_map))
            .show_x(!plot.is_map && plot.bars.is_empty())
            .show_y(false)
            .grid_color(theme.grid)
            .grid_fade(0.0)
            .cursor_color(theme.outline)
            .x_grid_spacer(marks(&plot.x, if plot.x.is_whole() { 28.0 } else { 70.0 }))
            .y_grid_spacer(marks(&plot.y, if plot.y.names.is_empty() { 34.0 } else { 11.0 }))
            .custom_x_axes(vec![hints(&plot.x, AxisHints::new_x(), theme, true).label(axis_label(&plot.x, theme))])
            .custom_y_axes(vec![
                hints(&plot.y, AxisHints::new_y(), theme, !has_corner).min_thickness(thickness(&plot.y)),
            ]);
        if plot.is_map {
            drawn = drawn.data_aspect(1.0);
        }
        // A view that was moved stays so until what it shows has other ends.
        let ends_now = [x, y];
        let ends_before = ui.data_mut(|d| {
            let before = d.get_temp::<[(f64, f64); 2]>(id.with("ends"));
            d.insert_temp(id.with("ends"), ends_now);
            before
        });
        if !plot.is_map && ends_before.is_some_and(|before| before != ends_now) {
            drawn = drawn.reset();
        }
        let tells = self.has_values && plot.bars.is_empty() && !plot.is_map;
        if tells {
            // Told beside the pointer, not over what it points at.
            drawn = drawn.label_formatter(|_| None);
        }
        let columns = f64::from(size.x) / (x.1 - x.0);
        let bottom = ui.cursor().top() + size.y;
        let shown = drawn.show(ui, |area| items(area, plot, &hidden, columns as f32, theme));
        let painted = Painted { response: shown.response, transform: shown.transform, is_log };
        if !plot.is_map && !plot.x.label.is_empty() {
            painted.explain_x(ui, plot, bottom);
        }
        painted.overlay(ui, plot, &hidden, theme, [beside, over]);
        if tells {
            painted.tell(ui, plot, theme);
        }
        painted.response.widget_info(|| {
            let mut info = WidgetInfo::labeled(Role::Image, true, plot.title.as_str());
            info.current_text_value = Some(plot.spoken()).filter(|words| !words.is_empty());
            info
        });
        painted
    }
}

impl Painted {
    /// The rectangle between the axes.
    pub(crate) fn rect(&self) -> Rect {
        *self.transform.frame()
    }

    /// Where a pair of values lies.
    pub(crate) fn at(&self, [x, y]: [f64; 2]) -> Pos2 {
        let on = |value: f64, is_log: bool| if is_log { value.log10() } else { value };
        self.transform.position_from_point(&PlotPoint::new(on(x, self.is_log[0]), on(y, self.is_log[1])))
    }

    /// The values at a place in the window.
    pub(crate) fn values_at(&self, at: Pos2) -> [f64; 2] {
        let value = self.transform.value_from_position(at);
        let off = |value: f64, is_log: bool| if is_log { 10f64.powf(value) } else { value };
        [off(value.x, self.is_log[0]), off(value.y, self.is_log[1])]
    }

    /// The values under the pointer.
    pub(crate) fn hovered(&self) -> Option<[f64; 2]> {
        let at = self.response.hover_pos().filter(|at| self.rect().contains(*at))?;
        Some(self.values_at(at))
    }

    /// The rectangle of a bar that stands, or lies, at a place.
    pub(crate) fn bar(&self, place: f64, value: f64, is_horizontal: bool) -> Rect {
        let half = BAR_WIDTH / 2.0;
        if is_horizontal {
            Rect::from_two_pos(self.at([0.0, place - half]), self.at([value, place + half]))
        } else {
            let rect = Rect::from_two_pos(self.at([place - half, 0.0]), self.at([place + half, value]));
            let most = rect.width().min(WIDEST);
            Rect::from_center_size(rect.center(), vec2(most, rect.height()))
        }
    }

    /// The values at the pointer, in a box that leaves what lies around the pointer in sight.
    fn tell(&self, ui: &Ui, plot: &Plot, theme: &WindowTheme) {
        let Some(pointer) = self.response.hover_pos().filter(|at| self.rect().contains(*at)) else { return };
        let words = plot.words_at(self.values_at(pointer)[0]);
        if words.is_empty() {
            return;
        }
        let layer = LayerId::new(Order::Tooltip, self.response.id.with("values"));
        let painter = ui.ctx().layer_painter(layer);
        let galley = painter.layout_no_wrap(words.join("\n"), FontId::proportional(SMALL), theme.ink);
        let place = beside(pointer, galley.size() + Vec2::splat(2.0 * PADDING), ui.ctx().content_rect());
        painter.rect(place, 4.0, theme.canvas, Stroke::new(1.0, theme.outline), StrokeKind::Inside);
        painter.galley(place.min + Vec2::splat(PADDING), galley, theme.ink);
    }

    /// What the axis below means, where the pointer is on its numbers or its name.
    fn explain_x(&self, ui: &Ui, plot: &Plot, bottom: f32) {
        let place = Rect::from_x_y_ranges(self.rect().x_range(), self.rect().bottom() + 1.0..=bottom);
        let response = ui.interact(place, self.response.id.with("x"), Sense::hover());
        response.widget_info(|| WidgetInfo::labeled(Role::Label, true, plot.x.label.as_str()));
        naming(&response, OF_AN_AXIS);
        explained(response, &plot.x.label);
    }

    /// The base line, and the words beside limits, points and bars; names of limits have room `beside` and `over` the plot.
    fn overlay(&self, ui: &Ui, plot: &Plot, hidden: &HashSet<String>, theme: &WindowTheme, [beside, over]: [f32; 2]) {
        let rect = self.rect();
        let room = Rect::from_min_max(rect.min - vec2(1.0, over + 1.0), rect.max + vec2(beside.max(1.0), 1.0));
        let painter = ui.painter().with_clip_rect(room.expand(1.0).intersect(ui.clip_rect()));
        if !plot.is_map {
            painter.hline(rect.x_range(), rect.bottom(), Stroke::new(1.0, theme.outline));
        }
        let mut taken: Vec<Rect> = Vec::new();
        let marks = plot.series.iter().filter(|series| series.mark.is_some());
        let marked: Vec<_> = marks.flat_map(|series| &series.points).map(|point| self.at(*point)).collect();
        let bars: Vec<Rect> = plot
            .bars
            .iter()
            .flat_map(|bars| bars.bars.iter().map(move |[place, value]| self.bar(*place, *value, bars.is_horizontal)))
            .collect();
        for limit in plot.limits.iter().filter(|l| !l.name.is_empty()) {
            let ink = color(limit.ink.color(theme.figure));
            let galley = painter.layout_no_wrap(limit.name.clone(), FontId::proportional(SMALL), ink);
            let at = self.at([clamped(limit, plot), clamped(limit, plot)]);
            let places: Vec<Rect> = if limit.is_vertical {
                // What the line begins is to its right, and so is its name, as far as there is room; the first rows are above
                // the plot.
                let left = (at.x + 4.0).min(room.right() - galley.size().x).max(room.left());
                let row = |i: usize| rect.top() - over + 1.0 + ROW * i as f32;
                (0..6).map(|i| Rect::from_min_size(pos2(left, row(i)), galley.size())).collect()
            } else {
                let outside = [0.0, -ROW, ROW, -2.0 * ROW, 2.0 * ROW];
                let outside = outside
                    .map(|by| Align2::LEFT_CENTER.anchor_size(pos2(rect.right() + 4.0, at.y + by), galley.size()));
                let inside = [
                    Align2::RIGHT_BOTTOM.anchor_size(pos2(rect.right() - 2.0, at.y - 2.0), galley.size()),
                    Align2::RIGHT_TOP.anchor_size(pos2(rect.right() - 2.0, at.y + 2.0), galley.size()),
                    Align2::LEFT_BOTTOM.anchor_size(pos2(rect.left() + 4.0, at.y - 2.0), galley.size()),
                    Align2::LEFT_TOP.anchor_size(pos2(rect.left() + 4.0, at.y + 2.0), galley.size()),
                ];
                outside.into_iter().chain(inside).collect()
            };
            let is_free = |r: &&Rect| room.contains_rect(**r) && !taken.iter().any(|t| t.intersects(**r));
            // Words cover as few points and bars as can be.
            let covered = |place: &&Rect| {
                let points = marked.iter().filter(|at| place.expand(3.0).contains(**at)).count();
                points + bars.iter().filter(|bar| bar.intersects(**place)).count()
            };
            if let Some(place) = places.iter().filter(is_free).min_by_key(covered).copied() {
                taken.push(place);
                painter.rect_filled(place.expand(1.0), 2.0, theme.canvas.gamma_multiply(0.85));
                painter.galley(place.min, galley, ink);
            }
        }
        if hidden.is_empty() {
            self.labels(ui, plot, theme, taken);
        }
    }

    fn labels(&self, ui: &Ui, plot: &Plot, theme: &WindowTheme, mut taken: Vec<Rect>) {
        let rect = self.rect();
        let painter = ui.painter().with_clip_rect(rect.expand2(vec2(2.0, 14.0)).intersect(ui.clip_rect()));
        let step = [0, 1].map(|i| (self.transform.dpos_dvalue()[i]).abs() as f32);
        let ink = if plot.is_map { theme.ink } else { theme.muted };
        if plot.is_map {
            taken.extend(
                plot.labels.iter().map(|l| Rect::from_center_size(self.at(l.at), Vec2::splat(2.0 * PLACE + 2.0))),
            );
        }
        // Of numbers above bars all are there or none; where they are tight, the axis says that they are percentages.
        let layout = |text: &str, size: f32| painter.layout_no_wrap(text.to_owned(), FontId::proportional(size), ink);
        let is_above = |label: &&Label| label.side == LabelSide::Above;
        let widest = |is_bare: bool| {
            let shown = |label: &Label| layout(part(label, is_bare), 10.0).size().x;
            plot.labels.iter().filter(is_above).map(shown).fold(0.0, f32::max)
        };
        let is_bare = widest(false) + 4.0 > step[0];
        let has_room = !is_bare || widest(true) + 4.0 <= step[0];
        // A limit would strike words through.
        let is_crossed = |place: Rect| {
            plot.limits.iter().any(|limit| {
                let at = self.at([clamped(limit, plot); 2]);
                if limit.is_vertical { place.x_range().contains(at.x) } else { place.y_range().contains(at.y) }
            })
        };
        for label in &plot.labels {
            let size = if label.side == LabelSide::Free { SMALL } else { 10.0 };
            let galley = layout(part(label, is_bare && label.side == LabelSide::Above), size);
            let (at, gap) = (self.at(label.at), PLACE + 4.0);
            let sides = match label.side {
                LabelSide::Above if !has_room => continue,
                LabelSide::Right if step[1] < 10.0 => continue,
                LabelSide::Above => vec![Align2::CENTER_BOTTOM.anchor_size(at - vec2(0.0, 2.0), galley.size())],
                LabelSide::Right => vec![Align2::LEFT_CENTER.anchor_size(at + vec2(6.0, 0.0), galley.size())],
                LabelSide::Free => vec![
                    Align2::LEFT_CENTER.anchor_size(at + vec2(gap, 0.0), galley.size()),
                    Align2::RIGHT_CENTER.anchor_size(at - vec2(gap, 0.0), galley.size()),
                    Align2::CENTER_BOTTOM.anchor_size(at - vec2(0.0, gap - 2.0), galley.size()),
                    Align2::CENTER_TOP.anchor_size(at + vec2(0.0, gap - 2.0), galley.size()),
                ],
            };
            let room = rect.expand2(vec2(0.0, 14.0));
            let is_free = |r: &&Rect| room.contains_rect(**r) && !taken.iter().any(|t| t.intersects(r.shrink(1.0)));
            if let Some(place) = sides.iter().find(is_free).copied() {
                taken.push(place);
                if is_crossed(place) {
                    painter.rect_filled(place, 2.0, theme.canvas.gamma_multiply(0.85));
                }
                painter.galley(place.min, galley, ink);
            }
        }
    }
}

/// The words of a label, or the number in them alone.
fn part(label: &Label, is_bare: bool) -> &str {
    if is_bare { label.text.trim_end_matches('%').trim_end() } else { &label.text }
}

/// Height of a row of names.
const ROW: f32 = 14.0;
/// Half of the last tick's label reaches beyond a plot.
const HALF_TICK: f32 = 18.0;

/// Room at the right of a plot that is `wide` with it: for the names of horizontal limits where that leaves most to the data.
fn room_beside(ui: &Ui, plot: &Plot, wide: f32) -> f32 {
    let name = |limit: &Limit| {
        let font = FontId::proportional(SMALL);
        ui.painter().layout_no_wrap(limit.name.clone(), font, Color32::PLACEHOLDER).size().x + 6.0
    };
    let named = plot.limits.iter().filter(|limit| !limit.is_vertical && !limit.name.is_empty());
    // In steps, so that the plot keeps its width while a number in a name moves.
    let widest = (named.map(name).fold(HALF_TICK, f32::max) / HALF_TICK).ceil() * HALF_TICK;
    if widest <= 0.25 * wide { widest } else { HALF_TICK }
}

/// Room above a plot for the names of vertical limits, in two rows where there are several.
fn room_over(plot: &Plot) -> f32 {
    let names = plot.limits.iter().filter(|limit| limit.is_vertical && !limit.name.is_empty()).count();
    ROW * names.min(2) as f32
}

/// Room between the words at the pointer and the edge of their box.
const PADDING: f32 = 6.0;
/// Distance of the box from the pointer, across and down.
const AWAY: f32 = 22.0;

/// Where a box of `size` stands beside the pointer within `room`: to the right and below, or on the other side where it would
/// not fit there.
fn beside(pointer: Pos2, size: Vec2, room: Rect) -> Rect {
    let place = |at: f32, size: f32, (low, high): (f32, f32)| match at + AWAY + size <= high {
        true => at + AWAY,
        false => (at - AWAY - size).max(low),
    };
    let x = place(pointer.x, size.x, (room.left(), room.right()));
    let y = place(pointer.y, size.y, (room.top(), room.bottom()));
    Rect::from_min_size(pos2(x, y), size)
}

/// Where a limit is drawn: at the end of its axis where it lies beyond.
fn clamped(limit: &Limit, plot: &Plot) -> f64 {
    let axis = if limit.is_vertical { &plot.x } else { &plot.y };
    limit.value.clamp(axis.low, axis.high)
}

/// The ends of an axis as `egui_plot` counts: a logarithmic one in powers of ten.
fn ends(axis: &Axis) -> (f64, f64) {
    if axis.is_log { (axis.low.log10(), axis.high.log10()) } else { (axis.low, axis.high) }
}

/// The ends of both axes of a map, which fills `size` without changing the ratio of distances.
fn square(plot: &Plot, size: Vec2) -> ((f64, f64), (f64, f64)) {
    let room = (size - Vec2::splat(2.0 * AROUND)).max(Vec2::splat(10.0));
    let spans = [plot.x.high - plot.x.low, plot.y.high - plot.y.low];
    let unit = (spans[0] / f64::from(room.x)).max(spans[1] / f64::from(room.y));
    let about = |axis: &Axis, side: f32| {
        let (middle, half) = ((axis.low + axis.high) / 2.0, unit * f64::from(side) / 2.0);
        (middle - half, middle + half)
    };
    (about(&plot.x, size.x), about(&plot.y, size.y))
}

/// The ticks of an axis over what is seen of it, one for about every `apart` points.
fn marks(axis: &Axis, apart: f64) -> impl Fn(GridInput) -> Vec<GridMark> + '_ {
    move |seen| {
        // The smallest step is 8 points wide.
        let points = (seen.bounds.1 - seen.bounds.0) / seen.base_step_size * 8.0;
        // One tick alone says nothing of the scale.
        let count = (points / apart).max(2.0) as usize;
        let finer = (count..count + 4).map(|count| closer(axis, seen.bounds, count)).find(|axis| axis.ticks.len() > 1);
        let axis = finer.unwrap_or_else(|| closer(axis, seen.bounds, count));
        let place = |tick: &f64| if axis.is_log { tick.log10() } else { *tick };
        let places: Vec<f64> = axis.ticks.iter().map(place).collect();
        let step = places.windows(2).map(|w| w[1] - w[0]).fold(f64::INFINITY, f64::min);
        let step_size = if step.is_finite() { step } else { seen.bounds.1 - seen.bounds.0 };
        places.into_iter().map(|value| GridMark { value, step_size }).collect()
    }
}

fn closer(axis: &Axis, (low, high): (f64, f64), count: usize) -> Axis {
    if axis.is_log { axis.over(10f64.powf(low), 10f64.powf(high), count) } else { axis.over(low, high, count) }
}

/// How an axis is written; `from_end` says whether a tick at its very beginning has a label.
fn hints<'a>(axis: &'a Axis, hints: AxisHints<'a>, theme: &WindowTheme, from_end: bool) -> AxisHints<'a> {
    let written = move |mark: GridMark, seen: &std::ops::RangeInclusive<f64>| {
        if !from_end && (mark.value - seen.start()).abs() < 1e-6 * (seen.end() - seen.start()) {
            return String::new();
        }
        if let Some(name) = axis.names.get(mark.value.round().max(0.0) as usize) {
            return name.clone();
        }
        if axis.is_log {
            return axis.unit.format(10f64.powf(mark.value));
        }
        // The prefix is that of the largest number in sight, so that all ticks share it.
        let largest = seen.start().abs().max(seen.end().abs());
        axis.unit.labels(&[mark.value, largest], mark.step_size).swap_remove(0)
    };
    hints
        .formatter(written)
        .tick_label_color(theme.muted)
        .tick_label_font(FontId::proportional(SMALL))
        .label_spacing(Rangef::new(1.0, 2.0))
}

fn axis_label(axis: &Axis, theme: &WindowTheme) -> RichText {
    RichText::new(&axis.label).size(SMALL).color(theme.muted)
}

/// Width of the labels of a vertical axis.
fn thickness(axis: &Axis) -> f32 {
    let widest = axis.tick_labels().iter().map(|l| l.chars().count()).max().unwrap_or(1);
    12.0 + widest as f32 * 6.2
}

/// Adds everything that is not hidden; `column` is the width of one unit of the horizontal axis in points.
fn items(area: &mut PlotUi<'_>, plot: &Plot, hidden: &HashSet<String>, column: f32, theme: &WindowTheme) {
    let ink = |ink: Ink| color(ink.color(theme.figure));
    let is_shown = |name: &String| !hidden.contains(name);
    let on = |[x, y]: [f64; 2]| [if plot.x.is_log { x.log10() } else { x }, if plot.y.is_log { y.log10() } else { y }];
    for band in plot.bands.iter().filter(|b| is_shown(&b.name)) {
        let points: Vec<[f64; 3]> = band.points.iter().copied().filter(|p| p.iter().all(|v| v.is_finite())).collect();
        let low: Vec<[f64; 2]> = points.iter().map(|[x, low, _]| on([*x, *low])).collect();
        let high: Vec<[f64; 2]> = points.iter().map(|[x, _, high]| on([*x, *high])).collect();
        let of = |points: &[[f64; 2]], i: usize| points.iter().map(|p| p[i]).collect::<Vec<f64>>();
        let fill = ink(band.ink).gamma_multiply(BAND_OPACITY as f32);
        area.add(FilledArea::new("", &of(&low, 0), &of(&low, 1), &of(&high, 1)).fill_color(fill).id(&band.name));
    }
    for (i, bars) in plot.bars.iter().enumerate().filter(|(_, b)| is_shown(&b.name)) {
        let lanes = bars.lane.1 as f64;
        let widest = lanes * f64::from(WIDEST / column.max(1e-3));
        let together = if bars.is_horizontal { BAR_WIDTH } else { BAR_WIDTH.min(widest) };
        let fill = ink(bars.ink);
        let bar = |[place, value]: &[f64; 2]| {
            Bar::new(place + bars.shift(together), *value).width(bars.lane_width(together)).fill(fill)
        };
        let chart = BarChart::new("", bars.bars.iter().map(bar).collect()).color(fill).id(("bars", i));
        let chart = if bars.is_horizontal { chart.horizontal() } else { chart.vertical() };
        area.bar_chart(chart.allow_hover(false));
    }
    for (i, limit) in plot.limits.iter().enumerate() {
        let stroke = Stroke::new(limit.line.width as f32, ink(limit.ink));
        let style = style(limit.line.is_dashed);
        let value = on([clamped(limit, plot); 2])[usize::from(!limit.is_vertical)];
        if limit.is_vertical {
            area.vline(VLine::new("", value).stroke(stroke).style(style).id(("limit", i)));
        } else {
            area.hline(HLine::new("", value).stroke(stroke).style(style).id(("limit", i)));
        }
    }
    let seen = area.plot_bounds();
    for (i, series) in plot.series.iter().enumerate().filter(|(_, s)| is_shown(&s.name)) {
        let points = drawn(series, plot, &seen).into_iter().map(on).collect();
        let radius = if plot.is_map && plot.labels.is_empty() {
            MARK + 0.4
        } else if plot.is_map {
            PLACE
        } else {
            MARK
        };
        add_series(area, i, series, points, ink(series.ink), radius, theme);
    }
}

/// The points of a series within what is seen.
fn drawn(series: &Series, plot: &Plot, seen: &PlotBounds) -> Vec<[f64; 2]> {
    let [low, high] = [seen.min()[0], seen.max()[0]];
    if plot.x.is_log { series.drawn(10f64.powf(low), 10f64.powf(high)) } else { series.drawn(low, high) }
}

fn add_series(
    area: &mut PlotUi<'_>,
    i: usize,
    series: &Series,
    points: Vec<[f64; 2]>,
    ink: Color32,
    size: f32,
    theme: &WindowTheme,
) {
    let is_whole = |p: &[f64; 2]| p.iter().all(|v| v.is_finite());
    if let Some(line) = series.line {
        for (k, piece) in points.split(|p| !is_whole(p)).enumerate().filter(|(_, piece)| !piece.is_empty()) {
            let stroke = Stroke::new(line.width as f32, ink);
            let line = Line::new(series.name.as_str(), piece.to_vec()).stroke(stroke).style(style(line.is_dashed));
            area.line(line.id(("line", i, k)));
        }
    }
    let Some(mark) = series.mark else { return };
    let centers: Vec<[f64; 2]> = points.into_iter().filter(is_whole).collect();
    let points = |part: &str, radius: f32, color: Color32| {
        Points::new(series.name.as_str(), centers.clone()).radius(radius).color(color).id((part.to_owned(), i))
    };
    match mark {
        Mark::Dot(marker) => {
            area.points(points("edge", size + 1.2, theme.canvas).shape(shape(marker)).allow_hover(false));
            area.points(points("dot", size, ink).shape(shape(marker)));
        }
        Mark::Hollow(marker) => {
            area.points(points("edge", size + 0.6, ink).shape(shape(marker)));
            area.points(points("dot", size - 1.2, theme.canvas).shape(shape(marker)).allow_hover(false));
        }
        // The stroke is a fifth of the radius.
        Mark::Ring => area.points(points("ring", RING, ink).filled(false).shape(MarkerShape::Circle)),
    }
}

fn style(is_dashed: bool) -> LineStyle {
    if is_dashed { LineStyle::Dashed { length: 5.0 } } else { LineStyle::Solid }
}

fn shape(marker: Marker) -> MarkerShape {
    match marker {
        Marker::Circle => MarkerShape::Circle,
        Marker::Square => MarkerShape::Square,
        Marker::Diamond => MarkerShape::Diamond,
        Marker::Triangle => MarkerShape::Up,
        Marker::Wedge => MarkerShape::Down,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_stand_beside_what_the_pointer_points_at() {
        let room = Rect::from_min_size(Pos2::ZERO, vec2(1000.0, 640.0));
        for size in [vec2(180.0, 40.0), vec2(420.0, 260.0)] {
            for at in [[5.0, 5.0], [500.0, 300.0], [990.0, 10.0], [10.0, 630.0], [995.0, 635.0]] {
                let place = beside(pos2(at[0], at[1]), size, room);
                assert!(room.contains_rect(place), "{at:?} {place:?}");
                let near = Rect::from_center_size(pos2(at[0], at[1]), Vec2::splat(2.0 * AWAY - 1.0));
                assert!(!place.intersects(near), "{at:?} {place:?}");
            }
        }
    }
}
