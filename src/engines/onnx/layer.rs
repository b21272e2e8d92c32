//! Projections, norms, activations and whole layers as operations of ONNX.

use super::attention::{Reads, SharedPositions, attention};
use super::graph::{Attribute, Graph};
use super::modules::{linear, norm};
use crate::network::{
    Activation, AttentionModule, Branch, BranchModule, ExpertsSpec, LayerSpec, MlpModule, MlpSpec, Module, SiteKind,
    StackKind, Wiring,
};

/// Score of an expert that has been chosen already: below every other, and finite.
const TAKEN: f64 = -1e30;

/// A non-linearity. GELU is spelled out with the error function, which runtimes fuse.
pub(super) fn activate(graph: &mut Graph, activation: Activation, x: &str) -> String {
    match activation {
        Activation::Relu => graph.op("Relu", &[x]),
        Activation::ReluSquared => {
            let positive = graph.op("Relu", &[x]);
            graph.op("Mul", &[&positive, &positive])
        }
        Activation::Silu => sigmoid_gate(graph, 1.0, x),
        Activation::Tanh => graph.op("Tanh", &[x]),
        Activation::Linear => x.to_owned(),
        Activation::QuickGelu => sigmoid_gate(graph, 1.702, x),
        Activation::Gelu => {
            let root = graph.scalar(std::f64::consts::SQRT_2);
            let small = graph.op("Div", &[x, &root]);
            let error = graph.op("Erf", &[&small]);
            half_gate(graph, &error, x)
        }
        Activation::GeluTanh => {
            let three = graph.scalar(3.0);
            let cube = graph.op("Pow", &[x, &three]);
            let factor = graph.scalar(0.044715);
            let cube = graph.op("Mul", &[&cube, &factor]);
            let sum = graph.op("Add", &[x, &cube]);
            let scale = graph.scalar((2.0 / std::f64::consts::PI).sqrt());
            let scaled = graph.op("Mul", &[&sum, &scale]);
            let bent = graph.op("Tanh", &[&scaled]);
            half_gate(graph, &bent, x)
        }
    }
}

/// `x * sigmoid(slope x)`.
fn sigmoid_gate(graph: &mut Graph, slope: f64, x: &str) -> String {
    let steep = if slope == 1.0 {
        x.to_owned()
    } else {
        let slope = graph.scalar(slope);
        graph.op("Mul", &[x, &slope])
    };
    let gate = graph.op("Sigmoid", &[&steep]);
    graph.op("Mul", &[x, &gate])
}

/// `x * (1 + gate) / 2`.
fn half_gate(graph: &mut Graph, gate: &str, x: &str) -> String {
    let one = graph.scalar(1.0);
    let sum = graph.op("Add", &[gate, &one]);
    let product = graph.op("Mul", &[x, &sum]);
    let half = graph.scalar(0.5);
    graph.op("Mul", &[&product, &half])
}

/// Norms and factors around one branch of a layer.
struct Around<'a> {
    spec: &'a LayerSpec,
    branch: Branch,
    width: usize,
}

impl Around<'_> {
    fn module(&self, part: BranchModule) -> Module {
        Module::Branch(self.branch, self.spec.stored, part)
    }

    fn norm(&self, graph: &mut Graph, part: BranchModule, x: &str) -> String {
        norm(graph, self.spec.norm, self.module(part), &[self.width], x)
    }

    /// What the branch reads.
    fn enter(&self, graph: &mut Graph, x: &str) -> String {
        match self.spec.wiring {
            Wiring::Pre | Wiring::Both | Wiring::Parallel | Wiring::ParallelOneNorm
                if self.spec.norms(self.branch).norm =>
            {
                self.norm(graph, BranchModule::Norm, x)
            }
            _ => x.to_owned(),
        }
    }

    /// Joins the branch's result to the residual stream; without one the branch adds nothing.
    fn join(&self, graph: &mut Graph, x: &str, y: Option<String>) -> String {
        let norms = self.spec.norms(self.branch);
        let mut sum = x.to_owned();
        if let Some(mut y) = y {
            if norms.post_norm {
                y = self.norm(graph, BranchModule::PostNorm, &y);
            }
            if self.spec.channel_scale {
                let scale = graph.weight(self.module(BranchModule::Scale).weight(), &[self.width], false);
                y = graph.op("Mul", &[&y, &scale]);
            }
            if self.spec.residual_scale != 1.0 {
                let scale = graph.scalar(self.spec.residual_scale);
                y = graph.op("Mul", &[&y, &scale]);
            }
            sum = graph.op("Add", &[x, &y]);
        }
        if self.spec.wiring == Wiring::Post && norms.norm { self.norm(graph, BranchModule::Norm, &sum) } else { sum }
    }
}

/// The encoder's result, where a decoder reads it.
pub(super) struct EncoderStates {
    /// Of shape `[B, S, D]`.
    pub states: String,
    pub width: usize,
    /// Of shape `[B, S]`.
    pub mask: Option<String>,
}

/// `x [B, T, D]` through a layer of a stack.
pub(super) fn layer(
    graph: &mut Graph,
    spec: &LayerSpec,
    stack: StackKind,
    width: usize,
    x: &str,
    positions: &mut SharedPositions,
    memory: Option<&EncoderStates>,
) -> String {
    let around = |branch| Around { spec, branch, width };
    let kind = stack.self_attention();
    let own = around(Branch::Attention(kind));
    let module = |kind: SiteKind| move |part: AttentionModule| Module::Attention(kind, spec.stored, part);
    let normal = own.enter(graph, x);
    let attended = attention(graph, &spec.attention, &module(kind), [width; 2], &normal, Reads::Itself(positions));
    let mut hidden = own.join(graph, x, attended);
    if let (Some(cross), Some(memory)) = (&spec.cross, memory) {
        let around = around(Branch::Attention(SiteKind::Cross));
        let read = around.enter(graph, &hidden);
        let reads = Reads::EncoderStates(&memory.states, memory.mask.as_deref());
        let attended = attention(graph, cross, &module(SiteKind::Cross), [width, memory.width], &read, reads);
        hidden = around.join(graph, &hidden, attended);
    }
    let feed = around(Branch::Mlp(stack));
    // Parallel layers feed both branches from the layer's input.
    let read = match spec.wiring {
        Wiring::Parallel => feed.enter(graph, x),
        Wiring::ParallelOneNorm => normal,
        Wiring::Pre | Wiring::Post | Wiring::Both | Wiring::After => feed.enter(graph, &hidden),
    };
    let down = match spec.experts {
        None => {
            let module = |part| Module::Mlp(stack, spec.stored, part);
            feed_forward(graph, &spec.mlp, None, &module, width, &read)
        }
        Some(experts) => mixture(graph, spec, experts, stack, width, &read),
    };
    feed.join(graph, &hidden, Some(down))
}

/// The feed-forward part whose parts `module` names.
fn feed_forward(
    graph: &mut Graph,
    mlp: &MlpSpec,
    limit: Option<f64>,
    module: &dyn Fn(MlpModule) -> Module,
    width: usize,
    x: &str,
) -> String {
    let mut up = linear(graph, module(MlpModule::Up), [width, mlp.width], mlp.bias, x);
    let inner = if mlp.gated {
        let mut gate = linear(graph, module(MlpModule::Gate), [width, mlp.width], mlp.bias, x);
        if let Some(limit) = limit {
            let (low, high, one) = (graph.scalar(-limit), graph.scalar(limit), graph.scalar(1.0));
            gate = graph.op("Min", &[&gate, &high]);
            up = graph.op("Clip", &[&up, &low, &high]);
            up = graph.op("Add", &[&up, &one]);
        }
        let gate = activate(graph, mlp.activation, &gate);
        graph.op("Mul", &[&gate, &up])
    } else {
        activate(graph, mlp.activation, &up)
    };
    linear(graph, module(MlpModule::Down), [mlp.width, width], mlp.bias, &inner)
}

/// A mixture of experts, each of which computes every position: those that were not chosen count with weight zero.
fn mixture(
    graph: &mut Graph,
    spec: &LayerSpec,
    experts: ExpertsSpec,
    stack: StackKind,
    width: usize,
    x: &str,
) -> String {
    let logits = linear(graph, Module::Router(stack, spec.stored), [width, experts.count], experts.bias, x);
    // The highest is taken away as often as experts are chosen.
    let gone = graph.scalar(TAKEN);
    let mut left = logits.clone();
    for _ in 0..experts.chosen {
        let attributes = [Attribute::Ints("axes", &[-1]), Attribute::Int("keepdims", 1)];
        let highest = graph.op_with("ReduceMax", &[&left], &attributes);
        let is_lower = graph.op("Less", &[&left, &highest]);
        left = graph.op("Where", &[&is_lower, &left, &gone]);
    }
    let chosen = graph.op("LessOrEqual", &[&left, &gone]);
    let softmax = |graph: &mut Graph, x: &str| graph.op_with("Softmax", &[x], &[Attribute::Int("axis", -1)]);
    let shares = if experts.normalized {
        let those = graph.op("Where", &[&chosen, &logits, &gone]);
        softmax(graph, &those)
    } else {
        let zero = graph.scalar(0.0);
        let all = softmax(graph, &logits);
        graph.op("Where", &[&chosen, &all, &zero])
    };
    let mut sum: Option<String> = None;
    for expert in 0..experts.count {
        let module = |part| Module::Expert(stack, spec.stored, expert, part);
        let result = feed_forward(graph, &spec.mlp, experts.limit, &module, width, x);
        let index = graph.ints(&[1], &[i64::try_from(expert).unwrap_or(i64::MAX)]);
        let share = graph.op_with("Gather", &[&shares, &index], &[Attribute::Int("axis", 2)]);
        let part = graph.op("Mul", &[&result, &share]);
        sum = Some(match sum {
            Some(sum) => graph.op("Add", &[&sum, &part]),
            None => part,
        });
    }
    sum.unwrap_or_else(|| x.to_owned())
}
