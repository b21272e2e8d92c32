//! What the architectures of llama.cpp compute, and which of them computes a network.
//!
//! Most of them size the tensors of every layer by the heads of layer 0 and work with a head width of their own, so that
//! they open narrower layers as long as all are alike; a few ask each layer. What a network multiplies by and an
//! architecture does not goes into its weights ([`Folds`]).

use crate::engines::convention::{Folds, plain};
use crate::engines::rope::{RopeKeys, rope_keys};
use crate::network::{
    Activation, AttentionSpec, Beyond, InputSpec, LayerSpec, MlpSpec, NetworkSpec, NormKind, PositionSpec,
    QueryKeyNormScope, RotarySpec, ScoreBias, StackSpec, TokenInputSpec, Wiring,
};

/// An architecture of decoders.
pub(super) struct Architecture {
    /// Its name in files.
    pub name: &'static str,
    /// Whether layers may have different numbers of heads.
    pub is_uneven: bool,
    /// Whether queries, keys and values are one tensor.
    pub is_fused: bool,
    /// Whether numbers next to each other turn together, else those half a head apart.
    turns_neighbors: bool,
    wiring: Wiring,
    activation: Activation,
    /// Whether queries and keys are normalized head by head.
    normalizes: bool,
    /// Whether projections may have biases.
    biases: bool,
    /// Whether it always reads the token table as head.
    is_tied: bool,
    /// Whether it reads a factor per rotary pair.
    reads_factors: bool,
    /// Whether every fourth layer is without rotary positions, else none.
    unplaced: bool,
    kind: ArchitectureKind,
}

/// What sets an architecture apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ArchitectureKind {
    Plain,
    /// Factors on embeddings, scores, branches and logits.
    Granite,
    /// Embeddings times the root of the width; caps and windows, from the second on.
    Gemma(u8),
}

const LLAMA: Architecture = Architecture {
    name: "llama",
    is_uneven: false,
    is_fused: false,
    turns_neighbors: true,
    wiring: Wiring::Pre,
    activation: Activation::Silu,
    normalizes: false,
    biases: true,
    is_tied: false,
    reads_factors: true,
    unplaced: false,
    kind: ArchitectureKind::Plain,
};

const GEMMA: Architecture = Architecture {
    name: "gemma",
    turns_neighbors: false,
    activation: Activation::GeluTanh,
    biases: false,
    is_tied: true,
    reads_factors: false,
    kind: ArchitectureKind::Gemma(1),
    ..LLAMA
};

/// All of them; the first that computes a network is taken.
pub(super) static ARCHITECTURES: [Architecture; 9] = [
    Architecture { name: "granite", kind: ArchitectureKind::Granite, ..LLAMA },
    LLAMA,
    Architecture {
        name: "qwen3",
        turns_neighbors: false,
        normalizes: true,
        biases: false,
        reads_factors: false,
        ..LLAMA
    },
    Architecture { name: "smollm3", biases: false, reads_factors: false, unplaced: true, ..LLAMA },
    GEMMA,
    Architecture { name: "gemma2", wiring: Wiring::Both, kind: ArchitectureKind::Gemma(2), ..GEMMA },
    Architecture {
        name: "gemma3",
        wiring: Wiring::Both,
        normalizes: true,
        is_tied: false,
        kind: ArchitectureKind::Gemma(3),
        ..GEMMA
    },
    Architecture { name: "deci", is_uneven: true, ..LLAMA },
    Architecture {
        name: "openelm",
        is_uneven: true,
        is_fused: true,
        turns_neighbors: false,
        normalizes: true,
        biases: false,
        is_tied: true,
        reads_factors: false,
        ..LLAMA
    },
];

/// Layers of the largest Gemma 2 and 3, for which llama.cpp scales scores by the width over the heads.
const LARGEST_GEMMAS: [usize; 2] = [46, 62];

/// Length that is written where a model names none.
const LENGTH: usize = 4096;

/// How an architecture computes a network.
#[derive(Clone, Debug)]
pub(super) struct Conversion {
    /// What it computes, with the weights that [`crate::engines::convention`] makes.
    pub spec: NetworkSpec,
    pub folds: Folds,
    pub rope: Option<RopeKeys>,
    /// Base of layers with a window, where it is another.
    pub window_base: Option<f64>,
    /// Window and every how many layers there is one without, where there are windows.
    pub windows: Option<(usize, usize)>,
    pub context: usize,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// Why no architecture computes a network.
pub(super) type Reason = String;

impl Architecture {
    /// How this architecture computes a decoder of `spec`, whose layers it has to take as they are.
    ///
    /// # Errors
    /// What it cannot do.
    pub(super) fn convert(&self, spec: &NetworkSpec) -> Result<Conversion, Reason> {
        let stack = plain_decoder(spec)?;
        if spec.task.is_some() {
            return Err("the model has the head of a labeled task".to_owned());
        }
        let Some(output) = &spec.output else { return Err("the model has no language-model head".to_owned()) };
        let InputSpec::Tokens(input) = &stack.input else { return Err("the model does not read tokens".to_owned()) };
        let mut notes = Vec::new();
        let is_gemma = matches!(self.kind, ArchitectureKind::Gemma(_));
        let multiplies = self.kind == ArchitectureKind::Granite;
        for layer in &stack.layers {
            self.check(layer)?;
        }
        let first = stack.layers.first().ok_or("the model has no layers")?;
        if multiplies && input.scale == 1.0 && first.residual_scale == 1.0 && output.scale == 1.0 {
            return Err("the model has no factors".to_owned());
        }
        if self.is_tied && !output.tied {
            return Err("the model's head is not its token table".to_owned());
        }
        if output.transform.is_some() || output.bias {
            return Err("the model's head has a bias or a layer before it".to_owned());
        }
        let capped = |layer: &LayerSpec| layer.attention.soft_cap.is_some();
        match self.kind {
            ArchitectureKind::Gemma(2) if output.soft_cap.is_none() || !stack.layers.iter().all(capped) => {
                return Err("the model does not cap scores and logits".to_owned());
            }
            ArchitectureKind::Gemma(2) => {}
            _ if stack.layers.iter().any(capped) => return Err("the model caps scores".to_owned()),
            ArchitectureKind::Gemma(3) => {}
            _ if output.soft_cap.is_some() => return Err("the model caps logits".to_owned()),
            _ => {}
        }
        let mut context = input.max_length.unwrap_or_else(|| {
            notes.push(format!("the configuration names no longest text; {LENGTH} tokens are written"));
            LENGTH
        });
        let (windows, rope, window_base) = self.positions(stack, &mut context, &mut notes)?;
        let mut engine = spec.clone();
        let mut folds = Folds { embedding: 1.0, head: 1.0, branches: 1.0, queries: Vec::new() };
        if let Some(stack) = &mut engine.decoder {
            let width = stack.width;
            if let InputSpec::Tokens(input) = &mut stack.input {
                let own = if is_gemma { (width as f64).sqrt() } else { 1.0 };
                if !multiplies {
                    folds.embedding = input.scale / own;
                    input.scale = own;
                }
                input.max_length = Some(context);
            }
            let layers = stack.layers.len();
            for (index, layer) in stack.layers.iter_mut().enumerate() {
                layer.norm = plain(layer.norm);
                if !multiplies {
                    folds.branches = layer.residual_scale;
                    layer.residual_scale = 1.0;
                }
                let is_placed = !self.unplaced || (index + 1) % 4 != 0;
                let own = self.scale(&layer.attention, width, layers);
                folds.queries.push(self.fold_attention(&mut layer.attention, own, is_placed, windows.is_some()));
            }
            stack.final_norm = stack.final_norm.map(plain);
        }
        if folds.branches != 1.0 && self.wiring == Wiring::Both {
            return Err("the model scales branches that it normalizes".to_owned());
        }
        if let Some(output) = engine.output.as_mut().filter(|_| !multiplies) {
            // A head that is the token table is scaled with it.
            let tied = if output.tied { folds.embedding } else { 1.0 };
            folds.head = output.scale / tied;
            output.scale = 1.0;
        }
        Ok(Conversion { spec: engine, folds, rope, window_base, windows, context, notes })
    }

    /// Whether it has such layers.
    fn check(&self, layer: &LayerSpec) -> Result<(), Reason> {
        // Every field is named, so that what a network gains is thought of here.
        let LayerSpec {
            stored: _,
            attention,
            cross: _,
            mlp,
            norm,
            wiring,
            has_attention_norm,
            residual_scale: _,
            channel_scale,
            experts,
        } = layer;
        let says = |wrong: bool, what: &str| if wrong { Err(what.to_owned()) } else { Ok(()) };
        says(experts.is_some(), "the model is a mixture of experts")?;
        says(*wiring != self.wiring, "the model normalizes at other places of its layers")?;
        says(!matches!(norm.kind, NormKind::Rms | NormKind::RmsPlusOne), "the model has layer norm, not RMS norm")?;
        says(*channel_scale || !has_attention_norm, "the model scales channels or leaves norms out")?;
        let MlpSpec { width: _, activation, gated, bias: mlp_bias } = mlp;
        says(!gated || *activation != self.activation, "the feed-forward part is another")?;
        let AttentionSpec {
            heads: _,
            kv_heads: _,
            head_dim: _,
            scale: _,
            soft_cap: _,
            causal,
            window: _,
            rotary: _,
            bias: score_bias,
            projection_bias: bias,
            clip,
            query_key_norm: norm,
            sinks,
            origin: _,
            origin_heads: _,
            origin_kv_heads: _,
        } = attention;
        let has_bias = bias.query || bias.key || bias.value || bias.output || *mlp_bias;
        says(has_bias && !self.biases, "the model has biases")?;
        says(*sinks, "the model's heads may see nothing")?;
        says(clip.is_some(), "the model bounds queries, keys and values")?;
        says(!causal, "the model sees text in both directions")?;
        says(*score_bias != ScoreBias::None, "the model adds biases to its scores")?;
        says(norm.is_some() != self.normalizes, "the model does or does not normalize queries and keys")?;
        let head_by_head = |norm: crate::network::QueryKeyNorm| {
            norm.scope == QueryKeyNormScope::Shared && norm.norm.eps == layer.norm.eps
        };
        says(norm.is_some_and(|norm| !head_by_head(norm)), "the model normalizes queries and keys otherwise")
    }

    /// Windows, rotary positions, and the base of layers with windows. What the architecture knows only for short texts
    /// bounds `context`.
    #[expect(clippy::type_complexity, reason = "three answers of one question")]
    fn positions(
        &self,
        stack: &StackSpec,
        context: &mut usize,
        notes: &mut Vec<String>,
    ) -> Result<(Option<(usize, usize)>, Option<RopeKeys>, Option<f64>), Reason> {
        let mut bound = |length: usize, why: &str| {
            if length < *context {
                *context = length;
                notes.push(format!("the file is for texts of at most {length} tokens: {why}"));
            }
        };
        let layers = &stack.layers;
        let sizes: Vec<Option<usize>> = layers.iter().map(|layer| layer.attention.window).collect();
        let window = sizes.iter().flatten().copied().next();
        let has_windows = matches!(self.kind, ArchitectureKind::Gemma(2 | 3));
        let windows = match window {
            Some(size) if has_windows => {
                if sizes.iter().flatten().any(|other| *other != size) {
                    return Err("windows are of several sizes".to_owned());
                }
                let fits = |n: &usize| sizes.iter().enumerate().all(|(i, w)| w.is_some() == (i % n < n - 1));
                let every = (1..=layers.len() + 1).find(fits).ok_or("layers with windows follow no pattern")?;
                Some((size, every))
            }
            Some(_) => {
                let least = sizes.iter().flatten().copied().min().unwrap_or(usize::MAX);
                bound(least, "beyond, the model sees a window, which the file's architecture does not have");
                None
            }
            // The architecture always has windows, here in no layer.
            None if self.kind == ArchitectureKind::Gemma(2) => Some((LENGTH, 1)),
            None => None,
        };
        let mut rotary: [Option<&RotarySpec>; 2] = [None, None];
        for (index, layer) in layers.iter().enumerate() {
            let expected = !self.unplaced || (index + 1) % 4 != 0;
            let Some(spec) = layer.attention.rotary.as_ref() else {
                if expected {
                    return Err("layers without rotary positions stand at other places".to_owned());
                }
                continue;
            };
            if !expected {
                return Err("layers without rotary positions stand at other places".to_owned());
            }
            if spec.dims != layer.attention.head_dim {
                return Err("only a part of each head turns by its position".to_owned());
            }
            if spec.interleaved && !self.turns_neighbors {
                return Err("the model turns neighbors together".to_owned());
            }
            if let Beyond::Other { length, .. } | Beyond::Stretched { length, .. } = &spec.beyond {
                bound(*length, "beyond, the model turns otherwise, which the file cannot say");
            }
            let slot = &mut rotary[usize::from(layer.attention.window.is_some() && windows.is_some())];
            if slot.is_some_and(|other| other != spec) {
                return Err("layers turn in several ways".to_owned());
            }
            *slot = Some(spec);
        }
        let [full, windowed] = rotary;
        let Some(main) = full.or(windowed) else { return Ok((windows, None, None)) };
        let keys = rope_keys(main);
        if keys.factors.is_some() && !self.reads_factors {
            return Err("its rotary scaling is none that the file could name".to_owned());
        }
        let window_base = match windowed.filter(|_| full.is_some() && full != windowed) {
            None => None,
            Some(spec) => {
                let other = rope_keys(spec);
                if other.factors.is_some() || other.stretch != 1.0 || self.kind != ArchitectureKind::Gemma(3) {
                    return Err("layers with windows turn in a way that the file cannot say".to_owned());
                }
                Some(other.base)
            }
        };
        Ok((windows, Some(keys), window_base))
    }

    /// The factor on scores that it has of itself.
    fn scale(&self, attention: &AttentionSpec, width: usize, layers: usize) -> f64 {
        match self.kind {
            ArchitectureKind::Granite => attention.scale,
            ArchitectureKind::Gemma(version @ (2 | 3)) if layers == LARGEST_GEMMAS[usize::from(version == 3)] => {
                ((width / attention.heads) as f64).powf(-0.5)
            }
            _ => (attention.head_dim as f64).powf(-0.5),
        }
    }

    /// Makes `attention` what the architecture computes, with `own` as factor on scores; gives the factor on queries.
    fn fold_attention(&self, attention: &mut AttentionSpec, own: f64, is_placed: bool, has_windows: bool) -> f64 {
        // Queries and keys both grow by it.
        let turned = attention.rotary.as_ref().map_or(1.0, |rotary| rotary.attention_factor.powi(2));
        let fold = attention.scale / own * turned;
        attention.scale = own;
        if !has_windows {
            attention.window = None;
        }
        match &mut attention.rotary {
            Some(rotary) if is_placed => {
                rotary.attention_factor = 1.0;
                rotary.beyond = Beyond::Same;
                rotary.interleaved = self.turns_neighbors;
            }
            rotary => *rotary = None,
        }
        if let Some(norm) = &mut attention.query_key_norm {
            norm.norm = plain(norm.norm);
        }
        fold
    }

    /// Whether rows of queries and keys have to change places.
    pub(super) fn reorders(&self, attention: &AttentionSpec) -> bool {
        self.turns_neighbors && attention.rotary.as_ref().is_none_or(|rotary| !rotary.interleaved)
    }
}

/// The stack of a decoder that has nothing no architecture has.
fn plain_decoder(spec: &NetworkSpec) -> Result<&StackSpec, Reason> {
    let says = |wrong: bool, what: &str| if wrong { Err(what.to_owned()) } else { Ok(()) };
    let stack = spec.decoder.as_ref().filter(|_| spec.encoder.is_none()).ok_or("the model has an encoder")?;
    let InputSpec::Tokens(input) = &stack.input else { return Err("the model does not read tokens".to_owned()) };
    // Every field is named, so that what a network gains is thought of here.
    let TokenInputSpec {
        vocabulary: _,
        width: _,
        project,
        scale: _,
        types,
        mask_scaling,
        positions,
        norm: input_norm,
        max_length: _,
    } = input;
    says(*positions != PositionSpec::None, "the model adds positions to its embeddings")?;
    says(project.is_some() || stack.project_out.is_some(), "embeddings have another width than the layers")?;
    says(*types > 0 || input_norm.is_some(), "the model has token types or normalizes its embeddings")?;
    says(mask_scaling.is_some(), "the model scales masked tokens")?;
    let norm = stack.final_norm.ok_or("the model ends without a norm")?;
    let first = stack.layers.first().ok_or("the model has no layers")?;
    for layer in &stack.layers {
        says(layer.norm != norm, "norms differ from each other")?;
        says(layer.mlp.width != first.mlp.width, "feed-forward parts are of several widths")?;
        says(layer.attention.head_dim != first.attention.head_dim, "heads are of several widths")?;
        says(layer.cross.is_some(), "the model reads an encoder")?;
        says(layer.residual_scale != first.residual_scale, "layers are scaled apart")?;
    }
    Ok(stack)
}
