//! What a network costs, and what a plan saves ([method](crate::method), section 8). From the spec alone.

use serde::{Deserialize, Serialize};

use super::Plan;
use crate::error::Result;
use crate::model::{apply_kept, removable};
use crate::network::{
    AttentionModule, AttentionSpec, EmbedModule, InputSpec, Module, NetworkSpec, Role, ScoreBias, SiteKind, StackKind,
    StackSpec, roles,
};

/// Sizes and speeds of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// All parameters; a table that encoder and decoder share counts once.
    pub parameters: u64,
    /// Without token, position and type tables and the vocabulary matrix of an untied head.
    pub parameters_without_embeddings: u64,
    /// The four projections of all attention layers.
    pub attention_parameters: u64,
    /// Tokens of each input for which `flops` holds.
    pub length: usize,
    /// One forward pass over one input of that length, a multiply-add counted once: matrix products and
    /// convolutions, scores over the full square (as fvcore counts).
    pub flops: u64,
    /// `flops` by position of the last stack.
    pub flops_per_token: u64,
    /// Keys and values that every generated token leaves behind, in numbers.
    pub cache_per_token: u64,
    /// Keys and values of cross attention that every source token leaves behind, in numbers.
    pub cache_per_source_token: u64,
    /// Query heads of all attention layers; those that share weights count once.
    pub heads: u64,
}

impl Cost {
    /// Of `spec`, for inputs of `length` tokens, at least one; images and spectrograms have the length of their kind.
    pub fn of(spec: &NetworkSpec, length: usize) -> Self {
        let mut cost = Self {
            parameters: 0,
            parameters_without_embeddings: 0,
            attention_parameters: 0,
            length,
            flops: 0,
            flops_per_token: 0,
            cache_per_token: 0,
            cache_per_source_token: 0,
            heads: 0,
        };
        cost.count_parameters(spec);
        cost.count_cache(spec);
        cost.count_flops(spec, length);
        cost
    }

    /// Bytes of the weights where each number takes `width` bytes.
    pub fn bytes(&self, width: usize) -> u64 {
        self.parameters * width as u64
    }

    /// Bytes of keys and values per generated token where each number takes `width` bytes.
    pub fn cache_bytes_per_token(&self, width: usize) -> u64 {
        self.cache_per_token * width as u64
    }

    /// Share of all parameters that sit in attention.
    pub fn attention_share(&self) -> f64 {
        self.attention_parameters as f64 / self.parameters as f64
    }

    fn count_parameters(&mut self, spec: &NetworkSpec) {
        let shares_table = shares_table(spec);
        for (role, shape) in roles::tensors(spec) {
            if shares_table && role == Module::Embed(StackKind::Decoder, EmbedModule::Tokens).weight() {
                continue;
            }
            let count = shape.iter().map(|d| *d as u64).product::<u64>();
            self.parameters += count;
            if !is_embedding(role) {
                self.parameters_without_embeddings += count;
            }
            if is_projection(role) {
                self.attention_parameters += count;
            }
        }
        let mut seen = Vec::new();
        for (site, attention) in spec.sites() {
            let key = (site.kind, spec.stored_layer(site));
            if !seen.contains(&key) {
                seen.push(key);
                self.heads += attention.heads as u64;
            }
        }
    }

    fn count_cache(&mut self, spec: &NetworkSpec) {
        for (site, attention) in spec.sites() {
            let numbers = 2 * (attention.kv_heads * attention.head_dim) as u64;
            match site.kind {
                SiteKind::Decoder => self.cache_per_token += numbers,
                SiteKind::Cross => self.cache_per_source_token += numbers,
                SiteKind::Encoder => {}
            }
        }
    }

    fn count_flops(&mut self, spec: &NetworkSpec, length: usize) {
        let source = spec.encoder.as_ref().map_or(0, |s| positions(s, length));
        let target = spec.decoder.as_ref().map_or(0, |s| positions(s, length));
        for (stack, own) in [(&spec.encoder, source), (&spec.decoder, target)] {
            let Some(stack) = stack else { continue };
            self.flops += input_flops(stack, own);
            for layer in &stack.layers {
                self.flops += attention_flops(&layer.attention, stack.width, own, own);
                self.flops += distance_flops(&layer.attention, stack.width, own);
                if let Some(cross) = &layer.cross {
                    self.flops += attention_flops(cross, stack.width, own, source);
                }
                let products = if layer.mlp.gated { 3 } else { 2 };
                let (times, router) = layer.experts.map_or((1, 0), |experts| (experts.chosen, experts.count));
                self.flops += (own * stack.width * (times * products * layer.mlp.width + router)) as u64;
            }
            self.flops += (own * stack.project_out.map_or(0, |out| out * stack.width)) as u64;
        }
        let last = if spec.decoder.is_some() { target } else { source };
        if let Some(task) = &spec.task {
            let rows = if task.pooling.is_some() { 1 } else { last };
            let (width, inner) = (task.pooled_width(spec.last_width()), task.inner_width(spec.last_width()));
            let heads = 1 + usize::from(task.distillation);
            let dense = task.dense.as_ref().map_or(0, |dense| dense.width * width);
            self.flops += (rows * heads * (dense + inner * task.outputs)) as u64;
        }
        if let (Some(output), Some(stack)) = (&spec.output, spec.last_stack()) {
            let width = stack.project_out.unwrap_or(stack.width);
            let inner = output.transform.as_ref().map_or(width, |t| t.width);
            let transform = output.transform.as_ref().map_or(0, |t| t.width * width);
            self.flops += (last * (transform + inner * output.vocabulary)) as u64;
        }
        self.flops_per_token = self.flops / last as u64;
    }
}

/// Every supported encoder-decoder with two token tables of one size stores one table.
fn shares_table(spec: &NetworkSpec) -> bool {
    let table = |stack: &Option<StackSpec>| match stack.as_ref().map(|s| &s.input) {
        Some(InputSpec::Tokens(t)) => Some((t.vocabulary, t.width)),
        _ => None,
    };
    table(&spec.encoder).is_some_and(|t| Some(t) == table(&spec.decoder))
}

fn is_embedding(role: Role) -> bool {
    match role.module {
        Module::Embed(_, part) => matches!(part, EmbedModule::Tokens | EmbedModule::Positions | EmbedModule::Types),
        _ => role == Module::Output.weight(),
    }
}

fn is_projection(role: Role) -> bool {
    matches!(role.module, Module::Attention(_, _, AttentionModule::Projection(_)))
}

/// Positions that a stack works on.
fn positions(stack: &StackSpec, length: usize) -> usize {
    match &stack.input {
        InputSpec::Tokens(_) | InputSpec::Samples(_) => length,
        InputSpec::Patches(p) => p.leading_tokens() + p.patches(p.image),
        InputSpec::Frames(f) => f.positions,
    }
}

fn input_flops(stack: &StackSpec, positions: usize) -> u64 {
    let width = stack.width;
    let flops = match &stack.input {
        InputSpec::Tokens(t) => positions * t.project.map_or(0, |_| t.width * width),
        InputSpec::Patches(p) => p.patches(p.image) * p.channels * p.patch.0 * p.patch.1 * width,
        InputSpec::Samples(s) => {
            let mut length = positions;
            let mut flops = 0;
            for (index, convolution) in s.convolutions.iter().enumerate().rev() {
                let before = index.checked_sub(1).and_then(|i| s.convolutions.get(i)).map_or(1, |c| c.channels);
                flops += length * convolution.channels * before * convolution.kernel;
                length *= convolution.stride;
            }
            let channels = s.convolutions.last().map_or(1, |c| c.channels);
            let group = width.checked_div(s.position_groups).unwrap_or(0);
            flops + positions * width * (channels + group * s.position_kernel)
        }
        // The first convolution runs at every frame, twice as many as positions.
        InputSpec::Frames(f) => 2 * positions * 3 * f.bands * width + positions * 3 * width * width,
    };
    flops as u64
}

/// Projections of `queries` and `keys` positions, scores and mixing.
fn attention_flops(spec: &AttentionSpec, width: usize, queries: usize, keys: usize) -> u64 {
    let (own, shared) = (spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim);
    (2 * queries * own * width + 2 * keys * shared * width + 2 * queries * keys * own) as u64
}

/// Projections of embeddings of distances, and scores of `length` positions against them.
fn distance_flops(spec: &AttentionSpec, width: usize, length: usize) -> u64 {
    let ScoreBias::Disentangled(distances) = spec.bias else { return 0 };
    let sides = usize::from(distances.to_positions) + usize::from(distances.from_positions);
    (sides * 2 * distances.span * spec.heads * spec.head_dim * (width + length)) as u64
}

/// The spec that is left when `plan` is carried out; an error where surgery could not. Where heads can only be masked,
/// nothing goes.
pub fn apply(spec: &NetworkSpec, plan: &Plan) -> Result<NetworkSpec> {
    plan.validate(spec)?;
    let mut left = spec.clone();
    apply_kept(&mut left, &removable(spec, &plan.kept))
        .map_err(|e| e.hint("snap the plan to what the model allows first"))?;
    Ok(left)
}

/// The spec with one head in every attention layer: the most that head pruning can ever remove while every layer
/// keeps a head.
pub fn smallest(spec: &NetworkSpec) -> NetworkSpec {
    let mut least = spec.clone();
    for (site, _) in spec.sites() {
        if let Some(attention) = least.attention_mut(site).filter(|a| !a.couples_heads()) {
            attention.heads = attention.heads.min(1);
            attention.kv_heads = attention.kv_heads.min(1);
            attention.origin.truncate(1);
        }
    }
    least
}

/// What a plan saves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Saving {
    /// The network as it is.
    pub before: Cost,
    /// The network that the plan leaves.
    pub after: Cost,
    /// With one head left in every layer: no plan saves more.
    pub least: Cost,
}

impl Saving {
    /// Bytes of all stored tensors at `cost`, one of these, where they took `stored` before and the weights of heads have
    /// `width` bytes each. Tensors that the network does not read stay.
    pub fn stored_bytes(&self, cost: &Cost, stored: u64, width: usize) -> u64 {
        stored.saturating_sub((self.before.parameters - cost.parameters) * width as u64)
    }

    /// Of `plan` on `spec`, for inputs of `length` tokens.
    pub fn of(spec: &NetworkSpec, plan: &Plan, length: usize) -> Result<Self> {
        Ok(Self {
            before: Cost::of(spec, length),
            after: Cost::of(&apply(spec, plan)?, length),
            least: Cost::of(&smallest(spec), length),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{
        Activation, Counting, Kept, LayerSpec, MlpSpec, NormKind, NormSpec, Objective, OutputSpec, PositionSpec,
        ProjectionBias, SinusoidSpacing, Site, TokenInputSpec, Wiring,
    };

    /// The paper's machine translation model: 6 + 6 layers, 8 heads, width 512, inner width 2048, one tied table.
    fn paper(vocabulary: usize) -> NetworkSpec {
        let norm = NormSpec { kind: NormKind::Layer, eps: 1e-5 };
        let attention = |causal| AttentionSpec {
            heads: 8,
            kv_heads: 8,
            head_dim: 64,
            scale: 0.125,
            soft_cap: None,
            causal,
            window: None,
            rotary: None,
            bias: ScoreBias::None,
            projection_bias: ProjectionBias::all(true),
            clip: None,
            query_key_norm: None,
            sinks: false,
            origin: (0..8).collect(),
            origin_heads: 8,
            origin_kv_heads: 8,
        };
        let stack = |decoder: bool| StackSpec {
            width: 512,
            input: InputSpec::Tokens(TokenInputSpec {
                scale: 512f64.sqrt(),
                positions: PositionSpec::Sinusoidal {
                    spacing: SinusoidSpacing::Width,
                    offset: 0,
                    counting: Counting::Every,
                },
                ..TokenInputSpec::new(vocabulary, 512)
            }),
            layers: (0..6)
                .map(|stored| LayerSpec {
                    stored,
                    attention: attention(decoder),
                    cross: decoder.then(|| attention(false)),
                    mlp: MlpSpec { width: 2048, activation: Activation::Relu, gated: false, bias: true },
                    experts: None,
                    norm,
                    wiring: Wiring::Post,
                    has_attention_norm: true,
                    residual_scale: 1.0,
                    channel_scale: false,
                })
                .collect(),
            final_norm: None,
            project_out: None,
        };
        NetworkSpec {
            encoder: Some(stack(false)),
            decoder: Some(stack(true)),
            output: Some(OutputSpec {
                vocabulary,
                objective: Objective::Causal,
                transform: None,
                tied: true,
                bias: false,
                scale: 1.0,
                soft_cap: None,
            }),
            task: None,
        }
    }

    fn keep(spec: &NetworkSpec, heads: &[usize]) -> Plan {
        Plan::from_mask(spec.sites().iter().map(|(site, _)| (*site, heads.to_vec())).collect())
    }

    #[test]
    fn the_papers_model_costs_what_the_paper_says() {
        let spec = paper(10_000);
        // Two of eight heads per layer stay.
        let saving = Saving::of(&spec, &keep(&spec, &[2, 5]), 30).unwrap();
        let (before, after) = (saving.before, saving.after);
        // Table 2: 44 M without embeddings, then 30 M, 32.1 % less; three quarters of each attention layer.
        assert_eq!(before.parameters_without_embeddings / 1_000_000, 44);
        assert_eq!((after.parameters_without_embeddings as f64 / 1e6).round(), 30.0);
        let less = 1.0 - after.parameters_without_embeddings as f64 / before.parameters_without_embeddings as f64;
        assert!((less - 0.321).abs() < 5e-4, "{less}");
        assert!((1.0 - after.attention_parameters as f64 / before.attention_parameters as f64 - 0.75).abs() < 1e-3);
        // 6 (4 (d^2 + d) + 2 d f + f + d + 4 d) + 6 (8 (d^2 + d) + 2 d f + f + d + 6 d), d = 512, f = 2048.
        let (d, f) = (512u64, 2048u64);
        let feed = 2 * d * f + f + d;
        assert_eq!(
            before.parameters_without_embeddings,
            6 * (4 * (d * d + d) + feed + 4 * d) + 6 * (8 * (d * d + d) + feed + 6 * d)
        );
        assert_eq!(before.parameters - before.parameters_without_embeddings, 10_000 * d);
        // At length 30 it says 1996 M and 1558 M: their difference does not depend on the vocabulary, and each
        // figure is rounded.
        let saved = (before.flops - after.flops) as f64 / 1e6;
        assert!((saved - (1996.0 - 1558.0)).abs() <= 1.0, "{saved}");
        // The vocabulary that makes the whole 1996 M is that of a joined byte-pair dictionary of WMT size.
        let rest = before.flops as f64 - 30.0 * 10_000.0 * 512.0;
        let vocabulary = (1996e6 - rest) / (30.0 * 512.0);
        assert!((40_000.0..45_000.0).contains(&vocabulary), "{vocabulary}");
        assert_eq!((before.heads, after.heads, saving.least.heads), (144, 36, 18));
    }

    #[test]
    fn flops_and_cache_follow_their_formulas() {
        let spec = paper(1000);
        let (l, d, f, v) = (7u64, 512u64, 2048u64, 1000u64);
        let attention = 4 * l * d * d + 2 * l * l * d;
        let expected = 6 * (attention + 2 * l * d * f) + 6 * (2 * attention + 2 * l * d * f) + l * d * v;
        let cost = Cost::of(&spec, 7);
        assert_eq!(cost.flops, expected);
        assert_eq!(cost.flops_per_token, expected / l);
        assert_eq!((cost.cache_per_token, cost.cache_per_source_token), (6 * 2 * 512, 6 * 2 * 512));
        assert_eq!(cost.cache_bytes_per_token(2), 2 * 6 * 2 * 512);
        assert_eq!(cost.bytes(4), 4 * cost.parameters);
    }

    #[test]
    fn removing_query_heads_alone_saves_no_cache() {
        let mut spec = paper(1000);
        for (site, _) in paper(1000).sites() {
            if let Some(attention) = spec.attention_mut(site) {
                attention.kv_heads = 2;
                attention.origin_kv_heads = 2;
            }
        }
        let queries = Saving::of(&spec, &keep(&spec, &[0, 1, 4, 5]), 10).unwrap();
        assert_eq!(queries.after.cache_per_token, queries.before.cache_per_token);
        assert!(queries.after.parameters < queries.before.parameters);
        let whole = Saving::of(&spec, &keep(&spec, &[0, 1, 2, 3]), 10).unwrap();
        assert_eq!(2 * whole.after.cache_per_token, whole.before.cache_per_token);
        // Uneven: surgery cannot.
        let uneven = apply(&spec, &keep(&spec, &[0, 1, 4])).unwrap_err().to_string();
        assert!(uneven.contains("unequal") && uneven.contains("snap"), "{uneven}");
    }

    #[test]
    fn a_removed_head_takes_its_rows_and_columns() {
        let spec = paper(1000);
        let site: Site = "cross.3".parse().unwrap();
        let plan = Plan::from_mask(Kept::from_iter([(site, [0, 1, 2, 4, 5, 6, 7])]));
        let saving = Saving::of(&spec, &plan, 10).unwrap();
        // 64 rows of three projections with their biases, 64 columns of the fourth.
        assert_eq!(saving.before.parameters - saving.after.parameters, 4 * 64 * 512 + 3 * 64);
        assert_eq!(apply(&spec, &plan).unwrap().attention(site).unwrap().origin, [0, 1, 2, 4, 5, 6, 7]);
    }
}
