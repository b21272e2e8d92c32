//! Where a role lies inside a stored tensor.

use std::ops::Range;

use crate::network::AttentionSpec;

/// One of the four projections of an attention layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Projection {
    /// `W_Q`.
    Query,
    /// `W_K`.
    Key,
    /// `W_V`.
    Value,
    /// `W_O`.
    Output,
}

/// Which rows of a stored tensor belong to a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of them.
    Whole,
    /// A block of a tensor that holds queries, then keys, then values.
    Block(Projection),
    /// Rows of a tensor that holds, head by head, its query, key and value.
    Interleaved(Projection),
    /// The first (0) or second (1) half.
    Half(usize),
}

/// How a role is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Stored as `[in, out]` instead of `[out, in]` (GPT-2).
    pub transposed: bool,
    /// Which rows (columns where transposed).
    pub part: Part,
}

impl Layout {
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

impl Projection {
    /// The projection that a role such as `decoder.3.attention.query.weight` names.
    pub fn of_role(role: &str) -> Option<Self> {
        match role.rsplit('.').nth(1)? {
            "query" => Some(Self::Query),
            "key" => Some(Self::Key),
            "value" => Some(Self::Value),
            "output" => Some(Self::Output),
            _ => None,
        }
    }

    /// Heads of this projection: key/value heads for keys and values.
    pub fn heads(self, spec: &AttentionSpec) -> usize {
        match self {
            Self::Key | Self::Value => spec.kv_heads,
            Self::Query | Self::Output => spec.heads,
        }
    }

    /// Rows of one of its heads in a tensor where it is stored as `part`.
    pub fn rows(self, part: Part, spec: &AttentionSpec, head: usize) -> Range<usize> {
        let d = spec.head_dim;
        let first = match part {
            Part::Whole | Part::Half(_) => head * d,
            Part::Block(Self::Query | Self::Output) => head * d,
            Part::Block(Self::Key) => (spec.heads + head) * d,
            Part::Block(Self::Value) => (spec.heads + spec.kv_heads + head) * d,
            Part::Interleaved(Self::Query | Self::Output) => 3 * head * d,
            Part::Interleaved(Self::Key) => (3 * head + 1) * d,
            Part::Interleaved(Self::Value) => (3 * head + 2) * d,
        };
        first..first + d
    }
}
