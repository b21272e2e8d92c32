//! What was read and how, as results record it.

use serde::{Deserialize, Serialize};

use super::intake::SourceKind;
use super::{BatchOrder, Corpus, CorpusPart, Input, PerplexityPreset, Shard};
use crate::error::Result;
use crate::network::{InputSpec, NetworkSpec, Source};
use crate::task::Ticket;

/// What was read and how. Numbers of equal readings compare.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reading {
    /// In words: `text emma.txt, packed to 128 tokens`.
    pub input: String,
    /// The file or folder; absent in records of earlier releases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Input>,
    /// SHA-256 of every byte of the input, unpacked where it is compressed; empty in records of earlier releases.
    pub fingerprint: String,
    /// Longest sequence in tokens, where one was asked for.
    pub seq_len: Option<usize>,
    /// How many sequences make a batch.
    pub batch_size: usize,
    /// Batches read at most.
    pub batches: Option<u64>,
    /// Whether sequences of encoders are filled from running text.
    pub pack: bool,
    /// The published convention that text was read by, where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<PerplexityPreset>,
    /// Seed of the tokens to mask.
    pub seed: u64,
    /// Which part of the input.
    pub part: CorpusPart,
    /// Which piece of that part, where several processes shared the work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// The order in which sequences were read.
    pub order: BatchOrder,
    /// What the model takes in one by one: `tokens`, `images` or `spectrograms`.
    pub unit: InputUnit,
}

/// What a model takes in one by one, and what totals count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputUnit {
    /// Tokens, padding not counted.
    #[default]
    Tokens,
    /// Whole images, however many patches each has.
    Images,
    /// Spectrograms, which are always whole.
    Spectrograms,
    /// Recordings of sound, which are always whole.
    Recordings,
}

impl InputUnit {
    /// What a model takes in one by one of `source`.
    pub fn of(source: &Source) -> Self {
        match source {
            Source::Tokens(_) => Self::Tokens,
            Source::Pixels(_) => Self::Images,
            Source::Frames(_) => Self::Spectrograms,
            Source::Samples(_) => Self::Recordings,
        }
    }

    /// What a model of this kind takes in one by one.
    pub fn of_model(spec: &NetworkSpec) -> Self {
        match spec.encoder.as_ref().or(spec.decoder.as_ref()).map(|stack| &stack.input) {
            Some(InputSpec::Patches(_)) => Self::Images,
            Some(InputSpec::Frames(_)) => Self::Spectrograms,
            Some(InputSpec::Samples(_)) => Self::Recordings,
            Some(InputSpec::Tokens(_)) | None => Self::Tokens,
        }
    }

    /// The noun for many: `tokens`.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Images => "images",
            Self::Spectrograms => "spectrograms",
            Self::Recordings => "recordings",
        }
    }
}

impl Reading {
    /// True where some sequence may stand in both: the same bytes, and not two parts that were split in one way.
    pub fn overlaps(&self, other: &Self) -> bool {
        // Blocks of other sizes lie elsewhere.
        let is_alike = self.batch_size == other.batch_size && self.seq_len == other.seq_len;
        let is_apart = match (self.part, other.part) {
            (CorpusPart::Training { every: a }, CorpusPart::HeldOut { every: b })
            | (CorpusPart::HeldOut { every: a }, CorpusPart::Training { every: b }) => a == b,
            (a, b) => a == b && self.shard.zip(other.shard).is_some_and(|(a, b)| a.is_apart(b)),
        } && is_alike;
        !self.fingerprint.is_empty() && self.fingerprint == other.fingerprint && !is_apart
    }

    /// True where some batch of one is a batch of the other: [`Reading::overlaps`], and the input was cut in one way.
    pub fn shares_batches(&self, other: &Self) -> bool {
        let cut = |r: &Self| (r.batch_size, r.seq_len, r.pack, r.preset, r.order, r.unit);
        cut(self) == cut(other) && self.overlaps(other)
    }
}

impl Corpus {
    /// What is read and how; hashes the input, once.
    pub fn reading(&self, ticket: &Ticket) -> Result<Reading> {
        let settings = self.settings();
        let fingerprint = self.fingerprint(ticket)?;
        Ok(Reading {
            input: self.describe(),
            source: Some(self.input().clone()),
            fingerprint,
            seq_len: settings.seq_len,
            batch_size: settings.batch_size,
            batches: settings.batches,
            pack: settings.pack,
            preset: settings.preset,
            seed: settings.seed,
            part: settings.part,
            shard: settings.shard,
            order: settings.order,
            unit: self.unit(),
        })
    }

    /// What the model takes in one by one.
    pub fn unit(&self) -> InputUnit {
        match self.intake().source {
            SourceKind::Tokens(_) => InputUnit::Tokens,
            SourceKind::Pixels { .. } => InputUnit::Images,
            SourceKind::Frames { .. } => InputUnit::Spectrograms,
            SourceKind::Samples { .. } => InputUnit::Recordings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_one_split_share_nothing() {
        let part = |part, batch_size| Reading { fingerprint: "f".to_owned(), part, batch_size, ..Reading::default() };
        let (training, held_out) = (CorpusPart::Training { every: 5 }, CorpusPart::HeldOut { every: 5 });
        assert!(!part(training, 8).overlaps(&part(held_out, 8)));
        let piece = |index, of| Reading { shard: Shard::new(index, of), ..part(training, 8) };
        assert!(!piece(0, 3).overlaps(&piece(2, 3)));
        assert!(piece(0, 3).overlaps(&piece(0, 3)) && piece(0, 3).overlaps(&piece(1, 2)));
        assert!(piece(0, 3).overlaps(&part(training, 8)) && !piece(0, 3).overlaps(&part(held_out, 8)));
        // Every second of all, and some of the others.
        assert!(!piece(0, 2).overlaps(&piece(1, 4)) && piece(1, 2).overlaps(&piece(1, 4)));
        assert!(piece(1, 4).shares_batches(&piece(1, 2)));
        assert!(!Reading { pack: true, ..piece(1, 4) }.shares_batches(&piece(1, 2)), "cut in other ways");
        // Blocks of other sizes lie elsewhere.
        assert!(part(training, 8).overlaps(&part(held_out, 4)));
        assert!(part(CorpusPart::All, 8).overlaps(&part(held_out, 8)));
        assert!(!Reading::default().overlaps(&Reading::default()), "nothing is known of either");
    }
}
