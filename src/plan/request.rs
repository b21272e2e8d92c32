//! What a plan is to be.

use super::{Amount, Method, Ranking};
use crate::analysis::{Analysis, SiteAnalysis, SiteEvidence};
use crate::error::{Error, Result};
use crate::words::{counted, some_of};

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
    /// Whether layers without evidence of redundancy lose heads too. `Some(false)` spares those in which none was found and those
    /// of which nobody knows. Without a word they all lose heads where an amount is named; where none is ([`Amount::Groups`]),
    /// those keep every head in which none was found, and the others as many as they have groups (METHOD 6, top-c).
    pub without_evidence: Option<bool>,
}

impl PlanRequest {
    /// With seed 0, at least one head in every layer, and every head of layers without evidence of redundancy unless the
    /// amount says otherwise.
    pub fn new(ranking: impl Into<Ranking>, amount: Amount) -> Self {
        Self { ranking: ranking.into(), amount, seed: 0, allow_empty: false, without_evidence: None }
    }

    /// Whether layers in which nothing speaks for redundancy lose heads too.
    fn prunes_unproven(&self) -> bool {
        self.amount.prunes_unproven(self.without_evidence)
    }

    /// Whether a layer keeps every head because nothing speaks for redundancy in it. A share of all heads is then one of the
    /// other layers'.
    pub(crate) fn spares(&self, passes: &[&SiteAnalysis]) -> bool {
        let is_unknown = || self.without_evidence == Some(false) && is_unknown(passes);
        !self.prunes_unproven() && (lacks_evidence(passes) || is_unknown())
    }

    pub(super) fn method(&self) -> Method {
        self.ranking.method
    }

    pub(super) fn least(&self) -> usize {
        usize::from(!self.allow_empty)
    }
}

impl Amount {
    /// Whether a plan of this amount takes heads of layers in which nothing speaks for redundancy: as `wanted`, and where nobody
    /// said so, where the amount was named.
    pub fn prunes_unproven(self, wanted: Option<bool>) -> bool {
        wanted.unwrap_or(self != Self::Groups)
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
        Amount::Keep(0) if !request.allow_empty => Err(Error::usage("a layer cannot keep 0 heads")
            .hint("keep at least 1, or let layers lose every head with --allow-empty")),
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

/// Whether nobody knows of a layer whether its heads are redundant: too few tokens were read, or too little was compared, and no
/// pass shows that they are.
pub(crate) fn is_unknown(passes: &[&SiteAnalysis]) -> bool {
    let verdict = |pass: &&SiteAnalysis| pass.evidence.as_ref().and_then(SiteEvidence::verdict);
    passes.iter().any(|pass| verdict(pass).is_none()) && passes.iter().all(|pass| verdict(pass) != Some(true))
}

/// What to say of layers without evidence of redundancy that lose heads all the same, and of those of which nobody knows;
/// [`super::Plan::spared_words`] tells of the others.
pub(crate) fn evidence_notes(analysis: &Analysis, request: &PlanRequest) -> Vec<String> {
    let all = counted(analysis.sites.len(), "layers");
    let count = analysis.sites.iter().filter(|s| lacks_evidence(&[*s])).count();
    let mut notes = Vec::new();
    if count > 0 && request.prunes_unproven() {
        notes.push(format!("nothing speaks for redundancy in {count} of {all}: measure what the plan costs"));
    }
    let unknown: Vec<&SiteAnalysis> =
        analysis.sites.iter().filter(|s| is_unknown(&[*s]) && !request.spares(&[*s])).collect();
    let read_too_little = unknown.iter().all(|s| s.evidence.as_ref().is_some_and(|e| e.too_few));
    let is_named = request.amount != Amount::Groups || request.prunes_unproven();
    // Who names an amount for what was never weighed has decided.
    if !unknown.is_empty() && (read_too_little || !is_named) {
        let why = if read_too_little { "too few tokens were read" } else { "the analysis does not say" };
        let sites: Vec<_> = unknown.iter().map(|s| s.site).collect();
        let of_all = some_of(&sites, analysis.sites.len(), "layers");
        let told = format!("whether heads are redundant is not known of {of_all}, since {why}");
        let more = if read_too_little { "analyze more text, " } else { "" };
        notes.push(match is_named {
            true => format!("{told}: measure what the plan costs"),
            false => format!(
                "{told}: they keep as many heads as they have groups all the same; {more}name an amount, or leave them \
                 alone with --without-evidence=keep, and measure what the plan costs"
            ),
        });
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_names_an_amount_means_every_layer_unless_told_otherwise() {
        for (amount, wanted, prunes) in [
            (Amount::Groups, None, false),
            (Amount::Groups, Some(true), true),
            (Amount::Ratio(0.7), None, true),
            (Amount::Ratio(0.7), Some(false), false),
            (Amount::Keep(2), None, true),
        ] {
            assert_eq!(amount.prunes_unproven(wanted), prunes, "{amount:?} {wanted:?}");
        }
    }
}
