//! Feature maps of heads as plain vectors, and what is computed from them in the plainest way.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use pillars::analysis::{Analysis, AnalysisSettings, Gram, ModelInfo, analyze};
use pillars::error::Result;
use pillars::model::Model;
use pillars::network::{Batch, FeatureMap, Gates, Network, Probe, Samples, Site, SiteMaps, Source, TokenMask, Tokens};
use pillars::task::Ticket;

use super::{batch, fixture_folders, fixtures, reference};

/// One vector per head.
pub type Vectors = Vec<Vec<f64>>;

/// Keeps every map of every head as a flat vector of its real positions.
#[derive(Default)]
pub struct Raw(pub BTreeMap<(Site, FeatureMap), Vectors>);

impl Probe for Raw {
    fn wants_attention(&self, _site: Site) -> bool {
        true
    }

    fn see(&mut self, maps: &SiteMaps<'_>) -> Result<()> {
        for &feature in FeatureMap::ALL {
            let map = maps.map(feature)?.to_dtype(DType::F64)?.contiguous()?;
            let (n, heads, t, width) = map.dims4()?;
            let all = map.flatten_all()?.to_vec1::<f64>()?;
            let real = maps.positions(feature);
            let vectors = self.0.entry((maps.site, feature)).or_insert_with(|| vec![Vec::new(); heads]);
            for (h, vector) in vectors.iter_mut().enumerate() {
                for a in 0..n {
                    for b in (0..t).filter(|b| real.row(a)[*b]) {
                        let first = ((a * heads + h) * t + b) * width;
                        vector.extend_from_slice(&all[first..first + width]);
                    }
                }
            }
        }
        Ok(())
    }
}

pub fn raw(network: &Network, batch: &Batch) -> BTreeMap<(Site, FeatureMap), Vectors> {
    gated(network, batch, &Gates::open())
}

/// The maps of a network whose heads pass gates.
pub fn gated(network: &Network, batch: &Batch, gates: &Gates) -> BTreeMap<(Site, FeatureMap), Vectors> {
    let mut probe = Raw::default();
    network.hidden(batch, gates, &mut probe).unwrap();
    probe.0
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

pub fn gram(vectors: &Vectors) -> Gram {
    let values = vectors.iter().flat_map(|a| vectors.iter().map(|b| dot(a, b))).collect();
    Gram::from_rows(vectors.len(), values).unwrap()
}

pub fn distance2(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum()
}

pub fn center(vectors: &Vectors, members: &[usize]) -> Vec<f64> {
    let mean = |k: usize| members.iter().map(|m| vectors[*m][k]).sum::<f64>() / members.len() as f64;
    (0..vectors[0].len()).map(mean).collect()
}

/// All partitions of `heads` heads into `groups` groups, as members.
pub fn partitions(heads: usize, groups: usize) -> Vec<Vec<Vec<usize>>> {
    let mut all = vec![Vec::<Vec<usize>>::new()];
    for h in 0..heads {
        let mut next = Vec::new();
        for partition in all {
            for c in 0..=partition.len() {
                let mut grown = partition.clone();
                match grown.get_mut(c) {
                    Some(group) => group.push(h),
                    None => grown.push(vec![h]),
                }
                next.push(grown);
            }
        }
        all = next;
    }
    all.retain(|p| p.len() == groups);
    all
}

/// The votes of one batch by the rule: the partition with the least inertia of all, then the head closest to each
/// center; squared distances within 1e-6 of the largest squared norm are equal, then the larger norm, then the lower
/// index. `None` where two partitions are equally good to rounding.
pub fn votes(vectors: &Vectors, groups: usize) -> Option<Vec<u64>> {
    let inertia = |partition: &Vec<Vec<usize>>| -> f64 {
        let of = |group: &Vec<usize>| {
            let z = center(vectors, group);
            group.iter().map(|h| distance2(&vectors[*h], &z)).sum::<f64>()
        };
        partition.iter().map(of).sum()
    };
    let mut all: Vec<(f64, Vec<Vec<usize>>)> =
        partitions(vectors.len(), groups).into_iter().map(|p| (inertia(&p), p)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let scale: f64 = vectors.iter().map(|v| dot(v, v)).sum();
    if all.len() > 1 && all[1].0 - all[0].0 < 1e-9 * scale {
        return None;
    }
    let mut votes = vec![0; vectors.len()];
    for group in &all[0].1 {
        let z = center(vectors, group);
        let largest = group.iter().map(|h| dot(&vectors[*h], &vectors[*h])).fold(0.0, f64::max);
        let least = group.iter().map(|h| distance2(&vectors[*h], &z)).fold(f64::INFINITY, f64::min);
        let winner = group
            .iter()
            .copied()
            .filter(|h| distance2(&vectors[*h], &z) - least <= 1e-6 * largest)
            .reduce(|a, b| if dot(&vectors[b], &vectors[b]) > dot(&vectors[a], &vectors[a]) { b } else { a });
        votes[winner.unwrap()] += 1;
    }
    Some(votes)
}

/// The sequences of a reference one by one: batches of different content.
pub fn singles(whole: &Batch) -> Vec<Batch> {
    let pick = |x: &Tensor, n: usize| x.narrow(0, n, 1).unwrap();
    let tokens = |t: &Tokens, n: usize| {
        let mask = TokenMask::new(1, t.mask.length(), t.mask.row(n).to_vec()).unwrap();
        Tokens::new(pick(&t.ids, n), mask)
    };
    let count = whole.source.sequences().unwrap();
    (0..count)
        .map(|n| {
            let source = match &whole.source {
                Source::Tokens(t) => Source::Tokens(tokens(t, n)),
                Source::Pixels(x) => Source::Pixels(pick(x, n)),
                Source::Frames(x) => Source::Frames(pick(x, n)),
                Source::Samples(s) => {
                    let mask = TokenMask::new(1, s.mask.length(), s.mask.row(n).to_vec()).unwrap();
                    Source::Samples(Samples { values: pick(&s.values, n), mask })
                }
            };
            Batch::new(source, whole.target.as_ref().map(|t| tokens(t, n)))
        })
        .collect()
}

/// Every folder of fixtures.
pub fn families() -> Vec<String> {
    let names: Vec<String> =
        fixture_folders().iter().map(|f| f.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert!(names.len() >= 29);
    names
}

pub fn open(family: &str, dtype: DType) -> (Model, Network, Batch) {
    let folder = fixtures().join(family);
    let model = Model::open(&folder).unwrap();
    let network = model.network(&Device::Cpu, dtype).unwrap();
    let batch = batch(&reference(&folder.join("reference.safetensors")));
    (model, network, batch)
}

pub fn run(model: &Model, network: &Network, batches: &[Batch], settings: &AnalysisSettings) -> Analysis {
    let info = ModelInfo::of(model, DType::F32).unwrap();
    analyze(network, info, batches.iter().cloned().map(Ok), None, settings, &Ticket::default()).unwrap()
}

pub fn close(found: &Gram, expected: &Gram, tolerance: f64, what: &str) {
    for i in 0..expected.heads() {
        for j in 0..expected.heads() {
            let scale = (expected.norm2(i) * expected.norm2(j)).sqrt();
            let difference = (found.get(i, j) - expected.get(i, j)).abs();
            assert!(difference <= tolerance * scale, "{what} {i} {j}: {difference} of {scale}");
        }
    }
}
