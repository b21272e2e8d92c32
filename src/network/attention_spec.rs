//! What an attention layer is, and what its heads are to its tensors.

use serde::Serialize;

use super::RotarySpec;
use super::norm_spec::NormSpec;
use super::role::{AttentionModule, Projection, Term};

/// One attention layer. A pruned model differs here and nowhere else.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttentionSpec {
    /// The number `H` of query heads.
    pub heads: usize,
    /// Key/value heads; `heads` is a multiple of it, query head `h` reads `h / (heads / kv_heads)`.
    pub kv_heads: usize,
    /// The width `d` of a head.
    pub head_dim: usize,
    /// Factor on the scores.
    pub scale: f64,
    /// `cap * tanh(score / cap)` after scaling (Gemma 2).
    pub soft_cap: Option<f64>,
    /// Whether a query sees only keys at or before its position.
    pub causal: bool,
    /// A query sees keys at a distance up to this: causal models `0..window`, others `|i - j| <= window`.
    pub window: Option<usize>,
    /// Rotary positions on queries and keys.
    pub rotary: Option<RotarySpec>,
    /// Bias added to the scores.
    pub bias: ScoreBias,
    /// Which projections have a bias.
    pub projection_bias: ProjectionBias,
    /// Bound on the numbers of queries, keys and values, `-clip` to `clip` (OLMo).
    pub clip: Option<f64>,
    /// Normalization of queries and keys before rotary positions (Qwen3, Gemma 3, OLMo 2).
    pub query_key_norm: Option<QueryKeyNorm>,
    /// Whether each head has a learned score for seeing nothing, which takes part in the softmax alone, so that its weights
    /// sum to less than one (GPT-OSS).
    pub sinks: bool,
    /// Index of each query head in the model as it was before any pruning.
    pub origin: Vec<usize>,
    /// Query heads before any pruning.
    pub origin_heads: usize,
    /// Key/value heads before any pruning.
    pub origin_kv_heads: usize,
}

impl AttentionSpec {
    /// Unpruned attention with a bias on no projection, scores scaled by `head_dim^-0.5`, and no positions.
    pub fn new(heads: usize, kv_heads: usize, head_dim: usize) -> Self {
        Self {
            heads,
            kv_heads,
            head_dim,
            scale: (head_dim as f64).powf(-0.5),
            soft_cap: None,
            causal: false,
            window: None,
            rotary: None,
            bias: ScoreBias::None,
            projection_bias: ProjectionBias::all(false),
            clip: None,
            query_key_norm: None,
            sinks: false,
            origin: (0..heads).collect(),
            origin_heads: heads,
            origin_kv_heads: kv_heads,
        }
    }

    /// Query heads per key/value head; 1 where the layer has lost all heads.
    pub fn queries_per_kv(&self) -> usize {
        self.heads.checked_div(self.kv_heads).unwrap_or(1)
    }

    /// Heads of a projection: key/value heads for keys and values.
    pub fn heads_of(&self, projection: Projection) -> usize {
        match projection {
            Projection::Key | Projection::Value => self.kv_heads,
            Projection::Query | Projection::Output => self.heads,
        }
    }

    /// What heads are to a tensor of this layer.
    pub fn head_axis(&self, module: AttentionModule, term: Term) -> HeadAxis {
        match (module, term) {
            (
                AttentionModule::Projection(Projection::Query | Projection::Key | Projection::Value),
                Term::Weight | Term::Bias,
            ) => HeadAxis::Rows,
            (AttentionModule::Projection(Projection::Output), Term::Weight) => HeadAxis::Columns,
            (AttentionModule::Projection(Projection::Output), Term::Bias) => HeadAxis::None,
            (AttentionModule::Sinks, Term::Weight | Term::Bias) => HeadAxis::Rows,
            (AttentionModule::GridBias, Term::Weight | Term::Bias) => HeadAxis::Columns,
            (AttentionModule::PositionKey | AttentionModule::PositionQuery, Term::Weight | Term::Bias) => {
                HeadAxis::Rows
            }
            (AttentionModule::QueryNorm | AttentionModule::KeyNorm, Term::Weight | Term::Bias) => {
                match self.query_key_norm.map(|norm| norm.scope) {
                    None | Some(QueryKeyNormScope::Shared) => HeadAxis::None,
                    Some(QueryKeyNormScope::EachHead) => HeadAxis::Rows,
                    Some(QueryKeyNormScope::AllHeads) => HeadAxis::Joint,
                }
            }
        }
    }

    /// Whether what a head computes changes where another head is taken away: then heads can be masked and not removed.
    pub fn couples_heads(&self) -> bool {
        self.query_key_norm.is_some_and(|norm| norm.scope == QueryKeyNormScope::AllHeads)
    }
}

/// Normalization of queries and keys.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct QueryKeyNorm {
    pub norm: NormSpec,
    /// What it goes over.
    pub scope: QueryKeyNormScope,
}

/// What a normalization of queries and keys goes over, and what its weights belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum QueryKeyNormScope {
    /// Each head by itself, all heads with the same weights, `[d]` (Qwen3, Gemma 3).
    Shared,
    /// Each head by itself with weights of its own, `[heads, d]` (Command R+).
    EachHead,
    /// All heads together, `[heads * d]` (OLMo 2): without one head the others get other numbers, so heads can be masked
    /// but not removed.
    AllHeads,
}

/// What the heads of an attention layer are to one of its tensors: code that cuts heads out of tensors has to match all
/// of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadAxis {
    /// It has no axis of heads and stays as it is.
    None,
    /// Its rows (numbers, where it is a vector) lie head by head.
    Rows,
    /// Its columns lie head by head.
    Columns,
    /// Its numbers lie head by head, and each of them acts on a statistic of all heads together: what a head computes
    /// changes where another is taken away.
    Joint,
}

/// Biases of the four projections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ProjectionBias {
    pub query: bool,
    pub key: bool,
    pub value: bool,
    /// On the output projection.
    pub output: bool,
}

impl ProjectionBias {
    /// All four projections alike.
    pub fn all(present: bool) -> Self {
        Self { query: present, key: present, value: present, output: present }
    }

    /// Queries, keys and values alike, the output apart.
    pub fn qkv(present: bool, output: bool) -> Self {
        Self { query: present, key: present, value: present, output }
    }
}

/// Bias on attention scores.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum ScoreBias {
    None,
    /// `slope * key position`, a slope per original head (BLOOM).
    Alibi,
    /// A learned table of buckets by original heads, stored once per stack (T5).
    Relative {
        /// Rows of the table.
        buckets: usize,
        /// Distance from which all share the last bucket.
        max_distance: usize,
    },
    /// A learned table of offsets between patches of an image behind a class token (BEiT): by original heads where one
    /// serves the stack, by the heads of the layer where each layer has its own.
    Grid {
        rows: usize,
        /// Patches in a row.
        columns: usize,
        /// Whether the layers of a stack share one table.
        shared: bool,
    },
    /// What queries and keys make of embeddings of their distance (DeBERTa).
    Disentangled(DisentangledSpec),
}

/// Scores of contents against embeddings of distances, `[2 span, D]`, which a stack stores once and each layer projects
/// for itself (He et al. 2021).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DisentangledSpec {
    /// Embeddings to either side.
    pub span: usize,
    /// Distances at `span / 2` and above share logarithmic buckets up to this one, where they do.
    pub max_distance: Option<usize>,
    /// Whether queries are scored against distances.
    pub to_positions: bool,
    /// Whether keys are scored against distances.
    pub from_positions: bool,
    /// Whether distances are projected as contents are, instead of by projections of their own.
    pub shares_projections: bool,
    /// Normalization of the embeddings of distances.
    pub norm: Option<NormSpec>,
}

impl DisentangledSpec {
    /// Projections of distances that a layer has of its own: to keys, and to queries.
    pub fn own_projections(&self) -> [(AttentionModule, bool); 2] {
        let own = !self.shares_projections;
        [
            (AttentionModule::PositionKey, own && self.to_positions),
            (AttentionModule::PositionQuery, own && self.from_positions),
        ]
    }

    /// The embedding that stands for a key `distance` before its query.
    pub fn entry(&self, distance: i64) -> u32 {
        let span = i64::try_from(self.span).unwrap_or(i64::MAX);
        let bucket = match self.max_distance {
            Some(most) => distance.signum() * log_bucket(distance.abs(), span / 2, most),
            None => distance,
        };
        u32::try_from((bucket + span).clamp(0, 2 * span - 1)).unwrap_or(0)
    }
}

/// Bucket of a distance: exact up to `middle`, logarithmic beyond. In f32, as the models' own code takes these logarithms.
fn log_bucket(distance: i64, middle: i64, max_distance: usize) -> i64 {
    if distance <= middle {
        return distance;
    }
    let log = |x: f64| (x / middle as f64) as f32;
    let share = log(distance as f64).ln() / log(max_distance as f64 - 1.0).ln();
    (share * (middle - 1) as f32).ceil() as i64 + middle
}

impl ScoreBias {
    /// Rows of the learned table, where there is one.
    pub fn entries(&self) -> usize {
        match *self {
            Self::None | Self::Alibi | Self::Disentangled(_) => 0,
            Self::Relative { buckets, .. } => buckets,
            // An offset each, and what goes to the class token, from it, and to itself.
            Self::Grid { rows, columns, .. } => (2 * rows).saturating_sub(1) * (2 * columns).saturating_sub(1) + 3,
        }
    }

    /// Whether the layers of a stack share a learned table, by original heads.
    pub fn has_shared_table(&self) -> bool {
        match self {
            Self::None | Self::Alibi | Self::Disentangled(_) => false,
            Self::Relative { .. } => true,
            Self::Grid { shared, .. } => *shared,
        }
    }
}
