//! Where a role lies inside a stored tensor.

use std::ops::Range;

use crate::network::{AttentionSpec, Projection};

/// Which rows of a stored tensor belong to a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Whole,
    /// A block of a tensor that holds queries, then keys, then values.
    Block(Projection),
    /// Rows of a tensor that holds, key/value head by key/value head, the queries that read it, its key and its value.
    Interleaved(Projection),
    /// Rows of a tensor that holds, slice by slice of the heads before any pruning, their queries, then their values, then
    /// their keys (CodeGen).
    Sliced(Projection),
    /// The first (0) or second (1) half.
    Half(usize),
    /// Every second row, from the first (0) or second (1).
    Alternate(usize),
}

/// Slices of heads in [`Part::Sliced`]: as many as devices that CodeGen was trained on.
pub(super) const SLICES: usize = 4;

/// How a role is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorLayout {
    /// Stored as `[in, out]` instead of `[out, in]` (GPT-2).
    pub transposed: bool,
    /// Which rows (columns where transposed).
    pub part: Part,
    /// Stored with the same of all other experts in one tensor, along its first axis (GPT-OSS).
    pub stacked: bool,
}

impl TensorLayout {
    /// A tensor of its own.
    pub const PLAIN: Self = Self { transposed: false, part: Part::Whole, stacked: false };
    /// A tensor of its own, `[in, out]`.
    pub const TRANSPOSED: Self = Self { transposed: true, part: Part::Whole, stacked: false };

    /// A part of a tensor.
    pub const fn part(part: Part) -> Self {
        Self { transposed: false, part, stacked: false }
    }

    /// A part of a tensor stored as `[in, out]`.
    pub const fn transposed_part(part: Part) -> Self {
        Self { transposed: true, part, stacked: false }
    }

    /// A part of every expert's matrix, stored as `[in, out]` with those of all experts.
    pub const fn stacked(part: Part) -> Self {
        Self { transposed: true, part, stacked: true }
    }
}

impl Part {
    /// Rows of a head of `projection` in a tensor where its role is stored as this part.
    pub fn rows(self, projection: Projection, spec: &AttentionSpec, head: usize) -> Range<usize> {
        let (d, each) = (spec.head_dim, spec.queries_per_kv());
        let first = match self {
            Self::Whole | Self::Half(_) | Self::Alternate(_) => head * d,
            Self::Block(Projection::Query | Projection::Output) => head * d,
            Self::Block(Projection::Key) => (spec.heads + head) * d,
            Self::Block(Projection::Value) => (spec.heads + spec.kv_heads + head) * d,
            Self::Interleaved(Projection::Query | Projection::Output) => (head / each * (each + 2) + head % each) * d,
            Self::Interleaved(Projection::Key) => (head * (each + 2) + each) * d,
            Self::Interleaved(Projection::Value) => (head * (each + 2) + each + 1) * d,
            Self::Sliced(projection) => sliced(projection, spec, head) * d,
        };
        debug_assert!(!matches!(self, Self::Block(p) | Self::Interleaved(p) | Self::Sliced(p) if p != projection));
        first..first + d
    }
}

/// Heads of any projection before `head` of `projection` where slices lie one after the other.
fn sliced(projection: Projection, spec: &AttentionSpec, head: usize) -> usize {
    let slice = |h: usize| {
        let origin = spec.origin.get(h).copied().unwrap_or(h);
        (origin * SLICES).checked_div(spec.origin_heads).unwrap_or(0)
    };
    let own = slice(head);
    let count = |heads: std::ops::Range<usize>, of: &dyn Fn(usize) -> bool| heads.filter(|h| of(slice(*h))).count();
    let (before, size) = (count(0..spec.heads, &|s| s < own), count(0..spec.heads, &|s| s == own));
    let place = match projection {
        Projection::Query | Projection::Output => 0,
        Projection::Value => 1,
        Projection::Key => 2,
    };
    3 * before + place * size + count(0..head, &|s| s == own)
}
