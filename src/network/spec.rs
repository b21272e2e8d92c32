//! What a transformer is, as data: one forward pass runs every [`NetworkSpec`].
//!
//! A family (BERT, Llama, ...) is a function from `config.json` to this type. Only the axes along which
//! supported families differ are here.

use serde::Serialize;

use super::activation::Activation;
use super::attention_spec::AttentionSpec;
use super::head_spec::{TaskHeadSpec, TransformSpec};
use super::norm_spec::{NormKind, NormSpec};
use super::role::Branch;
use super::site::{Site, SiteKind};

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NetworkSpec {
    /// The encoder (or vision) stack, if there is one.
    pub encoder: Option<StackSpec>,
    /// The decoder stack, if there is one; it has cross attention exactly where there is an encoder.
    pub decoder: Option<StackSpec>,
    /// The language-model head; `None` gives the last hidden state.
    pub output: Option<OutputSpec>,
    /// The head of a labeled task; where there is one, there is no language-model head.
    pub task: Option<TaskHeadSpec>,
}

/// A stack of layers with its input and final normalization.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StackSpec {
    /// Width of the residual stream `D`.
    pub width: usize,
    /// How inputs become the first hidden state.
    pub input: InputSpec,
    /// The layers in the order of their passes.
    pub layers: Vec<LayerSpec>,
    /// Normalization after the last layer.
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
    /// Samples of sound through convolutions (wav2vec 2.0).
    Samples(SampleInputSpec),
}

impl InputSpec {
    /// What stands at one position of its stack, in a word.
    pub fn position(&self) -> &'static str {
        match self {
            Self::Tokens(_) => "token",
            Self::Patches(_) => "patch",
            Self::Frames(_) | Self::Samples(_) => "frame",
        }
    }

    /// Whether inputs are as long as they are; those of a kind that is always whole have one length.
    pub fn has_length(&self) -> bool {
        matches!(self, Self::Tokens(_) | Self::Samples(_))
    }
}

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
    pub positions: PositionSpec,
    /// Normalization of the sum, before any projection.
    pub norm: Option<NormSpec>,
    /// What tokens under a mask do to their sequence (ESM).
    pub mask_scaling: Option<MaskScaling>,
    /// Longest sequence the model can read, where it has a limit.
    pub max_length: Option<usize>,
}

/// Embeddings of mask tokens are zero, and all others of a sequence grow by the share of tokens that was left unmasked
/// in training over the share that is unmasked here.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MaskScaling {
    /// The id of the mask token.
    pub token: u32,
    /// The share of tokens that was masked in training.
    pub trained_share: f64,
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
            mask_scaling: None,
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
        counting: Counting,
        /// True where the table has the stack's width although the tokens have another, and is added after
        /// their projection (OPT-350m).
        after_projection: bool,
    },
    /// Sinusoids computed on the fly, sines in the first half of the width, cosines in the second, read at `t + offset`.
    Sinusoidal {
        spacing: SinusoidSpacing,
        /// First row in use.
        offset: usize,
        /// Which positions count; those that do not, get nothing.
        counting: Counting,
    },
}

/// Angles per position of sinusoids over a width `D`, of which the fastest is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum SinusoidSpacing {
    /// `10000^(-2i / D)`; an odd width has one sine more (Marian).
    Width,
    /// `10000^(-i / (D/2 - 1))`, so that the slowest is 1/10000; an odd width ends with a zero (XGLM, M2M100).
    Ends,
}

impl SinusoidSpacing {
    /// Angles per position of the sines and of the cosines of a width; zeros fill up what they leave.
    pub fn frequencies(self, width: usize) -> (Vec<f64>, Vec<f64>) {
        let half = width / 2;
        match self {
            Self::Width => {
                let of = |count: usize| (0..count).map(|i| 10000f64.powf(-2.0 * i as f64 / width as f64)).collect();
                (of(width - half), of(half))
            }
            Self::Ends => {
                let last = half.saturating_sub(1).max(1) as f64;
                let all: Vec<f64> = (0..half).map(|i| 10000f64.powf(-(i as f64) / last)).collect();
                (all.clone(), all)
            }
        }
    }
}

/// Which tokens advance a learned position; those that do not, read row `offset - 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Counting {
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
    pub channels: usize,
    /// Height and width of the images the position table was made for.
    pub image: (usize, usize),
    /// Height and width of a patch.
    pub patch: (usize, usize),
    /// Whether the projection of patches has a bias.
    pub bias: bool,
    /// Whether a class token comes first (all but SigLIP).
    pub class: bool,
    /// Whether a distillation token follows the class token (DeiT).
    pub distillation: bool,
    /// Whether there is a table of positions (all but BEiT).
    pub positions: bool,
    /// Learned tokens behind those, which have no positions (DINOv2 with registers).
    pub registers: usize,
    /// Normalization of the sum (CLIP).
    pub norm: Option<NormSpec>,
    /// How the position table is resampled for images of other sizes, where the model can read them.
    pub resampling: Option<Resampling>,
    /// Whether its class reads images of any size unasked, so that what it was made for says nothing of what it reads
    /// (DINOv2).
    pub any_size: bool,
}

/// How a table of positions made for one grid of patches is read at another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Resampling {
    Bicubic,
    /// Bicubic over as many points as fall on one where the grid shrinks (DINOv2 with registers).
    BicubicAntialiased,
}

impl PatchInputSpec {
    /// Learned tokens before the patches that have a row of the position table.
    pub fn placed_tokens(&self) -> usize {
        usize::from(self.class) + usize::from(self.distillation)
    }

    /// Learned tokens before the patches.
    pub fn leading_tokens(&self) -> usize {
        self.placed_tokens() + self.registers
    }

    /// Rows and columns of patches of an image of this height and width.
    pub fn grid(&self, image: (usize, usize)) -> (usize, usize) {
        let whole = |pixels: usize, patch: usize| pixels.checked_div(patch).unwrap_or(0);
        (whole(image.0, self.patch.0), whole(image.1, self.patch.1))
    }

    /// Patches of an image of this height and width.
    pub fn patches(&self, image: (usize, usize)) -> usize {
        let (rows, columns) = self.grid(image);
        rows * columns
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FrameInputSpec {
    pub bands: usize,
    /// Positions after the convolutions; inputs have exactly twice as many frames.
    pub positions: usize,
}

/// Samples of sound: convolutions that make frames of them, a projection to the stack's width, and positions by a
/// convolution over frames.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SampleInputSpec {
    /// The convolutions over samples, in their order.
    pub convolutions: Vec<ConvolutionSpec>,
    /// Whether these have biases.
    pub bias: bool,
    /// Non-linearity behind each of them, and behind the convolution over frames.
    pub activation: Activation,
    pub norm: SampleNorm,
    /// Normalization before the projection.
    pub projection_norm: Option<NormSpec>,
    /// Width of the convolution over frames, whose weights are stored as directions and magnitudes.
    pub position_kernel: usize,
    /// Groups of channels of that.
    pub position_groups: usize,
    /// Normalization of frames with their positions.
    pub input_norm: Option<NormSpec>,
}

/// A convolution without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ConvolutionSpec {
    /// Channels that it gives.
    pub channels: usize,
    pub kernel: usize,
    /// What it moves by.
    pub stride: usize,
}

/// Where convolutions over samples normalize, with weights and biases, by `eps` 1e-5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum SampleNorm {
    /// Each channel over time, behind the first.
    FirstOverTime,
    /// Each frame over channels, behind every one.
    EachOverChannels,
}

impl SampleNorm {
    /// The formula where it goes over channels.
    pub const SPEC: NormSpec = NormSpec { kind: NormKind::Layer, eps: 1e-5 };
}

impl SampleInputSpec {
    /// Frames that the convolutions make of so many samples; none where there are too few.
    pub fn frames(&self, samples: usize) -> usize {
        self.convolutions.iter().fold(samples, |length, convolution| {
            length.checked_sub(convolution.kernel).map_or(0, |rest| rest / convolution.stride + 1)
        })
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerSpec {
    /// Which stored layer holds the weights (ALBERT: several passes read one).
    pub stored: usize,
    pub attention: AttentionSpec,
    /// Attention over the encoder's result.
    pub cross: Option<AttentionSpec>,
    /// The feed-forward part, or each expert of one.
    pub mlp: MlpSpec,
    /// Which of several feed-forward parts each position passes, where there are several.
    pub experts: Option<ExpertsSpec>,
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
            experts: None,
            norm,
            wiring,
            has_attention_norm: true,
            residual_scale: 1.0,
            channel_scale: false,
        }
    }
}

/// Where a layer normalizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Wiring {
    /// Before the branch: `x + f(norm(x))`.
    Pre,
    /// Behind the sum: `norm(x + f(x))`.
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

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MlpSpec {
    pub width: usize,
    pub activation: Activation,
    /// `activation(gate) * up` instead of `activation(up)`.
    pub gated: bool,
    /// Biases on all projections.
    pub bias: bool,
}

/// A mixture of experts: feed-forward parts of which each position passes a few, those that a router scores highest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ExpertsSpec {
    pub count: usize,
    /// How many of them each position passes.
    pub chosen: usize,
    /// Whether the weights of the chosen ones are a softmax over their scores alone, else over all scores.
    pub normalized: bool,
    /// Whether the router has a bias.
    pub bias: bool,
    /// `activation(min(gate, limit)) * (clamp(up, -limit, limit) + 1)` instead of `activation(gate) * up` (GPT-OSS).
    pub limit: Option<f64>,
}

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
    /// Letters at the frames of speech, or nothing, from which a text is read by leaving out repeats (CTC). Labels are not
    /// aligned with frames, so that no position has one.
    Ctc,
}

impl NetworkSpec {
    /// A network of one encoder.
    pub fn encoder(stack: StackSpec, output: Option<OutputSpec>) -> Self {
        Self { encoder: Some(stack), decoder: None, output, task: None }
    }

    /// A network of one decoder.
    pub fn decoder(stack: StackSpec, output: Option<OutputSpec>) -> Self {
        Self { encoder: None, decoder: Some(stack), output, task: None }
    }

    /// Whether it has a head.
    pub fn predicts(&self) -> bool {
        self.output.is_some() || self.task.is_some()
    }

    /// Numbers of each result: classes of the head, or the width of the last hidden state.
    pub fn result_width(&self) -> usize {
        match (&self.output, &self.task) {
            (Some(output), _) => output.vocabulary,
            (None, Some(task)) => task.outputs,
            (None, None) => self.last_width(),
        }
    }

    /// Width of the last hidden state.
    pub fn last_width(&self) -> usize {
        self.last_stack().map_or(0, |s| s.project_out.unwrap_or(s.width))
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

    /// Whether there is a head whose every position has one right answer.
    pub fn predicts_tokens(&self) -> bool {
        self.output.as_ref().is_some_and(|output| match output.objective {
            Objective::Causal | Objective::Masked => true,
            Objective::Ctc => false,
        })
    }

    /// Whether labels can be held against what its head says.
    pub fn is_scored(&self) -> bool {
        self.predicts_tokens() || self.task.is_some()
    }

    /// The stack whose result the output head reads.
    pub fn last_stack(&self) -> Option<&StackSpec> {
        self.decoder.as_ref().or(self.encoder.as_ref())
    }
}
