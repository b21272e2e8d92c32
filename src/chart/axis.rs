//! Where numbers lie along an axis, and which of them are written.

use super::number::Unit;

/// One axis of a plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// What it measures, with the unit where the ticks do not say it.
    pub label: String,
    /// How ticks are written.
    pub unit: Unit,
    /// Value at the beginning.
    pub low: f64,
    /// Value at the end, larger than `low`.
    pub high: f64,
    /// Values that are marked, ascending.
    pub ticks: Vec<f64>,
    /// Equal ratios, rather than differences, are equally long.
    pub is_log: bool,
    /// What stands at 0, 1, .. in place of numbers; empty for an axis of numbers.
    pub names: Vec<String>,
    /// Only whole numbers are marked.
    is_whole: bool,
    step: f64,
}

impl Axis {
    /// An axis around `low..=high` with about `count` ticks: it ends at the next tick where that is near, otherwise a
    /// little beyond the range, so that data fill the plot.
    pub fn linear(label: impl Into<String>, unit: Unit, range: (f64, f64), count: usize) -> Self {
        let (low, high) = sane(range);
        let span = high - low;
        let step = TickStep::nice(span, count);
        let end =
            |value: f64, tick: f64, room: f64| if (tick - value).abs() <= 0.15 * span { tick } else { value + room };
        let low = end(low, step.at(step.index(low).floor()), -0.04 * span);
        let high = end(high, step.at(step.index(high).ceil()), 0.04 * span);
        Self::plain(label.into(), unit, (low, high), step)
    }

    fn plain(label: String, unit: Unit, (low, high): (f64, f64), step: TickStep) -> Self {
        let (ticks, step) = (step.inside(low, high), step.value());
        Self { label, unit, low, high, ticks, is_log: false, names: Vec::new(), is_whole: false, step }
    }

    /// An axis that ends exactly at `low` and `high`; about `count` ticks between.
    pub fn exact(label: impl Into<String>, unit: Unit, range: (f64, f64), count: usize) -> Self {
        let (low, high) = sane(range);
        Self::plain(label.into(), unit, (low, high), TickStep::nice(high - low, count))
    }

    /// An axis of whole numbers with half a step of room at both ends, as bars need it.
    pub fn integers(label: impl Into<String>, first: usize, last: usize, count: usize) -> Self {
        let (low, high) = (first as f64, last.max(first) as f64);
        let step = TickStep::whole(high - low, count);
        let ticks = step.inside(low, high);
        let axis = Self::plain(label.into(), Unit::Count, (low - 0.5, high + 0.5), step);
        Self { ticks, is_whole: true, ..axis }
    }

    /// An axis of things in a row, as bars need it: `names[i]` stands at `i`, all of them are marked.
    pub fn named(label: impl Into<String>, names: Vec<String>) -> Self {
        let last = names.len().saturating_sub(1);
        let axis = Self::integers(label, 0, last, last);
        Self { ticks: (0..names.len()).map(|i| i as f64).collect(), names, ..axis }
    }

    /// The same axis between other ends, as where a person looks closer, with about `count` ticks.
    #[must_use]
    pub fn over(&self, low: f64, high: f64, count: usize) -> Self {
        let (label, unit) = (self.label.clone(), self.unit);
        if self.is_log {
            let (low, high) = sane((low, high));
            let axis = Self::log(label, unit, (low, high), count);
            return Self { low, high, ..axis };
        }
        let axis = Self::exact(label, unit, (low, high), count);
        if !self.is_whole {
            return axis;
        }
        let step = TickStep::whole(high - low, count);
        let ticks = step.inside(low, high);
        let most = self.names.len() as f64;
        let is_there = |tick: &f64| most == 0.0 || (*tick >= 0.0 && *tick < most);
        let ticks = ticks.into_iter().filter(is_there).collect();
        Self { ticks, is_whole: true, names: self.names.clone(), step: step.value(), ..axis }
    }

    /// Whether only whole numbers are marked.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// A logarithmic axis; values that are not positive cannot lie on it, so the range is cut to those that are.
    pub fn log(label: impl Into<String>, unit: Unit, range: (f64, f64), count: usize) -> Self {
        let high = if range.1 > 0.0 && range.1.is_finite() { range.1 } else { 1.0 };
        let low = if range.0 > 0.0 && range.0 < high { range.0 } else { high / 10.0 };
        let (low, high) = sane((low, high));
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        let decades = (high / low).log10();
        let count = count.max(2);
        let powers = |mantissas: &[f64], stride: usize| -> Vec<f64> {
            (first..=last)
                .step_by(stride)
                .flat_map(|e| mantissas.iter().map(move |m| m * 10f64.powi(e)))
                .filter(|t| (low * 0.999_999..=high * 1.000_001).contains(t))
                .collect()
        };
        let ticks = if decades * 3.0 <= count as f64 {
            let fine = powers(&[1.0, 2.0, 3.0, 5.0, 7.0], 1);
            // Less than one mantissa apart: nothing logarithmic is left to see.
            if fine.len() >= 3 { fine } else { TickStep::nice(high - low, count).inside(low, high) }
        } else if decades * 2.0 <= count as f64 {
            powers(&[1.0, 2.0, 5.0], 1)
        } else {
            powers(&[1.0], (decades / count as f64).ceil().max(1.0) as usize)
        };
        let step = ticks.windows(2).map(|w| w[1] - w[0]).fold(f64::INFINITY, f64::min);
        let step = if step.is_finite() { step } else { low };
        Self { label: label.into(), unit, low, high, ticks, is_log: true, names: Vec::new(), is_whole: false, step }
    }

    /// Where `value` lies: 0 at `low`, 1 at `high`, outside beyond; NaN where it cannot lie on the axis.
    pub fn position(&self, value: f64) -> f64 {
        if self.is_log {
            if value > 0.0 { (value / self.low).ln() / (self.high / self.low).ln() } else { f64::NAN }
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    /// How each of the ticks is written.
    pub fn tick_labels(&self) -> Vec<String> {
        if !self.names.is_empty() {
            self.ticks.iter().map(|t| self.names.get(*t as usize).cloned().unwrap_or_default()).collect()
        } else if self.is_log {
            self.ticks.iter().map(|t| self.unit.format(*t)).collect()
        } else {
            self.unit.labels(&self.ticks, self.step)
        }
    }
}

/// The smallest and largest finite value; `None` where there is none.
pub fn extent(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().filter(|v| v.is_finite()).fold(None, |range, v| match range {
        None => Some((v, v)),
        Some((low, high)) => Some((v.min(low), v.max(high))),
    })
}

/// A range with room in it: ordered, finite, not empty.
fn sane((low, high): (f64, f64)) -> (f64, f64) {
    const LIMIT: f64 = 1e300;
    if !(low.is_finite() && high.is_finite()) {
        return (0.0, 1.0);
    }
    let (low, high) = (low.min(high).clamp(-LIMIT, LIMIT), high.max(low).clamp(-LIMIT, LIMIT));
    let size = low.abs().max(high.abs());
    if high - low > size * 1e-9 {
        (low, high)
    } else if size == 0.0 {
        (0.0, 1.0)
    } else {
        (low - size * 0.05, high + size * 0.05)
    }
}

/// A distance between ticks: 1, 2 or 5 times a power of ten, kept apart so that multiples round once.
#[derive(Clone, Copy, Debug)]
struct TickStep {
    mantissa: f64,
    exponent: i32,
}

impl TickStep {
    fn nice(span: f64, count: usize) -> Self {
        // A plot too small for any tick still has a step.
        let raw = span / count.max(1) as f64;
        let exponent = raw.log10().floor() as i32;
        // A little slack, so that a span of exactly `count` steps is not pushed to the next by rounding.
        let share = raw / 10f64.powi(exponent) * 0.999_999;
        let (mantissa, exponent) = match share {
            s if s <= 1.0 => (1.0, exponent),
            s if s <= 2.0 => (2.0, exponent),
            s if s <= 5.0 => (5.0, exponent),
            _ => (1.0, exponent + 1),
        };
        Self { mantissa, exponent }
    }

    fn whole(span: f64, count: usize) -> Self {
        if span <= count as f64 { Self { mantissa: 1.0, exponent: 0 } } else { Self::nice(span, count) }
    }

    fn value(self) -> f64 {
        self.at(1.0)
    }

    fn at(self, index: f64) -> f64 {
        let scaled = index * self.mantissa;
        if self.exponent < 0 { scaled / 10f64.powi(-self.exponent) } else { scaled * 10f64.powi(self.exponent) }
    }

    /// How many steps `value` is from 0, snapped to whole ones that rounding has missed.
    fn index(self, value: f64) -> f64 {
        let index = value / self.value();
        if (index - index.round()).abs() < 1e-6 { index.round() } else { index }
    }

    fn ticks(self, first: f64, last: f64) -> Vec<f64> {
        let count = (last - first).clamp(0.0, 1000.0) as usize;
        (0..=count).map(|k| self.at(first + k as f64)).collect()
    }

    fn inside(self, low: f64, high: f64) -> Vec<f64> {
        let (first, last) = (self.index(low).ceil(), self.index(high).floor());
        if first > last { Vec::new() } else { self.ticks(first, last) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
        Axis::linear("", Unit::Plain, (low, high), count).ticks
    }

    #[test]
    fn ticks_are_round_numbers_without_rounding_dust() {
        assert_eq!(ticks(0.0, 1.0, 5), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_eq!(ticks(-0.07, 0.36, 5), [-0.1, 0.0, 0.1, 0.2, 0.3, 0.4]);
        assert_eq!(ticks(0.0, 0.3, 3), [0.0, 0.1, 0.2, 0.3]);
        assert_eq!(ticks(18.6, 21.9, 4), [19.0, 20.0, 21.0, 22.0]);
        assert_eq!(ticks(0.0, 44e6, 5), [0.0, 1e7, 2e7, 3e7, 4e7, 5e7]);
    }

    #[test]
    fn every_range_gives_a_usable_axis() {
        let ranges = [
            (0.0, 0.0),
            (5.0, 5.0),
            (-3.0, -3.0),
            (1e9, 1e9 + 1e-7),
            (f64::NAN, 1.0),
            (f64::NEG_INFINITY, f64::INFINITY),
            (-1e308, 1e308),
            (1e-300, 2e-300),
            (3.0, -3.0),
            (0.0, 1e-12),
        ];
        for range in ranges {
            for count in [0, 1, 2, 5, 12] {
                for axis in [
                    Axis::linear("", Unit::Plain, range, count),
                    Axis::exact("", Unit::Count, range, count),
                    Axis::log("", Unit::Bytes, range, count),
                ] {
                    assert!(axis.low < axis.high && axis.low.is_finite() && axis.high.is_finite(), "{range:?}");
                    assert!(axis.ticks.len() <= 4 * count.max(2) + 2, "{range:?} {count}: {}", axis.ticks.len());
                    assert!(axis.ticks.windows(2).all(|w| w[0] < w[1]), "{range:?} {axis:?}");
                    assert_eq!(axis.tick_labels().len(), axis.ticks.len());
                }
            }
        }
    }

    #[test]
    fn axes_end_at_near_ticks_or_hold_their_range() {
        let near = Axis::linear("", Unit::Plain, (0.07, 0.93), 4);
        assert_eq!((near.low, near.high), (0.0, 1.0));
        // The next ticks, -2 and 2, would leave half of the plot empty: 4 % of 2.02 is left instead.
        let far = Axis::linear("", Unit::Plain, (-1.01, 1.01), 4);
        assert!((far.low + 1.0908).abs() < 1e-12 && (far.high - 1.0908).abs() < 1e-12);
        assert_eq!(far.ticks, [-1.0, 0.0, 1.0]);
        let exact = Axis::exact("", Unit::Plain, (0.13, 0.87), 4);
        assert_eq!((exact.low, exact.high), (0.13, 0.87));
        assert_eq!(exact.ticks, [0.2, 0.4, 0.6, 0.8]);
        assert_eq!((exact.position(0.13), exact.position(0.87)), (0.0, 1.0));
    }

    #[test]
    fn counts_have_whole_ticks() {
        assert_eq!(Axis::integers("", 0, 7, 16).ticks, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        assert_eq!(Axis::integers("", 0, 127, 8).ticks, [0.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0]);
        let one = Axis::integers("", 3, 3, 8);
        assert_eq!((one.low, one.high, one.ticks.as_slice()), (2.5, 3.5, &[3.0][..]));
    }

    #[test]
    fn a_closer_look_has_ticks_of_its_own() {
        let axis = Axis::exact("", Unit::Plain, (0.0, 100.0), 5);
        assert_eq!(axis.over(10.0, 11.0, 5).tick_labels(), ["10.0", "10.2", "10.4", "10.6", "10.8", "11.0"]);
        let whole = Axis::integers("", 0, 7, 8);
        assert_eq!(whole.over(2.2, 4.4, 8).ticks, [3.0, 4.0]);
        let named = Axis::named("", ["c", "a", "b"].map(str::to_owned).to_vec());
        assert_eq!((named.low, named.high, named.tick_labels().concat()), (-0.5, 2.5, "cab".to_owned()));
        assert_eq!(named.over(-0.5, 1.5, 4).tick_labels(), ["c", "a"]);
        let log = Axis::log("", Unit::Count, (1.0, 1000.0), 4).over(9.0, 1100.0, 4);
        assert_eq!((log.low, log.high, log.ticks.as_slice()), (9.0, 1100.0, &[10.0, 100.0, 1000.0][..]));
    }

    #[test]
    fn logarithmic_axes_mark_powers() {
        let axis = Axis::log("", Unit::Count, (1.0, 1000.0), 4);
        assert_eq!(axis.ticks, [1.0, 10.0, 100.0, 1000.0]);
        assert!((axis.position(10.0) - 1.0 / 3.0).abs() < 1e-12);
        assert!(axis.position(0.0).is_nan());
        assert_eq!(Axis::log("", Unit::Count, (10.0, 100.0), 5).ticks, [10.0, 20.0, 30.0, 50.0, 70.0, 100.0]);
    }
}
