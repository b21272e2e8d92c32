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
    /// The first (0) or second (1) half.
    Half(usize),
}

/// How a role is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorLayout {
    /// Stored as `[in, out]` instead of `[out, in]` (GPT-2).
    pub transposed: bool,
    /// Which rows (columns where transposed).
    pub part: Part,
}

impl TensorLayout {
    /// A tensor of its own.
    pub const PLAIN: Self = Self { transposed: false, part: Part::Whole };
    /// A tensor of its own, `[in, out]`.
    pub const TRANSPOSED: Self = Self { transposed: true, part: Part::Whole };

    /// A part of a tensor.
    pub const fn part(part: Part) -> Self {
        Self { transposed: false, part }
    }

    /// A part of a tensor stored as `[in, out]`.
    pub const fn transposed_part(part: Part) -> Self {
        Self { transposed: true, part }
    }
}

impl Part {
    /// Rows of a head of `projection` in a tensor where its role is stored as this part.
    pub fn rows(self, projection: Projection, spec: &AttentionSpec, head: usize) -> Range<usize> {
        let (d, each) = (spec.head_dim, spec.queries_per_kv());
        let first = match self {
            Self::Whole | Self::Half(_) => head * d,
            Self::Block(Projection::Query | Projection::Output) => head * d,
            Self::Block(Projection::Key) => (spec.heads + head) * d,
            Self::Block(Projection::Value) => (spec.heads + spec.kv_heads + head) * d,
            Self::Interleaved(Projection::Query | Projection::Output) => (head / each * (each + 2) + head % each) * d,
            Self::Interleaved(Projection::Key) => (head * (each + 2) + each) * d,
            Self::Interleaved(Projection::Value) => (head * (each + 2) + each + 1) * d,
        };
        debug_assert!(!matches!(self, Self::Block(p) | Self::Interleaved(p) if p != projection));
        first..first + d
    }
}
