//! Numbers as typed: each is refused with the range that it must lie in.

use std::ops::{Bound, RangeBounds};

use crate::error::{Error, Result};

/// Reads a whole number within `range`.
pub(super) fn whole<T: TryFrom<u64> + 'static>(
    range: impl RangeBounds<u64> + 'static,
) -> impl Fn(&str) -> Result<T> + Clone + Send + Sync + 'static {
    let least = match range.start_bound() {
        Bound::Included(least) => *least,
        Bound::Excluded(below) => below.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let most = match range.end_bound() {
        Bound::Included(most) => Some(*most),
        Bound::Excluded(above) => Some(above.saturating_sub(1)),
        Bound::Unbounded => None,
    };
    move |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        let number = text.parse::<u64>().ok();
        let found = number.filter(|n| *n >= least && most.is_none_or(|most| *n <= most));
        found.and_then(|n| T::try_from(n).ok()).ok_or_else(|| {
            Error::usage(match most {
                Some(most) => format!("give a whole number from {least} to {most}"),
                None if is_number && number.is_none_or(|n| n >= least) => "this number is too large".to_owned(),
                None => format!("give a whole number of at least {least}"),
            })
        })
    }
}

/// Reads a number above 0.
pub(super) fn positive(text: &str) -> Result<f64> {
    real(text, |n| n > 0.0, "give a number above 0")
}

/// Reads a number of at least 0.
pub(super) fn at_least_zero(text: &str) -> Result<f64> {
    real(text, |n| n >= 0.0, "give a number of at least 0")
}

/// Reads a number from 0 to 1, or the same as a percentage.
pub(super) fn share(text: &str) -> Result<f64> {
    let advice = "give a number from 0 to 1, or a percentage such as 70%";
    match text.strip_suffix('%') {
        Some(percent) => Ok(real(percent.trim_end(), |n| (0.0..=100.0).contains(&n), advice)? / 100.0),
        None => real(text, |n| (0.0..=1.0).contains(&n), advice),
    }
}

/// Reads any number that is one.
pub(super) fn finite(text: &str) -> Result<f64> {
    real(text, |_| true, "give a number, such as 0.5")
}

fn real(text: &str, is_within: impl Fn(f64) -> bool, advice: &str) -> Result<f64> {
    let number = text.parse().ok().filter(|n: &f64| n.is_finite() && is_within(*n));
    number.ok_or_else(|| Error::usage(advice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_told_the_range() {
        let keep = whole::<u32>(1..=65536);
        assert_eq!(keep("12").unwrap(), 12);
        for text in ["-1", "0", "65537", "1.5", "two", "", "99999999999999999999999"] {
            assert_eq!(keep(text).unwrap_err().to_string(), "give a whole number from 1 to 65536", "{text}");
        }
        let every = whole::<u64>(2..);
        assert_eq!(every("1").unwrap_err().to_string(), "give a whole number of at least 2");
        assert_eq!(every("99999999999999999999999").unwrap_err().to_string(), "this number is too large");
        assert_eq!(whole::<u32>(1..)("5000000000").unwrap_err().to_string(), "this number is too large");
        for (read, good, wrong) in [
            (positive as fn(&str) -> Result<f64>, "1e-3", "0"),
            (at_least_zero, "0", "-1"),
            (share, "1", "1.01"),
            (finite, "-3", "nan"),
        ] {
            assert!(read(good).is_ok() && read(wrong).is_err() && read("x").is_err(), "{good} {wrong}");
        }
        assert_eq!((share("70%").unwrap(), share("0.7").unwrap(), share("100 %").unwrap()), (0.7, 0.7, 1.0));
        assert!(share("101%").is_err() && share("-1%").is_err() && share("%").is_err());
    }
}
