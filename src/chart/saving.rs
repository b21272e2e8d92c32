//! What a plan saves, as bars.

use super::caption::Caption;
use super::cost::{CostBars, CostRow};
use super::number::Unit;
use crate::evaluation::Quality;
use crate::network::InputSpec;
use crate::plan::{Cost, Saving};

impl CostBars {
    /// Sizes before and after a plan, where the weights take `in_files` bytes as they lie there, `read` as they are written
    /// again, and each number of a head `width` of these; FLOPs are by position of `input`. `subtitle` names model and plan.
    pub fn of(
        saving: &Saving,
        input: Option<&InputSpec>,
        (in_files, read): (u64, u64),
        width: usize,
        subtitle: impl Into<String>,
    ) -> Self {
        let row = |name: &str, unit, measure: &dyn Fn(&Cost) -> u64, meaning: &str| CostRow {
            least: Some(measure(&saving.least) as f64),
            meaning: meaning.to_owned(),
            ..CostRow::new(name, unit, measure(&saving.before) as f64, measure(&saving.after) as f64)
        };
        let flops = match input {
            Some(input) if !input.has_length() => format!("FLOPs per {}", input.position()),
            input => {
                let position = input.map_or("token", InputSpec::position);
                format!("FLOPs per {position} at length {}", saving.before.length)
            }
        };
        let once = "One forward pass; a multiply-add counts once";
        let mut rows = vec![
            row("Heads", Unit::Count, &|c| c.heads, "Query heads; layers that share weights count once"),
            row("Parameters", Unit::Count, &|c| c.parameters, "Every number of the model"),
            row(
                "Parameters without embeddings",
                Unit::Count,
                &|c| c.parameters_without_embeddings,
                "As the paper counts",
            ),
            row("Attention parameters", Unit::Count, &|c| c.attention_parameters, "The four projections"),
            row(&flops, Unit::Count, &|c| c.flops_per_token, once),
            CostRow {
                least: Some(saving.stored_bytes(&saving.least, read, width) as f64),
                meaning:
                    "All tensors: in the files that were opened, and as compact is written, which quantizes nothing"
                        .to_owned(),
                ..CostRow::new(
                    "Weights",
                    Unit::Bytes,
                    in_files as f64,
                    saving.stored_bytes(&saving.after, read, width) as f64,
                )
            },
        ];
        if saving.before.cache_per_token > 0 {
            rows.push(row(
                "Key/value cache per token",
                Unit::Bytes,
                &|c| c.cache_bytes_per_token(width),
                "Keys and values that every generated token leaves behind; only whole key/value heads save any",
            ));
        }
        let mut caption = Caption::new("Before and after", subtitle).note(format!(
            "Attention holds {} of all parameters: no plan that leaves every layer a head removes more than {}. FLOPs count \
             a multiply-add once.",
            Unit::Share.format(saving.before.attention_share()),
            Unit::Share.format(1.0 - saving.least.parameters as f64 / saving.before.parameters as f64)
        ));
        if saving.before.cache_per_token > 0
            && saving.before.cache_per_token == saving.after.cache_per_token
            && saving.after.heads < saving.before.heads
        {
            caption = caption.note("The cache shrinks only where a key/value head goes with all of its query heads.");
        }
        Self { caption, rows }
    }

    /// Adds measured quality, both on the same input.
    #[must_use]
    pub fn with_quality(mut self, before: &Quality, after: &Quality) -> Self {
        let pair = |name: &str, unit, of: &dyn Fn(&Quality) -> Option<f64>| {
            Some(CostRow::new(name, unit, of(before)?, of(after)?))
        };
        self.rows.extend(pair("Perplexity", Unit::Plain, &|q| q.perplexity));
        self.rows.extend(pair("Accuracy", Unit::Share, &|q| q.accuracy).map(CostRow::more_is_better));
        self.caption = self.caption.note(format!(
            "Quality is measured on {} scored {}, the same before and after.",
            Unit::Count.format(after.scored_tokens as f64),
            if after.task.is_some() { "labels" } else { "tokens" }
        ));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(attention: u64, cache: u64, heads: u64) -> Cost {
        Cost {
            parameters: 60_000_000 + attention,
            parameters_without_embeddings: 30_000_000 + attention,
            attention_parameters: attention,
            length: 30,
            flops: 60_000_000,
            flops_per_token: 2_000_000,
            cache_per_token: cache,
            cache_per_source_token: 0,
            heads,
        }
    }

    #[test]
    fn bars_are_the_saving() {
        let saving = Saving {
            before: cost(20_000_000, 12_288, 96),
            after: cost(5_000_000, 12_288, 24),
            least: cost(2_500_000, 1536, 12),
        };
        let quality = |perplexity| Quality {
            loss_per_token: None,
            perplexity: Some(perplexity),
            task: None,
            accuracy: None,
            scored_tokens: 4096,
            tokens: 4100,
            sequences: 32,
            batches: 4,
            secs: 1.0,
            tokens_per_sec: 4100.0,
            translation: None,
            written_per_sec: None,
            main_metric: None,
            metrics: Default::default(),
        };
        let bars = CostBars::of(&saving, None, (saving.before.bytes(2), saving.before.bytes(2)), 2, "gpt2 · votes")
            .with_quality(&quality(18.6), &quality(19.4));
        let row = |name: &str| bars.rows.iter().find(|r| r.name == name).unwrap();
        let weights = row("Weights");
        // 80 M, 65 M and 62.5 M parameters of 2 bytes.
        assert_eq!((weights.before, weights.after, weights.least), (160e6, 130e6, Some(125e6)));
        assert_eq!(row("Perplexity").after, 19.4);
        assert!(bars.rows.iter().all(|r| r.name != "Accuracy"));
        assert!(bars.caption.notes.iter().any(|n| n.contains("25 %")), "{:?}", bars.caption.notes);
        assert!(bars.caption.notes.iter().any(|n| n.contains("key/value head")));
    }
}
