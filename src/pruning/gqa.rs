//! Key/value heads merged instead of deleted: the heads of a group share the mean of their key and value projections
//! (Ainslie et al. 2023, "GQA", section 2.1), and every query head stays.
//!
//! A plan that leaves `n` key/value heads in a layer becomes `n` groups, all of one size, the same number in every
//! layer. Where the plan holds groups from an analysis, heads of one group merge first; else neighbors do, as in the
//! paper. Query heads move beside those that they share with, which changes nothing. The merging does: a head's keys
//! and values live in a basis of their own, so the result is not the masked model, and the paper trains it further.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use serde_json::{Map, Value};

use super::native::{forget_pruning, source_config, state_heads};
use super::slots::{SiteSlots, Slot, Slots, least};
use crate::error::{Error, Result};
use crate::model::{MemoryPlan, Model, StockHeads, UniformHeads};
use crate::network::{
    AttentionModule, AttentionSpec, Module, Network, NetworkSpec, Projection, Role, Site, SiteKind, Weights,
};
use crate::plan::Plan;

/// Key/value heads that merge, by layer.
type Merged = BTreeMap<Site, Vec<Vec<usize>>>;

/// A plan as merged key/value heads.
pub(super) struct Gqa {
    /// The heads of every layer.
    pub slots: Slots,
    /// The configuration that says so.
    pub config: Map<String, Value>,
    pub opens_in: Vec<String>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// Merges as many key/value heads as `plan` would remove, or fewer where groups of one size ask for it.
pub(super) fn gqa(model: &Model, plan: &Plan) -> Result<Gqa> {
    let (family, spec) = (model.family(), model.spec());
    let hint = "choose compact (smaller) or masked (opens everywhere)";
    let StockHeads::Uniform(uniform @ UniformHeads { kv_heads: Some(_), .. }) = family.stock else {
        let what =
            format!("no gqa format for {}: transformers gives every query head its own keys there", family.title);
        return Err(Error::new(what).hint(hint));
    };
    let sites = spec.sites();
    let Some((_, first)) = sites.first() else { return Err(Error::new("the model has no layers")) };
    if sites.iter().any(|(_, a)| a.heads != a.origin_heads || a.kv_heads != first.kv_heads) {
        let what = "no gqa format for a model that has lost heads already: its layers differ";
        return Err(Error::new(what).hint("merge the heads of the original model"));
    }
    let merged = merged(spec, plan);
    let left = merged.values().map(Vec::len).max().unwrap_or(first.kv_heads);
    if left == first.kv_heads {
        return Err(nothing_merges(spec, plan, first, hint));
    }
    let slots = sites
        .iter()
        .map(|(site, attention)| (*site, slots(attention, merged.get(site).map_or(&[][..], Vec::as_slice))))
        .collect();
    let mut config = source_config(model.config())?;
    forget_pruning(&mut config);
    state_heads(&mut config, &uniform, (first.heads, left, first.head_dim));
    Ok(Gqa {
        slots,
        config,
        opens_in: vec![super::report::SELF.to_owned(), "transformers 4.57 and 5".to_owned()],
        notes: notes(plan, spec, left, first),
    })
}

/// Which key/value heads merge in every layer.
fn merged(spec: &NetworkSpec, plan: &Plan) -> Merged {
    let sites = spec.sites();
    let wanted = sites.iter().map(|(site, a)| least(a, &plan.kept_at(*site, a.heads)).0).max().unwrap_or(1);
    let groups = sites.into_iter().map(|(site, attention)| {
        let all = attention.kv_heads;
        let left = (wanted..=all).find(|n| all.is_multiple_of(*n)).unwrap_or(all);
        (site, chunks(attention, plan.groups.get(&site).map(Vec::as_slice), left))
    });
    groups.collect()
}

/// The key/value heads in `count` groups of one size: those whose first query head has the same label together, as far
/// as that goes, each group and the list in ascending order.
fn chunks(attention: &AttentionSpec, labels: Option<&[usize]>, count: usize) -> Vec<Vec<usize>> {
    let per_kv = attention.queries_per_kv();
    let mut heads: Vec<usize> = (0..attention.kv_heads).collect();
    if let Some(labels) = labels.filter(|labels| labels.len() == attention.heads) {
        heads.sort_by_key(|kv| labels.get(kv * per_kv).copied());
    }
    let size = attention.kv_heads / count;
    let mut chunks: Vec<Vec<usize>> = heads.chunks(size).map(<[usize]>::to_vec).collect();
    for chunk in &mut chunks {
        chunk.sort_unstable();
    }
    chunks.sort();
    chunks
}

fn slots(attention: &AttentionSpec, merged: &[Vec<usize>]) -> SiteSlots {
    let per_kv = attention.queries_per_kv();
    let queries = merged.iter().flatten().flat_map(|kv| kv * per_kv..(kv + 1) * per_kv).map(Slot::Keep).collect();
    let keys = merged.iter().map(|chunk| match chunk.as_slice() {
        [single] => Slot::Keep(*single),
        several => Slot::Mean(several.to_vec()),
    });
    SiteSlots { queries, keys: keys.collect() }
}

/// Why `plan` leaves nothing to average, and what would.
fn nothing_merges(spec: &NetworkSpec, plan: &Plan, first: &AttentionSpec, otherwise: &str) -> Error {
    let all = first.kv_heads;
    let Some(most) = (1..all).rev().find(|n| all.is_multiple_of(*n)) else {
        return Error::new("the gqa format has nothing to average: a layer has one key/value head already")
            .hint(otherwise);
    };
    let sites = spec.sites().into_iter().map(|(site, a)| (least(a, &plan.kept_at(site, a.heads)).0, site));
    // Of equals the first.
    let (kept, site) =
        sites.fold((0, None), |(kept, at), (n, site)| if n > kept { (n, Some(site)) } else { (kept, at) });
    let site = site.map_or_else(String::new, |site| format!(" in {site}"));
    Error::new(format!(
        "the gqa format has nothing to average: the plan keeps {kept} of {all} key/value heads{site}, and groups of one size take {most} \
         or fewer in every layer"
    ))
    .hint(format!("make a plan that keeps {most} or fewer of them in every layer, or {otherwise}"))
}

fn notes(plan: &Plan, spec: &NetworkSpec, left: usize, first: &AttentionSpec) -> Vec<String> {
    let mut notes = vec![format!(
        "{} key/value heads of a layer become {left} by averaging, and every query head stays: not the masked model; train it further",
        first.kv_heads
    )];
    let wanted = spec.sites().iter().map(|(site, a)| least(a, &plan.kept_at(*site, a.heads)).0).max().unwrap_or(left);
    if wanted != left {
        notes.push(format!("{left} key/value heads in a layer instead of {wanted}, so that groups have one size"));
    }
    let mixed = spec.sites().into_iter().filter(|(site, a)| {
        let per_kv = a.queries_per_kv();
        let labels = plan.groups.get(site);
        let label = |kv: &usize| labels.and_then(|l| l.get(kv * per_kv));
        chunks(a, labels.map(Vec::as_slice), left)
            .iter()
            .any(|chunk| chunk.iter().any(|kv| label(kv) != label(&chunk[0])))
    });
    match mixed.count() {
        _ if plan.groups.is_empty() => {
            notes.push("the plan holds no groups, so neighboring heads merge".to_owned());
        }
        0 => {}
        layers => {
            notes.push(format!("in {layers} layers groups differ in size, so that some heads merge across groups"))
        }
    }
    notes
}

/// The network that a merged export must equal, made without it: the original shapes, in which every key/value head
/// computes the mean of its group.
pub(super) fn pooled(model: &Model, plan: &Plan, device: &Device, room: Option<&MemoryPlan>) -> Result<Network> {
    let merged = merged(model.spec(), plan);
    let weights = Pooled { weights: model.reader(device, DType::F32), merged, stored: model.stored().dtype() };
    match room {
        // Layer by layer from the checkpoint, one batch at a time.
        Some(_) => Network::stream(model.spec(), Arc::new(weights), 0),
        None => Network::load(model.spec(), &weights),
    }
}

/// Weights in which key/value heads are averaged.
struct Pooled<W> {
    weights: W,
    merged: Merged,
    /// The type in which means are stored.
    stored: DType,
}

impl<W: Weights> Weights for Pooled<W> {
    fn get(&self, role: Role) -> Result<Tensor> {
        let tensor = self.weights.get(role)?;
        let merged = match role.module {
            Module::Attention(
                SiteKind::Decoder,
                layer,
                AttentionModule::Projection(Projection::Key | Projection::Value),
            ) => self.merged.get(&Site::new(SiteKind::Decoder, layer)),
            _ => None,
        };
        match merged {
            Some(merged) => pool(&tensor, merged, self.stored),
            None => Ok(tensor),
        }
    }
}

/// `[K d, ..]` with every head's rows replaced by the mean over its group, rounded to `stored`.
fn pool(tensor: &Tensor, merged: &[Vec<usize>], stored: DType) -> Result<Tensor> {
    let heads: usize = merged.iter().map(Vec::len).sum();
    let mut mixing = vec![0f32; heads * heads];
    for group in merged {
        for (i, j) in group.iter().flat_map(|i| group.iter().map(move |j| (i, j))) {
            mixing[i * heads + j] = 1.0 / group.len() as f32;
        }
    }
    let mixing = Tensor::from_vec(mixing, (heads, heads), &Device::Cpu)?.to_device(tensor.device())?;
    let by_head = tensor.to_dtype(DType::F32)?.reshape((heads, ()))?;
    let means = mixing.matmul(&by_head)?.to_dtype(stored)?.to_dtype(tensor.dtype())?;
    Ok(means.reshape(tensor.dims())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_one_group_merge_first_and_groups_have_one_size() {
        let spec = AttentionSpec::new(8, 8, 4);
        assert_eq!(chunks(&spec, None, 4), [[0, 1], [2, 3], [4, 5], [6, 7]]);
        assert_eq!(chunks(&spec, Some(&[0, 1, 0, 1, 2, 2, 3, 3]), 4), [[0, 2], [1, 3], [4, 5], [6, 7]]);
        // Three and one: one head has to go elsewhere.
        assert_eq!(chunks(&spec, Some(&[0, 0, 0, 1, 1, 1, 1, 1]), 2), [[0, 1, 2, 3], [4, 5, 6, 7]]);
        // Two query heads to each: the label of the first counts.
        let spec = AttentionSpec::new(8, 4, 4);
        let merged = chunks(&spec, Some(&[0, 0, 1, 1, 0, 0, 1, 1]), 2);
        assert_eq!(merged, [[0, 2], [1, 3]]);
        let slots = slots(&spec, &merged);
        assert_eq!(slots.queries, [0, 1, 4, 5, 2, 3, 6, 7].map(Slot::Keep));
        assert_eq!(slots.keys, [Slot::Mean(vec![0, 2]), Slot::Mean(vec![1, 3])]);
    }

    #[test]
    fn pooling_replaces_heads_by_the_mean_of_their_group() {
        let rows = Tensor::new(&[[1f32], [2.0], [10.0], [20.0], [5.0], [6.0]], &Device::Cpu).unwrap();
        let pooled = pool(&rows, &[vec![0, 2], vec![1]], DType::F32).unwrap();
        assert_eq!(pooled.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [3.0, 4.0, 10.0, 20.0, 3.0, 4.0]);
    }
}
