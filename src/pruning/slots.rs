//! What every head of the written checkpoint is made from.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::network::{AttentionSpec, NetworkSpec, Site};
use crate::plan::Plan;

/// What one head is made from; numbers are heads of the opened model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// The head as it is.
    Keep(usize),
    /// The place of a removed head: its values and its part of `W_O` are zero, so it adds nothing.
    Zero(usize),
}

impl Slot {
    /// The head whose place this is.
    pub fn head(&self) -> usize {
        match self {
            Self::Keep(head) | Self::Zero(head) => *head,
        }
    }
}

/// The heads of one attention layer as they will be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SiteSlots {
    /// Query heads; slot `i` reads key/value slot `i / (queries / keys)`.
    pub queries: Vec<Slot>,
    /// Key/value heads.
    pub keys: Vec<Slot>,
}

impl SiteSlots {
    /// Heads that are there for the shape alone.
    pub fn padded(&self) -> usize {
        self.queries.iter().filter(|s| matches!(s, Slot::Zero(_))).count()
    }

    /// The slots `heads` (ascending), of which those outside `kept` are zero. Every key/value head that is read
    /// must be read by as many of `heads` as the others.
    fn of(spec: &AttentionSpec, heads: &[usize], kept: &[usize]) -> Self {
        let per_kv = spec.queries_per_kv().max(1);
        let kept: BTreeSet<usize> = kept.iter().copied().collect();
        let serving: BTreeSet<usize> = kept.iter().map(|h| h / per_kv).collect();
        let slot = |keep: bool, head: usize| if keep { Slot::Keep(head) } else { Slot::Zero(head) };
        let keys: BTreeSet<usize> = heads.iter().map(|h| h / per_kv).collect();
        Self {
            queries: heads.iter().map(|h| slot(kept.contains(h), *h)).collect(),
            keys: keys.into_iter().map(|k| slot(serving.contains(&k), k)).collect(),
        }
    }
}

/// The heads of every attention layer as they will be written.
pub(super) type Slots = BTreeMap<Site, SiteSlots>;

/// Every layer in its original shape, removed heads zero.
pub(super) fn masked(spec: &NetworkSpec, plan: &Plan) -> Slots {
    let sites = spec.sites().into_iter();
    sites
        .map(|(site, attention)| {
            let all: Vec<usize> = (0..attention.heads).collect();
            (site, SiteSlots::of(attention, &all, &plan.kept_at(site, attention.heads)))
        })
        .collect()
}

/// Every layer with its kept heads alone. Zero heads come in only where a shape needs them: one in a layer that keeps
/// none, and as many as it takes for every key/value head to serve equally many query heads.
pub(super) fn compact(spec: &NetworkSpec, plan: &Plan) -> Slots {
    let sites = spec.sites().into_iter();
    sites
        .map(|(site, attention)| {
            let kept = plan.kept_at(site, attention.heads);
            (site, SiteSlots::of(attention, &evened(attention, &kept), &kept))
        })
        .collect()
}

/// `kept` and the fewest other heads that make every key/value head in use serve equally many.
fn evened(spec: &AttentionSpec, kept: &[usize]) -> Vec<usize> {
    let per_kv = spec.queries_per_kv().max(1);
    if kept.is_empty() {
        return vec![0];
    }
    let mut groups: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for head in kept {
        groups.entry(head / per_kv).or_default().insert(*head);
    }
    let most = groups.values().map(BTreeSet::len).max().unwrap_or(0);
    for (group, heads) in &mut groups {
        let candidates = group * per_kv..(group + 1) * per_kv;
        let lacking = most - heads.len();
        let added: Vec<usize> = candidates.filter(|h| !heads.contains(h)).take(lacking).collect();
        heads.extend(added);
    }
    groups.into_values().flatten().collect()
}

/// Original indices of the written heads of every site that is narrower than the original model: what `config.json`
/// says so that the folder opens.
pub(super) fn origins(spec: &NetworkSpec, slots: &Slots) -> Result<BTreeMap<Site, Vec<usize>>> {
    let mut kept = BTreeMap::new();
    for (site, attention) in spec.sites() {
        let slots = slots.get(&site).ok_or_else(|| Error::new(format!("{site} was forgotten")))?;
        if slots.queries.len() != attention.origin_heads {
            let origin = slots.queries.iter().filter_map(|s| attention.origin.get(s.head()).copied()).collect();
            kept.insert(site, origin);
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uneven_key_value_groups_are_filled_with_the_fewest_zero_heads() {
        let spec = AttentionSpec::new(12, 3, 4);
        // Heads 0..4 share key/value head 0, and so on; group 1 keeps nothing and goes as a whole.
        assert_eq!(evened(&spec, &[1, 2, 11]), [1, 2, 8, 11]);
        assert_eq!(evened(&spec, &[0, 4, 8]), [0, 4, 8]);
        assert_eq!(evened(&spec, &[]), [0]);
        let slots = SiteSlots::of(&spec, &[1, 2, 8, 11], &[1, 2, 11]);
        assert_eq!(slots.queries, [Slot::Keep(1), Slot::Keep(2), Slot::Zero(8), Slot::Keep(11)]);
        assert_eq!(slots.keys, [Slot::Keep(0), Slot::Keep(2)]);
        assert_eq!(slots.padded(), 1);
    }

    #[test]
    fn a_masked_key_value_head_is_zero_only_when_nothing_kept_reads_it() {
        let spec = AttentionSpec::new(4, 2, 4);
        let slots = SiteSlots::of(&spec, &[0, 1, 2, 3], &[1]);
        assert_eq!(slots.queries, [Slot::Zero(0), Slot::Keep(1), Slot::Zero(2), Slot::Zero(3)]);
        assert_eq!(slots.keys, [Slot::Keep(0), Slot::Zero(1)]);
    }
}
