//! Whether the groups of a layer are more than chance: against heads that saw different sequences.
//!
//! The null keeps everything of each head as it is, its norms, its mean, how it changes along a sequence, and breaks only
//! that heads vary together: every head's map is taken from other sequences of the input than the other heads'. Heads of
//! the null are grouped as the real ones are, into as many groups, several times. A silhouette or explained share that the
//! null reaches as well says nothing of redundancy.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256Plus;
use rayon::prelude::*;

use super::accumulate::{Reach, gram_of};
use super::sample::sample;
use super::{Analysis, AnalysisSettings, EvidenceSummary, Gram, MapEvidence, NullComparison, Points, SiteAnalysis};
use crate::error::Result;
use crate::network::{Batch, FeatureMap, Gates, Network, Probe, Site, SiteMaps, TokenMask};
use crate::task::Ticket;

/// Draws of the null: the least share that they can tell is one in forty.
pub const DRAWS: usize = 39;
/// Most numbers of a map that are looked at: fewer sequences where heads are many and wide.
const NUMBERS: usize = 1 << 26;

/// The silhouettes and explained shares of the draws, by layer and map.
type Nulls = BTreeMap<(Site, FeatureMap), Drawn>;

/// What the null gave of one map.
struct Drawn {
    /// Silhouette and explained share of the groups as they are.
    seen: [f64; 2],
    /// The same of every draw.
    draws: Vec<[f64; 2]>,
    /// How many positions, none of them padding, were compared.
    positions: u64,
}

/// Compares the groups that `analysis` found with those of the null, on some sequences of `batches`, and keeps the result in
/// it. Nothing is kept where the input has fewer than two sequences or no layer has groups that could be judged.
///
/// # Errors
/// Where the input cannot be read, or the work is cancelled.
pub fn weigh_evidence(
    network: &Network,
    batches: impl IntoIterator<Item = Result<Batch>>,
    analysis: &mut Analysis,
    ticket: &Ticket,
) -> Result<()> {
    let compared = |site: &SiteAnalysis| site.features.values().filter(|f| f.comparable_groups().is_some()).count();
    let maps: usize = analysis.sites.iter().map(compared).sum();
    ticket.stage("compare with chance", Some((maps * DRAWS) as u64), "draws");
    let Some(batch) = sample(batches)? else { return Ok(()) };
    let sequences = batch.source.sequences()?;
    if sequences < 2 {
        return Ok(());
    }
    let mut probe = NullProbe { analysis, nulls: Nulls::new(), ticket };
    // The draws take the time, not the pass.
    network.run_probe(std::slice::from_ref(&batch), &Gates::open(), &mut probe, &ticket.silent())?;
    let nulls = probe.nulls;
    for ((site, map), Drawn { seen: [silhouette, explained], draws, positions }) in &nulls {
        let Some(found) = analysis.sites.iter_mut().find(|s| s.site == *site) else { continue };
        let Some(feature) = found.features.get_mut(map) else { continue };
        let column = |k: usize| draws.iter().map(|draw| draw[k]).collect::<Vec<f64>>();
        let compared = NullComparison::of(*silhouette, &column(0)).zip(NullComparison::of(*explained, &column(1)));
        let Some((silhouette, explained)) = compared else { continue };
        let groups = feature.live_groups();
        let evidence = MapEvidence { groups, silhouette, explained, found: false, positions: *positions };
        feature.evidence = Some(evidence.judge(feature.stability));
    }
    analysis.evidence = summary(analysis, &nulls, sequences);
    Ok(())
}

/// Over all layers: the mean of every draw beside the mean that is seen.
fn summary(analysis: &Analysis, nulls: &Nulls, sequences: usize) -> Option<EvidenceSummary> {
    let map = *analysis.settings.features.first()?;
    let of_map: Vec<_> = nulls.iter().filter(|((_, m), _)| *m == map).map(|(_, found)| found).collect();
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / of_map.len() as f64;
    let compared = |k: usize| {
        let draws: Vec<f64> =
            (0..DRAWS).map(|d| mean(&mut of_map.iter().filter_map(|n| Some(n.draws.get(d)?[k])))).collect();
        NullComparison::of(mean(&mut of_map.iter().map(|n| n.seen[k])), &draws)
    };
    if of_map.is_empty() {
        return None;
    }
    Some(EvidenceSummary {
        map,
        draws: DRAWS,
        seed: analysis.settings.seed,
        sequences,
        of_whole: false,
        silhouette: compared(0)?,
        explained: compared(1)?,
        layers: 0,
        judged: of_map.len(),
        sentence: String::new(),
    })
}

/// Draws the null at every layer as it passes.
struct NullProbe<'a> {
    analysis: &'a Analysis,
    nulls: Nulls,
    /// Counts the draws.
    ticket: &'a Ticket,
}

impl Probe for NullProbe<'_> {
    fn wants_attention(&self, _site: Site) -> bool {
        self.analysis.settings.features.contains(&FeatureMap::Attention)
    }

    fn see(&mut self, maps: &SiteMaps<'_>) -> Result<()> {
        let Some(site) = self.analysis.site(maps.site) else { return Ok(()) };
        for (map, feature) in &site.features {
            let Some(groups) = feature.comparable_groups() else { continue };
            let shared = if map.is_shared_in_kv_group() { maps.spec.queries_per_kv() } else { 1 };
            let rows = HeadRows::of(maps, *map)?;
            if rows.sequences.len() < 2 {
                continue;
            }
            let salt = site.site.layer as u64 * 64 + *map as u64 * 8 + site.site.kind as u64;
            let seed = self.analysis.settings.seed.wrapping_mul(0x9E37_79B9).wrapping_add(salt);
            let score = |gram: &Gram| score(&self.analysis.settings, gram, groups);
            let Some(seen) = score(&rows.gram(&Sources::same(rows.sequences.len(), site.heads))?)? else { continue };
            let draw = |number: usize| {
                let mut rng = Xoshiro256Plus::seed_from_u64(seed.wrapping_add(number as u64 * 1_000_003));
                let sources = Sources::drawn(rows.sequences.len(), site.heads, shared, &mut rng);
                let found = score(&rows.gram(&sources)?)?;
                self.ticket.advance(1)?;
                Ok(found)
            };
            let draws: Vec<Option<[f64; 2]>> = (0..DRAWS).into_par_iter().map(draw).collect::<Result<_>>()?;
            let draws: Option<Vec<[f64; 2]>> = draws.into_iter().collect();
            if let Some(draws) = draws {
                let positions = rows.sequences.iter().map(Vec::len).sum::<usize>() as u64;
                self.nulls.insert((maps.site, *map), Drawn { seen, draws, positions });
            }
        }
        Ok(())
    }
}

/// Mean silhouette and explained share of the best grouping into so many groups; `None` where fewer heads have a signal.
fn score(settings: &AnalysisSettings, gram: &Gram, groups: usize) -> Result<Option<[f64; 2]>> {
    let points = Points::new(gram, settings.metric).by(settings.clustering);
    if points.live().len() <= groups {
        return Ok(None);
    }
    let grouping = points.group_lightly(groups, settings.seed)?;
    let whole = points.group_lightly(1, settings.seed)?.inertia;
    let silhouette = points.live_distances().mean_silhouette(&points.live_labels(&grouping));
    Ok(silhouette.map(|s| [s, if whole > 0.0 { 1.0 - grouping.inertia / whole } else { 0.0 }]))
}

/// From which sequence each head's map is taken in place of each sequence, `[heads][sequence]`.
struct Sources(Vec<Vec<usize>>);

impl Sources {
    /// Each from its own.
    fn same(sequences: usize, heads: usize) -> Self {
        Self(vec![(0..sequences).collect(); heads])
    }

    /// Sequences in a random circle; every head is so many places behind, another number for every head as far as there are
    /// enough sequences. `shared` heads in a row have one map and go together.
    fn drawn(sequences: usize, heads: usize, shared: usize, rng: &mut Xoshiro256Plus) -> Self {
        let mut circle: Vec<usize> = (0..sequences).collect();
        circle.shuffle(rng);
        let maps = heads.div_ceil(shared);
        // Whole rounds of all places, so that as few heads as possible meet.
        let mut steps: Vec<usize> = Vec::new();
        while steps.len() < maps {
            let mut round: Vec<usize> = (0..sequences).collect();
            round.shuffle(rng);
            steps.extend(round);
        }
        let mut place = vec![0; sequences];
        circle.iter().enumerate().for_each(|(at, sequence)| place[*sequence] = at);
        let source = |head: usize, sequence: usize| circle[(place[sequence] + steps[head / shared]) % sequences];
        Self((0..heads).map(|head| (0..sequences).map(|s| source(head, s)).collect()).collect())
    }
}

/// A map by head: rows of real positions.
struct HeadRows {
    /// `[H, N T, K]`.
    values: Vec<f32>,
    heads: usize,
    /// Positions of all sequences, padding included: `N T`.
    rows: usize,
    width: usize,
    /// Rows of the real positions of every sequence that has any.
    sequences: Vec<Vec<usize>>,
}

impl HeadRows {
    fn of(maps: &SiteMaps<'_>, map: FeatureMap) -> Result<Self> {
        let real = maps.positions(map);
        let per = maps.spec.heads * real.length() * width_of(maps, map)?;
        let count = real.sequences().min((NUMBERS / per).max(2));
        let whole = maps.map(map)?.detach();
        let whole = whole.narrow(0, 0, count)?.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        let (_, heads, length, width) = whole.dims4()?;
        let values = whole.transpose(0, 1)?.contiguous()?.flatten_all()?.to_vec1()?;
        let rows_of = |n: usize| -> Vec<usize> {
            real.row(n).iter().enumerate().filter(|(_, real)| **real).map(|(t, _)| n * length + t).collect()
        };
        let sequences = (0..count).map(rows_of).filter(|rows| !rows.is_empty()).collect();
        Ok(Self { values, heads, rows: count * length, width, sequences })
    }

    /// The Gram matrix where head `h` has in place of sequence `n` what it computed of `sources[h][n]`, from its beginning
    /// and again where that one is shorter.
    fn gram(&self, sources: &Sources) -> Result<Gram> {
        let real: usize = self.sequences.iter().map(Vec::len).sum();
        let mut values = Vec::with_capacity(self.heads * real * self.width);
        for (head, sources) in sources.0.iter().enumerate() {
            for (sequence, source) in self.sequences.iter().zip(sources) {
                for row in self.sequences[*source].iter().cycle().take(sequence.len()) {
                    let start = (head * self.rows + row) * self.width;
                    values.extend_from_slice(&self.values[start..start + self.width]);
                }
            }
        }
        let map = Tensor::from_vec(values, (1, self.heads, real, self.width), &Device::Cpu)?;
        gram_of(&map, &TokenMask::full(1, real), Reach::Whole)
    }
}

/// Numbers of a map per head and position.
fn width_of(maps: &SiteMaps<'_>, map: FeatureMap) -> Result<usize> {
    Ok(match map {
        FeatureMap::Query | FeatureMap::Output => maps.spec.head_dim,
        FeatureMap::Key => maps.key.dim(3)?,
        FeatureMap::Value => maps.value.dim(3)?,
        FeatureMap::Attention => maps.keys.length(),
        FeatureMap::Residual => maps.output_weight.dim(0)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use rand::Rng;

    #[test]
    fn heads_of_a_draw_see_different_sequences() {
        let mut rng = testing::rng(3);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..20 {
            let Sources(sources) = Sources::drawn(8, 6, 1, &mut rng);
            for n in 0..8 {
                let mut at: Vec<usize> = sources.iter().map(|s| s[n]).collect();
                at.sort_unstable();
                at.dedup();
                assert_eq!(at.len(), 6, "two heads read one sequence");
            }
            for source in &sources {
                let mut all = source.clone();
                all.sort_unstable();
                assert_eq!(all, (0..8).collect::<Vec<_>>(), "every sequence is read once");
            }
            seen.insert(sources);
        }
        assert_eq!(seen.len(), 20);
        // Query heads that share a map stay together.
        let Sources(sources) = Sources::drawn(8, 6, 3, &mut rng);
        assert!(sources[0] == sources[2] && sources[3] == sources[5] && sources[0] != sources[3]);
        // More heads than sequences: each place as often as any other, give or take one.
        let Sources(sources) = Sources::drawn(4, 10, 1, &mut rng);
        let counts: Vec<usize> = (0..4).map(|m| sources.iter().filter(|s| s[0] == m).count()).collect();
        assert!(counts.iter().all(|c| (2..=3).contains(c)), "{counts:?}");
    }

    /// Heads `[H][N][T][K]` as rows, `lengths[n]` of them real.
    fn rows(heads: &[Vec<Vec<Vec<f32>>>], lengths: &[usize], length: usize) -> HeadRows {
        let width = heads[0][0][0].len();
        let values = heads.iter().flatten().flatten().flatten().copied().collect();
        let sequences = lengths.iter().enumerate().map(|(n, l)| (n * length..n * length + l).collect()).collect();
        HeadRows { values, heads: heads.len(), rows: lengths.len() * length, width, sequences }
    }

    #[test]
    fn the_null_is_made_of_other_sequences() {
        // Two heads, two sequences of two and one positions, one number each.
        let heads = vec![
            vec![vec![vec![1.0], vec![2.0]], vec![vec![5.0], vec![99.0]]],
            vec![vec![vec![10.0], vec![20.0]], vec![vec![50.0], vec![99.0]]],
        ];
        let rows = rows(&heads, &[2, 1], 2);
        let own = rows.gram(&Sources::same(2, 2)).unwrap();
        assert_eq!([own.get(0, 0), own.get(0, 1), own.get(1, 1)], [30.0, 300.0, 3000.0]);
        // The second head reads the other sequence: 50 50 for two positions, then 10.
        let mixed = rows.gram(&Sources(vec![vec![0, 1], vec![1, 0]])).unwrap();
        assert_eq!([mixed.get(0, 0), mixed.get(0, 1), mixed.get(1, 1)], [30.0, 150.0 + 50.0, 5000.0 + 100.0]);
    }

    /// Groups of maps against the null: explained and silhouette.
    fn compared(heads: &[Vec<Vec<Vec<f32>>>], groups: usize) -> [NullComparison; 2] {
        let (sequences, length) = (heads[0].len(), heads[0][0].len());
        let rows = rows(heads, &vec![length; sequences], length);
        let settings = AnalysisSettings::default();
        let score = |sources: &Sources| score(&settings, &rows.gram(sources).unwrap(), groups).unwrap().unwrap();
        let seen = score(&Sources::same(sequences, heads.len()));
        let mut rng = testing::rng(8);
        let draws: Vec<[f64; 2]> =
            (0..DRAWS).map(|_| score(&Sources::drawn(sequences, heads.len(), 1, &mut rng))).collect();
        [0, 1].map(|k| NullComparison::of(seen[k], &draws.iter().map(|d| d[k]).collect::<Vec<_>>()).unwrap())
    }

    fn noise(rng: &mut impl Rng, scale: f64) -> f32 {
        (testing::normal(rng) * scale) as f32
    }

    #[test]
    fn heads_that_vary_together_are_found_and_a_loud_head_is_not() {
        let (heads, sequences, length, width) = (6, 12, 8, 4);
        let mut rng = testing::rng(5);
        let mut shared = || -> Vec<Vec<Vec<f32>>> {
            (0..sequences)
                .map(|_| (0..length).map(|_| (0..width).map(|_| noise(&mut rng, 1.0)).collect()).collect())
                .collect()
        };
        let signals = [shared(), shared()];
        let mut rng = testing::rng(6);
        let mut near = |of: &Vec<Vec<Vec<f32>>>, scale: f32, spread: f64| -> Vec<Vec<Vec<f32>>> {
            of.iter()
                .map(|s| s.iter().map(|t| t.iter().map(|x| x * scale + noise(&mut rng, spread)).collect()).collect())
                .collect()
        };
        // Two groups of three heads that say the same.
        let alike: Vec<_> = (0..heads).map(|h| near(&signals[h % 2], 1.0, 0.3)).collect();
        let found = compared(&alike, 2);
        assert!(found.iter().all(NullComparison::is_sure), "{found:?}");
        assert!(found[1].observed > found[1].null_mean + 0.3);
        // Six heads that have nothing in common, one of them ten times as loud: two groups explain much, and as much of the null.
        let loud: Vec<_> = (0..heads).map(|h| near(&shared(), if h == 2 { 10.0 } else { 1.0 }, 0.0)).collect();
        let found = compared(&loud, 2);
        assert!(found[1].observed > 0.9 && found[1].null_mean > 0.9, "{found:?}");
        assert!(!found[1].is_sure() || found[1].observed - found[1].null_mean < 0.02, "{found:?}");
    }
}
