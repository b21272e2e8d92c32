//! Learning rates over time.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray, VariantNames};

use crate::error::Error;

/// How the rate falls after the warm-up.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
    VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case", parse_err_ty = Error, parse_err_fn = unknown_decay)]
pub enum Decay {
    Constant,
    /// With the inverse square root of the step (Vaswani et al. 2017).
    InverseSqrt,
    /// Along half a cosine to a tenth of the peak (Loshchilov and Hutter 2017).
    #[default]
    Cosine,
}

impl Decay {
    /// The word used on the command line and in files.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

fn unknown_decay(text: &str) -> Error {
    Error::unknown::<Decay>("schedule", text)
}

/// The rate where a cosine ends, as a share of the peak.
const FLOOR: f64 = 0.1;

/// Linear warm-up to a peak, then a decay.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    pub peak: f64,
    /// Steps until it is reached.
    pub warmup: u64,
    /// Steps in all; a cosine ends there.
    pub steps: u64,
    /// What follows the warm-up.
    pub decay: Decay,
}

impl Schedule {
    /// The rate of step `step`, counted from 0.
    pub fn rate(&self, step: u64) -> f64 {
        let now = step + 1;
        if now <= self.warmup {
            return self.peak * now as f64 / self.warmup as f64;
        }
        match self.decay {
            Decay::Constant => self.peak,
            Decay::InverseSqrt => self.peak * (self.warmup.max(1) as f64 / now as f64).sqrt(),
            Decay::Cosine => {
                let span = self.steps.saturating_sub(self.warmup) as f64;
                let way = ((now - self.warmup) as f64 / span).min(1.0);
                self.peak * (FLOOR + (1.0 - FLOOR) * 0.5 * (1.0 + (PI * way).cos()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_to_the_peak_and_fall_as_named() {
        let schedule = |decay| Schedule { peak: 2.0, warmup: 4, steps: 20, decay };
        let cosine = schedule(Decay::Cosine);
        assert_eq!(cosine.rate(0), 0.5);
        assert_eq!(cosine.rate(3), 2.0);
        // Half way from step 4 to 20: the middle of 2.0 and 0.2.
        assert!((cosine.rate(11) - 1.1).abs() < 1e-12);
        assert!((cosine.rate(19) - 0.2).abs() < 1e-12);
        assert!((cosine.rate(500) - 0.2).abs() < 1e-12);
        // sqrt(4 / 16) = 1 / 2.
        assert_eq!(schedule(Decay::InverseSqrt).rate(15), 1.0);
        assert_eq!(schedule(Decay::Constant).rate(900), 2.0);
        assert_eq!(Schedule { warmup: 0, ..schedule(Decay::InverseSqrt) }.rate(0), 2.0);
    }
}
