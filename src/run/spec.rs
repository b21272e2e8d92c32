//! What a run is asked to do, as chosen, and everything that keeps it from running.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Opened;
use crate::analysis::{self, Clustering, Groups, Metric};
use crate::corpus::{
    self, BatchOrder, CorpusPart, Input, InputPreview, Intake, PerplexityPreset, Purpose, Shard, SourceKind,
    TextTokenizer,
};
use crate::error::{Error, ErrorKind, Result};
use crate::evaluation::generation::Translation;
use crate::model::MemoryLimit;
use crate::network::FeatureMap;
use crate::task::Ticket;
use crate::tensor::{DeviceChoice, Precision};

/// Sequences per batch where nothing else is asked for and memory allows it.
pub const BATCH_SIZE: usize = 8;

/// Tokens of each input for which costs are counted where the input is not cut to a length.
const COST_LENGTH: usize = 128;

/// What a person has chosen so far; it need not fit together. What is absent in a file has its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spec {
    /// What the model reads.
    pub input: Option<Input>,
    /// Longest sequence in tokens; the model's own limit where absent.
    pub seq_len: Option<usize>,
    /// Sequences per batch; where absent [`BATCH_SIZE`], or the largest power of two below it that memory has room for.
    pub batch_size: Option<usize>,
    /// Stop after so many batches; the whole input where absent.
    pub batches: Option<u64>,
    /// The piece of the input that is analyzed, where several processes share the work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// Fill the sequences of encoders from running text, as those of decoders are, instead of one line each.
    pub pack: bool,
    /// A published convention that text is read by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<PerplexityPreset>,
    /// Order in which the analysis reads.
    pub order: BatchOrder,
    /// Leave every N-th batch out of the analysis, and measure quality on those alone.
    pub held_out_every: Option<u64>,
    /// Maps that are compared and vote.
    pub features: Vec<FeatureMap>,
    /// The number of groups per layer.
    pub groups: Groups,
    /// How far two heads are apart.
    pub metric: Metric,
    /// How heads are put into groups.
    pub clustering: Clustering,
    /// Whether linear CKA is computed too.
    pub cka: bool,
    /// Whether second moments of head outputs are summed: what reconstruction and repair need.
    pub moments: bool,
    /// Whether the mean largest attention weight is measured.
    pub confidence: bool,
    /// Whether the norm of each head's weights is measured.
    pub magnitude: bool,
    /// Whether the loss's gradient by each head is measured.
    pub importance: bool,
    /// Whether it is measured, on the first batches, what heads do: from attention weights, so not within a bound on memory.
    pub kinds: bool,
    /// Whether groups are compared with those of heads that read different sequences; not within a bound on memory.
    pub evidence: bool,
    /// Whether and how pairs are translated where quality is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub translation: Option<Translation>,
    /// Hypotheses that are followed where transcripts are written; one is greedy search.
    pub beams: usize,
    /// Seed of everything random.
    pub seed: u64,
    /// The device to compute on.
    pub device: DeviceChoice,
    /// The type to compute in.
    pub precision: Precision,
    /// Most memory to use; a model that is larger is read layer by layer.
    pub memory: Option<MemoryLimit>,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            input: None,
            seq_len: None,
            batch_size: None,
            batches: None,
            shard: None,
            pack: false,
            preset: None,
            order: BatchOrder::AsRead,
            held_out_every: None,
            features: vec![FeatureMap::Output],
            groups: Groups::Auto,
            metric: Metric::Euclidean,
            clustering: Clustering::KMeans,
            cka: false,
            moments: false,
            // Forming whole attention matrices takes the memory that attention spares otherwise.
            confidence: false,
            magnitude: true,
            importance: false,
            kinds: true,
            evidence: true,
            translation: None,
            beams: 1,
            seed: 0,
            device: DeviceChoice::Auto,
            precision: Precision::F32,
            memory: None,
        }
    }
}

/// The part of the settings that a fault is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// What the model reads.
    Input,
    /// Maps that are compared.
    Features,
    /// The number of groups per layer.
    Groups,
    /// Batch size, length, number of batches.
    Batches,
    /// Most memory to use.
    Memory,
}

/// Why settings cannot run.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The setting that is at fault.
    pub field: Field,
    /// What is wrong and what to do.
    pub error: Error,
}

/// All faults as one line, for where the first failure ends the work.
pub fn refusal(mut faults: Vec<Fault>) -> Error {
    if faults.len() == 1
        && let Some(fault) = faults.pop()
    {
        return fault.error;
    }
    let text = faults.iter().map(|fault| fault.error.to_string()).collect::<Vec<_>>().join("; ");
    match faults.iter().any(|fault| fault.error.kind() == ErrorKind::Usage) {
        true => Error::usage(text),
        false => Error::new(text),
    }
}

impl Spec {
    /// The first `count` rows of the input, and what the model makes of their columns; `None` where there is no input, or none
    /// of rows.
    ///
    /// # Errors
    /// Where the input cannot be read at all.
    pub fn preview(&self, opened: &Opened, count: usize, ticket: &Ticket) -> Result<Option<InputPreview>> {
        let Some(input) = self.input.as_ref().filter(|input| !input.is_standard_input()) else { return Ok(None) };
        let intake = Intake::of(&opened.model)?;
        InputPreview::of(input, opened.model.checkpoint().folder(), &intake, count, ticket)
    }

    /// Tokens of each input for which costs are counted.
    pub fn cost_length(&self) -> usize {
        // Settings that were not checked yet are asked too.
        self.seq_len.filter(|length| *length > 0).unwrap_or(COST_LENGTH)
    }

    /// The part of the input that is analyzed.
    pub fn observed(&self) -> CorpusPart {
        self.held_out_every.map_or(CorpusPart::All, |every| CorpusPart::Training { every })
    }

    /// The part of the input that quality is measured on: what the analysis did not read, where anything was held out.
    pub fn measured(&self) -> CorpusPart {
        self.held_out_every.map_or(CorpusPart::All, |every| CorpusPart::HeldOut { every })
    }

    /// Sequences per batch that may be tried, the best first. Blocks that are held out are of one batch, so their size
    /// may not depend on what a step of the work happens to need.
    pub(super) fn batch_sizes(&self) -> Vec<usize> {
        match self.batch_size {
            Some(size) => vec![size],
            None if self.memory.is_none() || self.held_out_every.is_some() => vec![BATCH_SIZE],
            None => (0..=BATCH_SIZE.ilog2()).map(|halvings| BATCH_SIZE >> halvings).collect(),
        }
    }

    /// How the input becomes batches for `purpose`.
    pub(super) fn reading(&self, purpose: Purpose) -> corpus::CorpusSettings {
        let (part, order) = match purpose {
            Purpose::Observe => (self.observed(), self.order),
            // A score is the same in every order, as long as all is read.
            Purpose::Score if self.batches.is_none() => (self.measured(), BatchOrder::ByLength),
            Purpose::Score => (self.measured(), BatchOrder::AsRead),
        };
        corpus::CorpusSettings {
            batch_size: self.batch_size.unwrap_or(BATCH_SIZE),
            seq_len: self.seq_len,
            batches: self.batches,
            // Quality is measured on all that is held out.
            shard: self.shard.filter(|_| purpose == Purpose::Observe),
            pack: self.pack,
            preset: self.preset,
            seed: self.seed,
            order,
            purpose,
            part,
            ..corpus::CorpusSettings::default()
        }
    }

    /// What is computed from it.
    pub(super) fn analysis(&self) -> analysis::AnalysisSettings {
        let mut features = self.features.clone();
        features.sort_unstable();
        features.dedup();
        analysis::AnalysisSettings {
            features,
            groups: self.groups.clone(),
            metric: self.metric,
            clustering: self.clustering,
            seed: self.seed,
            cka: self.cka,
            moments: self.moments,
            confidence: self.confidence,
            seq_len: self.seq_len,
            ..analysis::AnalysisSettings::default()
        }
    }
}

pub(super) fn path_fault(input: &Input, folder: &Path) -> Option<Error> {
    if !input.is_standard_input() && !input.path().exists() {
        return Some(Error::new("the input is not there").at(input.path()).hint("check the path"));
    }
    if let Some(fault) = input.text_fault() {
        return Some(fault);
    }
    let needs_tokenizer = matches!(input, Input::Text(_) | Input::Pairs { .. } | Input::Data { .. });
    (needs_tokenizer && !TextTokenizer::is_in(folder)).then(|| {
        Error::new("the model folder has no tokenizer (tokenizer.json or its parts), so it cannot read text")
            .at(folder)
            .hint("give token ids (.jsonl)")
    })
}

pub(super) fn kind_fault(input: &Input, intake: &Intake) -> Option<Error> {
    let words = matches!(input, Input::Text(_) | Input::Tokens(_) | Input::Pairs { .. } | Input::Data { .. });
    match intake.source {
        SourceKind::Tokens(_) if matches!(input, Input::Images(_)) => {
            Some(Error::usage("this model reads text, not images"))
        }
        SourceKind::Pixels { .. } if words => {
            Some(Error::usage("this model reads images").hint("give a folder of them, or tensors"))
        }
        SourceKind::Tokens(_) | SourceKind::Pixels { .. } if matches!(input, Input::Audio { .. }) => {
            Some(Error::usage("recordings are for models of speech, which this is not"))
        }
        SourceKind::Samples { .. } | SourceKind::Frames { .. }
            if !matches!(input, Input::Inputs(_) | Input::Audio { .. }) =>
        {
            Some(Error::usage("this model reads recordings").hint("give them, or tensors (.safetensors)"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Opened;
    use super::*;
    use crate::task::Ticket;

    fn opened(family: &str) -> Opened {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(family);
        Opened::open(&folder, &Ticket::default()).unwrap()
    }

    fn faults(spec: &Spec, family: &str) -> Vec<Field> {
        spec.check(&opened(family)).map_or_else(|f| f.iter().map(|f| f.field).collect(), |_| Vec::new())
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let nothing = Spec { features: Vec::new(), batch_size: Some(0), ..Spec::default() };
        assert_eq!(faults(&nothing, "bert"), [Field::Input, Field::Features, Field::Batches]);
        let groups = Spec { groups: Groups::Fixed(99), ..Spec::default() };
        assert_eq!(faults(&groups, "bert"), [Field::Input, Field::Groups]);
        let memory = Some(MemoryLimit(1 << 30));
        let bound = Spec { memory, importance: true, held_out_every: Some(1), ..Spec::default() };
        assert_eq!(faults(&bound, "bert"), [Field::Input, Field::Batches, Field::Memory]);
        let line = refusal(bound.check(&opened("bert")).unwrap_err()).to_string();
        assert!(
            line.contains("no input") && line.contains("holding every batch") && line.contains("gradients"),
            "{line}"
        );
    }

    #[test]
    fn inputs_must_suit_the_model() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        std::fs::write(&path, r#"{"input_ids": [1]}"#).unwrap();
        let with = |input| Spec { input: Some(input), ..Spec::default() };
        assert_eq!(faults(&with(Input::guess(&path)), "bert"), []);
        // The fixture has no tokenizer.
        assert_eq!(faults(&with(Input::Text(path.clone())), "bert"), [Field::Input]);
        assert_eq!(faults(&with(Input::guess(folder.path())), "bert"), [Field::Input]);
        assert_eq!(faults(&with(Input::guess(Path::new("/none.jsonl"))), "bert"), [Field::Input]);
        assert_eq!(faults(&with(Input::guess(&path)), "vit"), [Field::Input]);
    }

    #[test]
    fn blocks_that_are_held_out_have_one_size_throughout() {
        let memory = Some(MemoryLimit(1 << 30));
        assert_eq!(Spec::default().batch_sizes(), [8]);
        assert_eq!(Spec { memory, ..Spec::default() }.batch_sizes(), [8, 4, 2, 1]);
        assert_eq!(Spec { memory, held_out_every: Some(5), ..Spec::default() }.batch_sizes(), [8]);
        assert_eq!(Spec { memory, batch_size: Some(3), ..Spec::default() }.batch_sizes(), [3]);
    }

    #[test]
    fn settings_of_earlier_workspaces_are_read() {
        let old: Spec = serde_json::from_str(r#"{"batch_size": 4, "metric": "cosine", "confidence": true}"#).unwrap();
        assert_eq!(old, Spec { batch_size: Some(4), metric: Metric::Cosine, confidence: true, ..Spec::default() });
    }
}
