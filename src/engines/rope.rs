//! Rotary positions as files of engines name them: a base, and what slows pairs down.

use crate::network::RotarySpec;

/// Rotary positions as files name them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RopeKeys {
    pub base: f64,
    /// How much slower all pairs turn.
    pub stretch: f64,
    /// How much slower than `base` says each pair turns.
    pub factors: Option<Vec<f64>>,
}

/// Base and factors that turn pairs as `rotary` does.
pub(super) fn rope_keys(rotary: &RotarySpec) -> RopeKeys {
    let frequencies = &rotary.inverse_frequencies;
    let pairs = frequencies.len() as f64;
    let (Some(&first), second) = (frequencies.first(), frequencies.get(1)) else {
        return RopeKeys { base: 10000.0, stretch: 1.0, factors: None };
    };
    // `f_i = base^(-i / pairs) / stretch`
    let base = second.map_or(10000.0, |second| (second / first).powf(-pairs));
    // A base read from its logarithm is off in its last digits.
    let base = if (base - base.round()).abs() < 1e-6 * base { base.round() } else { base };
    let plain = |i: usize| base.powf(-(i as f64) / pairs);
    let close = |(i, f): (usize, &f64)| (f / (first * plain(i)) - 1.0).abs() < 1e-6;
    if frequencies.iter().enumerate().all(close) {
        return RopeKeys { base, stretch: 1.0 / first, factors: None };
    }
    let factors = frequencies.iter().enumerate().map(|(i, f)| plain(i) / f).collect();
    RopeKeys { base, stretch: 1.0, factors: Some(factors) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_are_found_again() {
        for base in [10000.0, 500_000.0, 1e6, 2e6, 7.0] {
            let keys = rope_keys(&RotarySpec::new(64, base));
            assert_eq!(keys, RopeKeys { base, stretch: 1.0, factors: None });
        }
        let mut linear = RotarySpec::new(16, 10000.0);
        linear.inverse_frequencies.iter_mut().for_each(|f| *f /= 8.0);
        let keys = rope_keys(&linear);
        assert!((keys.base - 10000.0).abs() < 1e-6 && (keys.stretch - 8.0).abs() < 1e-9 && keys.factors.is_none());
        let mut slow = RotarySpec::new(16, 10000.0);
        slow.inverse_frequencies[6] /= 4.0;
        slow.inverse_frequencies[7] /= 8.0;
        let factors = rope_keys(&slow).factors.unwrap();
        let want = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 4.0, 8.0];
        assert!(factors.iter().zip(want).all(|(f, w)| (f / w - 1.0).abs() < 1e-6), "{factors:?}");
    }
}
