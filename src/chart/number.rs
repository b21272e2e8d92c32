//! Numbers as people read them: few digits, a prefix for large ones, a unit.

use crate::words::printed;

/// What a number counts, which decides how it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// A measurement without unit: `0.123`, `12.3`, `1.2e-5`.
    #[default]
    Plain,
    /// A share of one, written as percent: `21.3 %`.
    Share,
    /// How many: `12`, `3400`, `1.2 M`.
    Count,
    /// Bytes in powers of 1000: `512 B`, `3.4 GB`.
    Bytes,
}

const COUNTS: [&str; 5] = ["", " k", " M", " G", " T"];
const BYTES: [&str; 5] = [" B", " kB", " MB", " GB", " TB"];

impl Unit {
    /// One number with three significant digits.
    pub fn format(self, value: f64) -> String {
        if !value.is_finite() {
            return if value.is_nan() { "–".to_owned() } else { signed(value, "∞".to_owned()) };
        }
        let magnitude = value.abs();
        let (divisor, suffix) = self.prefix(magnitude);
        let scaled = magnitude / divisor;
        let whole = self != Self::Plain && magnitude.fract() == 0.0 && divisor == 1.0;
        let text = if whole {
            format!("{scaled:.0}")
        } else if self == Self::Plain && magnitude != 0.0 && !(1e-4..1e6).contains(&magnitude) {
            exponent(magnitude, 2)
        } else {
            // Hundredths of a percent are as fine as a share needs.
            trimmed(significant(scaled, 3, if self == Self::Share { 2 } else { 8 }))
        };
        signed(value, text + suffix)
    }

    /// The numbers of an axis whose ticks are `step` apart: equal prefixes and decimals.
    pub fn labels(self, ticks: &[f64], step: f64) -> Vec<String> {
        let largest = ticks.iter().fold(0.0, |m: f64, t| m.max(t.abs()));
        let (divisor, suffix) = self.prefix(largest);
        if self == Self::Plain && largest != 0.0 && (largest >= 1e6 || step < 1e-4) {
            let digits = (largest.log10().floor() - step.log10().floor()).clamp(0.0, 6.0) as usize;
            return ticks
                .iter()
                .map(|t| if *t == 0.0 { "0".to_owned() } else { signed(*t, exponent(t.abs(), digits)) })
                .collect();
        }
        let decimals = decimals(step / divisor);
        let write = |t: &f64| {
            if *t == 0.0 && self != Self::Share {
                return "0".to_owned();
            }
            signed(*t, format!("{:.decimals$}{suffix}", t.abs() / divisor))
        };
        ticks.iter().map(write).collect()
    }

    /// The change from `before` to `after`, e.g. `−21.3 %`; `None` where there was nothing.
    pub fn change(before: f64, after: f64) -> Option<String> {
        if before == 0.0 || !before.is_finite() || !after.is_finite() {
            return None;
        }
        let change = after / before - 1.0;
        let text = Self::Share.format(change);
        Some(if change > 0.0 { format!("+{text}") } else { text })
    }

    fn prefix(self, magnitude: f64) -> (f64, &'static str) {
        match self {
            Self::Plain => (1.0, ""),
            Self::Share => (0.01, " %"),
            Self::Count | Self::Bytes => {
                let names = if self == Self::Count { COUNTS } else { BYTES };
                // Four digits read well without a prefix; 999.6 k would round to 1000 k.
                let mut index = if magnitude < 9999.5 { 0 } else { 1 };
                while index > 0 && index + 1 < names.len() && magnitude >= 999.5 * 1000f64.powi(index as i32) {
                    index += 1;
                }
                (1000f64.powi(index as i32), names[index])
            }
        }
    }
}

/// With the minus sign of print, which is as wide as a plus.
fn signed(value: f64, text: String) -> String {
    let is_zero = !text.contains(|c: char| ('1'..='9').contains(&c) || c == '∞');
    if value < 0.0 && !is_zero { printed(format!("-{text}")) } else { text }
}

fn significant(magnitude: f64, digits: i32, most_decimals: i32) -> String {
    if magnitude == 0.0 {
        return "0".to_owned();
    }
    let decimals = (digits - 1 - magnitude.log10().floor() as i32).clamp(0, most_decimals) as usize;
    format!("{magnitude:.decimals$}")
}

fn trimmed(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn exponent(magnitude: f64, digits: usize) -> String {
    let text = format!("{magnitude:.digits$e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => printed(format!("{}e{exponent}", trimmed(mantissa.to_owned()))),
        None => text,
    }
}

/// Decimals that tell multiples of `step` apart.
fn decimals(step: f64) -> usize {
    (0..9)
        .find(|d| {
            let scaled = step * 10f64.powi(*d as i32);
            (scaled - scaled.round()).abs() < 1e-6 * scaled.max(1.0) && scaled.round() >= 1.0
        })
        .unwrap_or(9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_carry_prefixes_and_units() {
        for (unit, value, text) in [
            (Unit::Count, 0.0, "0"),
            (Unit::Count, 12.0, "12"),
            (Unit::Count, 3400.0, "3400"),
            (Unit::Count, 12_340.0, "12.3 k"),
            (Unit::Count, 999_600.0, "1 M"),
            (Unit::Count, 1.2e6, "1.2 M"),
            (Unit::Count, 7.03e9, "7.03 G"),
            (Unit::Bytes, 512.0, "512 B"),
            (Unit::Bytes, 3.4e9, "3.4 GB"),
            (Unit::Bytes, 4.5e15, "4500 TB"),
            (Unit::Share, 0.2134, "21.3 %"),
            (Unit::Share, -0.321, "−32.1 %"),
            (Unit::Share, 1.0, "100 %"),
            (Unit::Share, -0.000_000_000_1, "0 %"),
            (Unit::Plain, 0.123_46, "0.123"),
            (Unit::Plain, 34.46, "34.5"),
            (Unit::Plain, 1.2e-5, "1.2e−5"),
            (Unit::Plain, -2.5e9, "−2.5e9"),
            (Unit::Plain, 3.0, "3"),
            (Unit::Plain, f64::NAN, "–"),
            (Unit::Plain, f64::NEG_INFINITY, "−∞"),
        ] {
            assert_eq!(unit.format(value), text, "{unit:?} {value}");
        }
    }

    #[test]
    fn labels_of_one_axis_agree() {
        assert_eq!(Unit::Plain.labels(&[0.0, 0.25, 0.5], 0.25), ["0", "0.25", "0.50"]);
        assert_eq!(Unit::Plain.labels(&[-0.2, 0.0, 0.2], 0.2), ["−0.2", "0", "0.2"]);
        assert_eq!(Unit::Share.labels(&[0.0, 0.5, 1.0], 0.5), ["0 %", "50 %", "100 %"]);
        assert_eq!(Unit::Count.labels(&[0.0, 5e5, 1e6], 5e5), ["0", "0.5 M", "1.0 M"]);
        assert_eq!(Unit::Bytes.labels(&[0.0, 2e9], 2e9), ["0", "2 GB"]);
        assert_eq!(Unit::Plain.labels(&[0.0, 2e-6], 2e-6), ["0", "2e−6"]);
        assert_eq!(Unit::Plain.labels(&[1.0e7, 1.5e7], 5e6), ["1e7", "1.5e7"]);
    }

    #[test]
    fn changes_are_relative() {
        assert_eq!(Unit::change(44e6, 29.876e6).as_deref(), Some("−32.1 %"));
        assert_eq!(Unit::change(9.9, 19.0).as_deref(), Some("+91.9 %"));
        assert_eq!(Unit::change(0.0, 1.0), None);
        assert_eq!(Unit::change(5.0, 5.0).as_deref(), Some("0 %"));
    }
}
