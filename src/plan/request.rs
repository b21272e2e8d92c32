//! What a plan is to be.

use super::{Amount, Method, Ranking};
use crate::analysis::{Analysis, SiteAnalysis};
use crate::error::{Error, Result};
use crate::words::counted;

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
    /// Whether layers without evidence of redundancy lose heads too where no amount is named ([`Amount::Groups`]).
    pub without_evidence: bool,
}

impl PlanRequest {
    /// With seed 0, at least one head in every layer, and every head of layers without evidence of redundancy unless the
    /// amount says otherwise.
    pub fn new(ranking: impl Into<Ranking>, amount: Amount) -> Self {
        Self { ranking: ranking.into(), amount, seed: 0, allow_empty: false, without_evidence: false }
    }

    /// Whether a layer that nothing speaks against keeps every head.
    pub(crate) fn spares(&self, passes: &[&SiteAnalysis]) -> bool {
        self.amount == Amount::Groups && !self.without_evidence && lacks_evidence(passes)
    }

    pub(super) fn method(&self) -> Method {
        self.ranking.method
    }

    pub(super) fn least(&self) -> usize {
        usize::from(!self.allow_empty)
    }
}

/// Refuses amounts that no plan for layers of so many heads can keep, and those that the method has no answer to.
pub(crate) fn check_amount(heads: impl IntoIterator<Item = usize>, request: &PlanRequest) -> Result<()> {
    let most = heads.into_iter().max().unwrap_or(0);
    match request.amount {
        Amount::Keep(n) if n > most => {
            Err(Error::usage(format!("a layer cannot keep {n} heads: no layer has more than {most}"))
                .hint(format!("keep at most {most}")))
        }
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

/// Whether the evidence for redundant heads was weighed in all passes of a layer, and none was found in any.
pub(super) fn lacks_evidence(passes: &[&SiteAnalysis]) -> bool {
    !passes.is_empty() && passes.iter().all(|pass| pass.evidence.as_ref().is_some_and(|e| e.verdict() == Some(false)))
}

/// What to say of layers without evidence of redundancy.
pub(crate) fn evidence_note(analysis: &Analysis, request: &PlanRequest) -> Option<String> {
    let lacking: Vec<String> =
        analysis.sites.iter().filter(|s| lacks_evidence(&[*s])).map(|s| s.site.to_string()).collect();
    let (count, all) = (lacking.len(), counted(analysis.sites.len(), "layers"));
    if lacking.is_empty() {
        return None;
    }
    Some(match (request.amount, request.without_evidence) {
        (Amount::Groups, false) => format!(
            "{} keep every head, {count} of {all}: nothing speaks for redundancy there; name an amount, or \
             --without-evidence, to prune them too",
            lacking.join(", ")
        ),
        _ => format!("nothing speaks for redundancy in {count} of {all}: measure what the plan costs"),
    })
}
