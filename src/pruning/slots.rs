//! What every head of the written checkpoint is made from.

use std::collections::{BTreeMap, BTreeSet};

use crate::network::{AttentionSpec, Kept, NetworkSpec, Site};
use crate::plan::Plan;

/// What one head is made from; numbers are heads of the opened model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// The head as it is.
    Keep(usize),
    /// The place of a removed head: its values and its part of `W_O` are zero, so it adds nothing.
    Zero(usize),
    /// The mean of several key/value heads, which query heads share from now on.
    Mean(Vec<usize>),
}

impl Slot {
    /// The head whose place this is, the first of several.
    pub(super) fn head(&self) -> usize {
        match self {
            Self::Keep(head) | Self::Zero(head) => *head,
            Self::Mean(heads) => heads.first().copied().unwrap_or(0),
        }
    }
}

/// The heads of one attention layer as they will be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SiteSlots {
    /// Query heads; slot `i` reads key/value slot `i / (queries / keys)`.
    pub queries: Vec<Slot>,
    pub keys: Vec<Slot>,
}

impl SiteSlots {
    /// Heads that are there for the shape alone.
    pub(super) fn padded(&self) -> usize {
        self.queries.iter().filter(|s| matches!(s, Slot::Zero(_))).count()
    }

    /// The heads in `kept` (ascending) in `keys` key/value slots that `each` query heads read; zero heads take what is
    /// left. A zero head takes the place of a removed head of the layer where there is one, so that heads stay in
    /// their order, and else repeats one.
    pub(super) fn filled(spec: &AttentionSpec, kept: &[usize], keys: usize, each: usize) -> Self {
        let per_kv = spec.queries_per_kv();
        let kept: BTreeSet<usize> = kept.iter().copied().collect();
        let serving: BTreeSet<usize> = kept.iter().map(|h| h / per_kv).collect();
        let unused = (0..spec.kv_heads).filter(|k| !serving.contains(k));
        let mut groups: Vec<usize> = serving.iter().copied().chain(unused).take(keys.max(serving.len())).collect();
        groups.sort_unstable();
        let repeats = keys.saturating_sub(groups.len());
        let mut slots = Self { queries: Vec::new(), keys: Vec::new() };
        for kv in groups {
            let mut heads: Vec<usize> = (kv * per_kv..(kv + 1) * per_kv).collect();
            heads.sort_by_key(|h| !kept.contains(h));
            heads.truncate(each);
            heads.sort_unstable();
            let read = |h: usize| if kept.contains(&h) { Slot::Keep(h) } else { Slot::Zero(h) };
            slots.queries.extend(heads.iter().copied().map(read));
            slots.queries.extend(std::iter::repeat_n(Slot::Zero(kv * per_kv), each.saturating_sub(heads.len())));
            slots.keys.push(if serving.contains(&kv) { Slot::Keep(kv) } else { Slot::Zero(kv) });
        }
        slots.queries.extend(std::iter::repeat_n(Slot::Zero(0), repeats * each));
        slots.keys.extend(std::iter::repeat_n(Slot::Zero(0), repeats));
        slots
    }
}

/// The least that a layer needs for its heads: key/value heads, and query heads to each.
pub(super) fn least(spec: &AttentionSpec, kept: &[usize]) -> (usize, usize) {
    let per_kv = spec.queries_per_kv();
    let mut groups: BTreeMap<usize, usize> = BTreeMap::new();
    for head in kept {
        *groups.entry(head / per_kv).or_default() += 1;
    }
    (groups.len().max(1), groups.values().copied().max().unwrap_or(1))
}

/// The heads of every attention layer as they will be written.
pub(super) type Slots = BTreeMap<Site, SiteSlots>;

/// Every layer in its original shape, removed heads zero.
pub(super) fn masked(spec: &NetworkSpec, plan: &Plan) -> Slots {
    each_site(spec, plan, |_, attention, _| (attention.kv_heads, attention.queries_per_kv()))
}

/// Every layer with its kept heads alone. Zero heads come in only where a shape needs them: one in a layer that keeps
/// none, and as many as it takes for every key/value head to serve equally many query heads.
pub(super) fn compact(spec: &NetworkSpec, plan: &Plan) -> Slots {
    each_site(spec, plan, |_, attention, kept| least(attention, kept))
}

/// Every layer in the shape that `shape` gives: key/value heads, and query heads to each.
pub(super) fn each_site(
    spec: &NetworkSpec,
    plan: &Plan,
    shape: impl Fn(Site, &AttentionSpec, &[usize]) -> (usize, usize),
) -> Slots {
    let sites = spec.sites().into_iter();
    sites
        .map(|(site, attention)| {
            let kept = plan.kept_at(site, attention.heads);
            let (keys, each) = shape(site, attention, &kept);
            (site, SiteSlots::filled(attention, &kept, keys, each))
        })
        .collect()
}

/// Original indices of the written heads of every site that is narrower than the original model: what `config.json`
/// says so that the folder opens.
pub(super) fn origins(spec: &NetworkSpec, slots: &Slots) -> Kept {
    let mut kept = Kept::all();
    for (site, attention) in spec.sites() {
        // Slots were made for every site of the same spec.
        let slots = &slots[&site];
        if slots.queries.len() != attention.origin_heads {
            kept.set(site, slots.queries.iter().filter_map(|s| attention.origin.get(s.head()).copied()));
        }
    }
    kept
}

/// The original head of every written head, none where a head is there for the shape alone, of every site where these are
/// not simply all heads of the original.
pub(super) fn places(spec: &NetworkSpec, slots: &Slots) -> BTreeMap<Site, Vec<Option<usize>>> {
    let mut places = BTreeMap::new();
    for (site, attention) in spec.sites() {
        let place = |slot: &Slot| match slot {
            Slot::Keep(head) => attention.origin.get(*head).copied(),
            Slot::Zero(_) | Slot::Mean(_) => None,
        };
        let Some(slots) = slots.get(&site) else { continue };
        let heads: Vec<Option<usize>> = slots.queries.iter().map(place).collect();
        if !heads.iter().copied().eq((0..attention.origin_heads).map(Some)) {
            places.insert(site, heads);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compact(spec: &AttentionSpec, kept: &[usize]) -> SiteSlots {
        let (keys, each) = least(spec, kept);
        SiteSlots::filled(spec, kept, keys, each)
    }

    #[test]
    fn uneven_key_value_groups_are_filled_with_the_fewest_zero_heads() {
        let spec = AttentionSpec::new(12, 3, 4);
        // Heads 0..4 share key/value head 0, and so on; group 1 keeps nothing and goes as a whole.
        let slots = compact(&spec, &[1, 2, 11]);
        assert_eq!(slots.queries, [Slot::Keep(1), Slot::Keep(2), Slot::Zero(8), Slot::Keep(11)]);
        assert_eq!(slots.keys, [Slot::Keep(0), Slot::Keep(2)]);
        assert_eq!(slots.padded(), 1);
        assert_eq!(compact(&spec, &[0, 4, 8]).queries, [Slot::Keep(0), Slot::Keep(4), Slot::Keep(8)]);
        let none = compact(&spec, &[]);
        assert_eq!((none.queries.as_slice(), none.keys.as_slice()), (&[Slot::Zero(0)][..], &[Slot::Zero(0)][..]));
    }

    #[test]
    fn a_masked_key_value_head_is_zero_only_when_nothing_kept_reads_it() {
        let spec = AttentionSpec::new(4, 2, 4);
        let slots = SiteSlots::filled(&spec, &[1], 2, 2);
        assert_eq!(slots.queries, [Slot::Zero(0), Slot::Keep(1), Slot::Zero(2), Slot::Zero(3)]);
        assert_eq!(slots.keys, [Slot::Keep(0), Slot::Zero(1)]);
    }

    #[test]
    fn zero_heads_take_the_places_of_removed_ones_and_then_repeat() {
        let spec = AttentionSpec::new(4, 4, 8);
        let slots = SiteSlots::filled(&spec, &[1, 3], 3, 1);
        assert_eq!(slots.queries, [Slot::Zero(0), Slot::Keep(1), Slot::Keep(3)]);
        // A layer of two heads in a model that needs three.
        let spec = AttentionSpec::new(2, 2, 8);
        let slots = SiteSlots::filled(&spec, &[0, 1], 3, 1);
        assert_eq!(slots.queries, [Slot::Keep(0), Slot::Keep(1), Slot::Zero(0)]);
        assert_eq!(slots.keys, slots.queries);
        // Two key/value heads of one query head each where two query heads are needed.
        let slots = SiteSlots::filled(&spec, &[1], 1, 2);
        assert_eq!(slots.queries, [Slot::Keep(1), Slot::Zero(1)]);
        assert_eq!(slots.keys, [Slot::Keep(1)]);
    }
}
