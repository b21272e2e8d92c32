//! The variables of a file: their names in CTranslate2, and what of the network is in each.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};

use super::check::{Ct2Class, Ct2Conversion, activation_code};
use crate::checkpoint::tensor_bytes;
use crate::engines::rope::rope_keys;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::network::{
    AttentionModule, AttentionSpec, Branch, BranchModule, EmbedModule, InputSpec, LayerSpec, MlpModule, Module,
    NetworkSpec, NormKind, NormSpec, PositionSpec, Projection, Role, RotarySpec, ScoreBias, SiteKind, StackKind,
    StackSpec, TokenInputSpec, Weights, Wiring,
};

/// How finely a variable is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fineness {
    /// A matrix, which may be in 8 bits.
    Matrix,
    /// Numbers that may be in 16 bits.
    Floats,
    /// Always as they are.
    Exact,
}

/// A setting of the engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Setting {
    Flag(i8),
    Short(i16),
    Count(i32),
    Number(f32),
}

/// Biases of a projection that is a part of a larger one.
#[derive(Clone, Copy, Debug)]
pub(super) struct BiasPart {
    pub role: Role,
    pub length: usize,
    /// Whether the network has it; else it is zero.
    pub is_there: bool,
}

/// What a variable holds.
#[derive(Clone, Debug)]
pub(super) enum Ct2Content {
    /// Tensors of these roles with their numbers of rows, one behind the other.
    Roles(Vec<(Role, usize)>),
    Biases(Vec<BiasPart>),
    /// Rows of a table.
    Rows(Role, Range<usize>),
    /// Columns of the table of relative positions, those of the original heads of a layer.
    Columns(Role, Vec<usize>),
    /// Sinusoids, which stand for a table of positions behind rows that are not used.
    Sinusoids(Role, usize, Vec<f32>),
    Numbers(Vec<f32>),
    Setting(Setting),
}

/// One tensor of `model.bin`: its name, type and where its values come from.
#[derive(Clone, Debug)]
pub(super) struct Ct2Variable {
    pub name: String,
    pub shape: Vec<usize>,
    pub fineness: Fineness,
    pub content: Ct2Content,
}

impl Ct2Variable {
    /// Its numbers, of a network's weights.
    ///
    /// # Errors
    /// Where a weight cannot be read.
    pub(super) fn numbers(&self, weights: &dyn Weights) -> Result<Tensor> {
        let tensor = match &self.content {
            Ct2Content::Roles(roles) => match roles.as_slice() {
                [(one, _)] => weights.get(*one)?,
                several => {
                    let parts = several.iter().map(|(role, _)| weights.get(*role)).collect::<Result<Vec<_>>>()?;
                    Tensor::cat(&parts, 0)?
                }
            },
            Ct2Content::Biases(parts) => {
                let part = |part: &BiasPart| match part.is_there {
                    true => weights.get(part.role),
                    false => Ok(Tensor::zeros(part.length, DType::F32, &Device::Cpu)?),
                };
                Tensor::cat(&parts.iter().map(part).collect::<Result<Vec<_>>>()?, 0)?
            }
            Ct2Content::Rows(role, range) => weights.get(*role)?.narrow(0, range.start, range.len())?,
            Ct2Content::Columns(role, columns) => {
                let columns: Vec<u32> = columns.iter().map(|c| u32::try_from(*c).unwrap_or(u32::MAX)).collect();
                weights.get(*role)?.index_select(&Tensor::new(columns, &Device::Cpu)?, 1)?
            }
            Ct2Content::Sinusoids(_, _, numbers) | Ct2Content::Numbers(numbers) => {
                Tensor::new(numbers.as_slice(), &Device::Cpu)?
            }
            Ct2Content::Setting(_) => unreachable!("a setting is no tensor"),
        };
        Ok(tensor.reshape(self.shape.as_slice())?)
    }
}

impl Setting {
    /// As it is stored.
    pub(super) fn bytes(self) -> Vec<u8> {
        match self {
            Self::Flag(flag) => flag.to_le_bytes().to_vec(),
            Self::Short(number) => number.to_le_bytes().to_vec(),
            Self::Count(number) => number.to_le_bytes().to_vec(),
            Self::Number(number) => number.to_le_bytes().to_vec(),
        }
    }
}

/// The variables of a file, and other names of some.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    /// In ascending order of names, as the converter writes them.
    pub variables: Vec<Ct2Variable>,
    pub aliases: Vec<(String, String)>,
}

/// The variables of the file of a network.
///
/// # Errors
/// Where a size does not fit the format.
pub(super) fn layout(model: &Model, conversion: &Ct2Conversion) -> Result<Layout> {
    let mut builder = Builder { model, conversion, layout: Layout::default() };
    let spec = &conversion.spec;
    for (kind, stack) in [(StackKind::Encoder, &spec.encoder), (StackKind::Decoder, &spec.decoder)] {
        if let Some(stack) = stack {
            builder.stack(kind, stack)?;
        }
    }
    builder.head(spec)?;
    builder.layout.variables.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(builder.layout)
}

struct Builder<'a> {
    model: &'a Model,
    conversion: &'a Ct2Conversion,
    layout: Layout,
}

impl Builder<'_> {
    fn add(&mut self, name: String, shape: &[usize], fineness: Fineness, content: Ct2Content) {
        self.layout.variables.push(Ct2Variable { name, shape: shape.to_vec(), fineness, content });
    }

    fn set(&mut self, name: String, setting: Setting) {
        self.add(name, &[], Fineness::Exact, Ct2Content::Setting(setting));
    }

    fn flag(&mut self, name: String, flag: bool) {
        self.set(name, Setting::Flag(i8::from(flag)));
    }

    fn count(&mut self, name: String, count: usize) -> Result<()> {
        let count = i32::try_from(count).map_err(|_| Error::new(format!("{count} is more than the format can say")))?;
        self.set(name, Setting::Count(count));
        Ok(())
    }

    /// Projections of these modules as one: rows, and whether there is a bias.
    fn linear(&mut self, scope: &str, parts: &[(Module, usize, bool)], width: usize) {
        let rows = parts.iter().map(|(_, rows, _)| rows).sum();
        let weights = parts.iter().map(|(module, rows, _)| (module.weight(), *rows)).collect();
        self.add(format!("{scope}/weight"), &[rows, width], Fineness::Matrix, Ct2Content::Roles(weights));
        if parts.iter().any(|(_, _, bias)| *bias) {
            let part = |(module, length, is_there): &(Module, usize, bool)| BiasPart {
                role: module.bias(),
                length: *length,
                is_there: *is_there,
            };
            let biases = Ct2Content::Biases(parts.iter().map(part).collect());
            self.add(format!("{scope}/bias"), &[rows], Fineness::Floats, biases);
        }
    }

    fn norm(&mut self, scope: &str, module: Module, norm: NormSpec, width: usize) {
        let gamma = match norm.kind.has_weight() {
            true => Ct2Content::Roles(vec![(module.weight(), width)]),
            false => Ct2Content::Numbers(vec![1.0; width]),
        };
        self.add(format!("{scope}/gamma"), &[width], Fineness::Floats, gamma);
        if matches!(norm.kind, NormKind::Rms | NormKind::RmsPlusOne) {
            return;
        }
        // Without one, the engine would take the norm for one by the root mean square.
        let beta = match norm.kind.has_bias() {
            true => Ct2Content::Roles(vec![(module.bias(), width)]),
            false => Ct2Content::Numbers(vec![0.0; width]),
        };
        self.add(format!("{scope}/beta"), &[width], Fineness::Floats, beta);
    }

    fn stack(&mut self, kind: StackKind, stack: &StackSpec) -> Result<()> {
        let (scope, class) = (kind.name(), self.conversion.class);
        let Some(first) = stack.layers.first() else { return Ok(()) };
        let heads = i16::try_from(first.attention.heads).map_err(|_| Error::new("too many heads for the format"))?;
        self.set(format!("{scope}/num_heads"), Setting::Short(heads));
        self.flag(format!("{scope}/pre_norm"), first.wiring != Wiring::Post);
        if let Some(code) = activation_code(first.mlp.activation) {
            self.set(format!("{scope}/activation"), Setting::Flag(code));
        }
        match kind {
            StackKind::Decoder => {
                self.set(format!("{scope}/alignment_layer"), Setting::Short(-1));
                self.set(format!("{scope}/alignment_heads"), Setting::Short(1));
                self.flag(format!("{scope}/alibi"), first.attention.bias == ScoreBias::Alibi);
                self.flag(format!("{scope}/alibi_use_positive_positions"), true);
                self.flag(format!("{scope}/scale_alibi"), false);
                self.flag(format!("{scope}/start_from_zero_embedding"), self.conversion.drops_padding);
                if let Some(window) = stack.layers.iter().filter_map(|layer| layer.attention.window).max() {
                    self.count(format!("{scope}/sliding_window"), window)?;
                }
            }
            StackKind::Encoder if class != Ct2Class::Speech => {
                self.flag(format!("{scope}/multi_query_attention"), false);
                self.flag(format!("{scope}/embeddings_merge"), true);
            }
            StackKind::Encoder => {}
        }
        self.input(kind, stack);
        for (index, layer) in stack.layers.iter().enumerate() {
            self.layer(kind, index, layer, stack)?;
        }
        if let Some(norm) = stack.final_norm {
            self.norm(&format!("{scope}/layer_norm"), Module::FinalNorm(kind), norm, stack.width);
        }
        if let Some(out) = stack.project_out {
            self.linear(&format!("{scope}/project_out"), &[(Module::ProjectOut(kind), out, false)], stack.width);
        }
        Ok(())
    }

    fn input(&mut self, kind: StackKind, stack: &StackSpec) {
        let (scope, width) = (kind.name(), stack.width);
        let module = |part| Module::Embed(kind, part);
        let positions = format!("{scope}/position_encodings/encodings");
        let table = module(EmbedModule::Positions).weight();
        match &stack.input {
            InputSpec::Tokens(input) => {
                let (width, rows) = (input.width, self.rows(input.vocabulary));
                let list = if kind == StackKind::Encoder { "embeddings_0" } else { "embeddings" };
                let tokens = module(EmbedModule::Tokens);
                self.table(format!("{scope}/{list}/weight"), tokens, rows, width);
                if input.types > 0 {
                    let types = vec![(module(EmbedModule::Types).weight(), input.types)];
                    let name = format!("{scope}/embeddings_1/weight");
                    self.add(name, &[input.types, width], Fineness::Matrix, Ct2Content::Roles(types));
                }
                self.set(format!("{scope}/scale_embeddings"), Setting::Number(input.scale as f32));
                self.positions(positions, kind, stack, input);
                if let Some(norm) = input.norm {
                    self.norm(&format!("{scope}/layernorm_embedding"), module(EmbedModule::Norm), norm, width);
                }
                if input.project.is_some() {
                    let project = [(module(EmbedModule::Project), stack.width, false)];
                    self.linear(&format!("{scope}/project_in"), &project, width);
                }
            }
            InputSpec::Frames(input) => {
                for (name, part, from) in
                    [("conv1", EmbedModule::Conv1, input.bands), ("conv2", EmbedModule::Conv2, width)]
                {
                    let weight = Ct2Content::Roles(vec![(module(part).weight(), width)]);
                    self.add(format!("{scope}/{name}/weight"), &[width, from, 3], Fineness::Matrix, weight);
                    let bias = Ct2Content::Roles(vec![(module(part).bias(), width)]);
                    self.add(format!("{scope}/{name}/bias"), &[width], Fineness::Floats, bias);
                }
                let all = Ct2Content::Roles(vec![(table, input.positions)]);
                self.add(positions, &[input.positions, width], Fineness::Floats, all);
            }
            InputSpec::Patches(_) | InputSpec::Samples(_) => unreachable!("such models are refused"),
        }
    }

    fn positions(&mut self, name: String, kind: StackKind, stack: &StackSpec, input: &TokenInputSpec) {
        let PositionSpec::Table { rows, offset, after_projection, .. } = input.positions else { return };
        let width = if after_projection { stack.width } else { input.width };
        let table = Module::Embed(kind, EmbedModule::Positions).weight();
        let count = rows.saturating_sub(offset);
        let content = match self.sinusoids(kind, count, width) {
            Some(numbers) => Ct2Content::Sinusoids(table, offset, numbers),
            None => Ct2Content::Rows(table, offset..rows),
        };
        self.add(name, &[count, width], Fineness::Floats, content);
    }

    /// The sinusoids of the model itself, where it has no table.
    fn sinusoids(&self, kind: StackKind, rows: usize, width: usize) -> Option<Vec<f32>> {
        let spec = self.model.spec();
        let stack = if kind == StackKind::Encoder { &spec.encoder } else { &spec.decoder };
        let InputSpec::Tokens(input) = &stack.as_ref()?.input else { return None };
        let PositionSpec::Sinusoidal { spacing, offset, .. } = input.positions else { return None };
        let (sines, cosines) = spacing.frequencies(width);
        let row = |position: usize| {
            let angle = move |frequency: &f64| (position + offset) as f64 * frequency;
            let turned = sines.iter().map(move |f| angle(f).sin()).chain(cosines.iter().map(move |f| angle(f).cos()));
            turned.chain(std::iter::repeat(0.0)).take(width).map(|number| number as f32)
        };
        Some((0..rows).flat_map(row).collect())
    }

    /// Rows of a table of tokens that are written.
    fn rows(&self, vocabulary: usize) -> usize {
        vocabulary.saturating_sub(usize::from(self.conversion.drops_padding))
    }

    /// A table of tokens, or another name of one that is there.
    fn table(&mut self, name: String, module: Module, rows: usize, width: usize) {
        let same = self.layout.variables.iter().find(|variable| match &variable.content {
            Ct2Content::Rows(role, _) => {
                let stored = self.model.stored_as(*role).map(|(name, _)| name);
                stored.is_some() && stored == self.model.stored_as(module.weight()).map(|(name, _)| name)
            }
            _ => false,
        });
        match same.map(|variable| variable.name.clone()) {
            Some(other) => self.layout.aliases.push((name, other)),
            None => {
                self.add(name, &[rows, width], Fineness::Matrix, Ct2Content::Rows(module.weight(), 0..rows));
            }
        }
    }

    fn layer(&mut self, kind: StackKind, index: usize, layer: &LayerSpec, stack: &StackSpec) -> Result<()> {
        let (width, stored) = (stack.width, layer.stored);
        let scope = format!("{}/layer_{index}", kind.name());
        let own = kind.self_attention();
        let module = |branch, part| Module::Branch(branch, stored, part);
        let before = |branch| module(branch, BranchModule::Norm);
        let behind = |branch| module(branch, BranchModule::PostNorm);
        let (attention, mlp) = (Branch::Attention(own), Branch::Mlp(kind));
        let mut norms = match layer.wiring {
            Wiring::Pre | Wiring::Post => {
                vec![("self_attention/layer_norm", before(attention)), ("ffn/layer_norm", before(mlp))]
            }
            Wiring::Parallel => {
                vec![("input_layer_norm", before(attention)), ("post_attention_layer_norm", before(mlp))]
            }
            Wiring::ParallelOneNorm => vec![("shared_layer_norm", before(attention))],
            Wiring::Both => vec![
                ("input_layer_norm", before(attention)),
                ("post_attention_layer_norm", behind(attention)),
                ("pre_feedforward_layer_norm", before(mlp)),
                ("post_feedforward_layer_norm", behind(mlp)),
            ],
            Wiring::After => unreachable!("such models are refused"),
        };
        if layer.cross.is_some() {
            norms.push(("attention/layer_norm", before(Branch::Attention(SiteKind::Cross))));
        }
        for (name, module) in norms {
            self.norm(&format!("{scope}/{name}"), module, layer.norm, width);
        }
        self.attention(&format!("{scope}/self_attention"), (own, stored), &layer.attention, width)?;
        if let Some(cross) = &layer.cross {
            self.attention(&format!("{scope}/attention"), (SiteKind::Cross, stored), cross, width)?;
        }
        let (inner, bias) = (layer.mlp.width, layer.mlp.bias);
        let part = |part| Module::Mlp(kind, stored, part);
        let up = [(part(MlpModule::Up), inner, bias)];
        if layer.mlp.gated {
            self.linear(&format!("{scope}/ffn/linear_0"), &[(part(MlpModule::Gate), inner, bias)], width);
            self.linear(&format!("{scope}/ffn/linear_0_noact"), &up, width);
        } else {
            self.linear(&format!("{scope}/ffn/linear_0"), &up, width);
        }
        self.linear(&format!("{scope}/ffn/linear_1"), &[(part(MlpModule::Down), width, bias)], inner);
        Ok(())
    }

    fn attention(
        &mut self,
        scope: &str,
        (kind, stored): (SiteKind, usize),
        spec: &AttentionSpec,
        width: usize,
    ) -> Result<()> {
        let (own, shared) = (spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim);
        let bias = spec.projection_bias;
        let part = |projection, rows, bias| (Module::projection(kind, stored, projection), rows, bias);
        let query = part(Projection::Query, own, bias.query);
        let (key, value) = (part(Projection::Key, shared, bias.key), part(Projection::Value, shared, bias.value));
        let output = part(Projection::Output, width, bias.output);
        if kind == SiteKind::Cross {
            self.linear(&format!("{scope}/linear_0"), &[query], width);
            self.linear(&format!("{scope}/linear_1"), &[key, value], width);
            self.linear(&format!("{scope}/linear_2"), &[output], own);
        } else {
            self.linear(&format!("{scope}/linear_0"), &[query, key, value], width);
            self.linear(&format!("{scope}/linear_1"), &[output], own);
        }
        // The engine would else divide the width by the heads.
        self.count(format!("{scope}/head_dim"), spec.head_dim)?;
        if spec.kv_heads != spec.heads {
            self.count(format!("{scope}/num_heads_kv"), spec.kv_heads)?;
        }
        if (spec.scale - (spec.head_dim as f64).powf(-0.5)).abs() > 1e-9 * spec.scale.abs() {
            self.set(format!("{scope}/queries_scale"), Setting::Number(spec.scale as f32));
        }
        if let Some(norm) = spec.query_key_norm {
            for (name, part) in [("q_norm", AttentionModule::QueryNorm), ("k_norm", AttentionModule::KeyNorm)] {
                let module = Module::Attention(kind, stored, part);
                self.norm(&format!("{scope}/{name}"), module, norm.norm, spec.head_dim);
            }
        }
        if let Some(window) = spec.window {
            self.count(format!("{scope}/sliding_window"), window)?;
        }
        if let Some(rotary) = &spec.rotary {
            self.rotary(scope, rotary, spec.head_dim)?;
        }
        if let ScoreBias::Relative { buckets, max_distance } = spec.bias {
            let name = format!("{scope}/relative_attention_bias");
            self.count(format!("{scope}/relative_attention_max_distance"), max_distance)?;
            let first = format!("{}/layer_0/self_attention/relative_attention_bias", kind.stack().name());
            if name == first {
                let columns = Ct2Content::Columns(Module::Relative(kind.stack()).weight(), spec.origin.clone());
                self.add(name, &[buckets, spec.origin.len()], Fineness::Floats, columns);
            } else {
                self.layout.aliases.push((name, first));
            }
        }
        Ok(())
    }

    fn rotary(&mut self, scope: &str, rotary: &RotarySpec, head_dim: usize) -> Result<()> {
        let keys = rope_keys(rotary);
        self.count(format!("{scope}/rotary_dim"), if rotary.dims == head_dim { 0 } else { rotary.dims })?;
        self.flag(format!("{scope}/rotary_interleave"), rotary.interleaved);
        self.set(format!("{scope}/rotary_base"), Setting::Number(keys.base as f32));
        if let Some(Llama3 { factor, low, high, length }) = Llama3::of(self.model, rotary, keys.base) {
            self.set(format!("{scope}/rotary_scaling_type"), Setting::Flag(2));
            self.set(format!("{scope}/rotary_scaling_factor"), Setting::Number(factor as f32));
            self.set(format!("{scope}/rotary_low_freq_factor"), Setting::Number(low as f32));
            self.set(format!("{scope}/rotary_high_freq_factor"), Setting::Number(high as f32));
            self.count(format!("{scope}/original_max_position_embeddings"), length)?;
        } else if let Some(factors) = keys.factors {
            // A factor for each pair, the same for long texts as for short ones.
            let numbers: Vec<f32> = factors.iter().map(|factor| *factor as f32).collect();
            self.set(format!("{scope}/rotary_scaling_type"), Setting::Flag(1));
            for name in ["rotary_scaling_long_factor", "rotary_scaling_short_factor"] {
                let content = Ct2Content::Numbers(numbers.clone());
                self.add(format!("{scope}/{name}"), &[numbers.len()], Fineness::Exact, content);
            }
        } else if keys.stretch != 1.0 {
            self.set(format!("{scope}/rotary_scaling_type"), Setting::Flag(0));
            self.set(format!("{scope}/rotary_scaling_factor"), Setting::Number(keys.stretch as f32));
        }
        Ok(())
    }

    fn head(&mut self, spec: &NetworkSpec) -> Result<()> {
        let (Some(output), Some(decoder)) = (&spec.output, &spec.decoder) else { return Ok(()) };
        let rows = self.rows(output.vocabulary);
        let width = decoder.project_out.unwrap_or(decoder.width);
        let module = if output.tied { Module::Embed(StackKind::Decoder, EmbedModule::Tokens) } else { Module::Output };
        self.table("decoder/projection/weight".to_owned(), module, rows, width);
        if output.bias {
            let bias = Ct2Content::Rows(Module::Output.bias(), 0..rows);
            self.add("decoder/projection/bias".to_owned(), &[rows], Fineness::Floats, bias);
        }
        if output.scale != 1.0 {
            self.set("decoder/scale_outputs".to_owned(), Setting::Number(output.scale as f32));
        }
        Ok(())
    }
}

/// How rotary positions of Llama 3 are slowed down, in the numbers of its configuration.
struct Llama3 {
    factor: f64,
    low: f64,
    high: f64,
    length: usize,
}

impl Llama3 {
    /// Those of `model`, where they give what `rotary` turns by.
    fn of(model: &Model, rotary: &RotarySpec, base: f64) -> Option<Self> {
        let config = model.config();
        let sections = ["rope_scaling", "rope_parameters"].into_iter().filter_map(|key| config.section(key));
        for section in sections {
            let number = |key: &str| section.number_opt(key).ok().flatten();
            let length = section.size_opt("original_max_position_embeddings").ok().flatten();
            let named = (number("factor"), number("low_freq_factor"), number("high_freq_factor"), length);
            let (Some(factor), Some(low), Some(high), Some(length)) = named else { continue };
            let slowed = |frequency: f64| {
                let turns = length as f64 * frequency / std::f64::consts::TAU;
                let smooth = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                (1.0 - smooth) * frequency / factor + smooth * frequency
            };
            let plain = RotarySpec::frequencies(rotary.dims, base);
            let mut pairs = plain.iter().zip(&rotary.inverse_frequencies);
            if pairs.all(|(plain, found)| (slowed(*plain) / found - 1.0).abs() < 1e-6) {
                return Some(Self { factor, low, high, length });
            }
        }
        None
    }
}

/// Bytes of numbers in this type.
///
/// # Errors
/// Where the type is not for tensors.
pub(super) fn bytes_as(numbers: &Tensor, dtype: DType) -> Result<Vec<u8>> {
    tensor_bytes(&numbers.to_dtype(dtype)?.contiguous()?)
}
