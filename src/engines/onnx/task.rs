//! The head of a labeled task as operations: a pooled state per sequence is a product of its hidden states with weights over
//! positions.

use std::collections::HashMap;

use candle_core::Tensor;

use super::attention::SharedPositions;
use super::graph::{Attribute, Dim, ElementType, Graph, Port};
use super::layer::activate;
use super::modules::{linear, norm};
use crate::error::{Error, Result};
use crate::network::{Module, Pooling, TaskHeadSpec, TaskKind, TaskModule};

/// What the head reads.
pub(super) struct TaskInputs<'a> {
    /// Name of the hidden states `[B, T, width]`.
    pub hidden: &'a str,
    pub width: usize,
    /// Ids and mask of the first stack, where it reads tokens.
    pub ids: Option<&'a str>,
    pub mask: Option<&'a str>,
    /// Positions, where their number is fixed.
    pub positions: Option<usize>,
    /// The axis of positions, for outputs at every one.
    pub length: Dim,
}

/// Names of the two ends of answers, as exports of Optimum have them.
const ENDS: [&str; 2] = ["start_logits", "end_logits"];

/// Adds the head with its outputs.
///
/// # Errors
/// Where it pools by tokens and there are none.
pub(super) fn task_head(graph: &mut Graph, spec: &TaskHeadSpec, inputs: &TaskInputs<'_>) -> Result<()> {
    let batch = Dim::Named("batch_size");
    let port = |name, dims| Port { name, element: ElementType::Float, dims };
    let Some(pooling) = spec.pooling else {
        let logits = answers(graph, spec, inputs.width, TaskModule::Output, inputs.hidden);
        if spec.kind != TaskKind::QuestionAnswering {
            let dims = vec![batch, inputs.length.clone(), Dim::Fixed(spec.outputs)];
            graph.output(port("logits", dims), &logits);
            return Ok(());
        }
        for (end, name) in (0..).zip(ENDS) {
            let place = graph.ints(&[], &[end]);
            let logits = graph.op_with("Gather", &[&logits, &place], &[Attribute::Int("axis", 2)]);
            graph.output(port(name, vec![batch.clone(), inputs.length.clone()]), &logits);
        }
        return Ok(());
    };
    let state = pooled(graph, pooling, inputs)?;
    let mut logits = answers(graph, spec, inputs.width, TaskModule::Output, &state);
    if spec.distillation {
        let second = at(graph, inputs.hidden, 1);
        let other = answers(graph, spec, inputs.width, TaskModule::Distillation, &second);
        let (sum, half) = (graph.op("Add", &[&logits, &other]), graph.scalar(0.5));
        logits = graph.op("Mul", &[&sum, &half]);
    }
    graph.output(port("logits", vec![batch, Dim::Fixed(spec.outputs)]), &logits);
    Ok(())
}

/// Dense layer, activation, norm, and the last layer.
fn answers(graph: &mut Graph, spec: &TaskHeadSpec, width: usize, last: TaskModule, x: &str) -> String {
    let mut x = x.to_owned();
    if let Some(dense) = &spec.dense {
        x = linear(graph, Module::Task(TaskModule::Dense), [spec.pooled_width(width), dense.width], dense.bias, &x);
        x = activate(graph, dense.activation, &x);
        if let Some(n) = dense.norm {
            x = norm(graph, n, Module::Task(TaskModule::Norm), &[dense.width], &x);
        }
    }
    linear(graph, Module::Task(last), [spec.inner_width(width), spec.outputs], spec.bias, &x)
}

/// The state at one position, `[B, width]`.
fn at(graph: &mut Graph, hidden: &str, position: i64) -> String {
    let place = graph.ints(&[], &[position]);
    graph.op_with("Gather", &[hidden, &place], &[Attribute::Int("axis", 1)])
}

fn pooled(graph: &mut Graph, pooling: Pooling, inputs: &TaskInputs<'_>) -> Result<String> {
    let tokens = || Error::new("this head pools by tokens, and the model reads none");
    let ids = || inputs.ids.ok_or_else(tokens);
    let mask = || inputs.mask.ok_or_else(tokens);
    Ok(match pooling {
        Pooling::First => at(graph, inputs.hidden, 0),
        // Without a mask every position is real.
        Pooling::Mean if inputs.mask.is_none() => {
            let over_positions = [Attribute::Ints("axes", &[1]), Attribute::Int("keepdims", 0)];
            graph.op_with("ReduceMean", &[inputs.hidden], &over_positions)
        }
        Pooling::Mean => {
            let real = float(graph, mask()?);
            let weights = graph.op_with("ReduceMean", &[&real], &LAST_AXIS);
            // Both are sums over as many positions, so that their ratio is the mean over real ones.
            let weights = graph.op("Div", &[&real, &weights]);
            let sum = weigh(graph, &weights, inputs);
            let length = length(graph, mask()?);
            graph.op("Div", &[&sum, &length])
        }
        Pooling::Last { padding } => {
            let flags = match padding {
                Some(padding) => {
                    let padding = graph.ints(&[], &[i64::from(padding)]);
                    let is_padding = graph.op("Equal", &[ids()?, &padding]);
                    graph.op("Not", &[&is_padding])
                }
                None => {
                    let zero = graph.ints(&[], &[0]);
                    let is_hidden = graph.op("Equal", &[mask()?, &zero]);
                    graph.op("Not", &[&is_hidden])
                }
            };
            last(graph, &flags, ids()?, inputs)
        }
        Pooling::LastEnd { end } => {
            let end = graph.ints(&[], &[i64::from(end)]);
            let flags = graph.op("Equal", &[ids()?, &end]);
            last(graph, &flags, ids()?, inputs)
        }
        Pooling::FirstAndMean { leading } => {
            let positions = inputs.positions.ok_or_else(|| Error::new("the number of patches is not fixed"))?;
            let first = at(graph, inputs.hidden, 0);
            let share = 1.0 / (positions - leading) as f32;
            let weights: Vec<f32> = (0..positions).map(|t| if t < leading { 0.0 } else { share }).collect();
            let weights = graph.floats(&[1, 1, positions], &weights);
            let mean = product(graph, &weights, inputs);
            graph.op_with("Concat", &[&first, &mean], &[Attribute::Int("axis", -1)])
        }
    })
}

const LAST_AXIS: [Attribute<'static>; 2] = [Attribute::Ints("axes", &[-1]), Attribute::Int("keepdims", 1)];

fn float(graph: &mut Graph, x: &str) -> String {
    graph.op_with("Cast", &[x], &[Attribute::Int("to", ElementType::Float.code())])
}

/// Positions of ids `[B, T]`, as a float.
fn length(graph: &mut Graph, ids: &str) -> String {
    let shape = graph.op("Shape", &[ids]);
    let one = graph.ints(&[1], &[1]);
    let length = graph.op("Gather", &[&shape, &one]);
    float(graph, &length)
}

/// The state at the last position whose flag is set, the first where none is.
fn last(graph: &mut Graph, flags: &str, ids: &str, inputs: &TaskInputs<'_>) -> String {
    let range = SharedPositions::new(None, ids.to_owned(), None).range(graph);
    let (range, one) = (float(graph, &range), graph.scalar(1.0));
    let places = graph.op("Add", &[&range, &one]);
    let flags = float(graph, flags);
    let scores = graph.op("Mul", &[&flags, &places]);
    let most = graph.op_with("ReduceMax", &[&scores], &LAST_AXIS);
    let most = graph.op("Max", &[&most, &one]);
    let weights = graph.op("Equal", &[&places, &most]);
    let weights = float(graph, &weights);
    weigh(graph, &weights, inputs)
}

/// States summed with weights `[B, T]`.
fn weigh(graph: &mut Graph, weights: &str, inputs: &TaskInputs<'_>) -> String {
    let middle = graph.ints(&[1], &[1]);
    let weights = graph.op("Unsqueeze", &[weights, &middle]);
    product(graph, &weights, inputs)
}

/// States summed with weights `[B, 1, T]`, `[B, width]`.
fn product(graph: &mut Graph, weights: &str, inputs: &TaskInputs<'_>) -> String {
    let sum = graph.op("MatMul", &[weights, inputs.hidden]);
    let shape = graph.ints(&[2], &[-1, i64::try_from(inputs.width).unwrap_or(i64::MAX)]);
    graph.op("Reshape", &[&sum, &shape])
}

/// What a file gave, as the network gives it: the ends of answers side by side.
pub(super) fn result(outputs: &HashMap<String, Tensor>, names: &[String]) -> Result<Option<Tensor>> {
    if let [start, end] = names
        && [start.as_str(), end.as_str()] == ENDS
        && let (Some(start), Some(end)) = (outputs.get(start), outputs.get(end))
    {
        return Ok(Some(Tensor::stack(&[start, end], 2)?));
    }
    Ok(names.first().and_then(|name| outputs.get(name)).cloned())
}
