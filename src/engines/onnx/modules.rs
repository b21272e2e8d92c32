//! Projections and norms as nodes.

use super::graph::{Attribute, Graph};
use crate::network::{Module, NormKind, NormSpec};

/// `x W^T + b`: the weight of `module` is `[out, width]` and lies transposed in the file, as the product reads it.
pub(super) fn linear(graph: &mut Graph, module: Module, [width, out]: [usize; 2], bias: bool, x: &str) -> String {
    let weight = graph.weight(module.weight(), &[width, out], true);
    let product = graph.op("MatMul", &[x, &weight]);
    if !bias {
        return product;
    }
    let bias = graph.weight(module.bias(), &[out], false);
    graph.op("Add", &[&product, &bias])
}

/// Normalization over the last axis; the learned weights are of shape `dims`.
pub(super) fn norm(graph: &mut Graph, spec: NormSpec, module: Module, dims: &[usize], x: &str) -> String {
    let width = dims.last().copied().unwrap_or(0);
    let mut weight = spec.kind.has_weight().then(|| graph.weight(module.weight(), dims, false));
    if spec.kind.adds_one() {
        let one = graph.scalar(1.0);
        weight = weight.map(|weight| graph.op("Add", &[&weight, &one]));
    }
    let bias = spec.kind.has_bias().then(|| graph.weight(module.bias(), dims, false));
    match spec.kind {
        NormKind::Layer | NormKind::LayerWithoutBias | NormKind::LayerPlusOne | NormKind::LayerBare => {
            let attributes = [Attribute::Int("axis", -1), Attribute::Float("epsilon", spec.eps as f32)];
            if let ([_], Some(weight)) = (dims, &weight) {
                let inputs: Vec<&str> = [x, weight].into_iter().chain(bias.as_deref()).collect();
                return graph.op_with("LayerNormalization", &inputs, &attributes);
            }
            // The operator wants a weight over the normalized axis alone.
            let ones = graph.floats(&[width], &vec![1.0; width]);
            let normal = graph.op_with("LayerNormalization", &[x, &ones], &attributes);
            scaled(graph, normal, weight.as_deref(), bias.as_deref())
        }
        NormKind::Rms | NormKind::RmsPlusOne => {
            let square = graph.op("Mul", &[x, x]);
            let attributes = [Attribute::Ints("axes", &[-1]), Attribute::Int("keepdims", 1)];
            let mean = graph.op_with("ReduceMean", &[&square], &attributes);
            let eps = graph.scalar(spec.eps);
            let sum = graph.op("Add", &[&mean, &eps]);
            let root = graph.op("Sqrt", &[&sum]);
            let normal = graph.op("Div", &[x, &root]);
            scaled(graph, normal, weight.as_deref(), bias.as_deref())
        }
    }
}

fn scaled(graph: &mut Graph, normal: String, weight: Option<&str>, bias: Option<&str>) -> String {
    let product = weight.map_or(normal.clone(), |weight| graph.op("Mul", &[&normal, weight]));
    bias.map_or(product.clone(), |bias| graph.op("Add", &[&product, bias]))
}
