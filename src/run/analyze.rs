//! Features, groups and votes of every layer.

use super::Checked;
use crate::analysis::{Analysis, Analyzer, ModelInfo, Moments, Timings, analyze_timed, baseline, magnitude};
use crate::corpus::Purpose;
use crate::error::Result;
use crate::repair::replaceability;
use crate::task::Ticket;
use crate::training::{gate_importance, output_sensitivity};

/// What an analysis found out, and where its time went.
#[derive(Clone, Debug)]
pub struct Analyzed {
    /// All of it, with what was read and asked for.
    pub analysis: Analysis,
    /// Second moments of head outputs, where they were asked for.
    pub moments: Option<Moments>,
    /// Of the passes, without the scores beside votes.
    pub timings: Timings,
}

/// What a bound on memory leaves out of the moments.
const WITHOUT_GRADIENTS: &str = "the moments do not say how the loss depends on each layer, since gradients need the \
    whole model, which a bound on memory does not allow for: a budget over the whole model is spent by relative errors";

impl Checked {
    /// Runs the model over its input: features, groups and votes of every layer, and the scores beside votes that were
    /// asked for.
    ///
    /// # Errors
    /// Where the input cannot be read or is empty, memory does not suffice, or the work is cancelled.
    pub fn analyze(&self, ticket: &Ticket) -> Result<Analyzed> {
        let spec = self.spec();
        let corpus = self.corpus(Purpose::Observe, ticket)?;
        let mut settings = spec.analysis();
        let needs = Analyzer::needs(self.model().spec(), &settings);
        let corpus = self.fit(corpus, needs)?;
        let network = self.network(&corpus, needs, ticket)?;
        settings = settings.reading(&corpus);
        let info = ModelInfo::of(self.model(), network.dtype())?;
        let (batches, total) = (corpus.batches(network.device()), corpus.total().map(|t| t.value()));
        let (mut analysis, mut moments, timings) = analyze_timed(&network, info, batches, total, &settings, ticket)?;
        if spec.magnitude {
            let weights = self.model().reader(network.device(), network.dtype());
            analysis.set_baseline(baseline::MAGNITUDE, magnitude(self.model().spec(), &weights)?)?;
        }
        if spec.importance {
            let scored = corpus.with(|s| s.purpose = Purpose::Score);
            gate_importance(&network, scored.batches(network.device()), spec.seed, ticket)?.record(&mut analysis)?;
        }
        if let Some(moments) = &mut moments {
            analysis.notes.extend(moments.shortage());
            analysis.set_baseline(baseline::REPLACEABILITY, replaceability(moments)?)?;
            if spec.memory.is_some() {
                analysis.notes.push(WITHOUT_GRADIENTS.to_owned());
            } else {
                let scored = corpus.with(|s| s.purpose = Purpose::Score);
                let (batches, total) = (scored.batches(network.device()), scored.total().map(|t| t.value()));
                moments.set_sensitivity(output_sensitivity(&network, batches, total, spec.seed, ticket)?)?;
            }
        }
        analysis.reading = Some(corpus.reading(ticket)?);
        analysis.notes.extend(self.notes(&corpus));
        Ok(Analyzed { analysis, moments, timings })
    }
}
