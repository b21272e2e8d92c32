//! Which tensors a network asks for, and who hands them out.

use std::collections::BTreeSet;
use std::ops::Range;

use candle_core::Tensor;

use super::role::{
    AttentionModule, Branch, BranchModule, EmbedModule, MlpModule, Module, Projection, Role, TaskModule,
};
use super::{
    AttentionSpec, InputSpec, LayerSpec, MlpSpec, NetworkSpec, NormSpec, OutputSpec, PositionSpec, QueryKeyNormScope,
    SampleNorm, ScoreBias, SiteKind, StackKind, StackSpec, TaskHeadSpec,
};
use crate::error::Result;

/// Hands out tensors by role, in the shape, dtype and device that the network runs in.
pub trait Weights {
    /// The tensor with `role`; an error names what is missing.
    fn get(&self, role: Role) -> Result<Tensor>;

    /// Rows of the tensor with `role`, range after range. A source that leaves tensors in a file reads those alone.
    fn rows(&self, role: Role, ranges: &[Range<usize>]) -> Result<Tensor> {
        rows_of(&self.get(role)?, ranges)
    }
}

/// Rows of `table`, range after range.
pub(crate) fn rows_of(table: &Tensor, ranges: &[Range<usize>]) -> Result<Tensor> {
    let parts = ranges.iter().map(|r| table.narrow(0, r.start, r.len())).collect::<Result<Vec<_>, _>>()?;
    match parts.as_slice() {
        [one] => Ok(one.clone()),
        several => Ok(Tensor::cat(several, 0)?),
    }
}

/// Role and shape of every tensor that a network of this spec asks for, each once.
pub fn tensors(spec: &NetworkSpec) -> Vec<(Role, Vec<usize>)> {
    let mut list = List::default();
    for (kind, stack) in [(StackKind::Encoder, &spec.encoder), (StackKind::Decoder, &spec.decoder)] {
        if let Some(stack) = stack {
            list.stack(kind, stack);
        }
    }
    if let Some(output) = &spec.output {
        list.output(output, spec.last_width());
    }
    if let Some(task) = &spec.task {
        list.task(task, spec.last_width());
    }
    list.0
}

/// How long a network that does not hold its weights keeps the tensor of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residence {
    /// Always: it is small.
    Always,
    /// While batches pass the layer: its stack and the number under which it is stored.
    Layer(StackKind, usize),
    /// A table with a row per token, used in blocks.
    Table,
}

impl Residence {
    /// Returns how long the tensor of `role` is kept.
    pub fn of(role: Role) -> Self {
        match role.module {
            Module::Embed(_, EmbedModule::Tokens) => Self::Table,
            Module::Output if role == Module::Output.weight() => Self::Table,
            module => module.layer().map_or(Self::Always, |(stack, stored)| Self::Layer(stack, stored)),
        }
    }
}

#[derive(Default)]
struct List(Vec<(Role, Vec<usize>)>);

impl List {
    fn add(&mut self, module: Module, shape: &[usize]) {
        self.0.push((module.weight(), shape.to_vec()));
    }

    fn add_bias(&mut self, module: Module, length: usize) {
        self.0.push((module.bias(), vec![length]));
    }

    fn linear(&mut self, module: Module, out: usize, width: usize, bias: bool) {
        self.add(module, &[out, width]);
        if bias {
            self.add_bias(module, out);
        }
    }

    fn norm(&mut self, module: Module, norm: NormSpec, width: usize) {
        if norm.kind.has_weight() {
            self.add(module, &[width]);
        }
        if norm.kind.has_bias() {
            self.add_bias(module, width);
        }
    }

    fn stack(&mut self, kind: StackKind, stack: &StackSpec) {
        let width = stack.width;
        self.input(kind, &stack.input, width);
        let mut seen = BTreeSet::new();
        for layer in stack.layers.iter().filter(|l| seen.insert(l.stored)) {
            self.layer(kind, layer, width);
        }
        let mut tables = stack.layers.iter().map(|layer| &layer.attention).filter(|a| a.bias.has_shared_table());
        if let Some(attention) = tables.next() {
            self.add(Module::Relative(kind), &[attention.bias.entries(), attention.origin_heads]);
        }
        let mut distances = stack.layers.iter().filter_map(|layer| match layer.attention.bias {
            ScoreBias::Disentangled(spec) => Some(spec),
            _ => None,
        });
        if let Some(spec) = distances.next() {
            self.add(Module::Distances(kind), &[2 * spec.span, width]);
            if let Some(norm) = spec.norm {
                self.norm(Module::DistanceNorm(kind), norm, width);
            }
        }
        if let Some(norm) = stack.final_norm {
            self.norm(Module::FinalNorm(kind), norm, width);
        }
        if let Some(out) = stack.project_out {
            self.add(Module::ProjectOut(kind), &[out, width]);
        }
    }

    fn input(&mut self, kind: StackKind, input: &InputSpec, width: usize) {
        let module = |part| Module::Embed(kind, part);
        match input {
            InputSpec::Tokens(t) => {
                self.add(module(EmbedModule::Tokens), &[t.vocabulary, t.width]);
                if t.types > 0 {
                    self.add(module(EmbedModule::Types), &[t.types, t.width]);
                }
                if let PositionSpec::Table { rows, after_projection, .. } = t.positions {
                    let width = if after_projection { width } else { t.width };
                    self.add(module(EmbedModule::Positions), &[rows, width]);
                }
                if let Some(norm) = t.norm {
                    self.norm(module(EmbedModule::Norm), norm, t.width);
                }
                if let Some(project) = t.project {
                    self.linear(module(EmbedModule::Project), width, t.width, project.bias);
                }
            }
            InputSpec::Patches(p) => {
                let patch = module(EmbedModule::Patch);
                self.add(patch, &[width, p.channels, p.patch.0, p.patch.1]);
                if p.bias {
                    self.add_bias(patch, width);
                }
                let tokens = [
                    (EmbedModule::Class, usize::from(p.class)),
                    (EmbedModule::Distillation, usize::from(p.distillation)),
                    (EmbedModule::Registers, p.registers),
                ];
                for (part, count) in tokens.into_iter().filter(|(_, count)| *count > 0) {
                    self.add(module(part), &[1, count, width]);
                }
                if p.positions {
                    self.add(module(EmbedModule::Positions), &[1, p.patches(p.image) + p.placed_tokens(), width]);
                }
                if let Some(norm) = p.norm {
                    self.norm(module(EmbedModule::Norm), norm, width);
                }
            }
            InputSpec::Samples(s) => {
                let mut before = 1;
                for (index, convolution) in s.convolutions.iter().enumerate() {
                    let (conv, channels) = (module(EmbedModule::Convolution(index)), convolution.channels);
                    self.add(conv, &[channels, before, convolution.kernel]);
                    if s.bias {
                        self.add_bias(conv, channels);
                    }
                    if index == 0 || s.norm == SampleNorm::EachOverChannels {
                        self.norm(module(EmbedModule::ConvolutionNorm(index)), SampleNorm::SPEC, channels);
                    }
                    before = channels;
                }
                if let Some(norm) = s.projection_norm {
                    self.norm(module(EmbedModule::ProjectionNorm), norm, before);
                }
                self.linear(module(EmbedModule::Project), width, before, true);
                let (direction, kernel) = (module(EmbedModule::PositionDirection), s.position_kernel);
                self.add(direction, &[width, width.checked_div(s.position_groups).unwrap_or(0), kernel]);
                self.add_bias(direction, width);
                self.add(module(EmbedModule::PositionMagnitude), &[1, 1, kernel]);
                if let Some(norm) = s.input_norm {
                    self.norm(module(EmbedModule::Norm), norm, width);
                }
            }
            InputSpec::Frames(f) => {
                for (conv, from) in [(EmbedModule::Conv1, f.bands), (EmbedModule::Conv2, width)] {
                    self.add(module(conv), &[width, from, 3]);
                    self.add_bias(module(conv), width);
                }
                self.add(module(EmbedModule::Positions), &[f.positions, width]);
            }
        }
    }

    fn layer(&mut self, kind: StackKind, layer: &LayerSpec, width: usize) {
        let own = kind.self_attention();
        self.attention(own, layer.stored, &layer.attention, width);
        self.branch(Branch::Attention(own), layer, width);
        if let Some(cross) = &layer.cross {
            self.attention(SiteKind::Cross, layer.stored, cross, width);
            self.branch(Branch::Attention(SiteKind::Cross), layer, width);
        }
        match layer.experts {
            None => self.mlp(&|part| Module::Mlp(kind, layer.stored, part), &layer.mlp, width),
            Some(experts) => {
                self.linear(Module::Router(kind, layer.stored), experts.count, width, experts.bias);
                for expert in 0..experts.count {
                    self.mlp(&|part| Module::Expert(kind, layer.stored, expert, part), &layer.mlp, width);
                }
            }
        }
        self.branch(Branch::Mlp(kind), layer, width);
    }

    fn branch(&mut self, branch: Branch, layer: &LayerSpec, width: usize) {
        let module = |part| Module::Branch(branch, layer.stored, part);
        let norms = layer.norms(branch);
        if norms.norm {
            self.norm(module(BranchModule::Norm), layer.norm, width);
        }
        if norms.post_norm {
            self.norm(module(BranchModule::PostNorm), layer.norm, width);
        }
        if layer.channel_scale {
            self.add(module(BranchModule::Scale), &[width]);
        }
    }

    fn attention(&mut self, kind: SiteKind, stored: usize, spec: &AttentionSpec, width: usize) {
        let (own, shared) = (spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim);
        let bias = spec.projection_bias;
        let projection = |projection| Module::projection(kind, stored, projection);
        self.linear(projection(Projection::Query), own, width, bias.query);
        self.linear(projection(Projection::Key), shared, width, bias.key);
        self.linear(projection(Projection::Value), shared, width, bias.value);
        self.linear(projection(Projection::Output), width, own, bias.output);
        if let ScoreBias::Disentangled(distances) = spec.bias {
            for (part, _) in distances.own_projections().into_iter().filter(|(_, there)| *there) {
                self.linear(Module::Attention(kind, stored, part), own, width, true);
            }
        }
        if let ScoreBias::Grid { shared: false, .. } = spec.bias {
            let module = Module::Attention(kind, stored, AttentionModule::GridBias);
            self.add(module, &[spec.bias.entries(), spec.heads]);
        }
        if spec.sinks {
            self.add(Module::Attention(kind, stored, AttentionModule::Sinks), &[spec.heads]);
        }
        let Some(norm) = spec.query_key_norm else { return };
        for (part, heads) in [(AttentionModule::QueryNorm, spec.heads), (AttentionModule::KeyNorm, spec.kv_heads)] {
            let module = Module::Attention(kind, stored, part);
            match norm.scope {
                QueryKeyNormScope::Shared => self.norm(module, norm.norm, spec.head_dim),
                QueryKeyNormScope::AllHeads => self.norm(module, norm.norm, heads * spec.head_dim),
                // No family that has one gives it a bias.
                QueryKeyNormScope::EachHead => self.add(module, &[heads, spec.head_dim]),
            }
        }
    }

    fn mlp(&mut self, module: &dyn Fn(MlpModule) -> Module, spec: &MlpSpec, width: usize) {
        self.linear(module(MlpModule::Up), spec.width, width, spec.bias);
        if spec.gated {
            self.linear(module(MlpModule::Gate), spec.width, width, spec.bias);
        }
        self.linear(module(MlpModule::Down), width, spec.width, spec.bias);
    }

    fn task(&mut self, spec: &TaskHeadSpec, width: usize) {
        if let Some(dense) = &spec.dense {
            self.linear(Module::Task(TaskModule::Dense), dense.width, spec.pooled_width(width), dense.bias);
            if let Some(norm) = dense.norm {
                self.norm(Module::Task(TaskModule::Norm), norm, dense.width);
            }
        }
        self.linear(Module::Task(TaskModule::Output), spec.outputs, spec.inner_width(width), spec.bias);
        if spec.distillation {
            self.linear(Module::Task(TaskModule::Distillation), spec.outputs, spec.inner_width(width), spec.bias);
        }
    }

    fn output(&mut self, spec: &OutputSpec, width: usize) {
        let mut width = width;
        if let Some(transform) = &spec.transform {
            self.linear(Module::OutputTransform, transform.width, width, transform.bias);
            if let Some(norm) = transform.norm {
                self.norm(Module::OutputNorm, norm, transform.width);
            }
            width = transform.width;
        }
        if !spec.tied {
            self.add(Module::Output, &[spec.vocabulary, width]);
        }
        if spec.bias {
            self.add_bias(Module::Output, spec.vocabulary);
        }
    }
}
