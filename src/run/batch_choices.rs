//! Votes by reconstruction: what every batch would keep if it chose by itself, and how far the batches agree.

use std::collections::BTreeMap;

use super::Checked;
use crate::analysis::{Analysis, ModelInfo, Moments, moments};
use crate::corpus::Purpose;
use crate::error::{Error, Result};
use crate::model::Needs;
use crate::network::Site;
use crate::plan::{Plan, PlanRequest};
use crate::repair::Reconstruction;
use crate::task::Ticket;
use crate::words::counted;

/// How what is said of the agreement ends.
const BY_ITSELF: &str = "when every batch chooses by itself";

/// How many batches keep each head when every batch chooses by reconstruction over itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchChoices {
    /// How many batches chose.
    pub batches: u64,
    /// By layer, for every head: batches that keep it.
    pub kept: BTreeMap<Site, Vec<u64>>,
}

impl BatchChoices {
    /// Mean share of the batches that keep a head of `plan` too: 1 where every batch would have chosen alike. `None` where
    /// nothing chose.
    pub fn agreement(&self, plan: &Plan) -> Option<f64> {
        let (mut sum, mut heads) = (0, 0);
        for (site, votes) in &self.kept {
            let kept = plan.kept_at(*site, votes.len());
            sum += kept.iter().filter_map(|head| votes.get(*head)).sum::<u64>();
            heads += kept.len() as u64;
        }
        (heads > 0 && self.batches > 0).then(|| sum as f64 / (heads * self.batches) as f64)
    }

    /// Writes down in `plan`, which was chosen over all of the batches, what each of them would have kept, and how far they
    /// agree.
    pub fn record(self, plan: &mut Plan) {
        let words = self.agreement(plan).map(|share| {
            let (batches, share) = (counted(self.batches, "batches"), 100.0 * share);
            format!("of {batches}, {share:.1} % on average keep each of these heads {BY_ITSELF}")
        });
        plan.notes.retain(|note| !note.ends_with(BY_ITSELF));
        plan.notes.extend(words);
        plan.kept_by_batches = self.kept;
    }
}

impl Checked {
    /// Lets every batch of the part of the input that is analyzed choose by itself as `request` asks, each on its own second
    /// moments; how the loss depends on the layers is that of all of them, from `whole`.
    ///
    /// # Errors
    /// As [`Checked::analyze`]; where the method is not reconstruction, or the moments are of another model.
    pub fn choices_by_batch(
        &self,
        analysis: &Analysis,
        whole: &Moments,
        request: &PlanRequest,
        ticket: &Ticket,
    ) -> Result<BatchChoices> {
        if !request.ranking.method.needs_moments() {
            return Err(Error::usage("only reconstruction is asked batch by batch: votes are cast so anyway"));
        }
        if whole.model.fingerprint != self.opened().facts.fingerprint {
            return Err(Error::new("the second moments are of another model"));
        }
        let needs = Needs::ONE;
        let corpus = self.fit(self.corpus(Purpose::Observe, ticket)?.fitted_on(), needs)?;
        let network = self.network(&corpus, needs, ticket)?;
        let info = ModelInfo::of(self.model(), network.dtype())?;
        let mut found = BatchChoices::default();
        ticket.stage("choose batch by batch", corpus.total().map(|t| t.value()), "batches");
        for batch in corpus.batches(network.device()) {
            let mut own = moments(&network, info.clone(), [batch], None, &whole.input, &ticket.silent())?;
            for (site, moments) in &mut own.sites {
                moments.sensitivity = whole.sites.get(site).and_then(|all| all.sensitivity.clone());
            }
            let plan = Reconstruction::new(&own, request.allow_empty)?.propose(analysis, request)?;
            for (site, moments) in &own.sites {
                let votes = found.kept.entry(*site).or_insert_with(|| vec![0; moments.heads]);
                for head in plan.kept_at(*site, moments.heads) {
                    if let Some(count) = votes.get_mut(head) {
                        *count += 1;
                    }
                }
            }
            found.batches += 1;
            ticket.advance(1)?;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Input;
    use crate::plan::{Amount, Method};
    use crate::run::testing::varied_tokens;
    use crate::run::{Opened, Spec};

    #[test]
    fn batches_choose_alone_and_one_batch_agrees_with_itself() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bert");
        let scratch = tempfile::tempdir().unwrap();
        let path = varied_tokens(scratch.path());
        let opened = Opened::open(&folder, &Ticket::default()).unwrap();
        let run = |batch_size: usize| {
            let spec = Spec {
                input: Some(Input::Tokens(path.clone())),
                moments: true,
                batch_size: Some(batch_size),
                ..Spec::default()
            };
            let checked = spec.check(&opened).unwrap();
            let found = checked.analyze(&Ticket::default()).unwrap();
            let (analysis, whole) = (found.analysis, found.moments.unwrap());
            let request = PlanRequest::new(Method::Reconstruction, Amount::Keep(2));
            let plan = crate::repair::propose(&analysis, Some(&whole), &request).unwrap();
            let choices = checked.choices_by_batch(&analysis, &whole, &request, &Ticket::default()).unwrap();
            let votes = PlanRequest::new(Method::Votes, Amount::Keep(2));
            assert!(checked.choices_by_batch(&analysis, &whole, &votes, &Ticket::default()).is_err());
            (plan, choices)
        };
        let (plan, alone) = run(12);
        assert_eq!((alone.batches, alone.agreement(&plan)), (1, Some(1.0)));
        let (plan, several) = run(3);
        assert_eq!(several.batches, 4);
        // Every batch keeps as many as the plan.
        for (site, votes) in &several.kept {
            assert_eq!(votes.iter().sum::<u64>(), 4 * plan.kept_at(*site, 4).len() as u64, "{site}");
        }
        let share = several.agreement(&plan).unwrap();
        assert!(share > 0.5 && share <= 1.0, "{share}");
    }
}
