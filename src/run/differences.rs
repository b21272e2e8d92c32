//! How settings differ from those that a result was made with.

use super::{BATCH_SIZE, Spec};
use crate::analysis::{Analysis, baseline};
use crate::checkpoint::real_path;
use crate::corpus::{CorpusPart, Input, Reading};

/// Which settings a result depends on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// What is read, in which type.
    Reading,
    /// That, and what is computed from it.
    Analysis,
}

impl Spec {
    /// How `other` differs in what changes a result, setting by setting, in words: `metric: euclidean, now cosine`, where
    /// "now" is this one. Where and in how much memory the same is computed is no difference.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        self.differ(other, Scope::Analysis)
    }

    /// How the settings of `analysis` differ from these. Empty where a run would give the same again.
    pub fn analysis_differences(&self, analysis: &Analysis) -> Vec<String> {
        self.differ(&self.of_analysis(analysis), Scope::Analysis)
    }

    /// How what was read for a measurement in `dtype` differs from what would be read now. Empty where it would be the same.
    pub fn reading_differences(&self, reading: &Reading, dtype: &str) -> Vec<String> {
        self.differ(&self.of_reading(reading, dtype), Scope::Reading)
    }

    /// Whether another file is read than `analysis` read; `false` where it does not say which that was.
    pub fn reads_other_than(&self, analysis: &Analysis) -> bool {
        let Some((now, was)) = self.input.as_ref().zip(analysis.reading.as_ref().and_then(|r| r.source.as_ref()))
        else {
            return false;
        };
        now.path() != was.path() && real_path(now.path()) != real_path(was.path())
    }

    /// These settings for measuring the quality of what `analysis` chose: batches were held out of its own input alone, so of
    /// another all is measured.
    #[must_use]
    pub fn measuring(&self, analysis: Option<&Analysis>) -> Self {
        let is_other = analysis.is_some_and(|analysis| self.reads_other_than(analysis));
        Self { held_out_every: self.held_out_every.filter(|_| !is_other), ..self.clone() }
    }

    /// These settings, but reading what `analysis` read: what repairs of its plans are calibrated on where quality is measured
    /// on another input. `None` where it is not said what that was.
    pub fn calibrating(&self, analysis: &Analysis) -> Option<Self> {
        let reading = analysis.reading.as_ref().filter(|reading| reading.source.is_some())?;
        let Self { seed, precision, .. } = *self;
        Some(Self { seed, precision, ..self.of_reading(reading, &analysis.model.dtype) })
    }

    /// These settings, but for those that `analysis` records.
    fn of_analysis(&self, analysis: &Analysis) -> Self {
        let settings = &analysis.settings;
        let base = match &analysis.reading {
            Some(reading) => self.of_reading(reading, &analysis.model.dtype),
            // Earlier releases and merged parts name the input in words alone.
            None => Self {
                seq_len: settings.seq_len,
                batch_size: settings.batch_size.or(self.batch_size),
                precision: analysis.model.dtype.parse().unwrap_or(self.precision),
                ..self.clone()
            },
        };
        // What is measured but not wanted now is no fault of a result.
        let has = |name: &str| analysis.sites.iter().all(|s| s.baselines.contains_key(name));
        Self {
            features: settings.features.clone(),
            groups: settings.groups.clone(),
            metric: settings.metric,
            clustering: settings.clustering,
            seed: settings.seed,
            cka: self.cka && settings.cka,
            confidence: self.confidence && has(baseline::CONFIDENCE),
            magnitude: self.magnitude && has(baseline::MAGNITUDE),
            importance: self.importance && has(baseline::IMPORTANCE),
            moments: self.moments && settings.moments,
            ..base
        }
    }

    /// These settings, but for those that `reading` records.
    fn of_reading(&self, reading: &Reading, dtype: &str) -> Self {
        let held_out_every = match reading.part {
            CorpusPart::All => None,
            CorpusPart::Training { every } | CorpusPart::HeldOut { every } => Some(every),
        };
        if reading.source.is_none() && reading.fingerprint.is_empty() {
            // A record of an earlier release, of which only the text is left: the setting is unknown.
            return Self { input: Some(Input::Text(reading.input.clone().into())), ..self.clone() };
        }
        Self {
            input: reading.source.clone().or_else(|| self.input.clone()),
            seq_len: reading.seq_len,
            batch_size: Some(reading.batch_size),
            batches: reading.batches,
            shard: reading.shard,
            pack: reading.pack,
            preset: reading.preset,
            order: reading.order,
            held_out_every,
            seed: reading.seed,
            precision: dtype.parse().unwrap_or(self.precision),
            ..self.clone()
        }
    }

    /// Settings that read `input` as `reading` tells; where and in how much memory stays as it is here.
    pub(super) fn read_again(&self, reading: &Reading, input: &Input) -> Self {
        Self { input: Some(input.clone()), ..self.of_reading(reading, &self.precision.to_string()) }
    }

    fn differ(&self, was: &Self, scope: Scope) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |name: &str, was: String, now: String| {
            if was != now {
                found.push(format!("{name}: {was}, now {now}"));
            }
        };
        let on = |on: bool| if on { "measured" } else { "not measured" }.to_owned();
        let number = |n: Option<u64>, none: &str| n.map_or_else(|| none.to_owned(), |n| n.to_string());
        let [before, now] = inputs(was.input.as_ref(), self.input.as_ref());
        compare("input", before, now);
        let length = |spec: &Self| number(spec.seq_len.map(|n| n as u64), "auto");
        compare("longest sequence", length(was), length(self));
        // Which sequences are read depends on the size of a batch where only some batches are; votes always do.
        let by_batches = scope == Scope::Analysis || self.batches.is_some() || self.held_out_every.is_some();
        let is_known = self.batch_size.is_some() || self.batch_sizes().len() == 1;
        if by_batches && is_known {
            let size = |spec: &Self| spec.batch_size.unwrap_or(BATCH_SIZE).to_string();
            compare("batch size", size(was), size(self));
        }
        let packed = |spec: &Self| if spec.pack { "running text" } else { "one for each line" }.to_owned();
        compare("sequences", packed(was), packed(self));
        let preset = |spec: &Self| spec.preset.map_or("none", Into::into).to_owned();
        compare("preset", preset(was), preset(self));
        compare("batches", number(was.batches, "all"), number(self.batches, "all"));
        let piece = |spec: &Self| spec.shard.map_or("all".to_owned(), |shard| shard.to_string());
        compare("part of the batches", piece(was), piece(self));
        let held_out = |spec: &Self| spec.held_out_every.map_or("nothing".to_owned(), |n| format!("1 batch in {n}"));
        compare("held out", held_out(was), held_out(self));
        compare("type", was.precision.to_string(), self.precision.to_string());
        compare("seed", was.seed.to_string(), self.seed.to_string());
        if scope == Scope::Analysis {
            let maps = |spec: &Self| {
                let mut maps = spec.features.clone();
                maps.sort_unstable();
                maps.dedup();
                maps.iter().map(|map| map.name()).collect::<Vec<_>>().join(" and ")
            };
            compare("feature maps", maps(was), maps(self));
            compare("groups per layer", was.groups.to_string(), self.groups.to_string());
            compare("metric", was.metric.to_string(), self.metric.to_string());
            compare("clustering", was.clustering.to_string(), self.clustering.to_string());
            compare("order", was.order.to_string(), self.order.to_string());
            compare("linear CKA", on(was.cka), on(self.cka));
            compare("confidence", on(was.confidence), on(self.confidence));
            compare("magnitude", on(was.magnitude), on(self.magnitude));
            compare("importance", on(was.importance), on(self.importance));
            compare("second moments", on(was.moments), on(self.moments));
        }
        found
    }
}

/// Two inputs by as little of their names as tells them apart.
fn inputs(was: Option<&Input>, now: Option<&Input>) -> [String; 2] {
    let whole = |input: Option<&Input>| input.map_or_else(|| "none".to_owned(), ToString::to_string);
    let short = |input: Option<&Input>| {
        let name = |input: &Input| {
            let path = input.path();
            format!("{} {}", input.kind(), path.file_name().unwrap_or(path.as_os_str()).to_string_lossy())
        };
        input.map_or_else(|| "none".to_owned(), name)
    };
    if was != now && short(was) == short(now) { [whole(was), whole(now)] } else { [short(was), short(now)] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Metric;
    use crate::corpus::BatchOrder;
    use crate::model::MemoryLimit;
    use crate::tensor::DeviceChoice;

    fn text(path: &str) -> Spec {
        Spec { input: Some(Input::Text(path.into())), ..Spec::default() }
    }

    #[test]
    fn what_changes_a_result_is_named_and_nothing_else() {
        let was = text("/x/a.txt");
        let now = Spec { metric: Metric::Cosine, seed: 3, seq_len: Some(64), ..text("/x/b.txt") };
        assert_eq!(
            now.differences(&was),
            [
                "input: text a.txt, now text b.txt",
                "longest sequence: auto, now 64",
                "seed: 0, now 3",
                "metric: euclidean, now cosine",
            ]
        );
        // The same name elsewhere is another file.
        assert_eq!(text("/y/a.txt").differences(&was), ["input: text /x/a.txt, now text /y/a.txt"]);
        let elsewhere = Spec { device: DeviceChoice::Cpu, memory: Some(MemoryLimit(1 << 40)), ..was.clone() };
        assert_eq!(elsewhere.differences(&was), [] as [&str; 0]);
        // Eight is what is meant where nothing is said.
        assert_eq!(Spec { batch_size: Some(8), ..was.clone() }.differences(&was), [] as [&str; 0]);
        assert_eq!(Spec { batch_size: Some(2), ..was.clone() }.differences(&was), ["batch size: 8, now 2"]);
    }

    #[test]
    fn a_score_depends_on_what_is_read_alone() {
        let mut now = text("/x/a.txt");
        let reading = Reading { source: now.input.clone(), batch_size: 8, ..Reading::default() };
        assert_eq!(now.reading_differences(&reading, "f32"), [] as [&str; 0]);
        (now.metric, now.order, now.batch_size) = (Metric::Cosine, BatchOrder::ByLength, Some(2));
        assert_eq!(now.reading_differences(&reading, "f32"), [] as [&str; 0]);
        assert_eq!(now.reading_differences(&reading, "bf16"), ["type: bf16, now f32"]);
        now.held_out_every = Some(5);
        assert_eq!(
            now.reading_differences(&reading, "f32"),
            ["batch size: 8, now 2", "held out: nothing, now 1 batch in 5"]
        );
    }
}
