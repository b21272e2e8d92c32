//! Features, groups and votes of every layer.

use std::time::Instant;

use super::Checked;
use super::phases::{HasPhases, first_share, other_weights};
use crate::analysis::{
    Analysis, Analyzer, KindProbe, ModelInfo, Moments, RepeatedTokens, SAMPLE, Timings, TokenMarks, analyze_timed,
    baseline, is_punctuation, magnitude, measure_repeats, moments_of_piece, weigh_evidence,
};
use crate::corpus::{Purpose, Shard, SourceKind, TextTokenizer};
use crate::error::Result;
use crate::model::Needs;
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
    /// Of the passes, without the scores beside votes; those that only second moments need are counted to them.
    pub timings: Timings,
}

/// What a bound on memory leaves out of the moments.
const WITHOUT_GRADIENTS: &str = "the moments do not say how the loss depends on each layer, since gradients need the \
    whole model, which a bound on memory does not allow for: a budget over the whole model is spent by relative errors";

/// What a bound on memory leaves out.
const WITHOUT_ATTENTION: &str = "what heads do and whether groups are more than chance was not measured: attention weights \
    and samples need memory beyond the bound";

impl Checked {
    /// Runs the model over its input: features, groups and votes of every layer, and the scores beside votes that were
    /// asked for.
    ///
    /// # Errors
    /// Where the input cannot be read or is empty, memory does not suffice, or the work is cancelled.
    pub fn analyze(&self, ticket: &Ticket) -> Result<Analyzed> {
        let spec = self.spec();
        let first = first_share(self.foretold);
        let [of_input, rest] = ticket.parts([first, 1.0 - first]);
        let corpus = self.corpus(Purpose::Observe, &of_input)?;
        let mut settings = spec.analysis();
        let mut needs = Analyzer::needs(self.model().spec(), &settings);
        let corpus = self.fit(corpus, needs)?;
        // Whether there is room to look closer may not change how the input is cut, on which votes depend.
        let wide = Needs { attention: true, ..needs };
        let sampled = corpus.with(|s| {
            (s.batch_size, s.seq_len) = (SAMPLE.0, Some(s.seq_len.map_or(SAMPLE.1, |length| length.min(SAMPLE.1))));
        });
        let looks_closer = self.has_room(&corpus, wide)? && self.has_room(&sampled, wide)?;
        if looks_closer && (spec.kinds || spec.evidence) {
            needs = wide;
        }
        let network = self.network(&corpus, needs, &of_input)?;
        settings = settings.reading(&corpus);
        let info = ModelInfo::of(self.model(), network.dtype())?;
        let (batches, total) = (corpus.batches(network.device()), corpus.total().map(|t| t.value()));
        let marks = if spec.kinds && looks_closer { Some(self.marks()?) } else { None };
        let kinds = marks.as_ref().map(|(marks, _)| KindProbe::new(network.spec(), marks.clone()));
        // Moments of a masked-language model are those of the masked input that it is scored on.
        let fitted = corpus.fitted_on();
        let apart = settings.moments && fitted.settings().purpose != corpus.settings().purpose;
        let has = HasPhases {
            apart,
            repeats: marks.as_ref().is_some_and(|(_, repeated)| repeated.is_some()),
            chance: spec.evidence && looks_closer,
            importance: spec.importance,
            sensitivity: settings.moments && spec.memory.is_none(),
        };
        let [of_passes, of_moments, of_repeats, of_chance, of_importance, of_sensitivity] =
            rest.parts(other_weights(self.foretold, total, has));
        settings.moments &= !apart;
        let (mut analysis, mut moments, mut timings) =
            analyze_timed(&network, info.clone(), batches, total, &settings, kinds, &of_passes)?;
        if apart {
            let began = Instant::now();
            let batches = fitted.batches(network.device());
            let read = (settings.input.as_str(), settings.shard);
            moments = Some(moments_of_piece(&network, info, batches, total, read, &of_moments)?);
            analysis.settings.moments = true;
            timings.moments += began.elapsed();
        }
        if let Some((_, Some(repeated))) = &marks {
            measure_repeats(&network, repeated, &mut analysis, &of_repeats)?;
        }
        if spec.evidence && looks_closer {
            // Every part by --shard looks at the same sequences, so that what it finds is what the whole would.
            let whole = corpus.with(|s| {
                let parts = s.shard.take().map_or(1, Shard::of);
                s.batches = s.batches.map(|most| most.saturating_mul(parts));
            });
            weigh_evidence(&network, whole.batches(network.device()), &mut analysis, &of_chance)?;
            if let Some(summary) = &mut analysis.evidence {
                summary.of_whole = corpus.settings().shard.is_some();
            }
        }
        if !looks_closer && (spec.kinds || spec.evidence) {
            analysis.notes.push(WITHOUT_ATTENTION.to_owned());
        }
        if spec.magnitude {
            let weights = self.model().reader(network.device(), network.dtype());
            analysis.set_baseline(baseline::MAGNITUDE, magnitude(self.model().spec(), &weights)?)?;
        }
        if spec.importance {
            let scored = corpus.with(|s| s.purpose = Purpose::Score);
            let (batches, total) = (scored.batches(network.device()), scored.total().map(|t| t.value()));
            gate_importance(&network, batches, total, spec.seed, &of_importance)?.record(&mut analysis)?;
        }
        let began = Instant::now();
        if let Some(moments) = &mut moments {
            if settings.shard.is_none() {
                // What a piece lacks, the whole may have: merging tells.
                analysis.notes.extend(moments.doubts());
            }
            analysis.set_baseline(baseline::REPLACEABILITY, replaceability(moments)?)?;
            if spec.memory.is_some() {
                analysis.notes.push(WITHOUT_GRADIENTS.to_owned());
            } else {
                let scored = corpus.with(|s| s.purpose = Purpose::Score);
                let (batches, total) = (scored.batches(network.device()), scored.total().map(|t| t.value()));
                moments.set_sensitivity(output_sensitivity(&network, batches, total, spec.seed, &of_sensitivity)?)?;
            }
            timings.moments += began.elapsed();
        }
        analysis.conclude();
        let reading = corpus.reading(ticket)?;
        if let Some(moments) = &mut moments {
            moments.readings.push(reading.clone());
        }
        analysis.reading = Some(reading);
        analysis.notes.extend(self.notes(&corpus));
        ticket.over();
        Ok(Analyzed { analysis, moments, timings })
    }

    /// Which tokens are separators, as far as a tokenizer tells, and which random tokens to read twice.
    fn marks(&self) -> Result<(TokenMarks, Option<RepeatedTokens>)> {
        let folder = self.model().checkpoint().folder();
        let tokenizer = TextTokenizer::beside(folder)?;
        let separators = tokenizer.as_ref().map_or_else(Vec::new, |tokenizer| {
            let is_separator = |id: u32| {
                tokenizer.special().binary_search(&id).is_ok()
                    || tokenizer.token(id).is_some_and(|t| is_punctuation(&t))
            };
            (0..u32::try_from(tokenizer.vocabulary()).unwrap_or(u32::MAX)).map(is_separator).collect()
        });
        let intake = self.intake();
        let repeated = match &intake.source {
            SourceKind::Tokens(limits) => {
                let target = intake.target.as_ref();
                let longest = [limits.max_length, target.and_then(|t| t.max_length)].into_iter().flatten().min();
                Some(RepeatedTokens {
                    prefix: tokenizer.as_ref().map_or_else(Vec::new, |t| t.prefix().to_vec()),
                    suffix: tokenizer.as_ref().map_or_else(Vec::new, |t| t.suffix().to_vec()),
                    special: tokenizer.as_ref().map_or_else(Vec::new, |t| t.special().to_vec()),
                    vocabulary: target.map_or(limits.vocabulary, |t| t.vocabulary.min(limits.vocabulary)),
                    longest,
                    seed: self.spec().seed,
                })
            }
            SourceKind::Pixels { .. } | SourceKind::Frames { .. } | SourceKind::Samples { .. } => None,
        };
        Ok((TokenMarks { separators }, repeated))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Input;
    use crate::run::testing::varied_tokens;
    use crate::run::{Opened, Spec};

    #[test]
    fn what_comes_after_the_batches_counts_too() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bert");
        let scratch = tempfile::tempdir().unwrap();
        let path = varied_tokens(scratch.path());
        let opened = Opened::open(&folder, &Ticket::default()).unwrap();
        let spec = Spec { input: Some(Input::Tokens(path)), ..Spec::default() };
        let run = spec.check(&opened).unwrap();
        let (found, stages) = Ticket::default().record(|ticket| run.analyze(ticket)).unwrap();
        let done = |name: &str| stages.iter().find(|stage| stage.stage == name).map(|stage| stage.done);
        // A unit for every draw of every map that is compared with chance.
        let compared: usize =
            found.analysis.sites.iter().flat_map(|s| s.features.values()).filter(|f| f.evidence.is_some()).count();
        assert!(compared > 0);
        assert_eq!(done("compare with chance"), Some((compared * crate::analysis::DRAWS) as u64));
        assert_eq!(done("read random tokens twice"), Some(1));
    }
}
