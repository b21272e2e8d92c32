//! A whole network as a graph of ONNX.

use super::attention::{SharedPositions, soft_cap};
use super::graph::{Attribute, Dim, ElementType, Graph, Port};
use super::layer::{EncoderStates, activate, layer};
use super::modules::{linear, norm};
use crate::error::{Error, Result};
use crate::network::{
    Beyond, Counting, EmbedModule, FrameInputSpec, InputSpec, Module, NetworkSpec, PatchInputSpec, PositionSpec, Role,
    ScoreBias, StackKind, StackSpec, TokenInputSpec,
};

/// The batch axis of every input and output.
const BATCH: Dim = Dim::Named("batch_size");

/// A graph of `spec` whose weights are stored as `stored`, and what a reader should know.
///
/// # Errors
/// Where the network cannot be written as such a graph.
pub(super) fn build(spec: &NetworkSpec, stored: ElementType) -> Result<(Graph, Vec<String>)> {
    let mut graph = Graph::new(stored);
    let notes = beyond(spec);
    let (hidden, last, length) = match (&spec.encoder, &spec.decoder) {
        (Some(only), None) => {
            let (hidden, _) = stack(&mut graph, only, StackKind::Encoder, ["input_ids", "attention_mask"], None);
            (hidden, only, "sequence_length")
        }
        (None, Some(only)) => {
            let (hidden, _) = stack(&mut graph, only, StackKind::Decoder, ["input_ids", "attention_mask"], None);
            (hidden, only, "sequence_length")
        }
        (Some(encoder), Some(decoder)) => {
            let (states, mask) = stack(&mut graph, encoder, StackKind::Encoder, ["input_ids", "attention_mask"], None);
            let memory = EncoderStates { states, width: encoder.width, mask };
            let names = ["decoder_input_ids", "decoder_attention_mask"];
            let (hidden, _) = stack(&mut graph, decoder, StackKind::Decoder, names, Some(&memory));
            (hidden, decoder, "decoder_sequence_length")
        }
        (None, None) => return Err(Error::new("the network has no layers")),
    };
    graph.enter("output");
    let length = match &last.input {
        InputSpec::Tokens(_) => Dim::Named(length),
        InputSpec::Patches(p) => Dim::Fixed(patches(p) + leading(p)),
        InputSpec::Frames(f) => Dim::Fixed(f.positions),
    };
    let width = last.project_out.unwrap_or(last.width);
    let port =
        |name, width| Port { name, element: ElementType::Float, dims: vec![BATCH, length.clone(), Dim::Fixed(width)] };
    match &spec.output {
        Some(_) => {
            let (logits, vocabulary) = head(&mut graph, spec, last, width, &hidden)?;
            graph.output(port("logits", vocabulary), &logits);
        }
        None => graph.output(port("last_hidden_state", width), &hidden),
    }
    Ok((graph, notes))
}

/// Frequencies that long sequences change are those of short ones in the file.
fn beyond(spec: &NetworkSpec) -> Vec<String> {
    let longest = spec.sites().into_iter().filter_map(|(_, attention)| match &attention.rotary.as_ref()?.beyond {
        Beyond::Same => None,
        Beyond::Other { length, .. } | Beyond::Stretched { length, .. } => Some(*length),
    });
    longest
        .min()
        .map(|length| {
            format!("rotary positions are those of sequences of up to {length} tokens; longer ones are not scaled")
        })
        .into_iter()
        .collect()
}

/// A stack from its inputs to its last hidden state, and the mask of its positions.
fn stack(
    graph: &mut Graph,
    spec: &StackSpec,
    kind: StackKind,
    inputs: [&'static str; 2],
    memory: Option<&EncoderStates>,
) -> (String, Option<String>) {
    let name = kind.name();
    graph.enter(format!("{name}.embed"));
    let (mut x, mask, like) = match &spec.input {
        InputSpec::Tokens(tokens) => token_input(graph, tokens, spec.width, kind, inputs),
        InputSpec::Patches(patches) => (patch_input(graph, patches, spec.width, kind), None, None),
        InputSpec::Frames(frames) => (frame_input(graph, frames, spec.width, kind), None, None),
    };
    let has_relative = spec.layers.iter().any(|l| matches!(l.attention.bias, ScoreBias::Relative { .. }));
    let relative = has_relative.then(|| Module::Relative(kind).weight());
    let mut positions = SharedPositions::new(mask.clone(), like.unwrap_or_else(|| x.clone()), relative);
    for (index, spec_layer) in spec.layers.iter().enumerate() {
        graph.enter(format!("{name}.{index}"));
        x = layer(graph, spec_layer, kind, spec.width, &x, &mut positions, memory);
    }
    graph.enter(name);
    if let Some(n) = spec.final_norm {
        x = norm(graph, n, Module::FinalNorm(kind), &[spec.width], &x);
    }
    if let Some(out) = spec.project_out {
        let weight = graph.weight(Module::ProjectOut(kind).weight(), &[spec.width, out], true);
        x = graph.op("MatMul", &[&x, &weight]);
    }
    (x, mask)
}

/// The first hidden state of tokens, the mask, and a value with the length of the sequence.
fn token_input(
    graph: &mut Graph,
    spec: &TokenInputSpec,
    width: usize,
    stack: StackKind,
    [ids_name, mask_name]: [&'static str; 2],
) -> (String, Option<String>, Option<String>) {
    let length = if ids_name == "input_ids" { "sequence_length" } else { "decoder_sequence_length" };
    let port = |name| Port { name, element: ElementType::Int64, dims: vec![BATCH, Dim::Named(length)] };
    let ids = graph.input(port(ids_name));
    let mask = graph.input(port(mask_name));
    let module = |part| Module::Embed(stack, part);
    let table = graph.weight(module(EmbedModule::Tokens).weight(), &[spec.vocabulary, spec.width], false);
    let mut hidden = graph.op("Gather", &[&table, &ids]);
    if spec.scale != 1.0 {
        let scale = graph.scalar(spec.scale);
        hidden = graph.op("Mul", &[&hidden, &scale]);
    }
    if spec.types > 0 {
        let types = graph.input(port("token_type_ids"));
        let table = graph.weight(module(EmbedModule::Types).weight(), &[spec.types, spec.width], false);
        let rows = graph.op("Gather", &[&table, &types]);
        hidden = graph.op("Add", &[&hidden, &rows]);
    }
    let after = matches!(spec.positions, PositionSpec::Table { after_projection: true, .. });
    let place = Places { ids: &ids, mask: &mask };
    if !after {
        hidden = place.add(graph, spec, spec.width, module(EmbedModule::Positions).weight(), hidden);
    }
    if let Some(n) = spec.norm {
        hidden = norm(graph, n, module(EmbedModule::Norm), &[spec.width], &hidden);
    }
    if let Some(project) = spec.project {
        hidden = linear(graph, module(EmbedModule::Project), [spec.width, width], project.bias, &hidden);
    }
    if after {
        hidden = place.add(graph, spec, width, module(EmbedModule::Positions).weight(), hidden);
    }
    (hidden, Some(mask), Some(ids))
}

/// What absolute positions are counted from.
struct Places<'a> {
    ids: &'a str,
    mask: &'a str,
}

impl Places<'_> {
    /// Adds the absolute positions of `spec`, of `width` numbers each, to `hidden`.
    fn add(&self, graph: &mut Graph, spec: &TokenInputSpec, width: usize, role: Role, hidden: String) -> String {
        let positions = SharedPositions::new(None, self.ids.to_owned(), None);
        let rows = match spec.positions {
            PositionSpec::None => return hidden,
            PositionSpec::Sinusoidal => {
                let range = positions.range(graph);
                let range = graph.op_with("Cast", &[&range], &[Attribute::Int("to", ElementType::Float.code())]);
                let last = graph.ints(&[1], &[1]);
                let range = graph.op("Unsqueeze", &[&range, &last]);
                // An odd width has one sine more.
                let half = width / 2;
                let frequency = |i: usize| 10000f64.powf(-2.0 * i as f64 / width as f64) as f32;
                let part = |graph: &mut Graph, count: usize, function: &str| {
                    let frequencies: Vec<f32> = (0..count).map(frequency).collect();
                    let frequencies = graph.floats(&[1, count], &frequencies);
                    let angle = graph.op("Mul", &[&range, &frequencies]);
                    graph.op(function, &[&angle])
                };
                let (sines, cosines) = (part(graph, width - half, "Sin"), part(graph, half, "Cos"));
                graph.op_with("Concat", &[&sines, &cosines], &[Attribute::Int("axis", -1)])
            }
            PositionSpec::Table { rows, offset, counting, .. } => {
                let table = graph.weight(role, &[rows, width], false);
                let offset = i64::try_from(offset).unwrap_or(i64::MAX);
                let places = match counting {
                    Counting::Every => {
                        let (range, offset) = (positions.range(graph), graph.ints(&[], &[offset]));
                        graph.op("Add", &[&range, &offset])
                    }
                    Counting::Attended => counted(graph, self.mask, offset),
                    Counting::Unpadded { padding } => {
                        let padding = graph.ints(&[], &[i64::from(padding)]);
                        let padded = graph.op("Equal", &[self.ids, &padding]);
                        let real = graph.op("Not", &[&padded]);
                        let real = graph.op_with("Cast", &[&real], &[Attribute::Int("to", ElementType::Int64.code())]);
                        counted(graph, &real, offset)
                    }
                };
                graph.op("Gather", &[&table, &places])
            }
        };
        graph.op("Add", &[&hidden, &rows])
    }
}

/// The row of each token where only those with a 1 in `flags [B, T]` count; the others read the row before the first.
fn counted(graph: &mut Graph, flags: &str, offset: i64) -> String {
    let axis = graph.ints(&[], &[1]);
    let seen = graph.op("CumSum", &[flags, &axis]);
    let seen = graph.op("Mul", &[&seen, flags]);
    let before = graph.ints(&[], &[offset - 1]);
    let rows = graph.op("Add", &[&seen, &before]);
    let zero = graph.ints(&[], &[0]);
    graph.op("Max", &[&rows, &zero])
}

/// Class and distillation tokens before the patches.
fn leading(spec: &PatchInputSpec) -> usize {
    1 + usize::from(spec.distillation)
}

/// Patches of an image of the size that the model was made for.
fn patches(spec: &PatchInputSpec) -> usize {
    (spec.image.0 / spec.patch.0) * (spec.image.1 / spec.patch.1)
}

fn patch_input(graph: &mut Graph, spec: &PatchInputSpec, width: usize, stack: StackKind) -> String {
    let module = |part| Module::Embed(stack, part);
    let (height, across) = spec.image;
    let dims = vec![BATCH, Dim::Fixed(spec.channels), Dim::Fixed(height), Dim::Fixed(across)];
    let pixels = graph.input(Port { name: "pixel_values", element: ElementType::Float, dims });
    let kernel =
        graph.weight(module(EmbedModule::Patch).weight(), &[width, spec.channels, spec.patch.0, spec.patch.1], false);
    let bias = graph.weight(module(EmbedModule::Patch).bias(), &[width], false);
    let strides = [spec.patch.0 as i64, spec.patch.1 as i64];
    let cut = graph.op_with("Conv", &[&pixels, &kernel, &bias], &[Attribute::Ints("strides", &strides)]);
    let shape = graph.ints(&[3], &[0, 0, -1]);
    let flat = graph.op("Reshape", &[&cut, &shape]);
    let flat = graph.op_with("Transpose", &[&flat], &[Attribute::Ints("perm", &[0, 2, 1])]);
    // `[B, 1, 1]`, to which a leading token is repeated.
    let (zero, ones) = (graph.ints(&[1], &[0]), graph.ints(&[2], &[1, 1]));
    let shape = graph.op("Shape", &[&pixels]);
    let batch = graph.op("Gather", &[&shape, &zero]);
    let each = graph.op_with("Concat", &[&batch, &ones], &[Attribute::Int("axis", 0)]);
    let mut parts = Vec::new();
    for part in [EmbedModule::Class, EmbedModule::Distillation].into_iter().take(leading(spec)) {
        let token = graph.weight(module(part).weight(), &[1, 1, width], false);
        parts.push(graph.op("Expand", &[&token, &each]));
    }
    parts.push(flat);
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let hidden = graph.op_with("Concat", &parts, &[Attribute::Int("axis", 1)]);
    let positions =
        graph.weight(module(EmbedModule::Positions).weight(), &[1, patches(spec) + leading(spec), width], false);
    graph.op("Add", &[&hidden, &positions])
}

fn frame_input(graph: &mut Graph, spec: &FrameInputSpec, width: usize, stack: StackKind) -> String {
    let module = |part| Module::Embed(stack, part);
    let dims = vec![BATCH, Dim::Fixed(spec.bands), Dim::Fixed(2 * spec.positions)];
    let mut x = graph.input(Port { name: "input_features", element: ElementType::Float, dims });
    for (part, channels, stride) in [(EmbedModule::Conv1, spec.bands, 1), (EmbedModule::Conv2, width, 2)] {
        let kernel = graph.weight(module(part).weight(), &[width, channels, 3], false);
        let bias = graph.weight(module(part).bias(), &[width], false);
        let attributes = [Attribute::Ints("strides", &[stride]), Attribute::Ints("pads", &[1, 1])];
        x = graph.op_with("Conv", &[&x, &kernel, &bias], &attributes);
        x = activate(graph, crate::network::Activation::Gelu, &x);
    }
    let hidden = graph.op_with("Transpose", &[&x], &[Attribute::Ints("perm", &[0, 2, 1])]);
    let positions = graph.weight(module(EmbedModule::Positions).weight(), &[spec.positions, width], false);
    graph.op("Add", &[&hidden, &positions])
}

/// Logits of `hidden [B, T, width]`, and their number.
fn head(
    graph: &mut Graph,
    network: &NetworkSpec,
    last: &StackSpec,
    width: usize,
    hidden: &str,
) -> Result<(String, usize)> {
    let spec = network.output.as_ref().ok_or_else(|| Error::new("this checkpoint has no language-model head"))?;
    let (mut x, mut width) = (hidden.to_owned(), width);
    if let Some(transform) = &spec.transform {
        x = linear(graph, Module::OutputTransform, [width, transform.width], transform.bias, &x);
        x = activate(graph, transform.activation, &x);
        x = norm(graph, transform.norm, Module::OutputNorm, &[transform.width], &x);
        width = transform.width;
    }
    if spec.scale != 1.0 {
        let scale = graph.scalar(spec.scale);
        x = graph.op("Mul", &[&x, &scale]);
    }
    let weight = match (&last.input, spec.tied) {
        // The token table lies in the file once; runtimes turn it when they open the file.
        (InputSpec::Tokens(tokens), true) => {
            let kind = if network.decoder.is_some() { StackKind::Decoder } else { StackKind::Encoder };
            let table = graph.weight(
                Module::Embed(kind, EmbedModule::Tokens).weight(),
                &[tokens.vocabulary, tokens.width],
                false,
            );
            graph.op_with("Transpose", &[&table], &[Attribute::Ints("perm", &[1, 0])])
        }
        _ => graph.weight(Module::Output.weight(), &[width, spec.vocabulary], true),
    };
    let mut logits = graph.op("MatMul", &[&x, &weight]);
    if spec.bias {
        let bias = graph.weight(Module::Output.bias(), &[spec.vocabulary], false);
        logits = graph.op("Add", &[&logits, &bias]);
    }
    if let Some(cap) = spec.soft_cap {
        logits = soft_cap(graph, cap, &logits);
    }
    Ok((logits, spec.vocabulary))
}
