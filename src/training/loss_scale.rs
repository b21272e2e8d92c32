//! Keeping gradients within the range of f16.

use serde::{Deserialize, Serialize};

/// A factor on the loss that its gradients are divided by before they move anything (Micikevicius et al. 2018, section
/// 3.2): small ones would be zero in f16. A power of two, so that it rounds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossScale {
    exponent: u32,
    /// Steps since it last changed.
    calm: u32,
}

/// It doubles after so many steps without an overflow.
const CALM: u32 = 2000;

/// Beyond this, gradients that are of any use leave the range.
const LARGEST: u32 = 24;

impl Default for LossScale {
    fn default() -> Self {
        Self { exponent: 16, calm: 0 }
    }
}

impl LossScale {
    pub fn factor(self) -> f64 {
        f64::from(1u32 << self.exponent.min(LARGEST))
    }

    /// After a step whose gradients were finite.
    pub fn keep(&mut self) {
        self.calm = self.calm.saturating_add(1);
        if self.calm >= CALM {
            *self = Self { exponent: self.exponent.saturating_add(1).min(LARGEST), calm: 0 };
        }
    }

    /// After gradients that were not finite: half of it, or `false` where nothing is left to halve.
    #[must_use]
    pub fn halve(&mut self) -> bool {
        let halved = self.exponent.min(LARGEST).checked_sub(1);
        *self = Self { exponent: halved.unwrap_or(0), calm: 0 };
        halved.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_halves_at_once_and_doubles_slowly() {
        let mut scale = LossScale::default();
        assert_eq!(scale.factor(), 65536.0);
        assert!(scale.halve());
        assert_eq!(scale.factor(), 32768.0);
        for _ in 0..CALM - 1 {
            scale.keep();
        }
        assert_eq!(scale.factor(), 32768.0);
        scale.keep();
        assert_eq!(scale.factor(), 65536.0);
        for _ in 0..100 * CALM {
            scale.keep();
        }
        assert_eq!(scale.factor(), f64::from(1 << LARGEST));
        let halvings = (0..).take_while(|_| scale.halve()).count();
        assert_eq!((halvings, scale.factor()), (24, 1.0));
    }

    #[test]
    fn what_was_saved_by_another_hand_stays_in_range() {
        let strange: LossScale = serde_json::from_str(r#"{"exponent": 4000000000, "calm": 4294967295}"#).unwrap();
        assert_eq!(strange.factor(), f64::from(1 << LARGEST));
    }
}
