//! Cutting one stored tensor.

use std::ops::Range;

use super::average::mean;
use super::slots::{SiteSlots, Slot, Slots};
use crate::checkpoint::{Stored, TensorInfo, TensorPlan};
use crate::error::{Error, Result};
use crate::model::HeadTensor;
use crate::network::Projection;

/// A run along the head axis of the written tensor.
#[derive(Clone, Debug, PartialEq)]
enum Run {
    /// These positions of the source.
    Copy(Range<usize>),
    Zero(usize),
    /// The mean of these positions of the source, all of one length.
    Mean(Vec<Range<usize>>),
}

impl Run {
    fn len(&self) -> usize {
        match self {
            Self::Copy(range) => range.len(),
            Self::Zero(length) => *length,
            Self::Mean(ranges) => ranges.first().map_or(0, Range::len),
        }
    }
}

/// How one stored tensor is written anew.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    shape: Vec<usize>,
    stored: Stored,
    axis: usize,
    runs: Vec<Run>,
}

impl Cut {
    /// The cut of a tensor whose layers are written as `slots`.
    pub(super) fn new(tensor: &HeadTensor, info: &TensorInfo, slots: &Slots) -> Result<Self> {
        let wrong = |what: &str| Error::new(format!("tensor '{}' {what}", tensor.name));
        let mut sites = tensor.sites.iter().map(|s| slots.get(s));
        let site = sites.next().flatten().ok_or_else(|| wrong("belongs to no attention layer"))?;
        if sites.any(|other| other != Some(site)) {
            let hint = "give every layer that shares the weights the same heads";
            return Err(wrong("is read by layers that keep different heads").hint(hint));
        }
        let whole = |slots: &[Slot], heads: usize| {
            slots.len() == heads && slots.iter().enumerate().all(|(i, s)| s.head() == i && !matches!(s, Slot::Mean(_)))
        };
        let heads_of = |projection| tensor.heads.iter().find(|(p, _)| *p == projection).map_or(0, |(_, h)| h.len());
        let (queries, keys) = (heads_of(Projection::Query), heads_of(Projection::Key));
        if tensor.joint && (queries > 0 && !whole(&site.queries, queries) || keys > 0 && !whole(&site.keys, keys)) {
            return Err(wrong("acts on all heads together, so none can be cut out of it"));
        }
        let length = info.shape.get(tensor.axis).copied().unwrap_or(0);
        let covered: usize = tensor.heads.iter().flat_map(|(_, heads)| heads).map(Range::len).sum();
        if covered != length {
            return Err(wrong("holds more than heads"));
        }
        Ok(Self { shape: info.shape.clone(), stored: info.stored, axis: tensor.axis, runs: runs(tensor, site) })
    }

    /// The columns `columns` of a matrix, in this order; those that it does not have are zero.
    pub(super) fn columns(info: &TensorInfo, columns: &[usize]) -> Self {
        let width = info.shape.get(1).copied().unwrap_or(0);
        let run = |column: &usize| if *column < width { Run::Copy(*column..column + 1) } else { Run::Zero(1) };
        let runs = columns.iter().map(run).collect();
        Self { shape: info.shape.clone(), stored: info.stored, axis: 1, runs }
    }

    /// The tensor as it will be written.
    pub(super) fn plan(&self, name: &str) -> TensorPlan {
        let mut shape = self.shape.clone();
        if let Some(length) = shape.get_mut(self.axis) {
            *length = self.runs.iter().map(Run::len).sum();
        }
        TensorPlan { name: name.to_owned(), stored: self.stored, shape }
    }

    /// The written bytes, from those of the source. Every supported type writes zero as zero bytes.
    pub(super) fn apply(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let inner: usize = self.shape.iter().skip(self.axis + 1).product::<usize>() * self.stored.bytes();
        let outer: usize = self.shape.iter().take(self.axis).product();
        let length = self.shape.get(self.axis).copied().unwrap_or(0);
        let written: usize = self.runs.iter().map(Run::len).sum();
        let mut result = Vec::with_capacity(outer * written * inner);
        for row in 0..outer {
            let begin = row * length * inner;
            let part = |range: &Range<usize>| {
                let source = bytes.get(begin + range.start * inner..begin + range.end * inner);
                source.ok_or_else(|| Error::new("a tensor is shorter than it says"))
            };
            for run in &self.runs {
                match run {
                    Run::Copy(range) => result.extend_from_slice(part(range)?),
                    Run::Mean(ranges) => {
                        let parts = ranges.iter().map(part).collect::<Result<Vec<_>>>()?;
                        result.extend(mean(self.stored, &parts)?);
                    }
                    Run::Zero(length) => result.resize(result.len() + length * inner, 0),
                }
            }
        }
        Ok(result)
    }
}

/// The head axis of the written tensor, run by run, in the arrangement of the source: projections one after another,
/// head by head, or slice by slice of the heads.
fn runs(tensor: &HeadTensor, site: &SiteSlots) -> Vec<Run> {
    let mut projections: Vec<&(Projection, Vec<Range<usize>>)> = tensor.heads.iter().collect();
    let begin = |heads: &[Range<usize>], head: usize| heads.get(head).map_or(usize::MAX, |r| r.start);
    projections.sort_by_key(|(_, heads)| begin(heads, 0));
    let chunks = chunks(tensor);
    // Key/value head by key/value head.
    let by_head =
        chunks.len() > projections.len() && chunks.iter().all(|(p, heads)| *p != Projection::Key || heads.len() == 1);
    let run = |projection: Projection, heads: &[Range<usize>], slot: &Slot| -> Run {
        let range_of = |head: usize| heads.get(head).cloned().unwrap_or(0..0);
        let range = range_of(slot.head());
        match slot {
            Slot::Mean(heads) => Run::Mean(heads.iter().map(|h| range_of(*h)).collect()),
            Slot::Zero(_) if matches!(projection, Projection::Value | Projection::Output) => Run::Zero(range.len()),
            Slot::Zero(_) | Slot::Keep(_) => Run::Copy(range),
        }
    };
    let slots = |projection: Projection| match projection {
        Projection::Query | Projection::Output => &site.queries,
        Projection::Key | Projection::Value => &site.keys,
    };
    if by_head {
        // Of every key/value head the queries that read it, its key and its value.
        let group = |i: usize| {
            projections.iter().flat_map(move |(p, heads)| {
                let slots = slots(*p);
                let each = slots.len() / site.keys.len();
                slots.iter().skip(i * each).take(each).map(move |slot| run(*p, heads, slot))
            })
        };
        return (0..site.keys.len()).flat_map(group).collect();
    }
    if chunks.len() > projections.len() {
        let chunk = |(projection, of): &(Projection, Vec<usize>)| -> Vec<Run> {
            let heads = projections.iter().find(|(p, _)| p == projection).map_or(&[][..], |(_, heads)| heads);
            let own = slots(*projection).iter().filter(|slot| of.contains(&slot.head()));
            own.map(|slot| run(*projection, heads, slot)).collect()
        };
        return chunks.iter().flat_map(chunk).collect();
    }
    projections.iter().flat_map(|(p, heads)| slots(*p).iter().map(move |slot| run(*p, heads, slot))).collect()
}

/// Heads of one projection that follow each other, in the order of the source.
fn chunks(tensor: &HeadTensor) -> Vec<(Projection, Vec<usize>)> {
    let heads = tensor.heads.iter().flat_map(|(projection, ranges)| {
        ranges.iter().enumerate().map(move |(head, range)| (range.start, *projection, head))
    });
    let mut heads: Vec<_> = heads.collect();
    heads.sort_by_key(|(start, ..)| *start);
    let mut chunks: Vec<(Projection, Vec<usize>)> = Vec::new();
    for (_, projection, head) in heads {
        match chunks.last_mut() {
            Some((last, heads)) if *last == projection => heads.push(head),
            _ => chunks.push((projection, vec![head])),
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Site;
    use std::collections::BTreeMap;

    fn site() -> Site {
        "decoder.0".parse().unwrap()
    }

    fn cut(axis: usize, shape: &[usize], heads: Vec<(Projection, Vec<Range<usize>>)>, slots: SiteSlots) -> Cut {
        let tensor = HeadTensor { name: "w".to_owned(), sites: vec![site()], axis, heads, joint: false };
        let runs = runs(&tensor, &BTreeMap::from([(site(), slots)])[&site()]);
        Cut { shape: shape.to_vec(), stored: Stored::U8, axis, runs }
    }

    fn slots(queries: &[Slot], keys: &[Slot]) -> SiteSlots {
        SiteSlots { queries: queries.to_vec(), keys: keys.to_vec() }
    }

    #[test]
    fn columns_of_an_output_projection() {
        // [2, 6], three heads of two columns.
        let heads = vec![(Projection::Output, vec![0..2, 2..4, 4..6])];
        let cut = cut(1, &[2, 6], heads, slots(&[Slot::Keep(0), Slot::Zero(1), Slot::Keep(2)], &[]));
        assert_eq!(cut.apply(&(1..=12).collect::<Vec<u8>>()).unwrap(), [1, 2, 0, 0, 5, 6, 7, 8, 0, 0, 11, 12]);
        assert_eq!(cut.plan("w").shape, [2, 6]);
    }

    #[test]
    fn rows_of_a_fused_tensor_with_fewer_keys() {
        // Four query heads, two key heads, two value heads, one row each of two bytes.
        let heads = vec![
            (Projection::Value, vec![6..7, 7..8]),
            (Projection::Key, vec![4..5, 5..6]),
            (Projection::Query, vec![0..1, 1..2, 2..3, 3..4]),
        ];
        let cut = cut(0, &[8, 2], heads, slots(&[Slot::Keep(2), Slot::Keep(3)], &[Slot::Keep(1)]));
        assert_eq!(cut.apply(&(0..16).collect::<Vec<u8>>()).unwrap(), [4, 5, 6, 7, 10, 11, 14, 15]);
        assert_eq!(cut.plan("w").shape, [4, 2]);
    }

    #[test]
    fn heads_that_lie_one_by_one_stay_so() {
        let heads = vec![
            (Projection::Key, vec![1..2, 4..5]),
            (Projection::Query, vec![0..1, 3..4]),
            (Projection::Value, vec![2..3, 5..6]),
        ];
        let keep = cut(0, &[6], heads.clone(), slots(&[Slot::Keep(1)], &[Slot::Keep(1)]));
        assert_eq!(keep.apply(&[0, 1, 2, 3, 4, 5]).unwrap(), [3, 4, 5]);
        let both = [Slot::Zero(0), Slot::Keep(1)];
        assert_eq!(cut(0, &[6], heads, slots(&both, &both)).apply(&[9, 1, 2, 3, 4, 5]).unwrap(), [9, 1, 0, 3, 4, 5]);
    }

    #[test]
    fn slices_stay_slices() {
        // Two slices of two heads: queries, values and keys of the first, then of the second.
        let heads = vec![
            (Projection::Key, vec![4..5, 5..6, 10..11, 11..12]),
            (Projection::Query, vec![0..1, 1..2, 6..7, 7..8]),
            (Projection::Value, vec![2..3, 3..4, 8..9, 9..10]),
        ];
        let kept = [Slot::Keep(1), Slot::Keep(2), Slot::Keep(3)];
        let keep = cut(0, &[12], heads.clone(), slots(&kept, &kept));
        assert_eq!(keep.apply(&(0..12).collect::<Vec<u8>>()).unwrap(), [1, 3, 5, 6, 7, 8, 9, 10, 11]);
        let masked = [Slot::Keep(0), Slot::Zero(1), Slot::Keep(2), Slot::Keep(3)];
        let masked = cut(0, &[12], heads, slots(&masked, &masked));
        assert_eq!(masked.apply(&(0..12).collect::<Vec<u8>>()).unwrap(), [0, 1, 2, 0, 4, 5, 6, 7, 8, 9, 10, 11]);
    }

    #[test]
    fn a_short_tensor_is_an_error() {
        let heads = vec![(Projection::Query, vec![0..2, 2..4])];
        assert!(cut(0, &[4], heads, slots(&[Slot::Keep(1)], &[])).apply(&[0, 1, 2]).is_err());
    }
}
