//! What a run is asked to do, before and after checking. Only checked settings can run.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::analysis::{self, Groups, Metric};
use crate::corpus::{self, Corpus, CorpusPart, Input, Intake, Purpose, SourceKind};
use crate::model::{MemoryLimit, Model, Needs, Room};
use crate::network::FeatureMap;
use crate::tensor::{DeviceChoice, Precision};
use crate::words::counted;

/// What a person has chosen so far; it need not fit together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunSettings {
    /// What the model reads.
    pub input: Option<Input>,
    /// Longest sequence in tokens; the model's own limit where absent.
    pub seq_len: Option<usize>,
    /// Sequences per batch.
    pub batch_size: usize,
    /// Stop after so many batches; the whole input where absent.
    pub batches: Option<u64>,
    /// Maps that are compared and vote.
    pub features: Vec<FeatureMap>,
    /// Groups per layer.
    pub groups: Groups,
    /// How far two heads are apart.
    pub metric: Metric,
    /// Whether linear CKA is computed too.
    pub cka: bool,
    /// Whether the mean largest attention weight is measured.
    pub confidence: bool,
    /// Whether the loss's gradient by each head is measured.
    pub importance: bool,
    /// Seed of everything random.
    pub seed: u64,
    /// Where to compute.
    pub device: DeviceChoice,
    /// In which type.
    pub precision: Precision,
    /// Leave every so-manieth batch out of the run, and measure quality on those alone.
    pub held_out_every: Option<u64>,
    /// Most memory to use; a model that is larger is read layer by layer.
    pub memory: Option<MemoryLimit>,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            input: None,
            seq_len: None,
            batch_size: 8,
            batches: None,
            features: vec![FeatureMap::Output],
            groups: Groups::Auto,
            metric: Metric::Euclidean,
            cka: false,
            confidence: true,
            importance: false,
            seed: 0,
            device: DeviceChoice::Auto,
            precision: Precision::F32,
            held_out_every: None,
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
    /// Groups per layer.
    Groups,
    /// Batch size, length, number of batches.
    Batches,
    /// Most memory to use.
    Memory,
}

/// Why settings cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub field: Field,
    /// What is wrong and what to do, in one line.
    pub text: String,
}

/// Settings that fit the model and each other.
#[derive(Clone, Debug)]
pub struct CheckedRun {
    /// What the model reads.
    pub input: Input,
    /// What the model can read.
    pub intake: Intake,
    /// How it becomes batches.
    pub corpus: corpus::CorpusSettings,
    /// What is computed.
    pub analysis: analysis::Settings,
    /// Whether the loss's gradient by each head is measured.
    pub importance: bool,
    /// Where to compute.
    pub device: DeviceChoice,
    /// In which type.
    pub precision: Precision,
    /// Leave every so-manieth batch out of the run, and measure quality on those alone.
    pub held_out_every: Option<u64>,
    /// Most memory to use.
    pub memory: Option<MemoryLimit>,
}

impl CheckedRun {
    /// The part of the input that the run reads.
    pub fn observed(&self) -> CorpusPart {
        self.held_out_every.map_or(CorpusPart::All, |every| CorpusPart::Training { every })
    }

    /// The part of the input that quality is measured on: what the run did not read, where anything was held out.
    pub fn measured(&self) -> CorpusPart {
        self.held_out_every.map_or(CorpusPart::All, |every| CorpusPart::HeldOut { every })
    }

    /// The memory for `needs` and batches of `corpus`; `None` where it is not bounded.
    pub fn room(&self, model: &Model, corpus: &Corpus, needs: Needs) -> Option<Room> {
        Some(Room { limit: self.memory?, largest: corpus.largest(model.spec()), needs })
    }
}

impl RunSettings {
    /// Checks everything that can be known without reading the input; every fault at once.
    pub fn check(&self, model: &Model) -> Result<CheckedRun, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut fault = |field, text: &str| faults.push(Fault { field, text: text.to_owned() });
        let folder = model.checkpoint().folder();
        match &self.input {
            None => fault(Field::Input, "Choose what the model reads"),
            Some(input) if !input.path().exists() => fault(Field::Input, "The input is not there"),
            Some(input) => {
                if let Some(text) = input_fault(input, folder) {
                    fault(Field::Input, text);
                }
            }
        }
        if self.features.is_empty() {
            fault(Field::Features, "Choose at least one feature map");
        }
        if self.batch_size == 0 {
            fault(Field::Batches, "A batch needs at least one sequence");
        }
        if self.held_out_every.is_some_and(|every| every < 2) {
            fault(Field::Batches, "Holding every batch out leaves nothing to read");
        }
        if self.memory.is_some() && self.importance {
            fault(
                Field::Memory,
                "Importance needs gradients through the whole model, whose memory has no bound: leave out one",
            );
        }
        for (site, attention) in model.spec().sites() {
            if let Err(error) = self.groups.at(site, attention.heads) {
                fault(Field::Groups, &error.to_string());
                break;
            }
        }
        let intake = match Intake::of(model) {
            Ok(intake) => {
                if let Some(text) = self.input.as_ref().and_then(|i| kind_fault(i, &intake)) {
                    fault(Field::Input, text);
                }
                Some(intake)
            }
            Err(error) => {
                fault(Field::Input, &error.to_string());
                None
            }
        };
        match (faults.is_empty(), &self.input, intake) {
            (true, Some(input), Some(intake)) => Ok(CheckedRun {
                corpus: self.corpus(Purpose::Observe),
                analysis: self.analysis(),
                input: input.clone(),
                intake,
                importance: self.importance,
                device: self.device,
                precision: self.precision,
                held_out_every: self.held_out_every,
                memory: self.memory,
            }),
            _ => Err(faults),
        }
    }

    /// What is read and how, in words: measurements compare only where this is the same.
    pub fn reading(&self) -> String {
        let name = self.input.as_ref().map_or_else(|| "nothing".to_owned(), |i| i.path().display().to_string());
        let length = self.seq_len.map_or_else(String::new, |n| format!(", at most {} long", counted(n, "tokens")));
        let batches =
            self.batches.map_or_else(String::new, |n| format!(", {} of {}", counted(n, "batches"), self.batch_size));
        let part = self.held_out_every.map_or_else(String::new, |every| format!(", one batch in {every} alone"));
        format!("{name}{length}{batches}{part}")
    }

    fn corpus(&self, purpose: Purpose) -> corpus::CorpusSettings {
        corpus::CorpusSettings {
            batch_size: self.batch_size,
            seq_len: self.seq_len,
            batches: self.batches,
            seed: self.seed,
            purpose,
            ..corpus::CorpusSettings::default()
        }
    }

    fn analysis(&self) -> analysis::Settings {
        let mut features = self.features.clone();
        features.sort_unstable();
        features.dedup();
        analysis::Settings {
            features,
            groups: self.groups.clone(),
            metric: self.metric,
            seed: self.seed,
            cka: self.cka,
            confidence: self.confidence,
            seq_len: self.seq_len,
            batch_size: Some(self.batch_size),
            ..analysis::Settings::default()
        }
    }
}

/// The kind of input that a file most likely is, by its name.
pub fn guess_input(path: &Path) -> Input {
    let path = path.to_path_buf();
    if path.is_dir() {
        return Input::Images(path);
    }
    match path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase().as_str() {
        "jsonl" => Input::Tokens(path),
        "safetensors" => Input::Inputs(path),
        "tsv" => Input::Pairs { path, columns: None },
        _ => Input::Text(path),
    }
}

fn input_fault(input: &Input, folder: &Path) -> Option<&'static str> {
    let needs_tokenizer = matches!(input, Input::Text(_) | Input::Pairs { .. });
    (needs_tokenizer && !folder.join("tokenizer.json").is_file())
        .then_some("The model folder has no tokenizer.json, so it cannot read text: give token ids (.jsonl)")
}

fn kind_fault(input: &Input, intake: &Intake) -> Option<&'static str> {
    let words = matches!(input, Input::Text(_) | Input::Tokens(_) | Input::Pairs { .. });
    match intake.source {
        SourceKind::Tokens(_) if matches!(input, Input::Images(_)) => Some("This model reads text, not images"),
        SourceKind::Pixels { .. } if words => Some("This model reads images: give a folder, or tensors"),
        SourceKind::Frames { .. } if !matches!(input, Input::Inputs(_)) => {
            Some("This model reads spectrograms: give tensors (.safetensors)")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(family: &str) -> Model {
        Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(family)).unwrap()
    }

    fn faults(settings: &RunSettings, family: &str) -> Vec<Field> {
        settings.check(&model(family)).map_or_else(|f| f.iter().map(|f| f.field).collect(), |_| Vec::new())
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let nothing = RunSettings { features: Vec::new(), batch_size: 0, ..RunSettings::default() };
        assert_eq!(faults(&nothing, "bert"), [Field::Input, Field::Features, Field::Batches]);
        let groups = RunSettings { groups: Groups::Fixed(99), ..RunSettings::default() };
        assert_eq!(faults(&groups, "bert"), [Field::Input, Field::Groups]);
        let memory = Some(MemoryLimit(1 << 30));
        let bound = RunSettings { memory, importance: true, held_out_every: Some(1), ..RunSettings::default() };
        assert_eq!(faults(&bound, "bert"), [Field::Input, Field::Batches, Field::Memory]);
    }

    #[test]
    fn what_is_read_is_told_in_words() {
        let mut run = RunSettings { input: Some(Input::Text("/x/a.txt".into())), ..RunSettings::default() };
        assert_eq!(run.reading(), "/x/a.txt");
        (run.seq_len, run.batches) = (Some(64), Some(3));
        assert_eq!(run.reading(), "/x/a.txt, at most 64 tokens long, 3 batches of 8");
        (run.seq_len, run.batches, run.held_out_every) = (None, None, Some(5));
        assert_eq!(run.reading(), "/x/a.txt, one batch in 5 alone");
    }

    #[test]
    fn inputs_must_suit_the_model() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        std::fs::write(&path, r#"{"input_ids": [1]}"#).unwrap();
        let with = |input| RunSettings { input: Some(input), ..RunSettings::default() };
        assert_eq!(faults(&with(guess_input(&path)), "bert"), []);
        // The fixture has no tokenizer.
        assert_eq!(faults(&with(Input::Text(path.clone())), "bert"), [Field::Input]);
        assert_eq!(faults(&with(guess_input(folder.path())), "bert"), [Field::Input]);
        assert_eq!(faults(&with(guess_input(Path::new("/none.jsonl"))), "bert"), [Field::Input]);
        let checked = with(guess_input(&path)).check(&model("bert")).unwrap();
        assert_eq!(checked.analysis.features, [FeatureMap::Output]);
        assert_eq!(checked.corpus.purpose, Purpose::Observe);
    }
}
