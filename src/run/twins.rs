//! Two models on the same input: a model and its smaller export, two checkpoints of one training, a fine-tune.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use serde::Serialize;

use super::origins::{Origins, in_sample_notes};
use super::phases::first_share;
use super::{Checked, Opened};
use crate::chart::{AgreementRow, Caption, ColorMap, Overview, OverviewRow, Paint, Scale, SideBySide, Unit};
use crate::corpus::{CorpusSettings, Purpose, Reading};
use crate::error::{Error, Result};
use crate::evaluation::{COMPARED_COPIES, Candidate, Comparison, compare};
use crate::model::Needs;
use crate::network::{Batch, FeatureMap, Gates, Network, Probe, Site, SiteMaps};
use crate::task::Ticket;
use crate::words::counted;

/// What two models do differently on the same input.
#[derive(Clone, Debug, Serialize)]
pub struct Twins {
    /// Quality of both, and the change with its intervals.
    #[serde(flatten)]
    pub comparison: Comparison,
    /// Sites of both, with the likeness of their heads.
    pub sites: Vec<SiteTwins>,
    /// What was read, and how.
    pub reading: Reading,
    /// What a reader should know, in sentences.
    pub notes: Vec<String>,
}

/// One site of two models. Heads are named by their index in the unpruned model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SiteTwins {
    /// The layer that this is about.
    pub site: Site,
    /// Heads that each model has.
    pub heads: [Vec<usize>; 2],
    /// Cosine between what a head adds to the residual stream in one model and in the other, for the heads of both.
    pub cosines: BTreeMap<usize, f64>,
}

impl Twins {
    /// Both beside each other: the heads of each, colored by how alike they are to themselves in the other.
    pub fn side_by_side(&self, names: [String; 2]) -> SideBySide {
        let side = |which: usize| {
            let row = |site: &SiteTwins| {
                let heads = site.heads.iter().flatten().max().map_or(0, |last| last + 1);
                OverviewRow {
                    site: site.site,
                    heads,
                    kv_heads: heads,
                    groups: Vec::new(),
                    values: (0..heads).map(|head| site.cosines.get(&head).copied().unwrap_or(f64::NAN)).collect(),
                    measured: Vec::new(),
                    kept: Some(site.heads[which].clone()),
                    kinds: Vec::new(),
                    redundant: None,
                    order: (0..heads).collect(),
                }
            };
            let paint = Paint::Values {
                label: "Cosine to itself".to_owned(),
                column: "cosine".to_owned(),
                unit: Unit::Plain,
                scale: Scale::new(ColorMap::Viridis, 0.0, 1.0),
            };
            Overview {
                caption: Caption::new(names[which].as_str(), ""),
                rows: self.sites.iter().map(row).collect(),
                paint,
                layers: None,
                measures: Vec::new(),
            }
        };
        let mut caption = Caption::new("Two models side by side", format!("{} · {}", names[0], names[1]));
        for (what, change) in self.comparison.changes_and_values() {
            caption = caption.note(format!("{what} {change}"));
        }
        caption = caption
            .note("heads are colored by the cosine between what they add to the residual stream in one model and in the other");
        caption.notes.extend(self.notes.iter().cloned());
        let row = |site: &SiteTwins| {
            let least = site.cosines.iter().min_by(|a, b| a.1.total_cmp(b.1)).map(|(head, cosine)| (*head, *cosine));
            let count = site.cosines.len();
            AgreementRow {
                site: site.site,
                kept: site.heads.clone(),
                groups: None,
                cosine: (count > 0).then(|| site.cosines.values().sum::<f64>() / count as f64),
                least,
            }
        };
        let rows = self.sites.iter().map(row).collect();
        SideBySide { caption, sides: [side(0), side(1)], names, rows, cosine_column: "mean_cosine" }
    }
}

impl Checked {
    /// Runs this model and `other` over the same input, which both must take in alike: same inputs, same vocabulary.
    ///
    /// # Errors
    /// Where the models do not read alike, the input holds nothing to score, or the work is cancelled.
    pub fn compare_models(&self, other: &Opened, ticket: &Ticket) -> Result<Twins> {
        let (ours, theirs) = (self.model().spec(), other.model.spec());
        let input = |spec: &crate::network::NetworkSpec| {
            let stack = spec.encoder.as_ref().or(spec.decoder.as_ref())?;
            let vocabulary = spec.predicts().then(|| (spec.result_width(), spec.task.as_ref().map(|task| task.kind)));
            Some((std::mem::discriminant(&stack.input), vocabulary, spec.last_stack().map(|s| s.width)))
        };
        if input(ours) != input(theirs) {
            return Err(Error::usage("these two models do not read and predict the same things")
                .hint("compare a model with its export, its fine-tune or another checkpoint of its training"));
        }
        let needs = Needs { networks: 2, copies: COMPARED_COPIES, ..Needs::ONE };
        let share = first_share(None);
        let [of_input, rest] = ticket.parts([share, 1.0 - share]);
        let corpus = self.fit(self.corpus(Purpose::Score, &of_input)?, needs)?;
        let first = self.network(&corpus, needs, &of_input)?;
        let second = other.model.network(&self.device()?, self.spec().precision.dtype())?;
        let benchmark = self.benchmark(&corpus, &of_input)?;
        // Both models read every batch twice, and every question once.
        let [of_batches, of_asked] = rest.parts([4.0, if benchmark.is_some() { 2.0 } else { 0.0 }]);
        let (open, total) = (Gates::open(), corpus.total().map(|t| t.value()));
        let candidate = |network| Candidate { network, gates: &open };
        // The input as it stands: what is scored may be masked.
        let batch_size = corpus.settings().batch_size;
        let seen = corpus.with(|s| *s = CorpusSettings { batch_size, ..self.spec().reading(Purpose::Observe) });
        let origins = Origins::of_both(self.opened(), other);
        let mut sums: BTreeMap<(Site, usize), [f64; 3]> = BTreeMap::new();
        let silent = ticket.silent();
        let mut look = |batch: Result<Batch>| -> Result<()> {
            let batch = batch?;
            let read = |network: &Network, of: &Origins| -> Result<Added> {
                let mut outputs = Outputs { of, found: BTreeMap::new() };
                network.run_probe(std::slice::from_ref(&batch), &open, &mut outputs, &silent)?;
                Ok(outputs.found)
            };
            meet(&read(&first, &origins[0])?, &read(&second, &origins[1])?, &mut sums)
        };
        // Heads are compared on each batch before it is scored: so the first of them tell what all of the work takes.
        let mut unseen = seen.batches(first.device());
        let batches = corpus.batches(first.device()).map(|batch| {
            unseen.next().map_or(Ok(()), &mut look)?;
            batch
        });
        let mut comparison = compare(candidate(&first), candidate(&second), batches, total, &of_batches)?;
        unseen.try_for_each(look)?;
        if let Some(benchmark) = benchmark {
            comparison.ask(&benchmark, [candidate(&first), candidate(&second)], &of_asked)?;
        }
        let mut sites = Vec::new();
        for (site, _) in ours.sites() {
            if theirs.attention(site).is_none() {
                continue;
            }
            let cosine = |head: &usize| {
                let [product, x, y] = sums.get(&(site, *head))?;
                let norm = (x * y).sqrt();
                Some((*head, if norm > 0.0 { product / norm } else { 0.0 }))
            };
            let heads = [origins[0].heads(site), origins[1].heads(site)];
            let cosines = heads[0].iter().filter_map(cosine).collect();
            sites.push(SiteTwins { site, heads, cosines });
        }
        let mut notes = self.notes(&corpus);
        notes.extend(unnumbered(self.opened(), other, &sites));
        if sites.iter().all(|s| s.cosines.is_empty()) {
            notes.push("the two models have no attention layer of the same width in common".to_owned());
        }
        let reading = corpus.reading(ticket)?;
        for opened in [self.opened(), other] {
            let own = in_sample_notes(opened, &reading).into_iter();
            notes.extend(own.map(|words| format!("{}: {words}", opened.facts.name)));
        }
        ticket.over();
        Ok(Twins { comparison, sites, reading, notes })
    }
}

/// What to say where one model has fewer heads than the other and nothing tells which of them these are.
fn unnumbered(one: &Opened, other: &Opened, sites: &[SiteTwins]) -> Option<String> {
    let fewest =
        |which: usize| sites.iter().find(|s| s.heads[which].len() < s.heads[1 - which].len()).map(|s| (s, which));
    let (site, which) = fewest(0).or_else(|| fewest(1))?;
    let heads = &site.heads[which];
    let opened = [one, other][which];
    // What a GGUF file itself says is how many heads its layers have.
    let is_told = opened.facts.is_pruned && opened.model.checkpoint().place().is_dir();
    (!is_told && Origins::is_silent(opened)).then(|| {
        format!(
            "{} has {} at {}, and no pillars.json beside it says which ones of the other model these are: they are numbered as \
             they lie",
            opened.facts.name,
            counted(heads.len(), "heads"),
            site.site
        )
    })
}

/// What every head of the original adds to the residual stream, over one batch: kept factored, `[tokens, d]` and `[d, D]`,
/// since the product of all heads at once would outweigh the network.
struct Outputs<'a> {
    of: &'a Origins,
    found: Added,
}

impl Probe for Outputs<'_> {
    fn wants_attention(&self, _site: Site) -> bool {
        false
    }

    fn see(&mut self, maps: &SiteMaps<'_>) -> Result<()> {
        let real: Vec<u32> = (0u32..).zip(maps.queries.real()).filter_map(|(row, real)| real.then_some(row)).collect();
        let real = Tensor::new(real, maps.output.device())?;
        let weights = maps.output_by_head()?.to_dtype(DType::F32)?;
        let output = maps.map(FeatureMap::Output)?.to_dtype(DType::F32)?;
        for (slot, head) in self.of.at(maps.site).iter().enumerate() {
            let Some(head) = head else { continue };
            let tokens = output.narrow(1, slot, 1)?.flatten_to(2)?.index_select(&real, 0)?;
            self.found.insert((maps.site, *head), [tokens, weights.get(slot)?.contiguous()?]);
        }
        Ok(())
    }
}

/// What heads add in one model and in the other, by site and head of the original, as [`Outputs`] holds it.
type Added = BTreeMap<(Site, usize), [Tensor; 2]>;

/// Adds inner products and squared norms of the heads of both to `sums`.
fn meet(one: &Added, other: &Added, sums: &mut BTreeMap<(Site, usize), [f64; 3]>) -> Result<()> {
    for (key, [tokens, weight]) in one {
        let Some([theirs, their_weight]) = other.get(key) else { continue };
        let (a, b) = (tokens.matmul(weight)?, theirs.matmul(their_weight)?);
        if a.dims() != b.dims() {
            continue;
        }
        let sum = |x: &Tensor, y: &Tensor| -> Result<f64> { Ok(f64::from((x * y)?.sum_all()?.to_scalar::<f32>()?)) };
        let found = [sum(&a, &b)?, sum(&a, &a)?, sum(&b, &b)?];
        for (total, more) in sums.entry(*key).or_default().iter_mut().zip(found) {
            *total += more;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::plan::Plan;
    use crate::pruning::{ExportFormat, ExportOptions, OutputFormat, export};
    use crate::run::{PruneSpec, Spec};

    #[test]
    fn heads_of_an_export_are_those_of_the_original_in_every_format() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama");
        let scratch = tempfile::tempdir().unwrap();
        let opened = Opened::open(&folder, &Ticket::default()).unwrap();
        let rows = scratch.path().join("rows.jsonl");
        std::fs::write(&rows, "{\"input_ids\": [1, 2, 3, 4, 5, 6]}\n").unwrap();
        let spec = Spec { input: Some(crate::corpus::Input::Tokens(rows)), ..Spec::default() };
        let checked = spec.check(&opened).unwrap();
        let unread = Spec::default().check_without_input(&opened).unwrap();
        // Even layers, and one that a shape of equal layers fills with a zero head before the one that stays.
        for (number, mask) in
            [r#"{"decoder.0": [2, 3], "decoder.1": [0, 1]}"#, r#"{"decoder.0": [3], "decoder.1": [0, 1]}"#]
                .iter()
                .enumerate()
        {
            let plan = Plan::parse_any(mask).unwrap();
            for format in ["compact", "native", "masked", "gguf"] {
                let format: OutputFormat = format.parse().unwrap();
                let out = scratch.path().join(format!("{format}{number}"));
                let wanted = PruneSpec { out: out.clone(), format, ..PruneSpec::default() };
                unread.prune(&plan, None, &wanted, &Ticket::default()).unwrap();
                let file = out.join("model.gguf");
                let other = Opened::open(if file.is_file() { &file } else { &out }, &Ticket::default()).unwrap();
                let twins = checked.compare_models(&other, &Ticket::default()).unwrap();
                let first = &twins.sites[0];
                let kept = plan.kept_at(first.site, 4);
                assert_eq!(first.heads[1], kept, "{format} {mask}");
                assert_eq!(first.cosines.keys().copied().collect::<Vec<_>>(), kept, "{format} {mask}");
                assert!(first.cosines.values().all(|c| (c - 1.0).abs() < 1e-5), "{format} {mask}: {first:?}");
                assert_eq!(twins.sites[1].heads[1], [0, 1], "{format} {mask}");
                // The same from the other side, and without the record what is not known is said.
                let back = spec.check(&other).unwrap().compare_models(&opened, &Ticket::default()).unwrap();
                assert_eq!(back.sites[0].heads[0], kept, "{format} {mask}");
                std::fs::remove_file(out.join("pillars.json")).unwrap();
                let twins = checked.compare_models(&other, &Ticket::default()).unwrap();
                let is_said = twins.notes.iter().any(|note| note.contains("no pillars.json beside it"));
                assert_eq!(is_said, ["native", "gguf"].contains(&format.name()), "{format} {mask}: {:?}", twins.notes);
            }
        }
    }

    #[test]
    fn a_model_and_its_export_share_the_heads_of_the_first_layer_exactly() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama");
        let scratch = tempfile::tempdir().unwrap();
        let opened = Opened::open(&folder, &Ticket::default()).unwrap();
        let mask = std::fs::read_to_string(folder.join("mask.json")).unwrap();
        let plan = Plan::parse_any(&mask).unwrap();
        let out = scratch.path().join("smaller");
        export(&opened.model, &plan, ExportFormat::Compact, &out, &ExportOptions::default(), None, &Ticket::default())
            .unwrap();
        let rows = scratch.path().join("rows.jsonl");
        std::fs::write(&rows, "{\"input_ids\": [1, 2, 3, 4, 5, 6]}\n{\"input_ids\": [7, 8, 9]}\n").unwrap();
        let spec = Spec { input: Some(crate::corpus::Input::Tokens(rows)), ..Spec::default() };
        let checked = spec.check(&opened).unwrap();
        let other = Opened::open(&out, &Ticket::default()).unwrap();
        let twins = checked.compare_models(&other, &Ticket::default()).unwrap();
        let first = &twins.sites[0];
        assert_eq!(first.heads[1], plan.kept_at(first.site, first.heads[0].len()));
        assert_eq!(first.cosines.keys().copied().collect::<Vec<_>>(), first.heads[1]);
        // Nothing was removed before the first layer, so what its heads add is the same.
        assert!(first.cosines.values().all(|c| (c - 1.0).abs() < 1e-5), "{first:?}");
        assert!(twins.sites.last().unwrap().cosines.values().any(|c| *c < 0.9999));
        let found = twins.side_by_side(["whole".to_owned(), "smaller".to_owned()]);
        assert_eq!(found.rows.len(), found.sides[0].rows.len());
        assert_eq!(found.rows[0].in_both(), first.heads[1].len());
        assert!(found.sides[1].rows[0].keeps(first.heads[1][0]) && found.rows[0].least.unwrap().1 > 0.9999);
        // The change, and what it is the change of.
        let told = &found.caption.notes[0];
        let both = [&twins.comparison.before, &twins.comparison.after].map(|q| q.loss_per_token.unwrap());
        let values = format!(": {:.4} in the first model, {:.4} in the second", both[0], both[1]);
        assert!(told.starts_with("loss change") && told.ends_with(&values), "{:?}", found.caption.notes);
        assert!(found.table().to_csv().lines().next().unwrap().contains("kept_in_both"));
        // One stage counts all that batches take, so that the time that is left is told from the first of them on.
        let (same, stages) = Ticket::default().record(|ticket| checked.compare_models(&opened, ticket)).unwrap();
        let counting: Vec<_> = stages.iter().filter(|s| s.unit == "batches").map(|s| s.stage.as_str()).collect();
        assert_eq!(counting, ["compare"]);
        assert!(same.sites.iter().flat_map(|s| s.cosines.values()).all(|c| (c - 1.0).abs() < 1e-5));
        assert_eq!(same.comparison.before.loss_per_token, same.comparison.after.loss_per_token);
    }
}
