//! What a plan is to be.

use super::{Amount, Method, Ranking};
use crate::error::{Error, Result};

/// What a plan is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlanRequest {
    /// What heads are ranked by.
    pub ranking: Ranking,
    /// How many heads stay.
    pub amount: Amount,
    /// Seed of the random methods.
    pub seed: u64,
    /// Whether a layer may lose every head.
    pub allow_empty: bool,
}

impl PlanRequest {
    /// With seed 0, and at least one head in every layer.
    pub fn new(ranking: impl Into<Ranking>, amount: Amount) -> Self {
        Self { ranking: ranking.into(), amount, seed: 0, allow_empty: false }
    }

    pub(super) fn method(&self) -> Method {
        self.ranking.method
    }

    pub(super) fn least(&self) -> usize {
        usize::from(!self.allow_empty)
    }
}

/// Refuses amounts that no plan can keep, and those that the method has no answer to.
pub(crate) fn check_amount(request: &PlanRequest) -> Result<()> {
    match request.amount {
        Amount::Keep(0) if !request.allow_empty => {
            Err(Error::usage("a layer cannot keep 0 heads").hint("keep at least 1, or allow empty layers"))
        }
        Amount::Ratio(ratio) | Amount::LayerRatio(ratio) if !(0.0..=1.0).contains(&ratio) => {
            Err(Error::usage(format!("{ratio} is no share of heads")).hint("give a number from 0 to 1"))
        }
        Amount::Threshold(least) if !least.is_finite() => Err(Error::usage(format!("{least} is no threshold"))),
        Amount::Threshold(_)
            if matches!(request.method(), Method::PerGroup | Method::RandomInGroup | Method::Random) =>
        {
            Err(Error::usage(format!("{} has no scores that a threshold could cut", request.ranking))
                .hint("give a number of heads or a ratio"))
        }
        _ => Ok(()),
    }
}
