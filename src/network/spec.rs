//! What a transformer is, as data: one forward pass runs every [`NetworkSpec`].
//!
//! A family (BERT, Llama, ...) is a function from `config.json` to this type. Only the axes along which
//! supported families differ are here.

use serde::Serialize;

use super::RotarySpec;
use super::role::{AttentionModule, Branch, Projection, Term};
use super::site::{Site, SiteKind};

/// A whole network.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NetworkSpec {
    /// The encoder (or vision) stack, if there is one.
    pub encoder: Option<StackSpec>,
    /// The decoder stack, if there is one; it has cross attention exactly where there is an encoder.
    pub decoder: Option<StackSpec>,
    /// The language-model head; `None` gives the last hidden state.
    pub output: Option<OutputSpec>,
}

/// A stack of layers with its input and final normalisation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StackSpec {
    /// Width of the residual stream `D`.
    pub width: usize,
    /// How inputs become the first hidden state.
    pub input: InputSpec,
    /// The layers in the order of their passes.
    pub layers: Vec<LayerSpec>,
    /// Normalisation after the last layer.
    pub final_norm: Option<NormSpec>,
    /// Width of a projection after the last layer, bias-free (OPT-350m); the output head reads it.
    pub project_out: Option<usize>,
}

/// How inputs enter a stack.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum InputSpec {
    /// A table of token embeddings.
    Tokens(TokenInputSpec),
    /// Images cut into patches.
    Patches(PatchInputSpec),
    /// Mel frames through two convolutions of width 3, the second with stride 2, each followed by GELU.
    Frames(FrameInputSpec),
}

/// Token embeddings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TokenInputSpec {
    /// Rows of the table.
    pub vocabulary: usize,
    /// Width of the table.
    pub width: usize,
    /// Projection to the stack's width: needed where the table has another, there anyway in ALBERT.
    pub project: Option<ProjectSpec>,
    /// Factor on the token embedding (Gemma: sqrt of width, Granite: multiplier).
    pub scale: f64,
    /// Rows of the token-type table; type 0 is used at every position.
    pub types: usize,
    /// Absolute positions.
    pub positions: PositionSpec,
    /// Normalisation of the sum, before any projection.
    pub norm: Option<NormSpec>,
    /// Longest sequence the model can read, where it has a limit.
    pub max_length: Option<usize>,
}

impl TokenInputSpec {
    /// A plain table of `vocabulary` rows without positions, types, norm or scale.
    pub fn new(vocabulary: usize, width: usize) -> Self {
        Self {
            vocabulary,
            width,
            project: None,
            scale: 1.0,
            types: 0,
            positions: PositionSpec::None,
            norm: None,
            max_length: None,
        }
    }
}

/// A projection of embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ProjectSpec {
    /// Whether it has a bias.
    pub bias: bool,
}

/// Absolute positions that are added to the embedding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum PositionSpec {
    /// None here (rotary, ALiBi, relative bias live in the attention).
    None,
    /// A learned or stored table read at `t + offset`.
    Table {
        /// Rows of the table.
        rows: usize,
        /// First row in use (OPT and BART: 2).
        offset: usize,
        /// Which positions count.
        counting: Counting,
        /// True where the table has the stack's width although the tokens have another, and is added after
        /// their projection (OPT-350m).
        after_projection: bool,
    },
    /// Sinusoids computed on the fly: sines in the first half of the width, cosines in the second (Marian).
    Sinusoidal,
}

/// Which tokens advance a learned position; those that do not, read row `offset - 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Counting {
    /// All of them.
    Every,
    /// Those with another id than padding (RoBERTa).
    Unpadded {
        /// The id of padding.
        padding: u32,
    },
    /// Those that the attention mask marks as real (OPT).
    Attended,
}

/// Patches of images with leading learned tokens.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PatchInputSpec {
    /// Input channels.
    pub channels: usize,
    /// Height and width of the images the position table was made for.
    pub image: (usize, usize),
    /// Height and width of a patch.
    pub patch: (usize, usize),
    /// Whether a distillation token follows the class token (DeiT).
    pub distillation: bool,
    /// Whether images of other sizes are read too, with the position table interpolated (DINOv2).
    pub any_size: bool,
}

/// Mel spectrogram input.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FrameInputSpec {
    /// Mel bands.
    pub bands: usize,
    /// Positions after the convolutions; inputs have exactly twice as many frames.
    pub positions: usize,
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerSpec {
    /// Which stored layer holds the weights (ALBERT: several passes read one).
    pub stored: usize,
    /// Self-attention.
    pub attention: AttentionSpec,
    /// Attention over the encoder's result.
    pub cross: Option<AttentionSpec>,
    /// The feed-forward part.
    pub mlp: MlpSpec,
    /// Kind of every norm in this layer.
    pub norm: NormSpec,
    /// Where the norms stand.
    pub wiring: Wiring,
    /// False where the first norm is the identity (ModernBERT's first layer).
    pub has_attention_norm: bool,
    /// Factor on each branch before it joins the residual stream (Granite).
    pub residual_scale: f64,
    /// Learned factor per channel on each branch (DINOv2).
    pub channel_scale: bool,
}

impl LayerSpec {
    /// A layer without cross attention or learned factors, whose weights are its own.
    pub fn new(stored: usize, attention: AttentionSpec, mlp: MlpSpec, norm: NormSpec, wiring: Wiring) -> Self {
        Self {
            stored,
            attention,
            cross: None,
            mlp,
            norm,
            wiring,
            has_attention_norm: true,
            residual_scale: 1.0,
            channel_scale: false,
        }
    }
}

/// Where a layer normalises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Wiring {
    /// `x + f(norm(x))`.
    Pre,
    /// `norm(x + f(x))`.
    Post,
    /// `x + norm(f(norm(x)))` (Gemma 2 and 3).
    Both,
    /// `x + attention(norm1(x)) + mlp(norm2(x))` (GPT-NeoX).
    Parallel,
    /// `x + attention(norm(x)) + mlp(norm(x))` (GPT-J, Phi, Cohere).
    ParallelOneNorm,
    /// `x + norm(f(x))` (OLMo 2).
    After,
}

/// Which norms stand around a branch of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BranchNorms {
    /// Before the branch, or after the sum.
    pub norm: bool,
    /// On the branch's result.
    pub post_norm: bool,
}

impl LayerSpec {
    /// The norms around a branch of this layer.
    pub fn norms(&self, branch: Branch) -> BranchNorms {
        let has_first = match branch {
            Branch::Attention(SiteKind::Encoder | SiteKind::Decoder) => self.has_attention_norm,
            Branch::Attention(SiteKind::Cross) | Branch::Mlp(_) => true,
        };
        match self.wiring {
            Wiring::Pre | Wiring::Post | Wiring::Parallel => BranchNorms { norm: has_first, post_norm: false },
            Wiring::Both => BranchNorms { norm: has_first, post_norm: true },
            Wiring::ParallelOneNorm => {
                BranchNorms { norm: has_first && !matches!(branch, Branch::Mlp(_)), post_norm: false }
            }
            Wiring::After => BranchNorms { norm: false, post_norm: true },
        }
    }
}

/// Kind of a normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NormSpec {
    /// Which formula.
    pub kind: NormKind,
    /// Added to the variance or mean square.
    pub eps: f64,
}

impl NormKind {
    /// Whether it has a weight.
    pub fn has_weight(self) -> bool {
        match self {
            Self::Layer | Self::LayerWithoutBias | Self::LayerPlusOne | Self::Rms | Self::RmsPlusOne => true,
            Self::LayerBare => false,
        }
    }

    /// Whether it has a bias.
    pub fn has_bias(self) -> bool {
        match self {
            Self::Layer | Self::LayerPlusOne => true,
            Self::LayerWithoutBias | Self::LayerBare | Self::Rms | Self::RmsPlusOne => false,
        }
    }

    /// The same statistics without anything learned; RMS has no such kind and takes a weight of ones.
    pub(super) fn bare(self) -> Self {
        match self {
            Self::Layer | Self::LayerWithoutBias | Self::LayerPlusOne | Self::LayerBare => Self::LayerBare,
            Self::Rms | Self::RmsPlusOne => Self::Rms,
        }
    }

    /// Whether its factor is one plus its weight.
    pub fn adds_one(self) -> bool {
        match self {
            Self::LayerPlusOne | Self::RmsPlusOne => true,
            Self::Layer | Self::LayerWithoutBias | Self::LayerBare | Self::Rms => false,
        }
    }
}

/// Formula of a normalisation over the last axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum NormKind {
    /// Mean and variance, weight and bias.
    Layer,
    /// Mean and variance, weight alone (ModernBERT).
    LayerWithoutBias,
    /// Mean and variance, `1 + weight`, and bias (Nemotron).
    LayerPlusOne,
    /// Mean and variance, nothing learned (OLMo).
    LayerBare,
    /// Root mean square, weight.
    Rms,
    /// Root mean square, `1 + weight` (Gemma).
    RmsPlusOne,
}

/// One attention layer. A pruned model differs here and nowhere else.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttentionSpec {
    /// Query heads `H`.
    pub heads: usize,
    /// Key/value heads; `heads` is a multiple of it, query head `h` reads `h / (heads / kv_heads)`.
    pub kv_heads: usize,
    /// Head dimension `d`.
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
    /// Normalization of queries and keys before rotary positions (Qwen3, Gemma 3, OLMo 2).
    pub query_key_norm: Option<QueryKeyNorm>,
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
            query_key_norm: None,
            origin: (0..heads).collect(),
            origin_heads: heads,
            origin_kv_heads: kv_heads,
        }
    }

    /// Query heads per key/value head.
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
    /// The formula.
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

/// What the heads of an attention layer are to one of its tensors: whoever cuts heads out of tensors has to match all
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
    /// On queries.
    pub query: bool,
    /// On keys.
    pub key: bool,
    /// On values.
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
    /// None.
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
}

/// The feed-forward part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MlpSpec {
    /// Inner width.
    pub width: usize,
    /// Non-linearity.
    pub activation: Activation,
    /// `activation(gate) * up` instead of `activation(up)`.
    pub gated: bool,
    /// Biases on all projections.
    pub bias: bool,
}

/// Non-linearities of the supported families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Activation {
    /// Exact GELU (error function).
    Gelu,
    /// GELU by hyperbolic tangent (`gelu_new`, `gelu_pytorch_tanh`).
    GeluTanh,
    /// `x * sigmoid(1.702 x)`.
    QuickGelu,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)^2` (Nemotron).
    ReluSquared,
    /// `x * sigmoid(x)`.
    Silu,
}

/// The language-model head.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutputSpec {
    /// Rows of the head.
    pub vocabulary: usize,
    /// What the model was trained to predict.
    pub objective: Objective,
    /// Dense, activation, norm before the head (BERT family).
    pub transform: Option<TransformSpec>,
    /// Whether the head is the token table of the stack that it follows.
    pub tied: bool,
    /// Bias on the logits.
    pub bias: bool,
    /// Factor on the hidden state before the head (T5: `D^-0.5`) times the factor on logits (Granite: 1/scaling).
    pub scale: f64,
    /// `cap * tanh(logit / cap)` (Gemma 2).
    pub soft_cap: Option<f64>,
}

impl OutputSpec {
    /// A linear head without bias, transform or cap.
    pub fn new(vocabulary: usize, objective: Objective, tied: bool) -> Self {
        Self { vocabulary, objective, transform: None, tied, bias: false, scale: 1.0, soft_cap: None }
    }
}

/// What a language-model head predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// The next token (decoder-only and encoder-decoder models).
    Causal,
    /// The token under a mask.
    Masked,
}

/// Transform before a masked-LM head.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TransformSpec {
    /// Width of the dense layer's result.
    pub width: usize,
    /// Its activation.
    pub activation: Activation,
    /// Its norm.
    pub norm: NormSpec,
    /// Whether the dense layer has a bias.
    pub bias: bool,
}

impl NetworkSpec {
    /// A network of one encoder.
    pub fn encoder(stack: StackSpec, output: Option<OutputSpec>) -> Self {
        Self { encoder: Some(stack), decoder: None, output }
    }

    /// A network of one decoder.
    pub fn decoder(stack: StackSpec, output: Option<OutputSpec>) -> Self {
        Self { encoder: None, decoder: Some(stack), output }
    }

    /// Every attention layer with its spec: encoder, then decoder, then cross.
    pub fn sites(&self) -> Vec<(Site, &AttentionSpec)> {
        fn own(kind: SiteKind, stack: &Option<StackSpec>) -> impl Iterator<Item = (Site, &AttentionSpec)> {
            let layers = stack.as_ref().map_or(&[][..], |s| &s.layers);
            layers.iter().enumerate().map(move |(i, l)| (Site::new(kind, i), &l.attention))
        }
        let mut sites: Vec<_> = own(SiteKind::Encoder, &self.encoder).collect();
        sites.extend(own(SiteKind::Decoder, &self.decoder));
        let layers = self.decoder.as_ref().map_or(&[][..], |s| &s.layers);
        sites.extend(
            layers.iter().enumerate().filter_map(|(i, l)| Some((Site::new(SiteKind::Cross, i), l.cross.as_ref()?))),
        );
        sites
    }

    /// The attention layer at `site`.
    pub fn attention(&self, site: Site) -> Option<&AttentionSpec> {
        match site.kind {
            SiteKind::Encoder => self.encoder.as_ref()?.layers.get(site.layer).map(|l| &l.attention),
            SiteKind::Decoder => self.decoder.as_ref()?.layers.get(site.layer).map(|l| &l.attention),
            SiteKind::Cross => self.decoder.as_ref()?.layers.get(site.layer)?.cross.as_ref(),
        }
    }

    /// Query heads of the attention layer at `site`.
    pub fn heads_at(&self, site: Site) -> Option<usize> {
        self.attention(site).map(|a| a.heads)
    }

    /// The attention layer at `site`, to change it.
    pub fn attention_mut(&mut self, site: Site) -> Option<&mut AttentionSpec> {
        match site.kind {
            SiteKind::Encoder => self.encoder.as_mut()?.layers.get_mut(site.layer).map(|l| &mut l.attention),
            SiteKind::Decoder => self.decoder.as_mut()?.layers.get_mut(site.layer).map(|l| &mut l.attention),
            SiteKind::Cross => self.decoder.as_mut()?.layers.get_mut(site.layer)?.cross.as_mut(),
        }
    }

    /// The stored layer whose weights `site` reads; sites that share one must keep the same heads.
    pub fn stored_layer(&self, site: Site) -> Option<usize> {
        let stack = if site.kind == SiteKind::Encoder { &self.encoder } else { &self.decoder };
        stack.as_ref()?.layers.get(site.layer).map(|l| l.stored)
    }

    /// The stack whose result the output head reads.
    pub fn last_stack(&self) -> Option<&StackSpec> {
        self.decoder.as_ref().or(self.encoder.as_ref())
    }
}
