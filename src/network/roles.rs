//! Roles of tensors: what the network asks for, by name.
//!
//! | role | shape |
//! | --- | --- |
//! | `<stack>.embed.tokens` | `[vocabulary, width]` |
//! | `<stack>.embed.positions`, `.embed.types` | `[rows, width]` |
//! | `<stack>.embed.norm.{weight,bias}` | `[width]` |
//! | `<stack>.embed.project.{weight,bias}` | `[D, width]` |
//! | `<stack>.embed.patch.{weight,bias}`, `.embed.class`, `.embed.distillation` | `[D, channels, h, w]`, `[1, 1, D]` |
//! | `<stack>.embed.conv1.{weight,bias}`, `.embed.conv2.{weight,bias}` | `[D, bands or D, 3]` |
//! | `<stack>.<i>.{attention,cross}.{query,key,value}.{weight,bias}` | `[heads * d, D]` |
//! | `<stack>.<i>.{attention,cross}.output.{weight,bias}` | `[D, heads * d]` |
//! | `<stack>.<i>.attention.{query_norm,key_norm}.{weight,bias}` | `[d]` |
//! | `<stack>.<i>.{attention,cross,mlp}.norm.{weight,bias}` | `[D]`, before the branch, or after the sum |
//! | `<stack>.<i>.{attention,mlp}.post_norm.{weight,bias}` | `[D]`, on the branch's result |
//! | `<stack>.<i>.{attention,mlp}.scale` | `[D]` |
//! | `<stack>.<i>.mlp.{up,gate}.{weight,bias}`, `.mlp.down.{weight,bias}` | `[inner, D]`, `[D, inner]` |
//! | `<stack>.relative` | `[buckets, heads before pruning]` |
//! | `<stack>.norm.{weight,bias}`, `<stack>.project_out` | `[D]`, `[out, D]` |
//! | `output.transform.{weight,bias}`, `output.norm.{weight,bias}` | `[width, D]`, `[width]` |
//! | `output.{weight,bias}` | `[vocabulary, width]`, `[vocabulary]` |
//!
//! `<stack>` is `encoder` or `decoder`; `<i>` is the stored layer.

use std::collections::BTreeSet;
use std::ops::Range;

use candle_core::Tensor;

use super::{
    AttentionSpec, InputSpec, LayerSpec, MlpSpec, NetworkSpec, NormKind, NormSpec, OutputSpec, PositionSpec, ScoreBias,
    SiteKind, StackSpec, Wiring,
};
use crate::error::Result;

/// Hands out tensors by role, in the shape, dtype and device that the network runs in.
pub trait Weights {
    /// The tensor with `role`; an error names what is missing.
    fn get(&self, role: &str) -> Result<Tensor>;

    /// Rows of the tensor with `role`, range after range. A source that leaves tensors in a file reads those alone.
    fn rows(&self, role: &str, ranges: &[Range<usize>]) -> Result<Tensor> {
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
pub fn tensors(spec: &NetworkSpec) -> Vec<(String, Vec<usize>)> {
    let mut list = List::default();
    for (kind, stack) in [(SiteKind::Encoder, &spec.encoder), (SiteKind::Decoder, &spec.decoder)] {
        if let Some(stack) = stack {
            list.stack(kind.name(), stack);
        }
    }
    if let Some(output) = &spec.output {
        let width = spec.last_stack().map_or(0, |s| s.project_out.unwrap_or(s.width));
        list.output(output, width);
    }
    list.0
}

/// How long a network that does not hold its weights keeps the tensor of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residence<'a> {
    /// Always: it is small.
    Always,
    /// While batches pass the layer: its stack and the number under which it is stored.
    Layer(&'a str, usize),
    /// A table with a row per token, used in blocks.
    Table,
}

impl<'a> Residence<'a> {
    /// That of `role`.
    pub fn of(role: &'a str) -> Self {
        if role == "output.weight" || role.ends_with(".embed.tokens") {
            return Self::Table;
        }
        let mut parts = role.split('.');
        match (parts.next(), parts.next().and_then(|part| part.parse().ok())) {
            (Some(stack), Some(stored)) => Self::Layer(stack, stored),
            _ => Self::Always,
        }
    }
}

#[derive(Default)]
struct List(Vec<(String, Vec<usize>)>);

impl List {
    fn add(&mut self, role: String, shape: &[usize]) {
        self.0.push((role, shape.to_vec()));
    }

    fn linear(&mut self, role: &str, out: usize, width: usize, bias: bool) {
        self.add(format!("{role}.weight"), &[out, width]);
        if bias {
            self.add(format!("{role}.bias"), &[out]);
        }
    }

    fn norm(&mut self, role: &str, norm: NormSpec, width: usize) {
        self.add(format!("{role}.weight"), &[width]);
        if norm.kind == NormKind::Layer {
            self.add(format!("{role}.bias"), &[width]);
        }
    }

    fn stack(&mut self, name: &str, stack: &StackSpec) {
        let width = stack.width;
        self.input(&format!("{name}.embed"), &stack.input, width);
        let mut seen = BTreeSet::new();
        for layer in stack.layers.iter().filter(|l| seen.insert(l.stored)) {
            self.layer(&format!("{name}.{}", layer.stored), layer, width);
        }
        let table = stack.layers.iter().find_map(|l| match l.attention.bias {
            ScoreBias::Relative { buckets, .. } => Some([buckets, l.attention.origin_heads]),
            _ => None,
        });
        if let Some(shape) = table {
            self.add(format!("{name}.relative"), &shape);
        }
        if let Some(norm) = stack.final_norm {
            self.norm(&format!("{name}.norm"), norm, width);
        }
        if let Some(out) = stack.project_out {
            self.add(format!("{name}.project_out"), &[out, width]);
        }
    }

    fn input(&mut self, role: &str, input: &InputSpec, width: usize) {
        match input {
            InputSpec::Tokens(t) => {
                self.add(format!("{role}.tokens"), &[t.vocabulary, t.width]);
                if t.types > 0 {
                    self.add(format!("{role}.types"), &[t.types, t.width]);
                }
                if let PositionSpec::Table { rows, after_projection, .. } = t.positions {
                    self.add(format!("{role}.positions"), &[rows, if after_projection { width } else { t.width }]);
                }
                if let Some(norm) = t.norm {
                    self.norm(&format!("{role}.norm"), norm, t.width);
                }
                if let Some(project) = t.project {
                    self.linear(&format!("{role}.project"), width, t.width, project.bias);
                }
            }
            InputSpec::Patches(p) => {
                let extra = 1 + usize::from(p.distillation);
                let grid = (p.image.0 / p.patch.0.max(1)) * (p.image.1 / p.patch.1.max(1));
                self.add(format!("{role}.patch.weight"), &[width, p.channels, p.patch.0, p.patch.1]);
                self.add(format!("{role}.patch.bias"), &[width]);
                self.add(format!("{role}.class"), &[1, 1, width]);
                if p.distillation {
                    self.add(format!("{role}.distillation"), &[1, 1, width]);
                }
                self.add(format!("{role}.positions"), &[1, grid + extra, width]);
            }
            InputSpec::Frames(f) => {
                for (conv, from) in [("conv1", f.bands), ("conv2", width)] {
                    self.add(format!("{role}.{conv}.weight"), &[width, from, 3]);
                    self.add(format!("{role}.{conv}.bias"), &[width]);
                }
                self.add(format!("{role}.positions"), &[f.positions, width]);
            }
        }
    }

    fn layer(&mut self, role: &str, layer: &LayerSpec, width: usize) {
        let branches = [("attention", Some(&layer.attention)), ("cross", layer.cross.as_ref()), ("mlp", None)];
        for (name, attention) in branches {
            if name == "cross" && attention.is_none() {
                continue;
            }
            let role = format!("{role}.{name}");
            match attention {
                Some(attention) => self.attention(&role, attention, width),
                None => self.mlp(&role, &layer.mlp, width),
            }
            if name != "attention" || layer.has_attention_norm {
                self.norm(&format!("{role}.norm"), layer.norm, width);
            }
            if layer.wiring == Wiring::Both {
                self.norm(&format!("{role}.post_norm"), layer.norm, width);
            }
            if layer.channel_scale {
                self.add(format!("{role}.scale"), &[width]);
            }
        }
    }

    fn attention(&mut self, role: &str, spec: &AttentionSpec, width: usize) {
        let (own, shared) = (spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim);
        let bias = spec.projection_bias;
        self.linear(&format!("{role}.query"), own, width, bias.query);
        self.linear(&format!("{role}.key"), shared, width, bias.key);
        self.linear(&format!("{role}.value"), shared, width, bias.value);
        self.linear(&format!("{role}.output"), width, own, bias.output);
        if let Some(norm) = spec.query_key_norm {
            self.norm(&format!("{role}.query_norm"), norm, spec.head_dim);
            self.norm(&format!("{role}.key_norm"), norm, spec.head_dim);
        }
    }

    fn mlp(&mut self, role: &str, spec: &MlpSpec, width: usize) {
        self.linear(&format!("{role}.up"), spec.width, width, spec.bias);
        if spec.gated {
            self.linear(&format!("{role}.gate"), spec.width, width, spec.bias);
        }
        self.linear(&format!("{role}.down"), width, spec.width, spec.bias);
    }

    fn output(&mut self, spec: &OutputSpec, width: usize) {
        let mut width = width;
        if let Some(transform) = &spec.transform {
            self.linear("output.transform", transform.width, width, transform.bias);
            self.norm("output.norm", transform.norm, transform.width);
            width = transform.width;
        }
        if !spec.tied {
            self.add("output.weight".to_owned(), &[spec.vocabulary, width]);
        }
        if spec.bias {
            self.add("output.bias".to_owned(), &[spec.vocabulary]);
        }
    }
}
