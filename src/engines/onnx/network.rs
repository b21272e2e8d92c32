//! A whole network as a graph of ONNX.

use super::attention::{SharedPositions, soft_cap};
use super::graph::{Attribute, Dim, ElementType, Graph, Port};
use super::layer::{EncoderStates, activate, layer};
use super::modules::{linear, norm};
use super::task::{TaskInputs, task_head};
use crate::error::{Error, Result};
use crate::network::{
    Beyond, Counting, EmbedModule, FrameInputSpec, InputSpec, MaskScaling, Module, NetworkSpec, PatchInputSpec,
    PositionSpec, Role, ScoreBias, StackKind, StackSpec, TokenInputSpec,
};

/// The batch axis of every input and output.
const BATCH: Dim = Dim::Named("batch_size");

/// A graph of `spec` whose weights are stored as `stored`, and what a reader should know.
///
/// # Errors
/// Where the network cannot be written as such a graph.
pub(super) fn build(spec: &NetworkSpec, stored: ElementType) -> Result<(Graph, Vec<String>)> {
    let reads_samples =
        |stack: &Option<StackSpec>| matches!(stack.as_ref().map(|s| &s.input), Some(InputSpec::Samples(_)));
    if reads_samples(&spec.encoder) || reads_samples(&spec.decoder) {
        let what = "models that read samples of sound are not written as ONNX";
        return Err(Error::new(what).hint("export the formats compact or masked"));
    }
    let mut graph = Graph::new(stored);
    let notes = beyond(spec).into_iter().chain(experts(spec)).collect();
    let mut source = None;
    let (hidden, last, length) = match (&spec.encoder, &spec.decoder) {
        (Some(only), None) => {
            let (hidden, mask) = stack(&mut graph, only, StackKind::Encoder, ["input_ids", "attention_mask"], None);
            source = mask.or(source);
            (hidden, only, "sequence_length")
        }
        (None, Some(only)) => {
            let (hidden, mask) = stack(&mut graph, only, StackKind::Decoder, ["input_ids", "attention_mask"], None);
            source = mask.or(source);
            (hidden, only, "sequence_length")
        }
        (Some(encoder), Some(decoder)) => {
            let (states, mask) = stack(&mut graph, encoder, StackKind::Encoder, ["input_ids", "attention_mask"], None);
            source.clone_from(&mask);
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
        InputSpec::Patches(p) => Dim::Fixed(p.patches(p.image) + p.leading_tokens()),
        InputSpec::Frames(f) => Dim::Fixed(f.positions),
        InputSpec::Samples(_) => Dim::Named("frames"),
    };
    let width = last.project_out.unwrap_or(last.width);
    if let Some(task) = &spec.task {
        let fixed = if let Dim::Fixed(positions) = length { Some(positions) } else { None };
        let inputs = TaskInputs {
            hidden: &hidden,
            width,
            // Where there is a mask, there are ids.
            ids: source.as_deref().map(|_| "input_ids"),
            mask: source.as_deref(),
            positions: fixed,
            length,
        };
        task_head(&mut graph, task, &inputs)?;
        return Ok((graph, notes));
    }
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
fn beyond(spec: &NetworkSpec) -> Option<String> {
    let longest = spec.sites().into_iter().filter_map(|(_, attention)| match &attention.rotary.as_ref()?.beyond {
        Beyond::Same => None,
        Beyond::Other { length, .. } | Beyond::Stretched { length, .. } => Some(*length),
    });
    longest.min().map(|length| {
        format!("rotary positions are those of sequences of up to {length} tokens; longer ones are not scaled")
    })
}

/// What is said of mixtures of experts.
fn experts(spec: &NetworkSpec) -> Option<String> {
    let stacks = [&spec.encoder, &spec.decoder].into_iter().flatten();
    let mixes = stacks.flat_map(|stack| &stack.layers).any(|layer| layer.experts.is_some());
    mixes.then(|| "every expert computes every token in the file, so that it is slower than the model".to_owned())
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
        InputSpec::Samples(_) => unreachable!("build refuses them"),
    };
    let has_relative = spec.layers.iter().any(|l| l.attention.bias.has_shared_table());
    let relative = has_relative.then(|| Module::Relative(kind).weight());
    let mut positions = SharedPositions::new(mask.clone(), like.unwrap_or_else(|| x.clone()), relative);
    let mut distances = spec.layers.iter().filter_map(|layer| match layer.attention.bias {
        ScoreBias::Disentangled(of) => Some(of),
        _ => None,
    });
    if let Some(of) = distances.next() {
        let table = graph.weight(Module::Distances(kind).weight(), &[2 * of.span, spec.width], false);
        let table = match of.norm {
            Some(n) => norm(graph, n, Module::DistanceNorm(kind), &[spec.width], &table),
            None => table,
        };
        let axis = graph.ints(&[1], &[0]);
        positions.distances = Some(graph.op("Unsqueeze", &[&table, &axis]));
    }
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
    if let Some(scaling) = spec.mask_scaling {
        let factors = mask_factors(graph, scaling, &ids, &mask);
        hidden = graph.op("Mul", &[&hidden, &factors]);
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

/// What the embedding of each token is multiplied by, `[B, T, 1]`.
fn mask_factors(graph: &mut Graph, scaling: MaskScaling, ids: &str, mask: &str) -> String {
    let float = [Attribute::Int("to", ElementType::Float.code())];
    let token = graph.ints(&[], &[i64::from(scaling.token)]);
    let masked = graph.op("Equal", &[ids, &token]);
    let masked = graph.op_with("Cast", &[&masked], &float);
    let real = graph.op_with("Cast", &[mask], &float);
    let axis = graph.ints(&[1], &[1]);
    let [gone, all] = [&masked, &real].map(|flags| graph.op("ReduceSum", &[flags, &axis]));
    // (1 - trained) / (1 - gone / all), and zero under a mask.
    let left = graph.op("Sub", &[&all, &gone]);
    let trained = graph.scalar(1.0 - scaling.trained_share);
    let kept = graph.op("Mul", &[&all, &trained]);
    let factor = graph.op("Div", &[&kept, &left]);
    let one = graph.scalar(1.0);
    let unmasked = graph.op("Sub", &[&one, &masked]);
    let factors = graph.op("Mul", &[&factor, &unmasked]);
    let last = graph.ints(&[1], &[2]);
    graph.op("Unsqueeze", &[&factors, &last])
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
            PositionSpec::Sinusoidal { spacing, offset, counting } => {
                let float = [Attribute::Int("to", ElementType::Float.code())];
                let (places, flags) = self.places(graph, &positions, offset, counting);
                let places = graph.op_with("Cast", &[&places], &float);
                let last = graph.ints(&[1], &[if flags.is_some() { 2 } else { 1 }]);
                let places = graph.op("Unsqueeze", &[&places, &last]);
                let (sines, cosines) = spacing.frequencies(width);
                let part = |graph: &mut Graph, frequencies: &[f64], function: &str| {
                    let frequencies: Vec<f32> = frequencies.iter().map(|f| *f as f32).collect();
                    let frequencies = graph.floats(&[1, frequencies.len()], &frequencies);
                    let angle = graph.op("Mul", &[&places, &frequencies]);
                    graph.op(function, &[&angle])
                };
                let mut parts = vec![part(graph, &sines, "Sin"), part(graph, &cosines, "Cos")];
                if sines.len() + cosines.len() < width {
                    // What is left over is zero: the sine of no angle.
                    parts.push(part(graph, &[0.0], "Sin"));
                }
                let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                let rows = graph.op_with("Concat", &parts, &[Attribute::Int("axis", -1)]);
                match flags {
                    Some(flags) => {
                        let flags = graph.op_with("Cast", &[&flags], &float);
                        let flags = graph.op("Unsqueeze", &[&flags, &last]);
                        graph.op("Mul", &[&rows, &flags])
                    }
                    None => rows,
                }
            }
            PositionSpec::Table { rows, offset, counting, .. } => {
                let table = graph.weight(role, &[rows, width], false);
                let (places, _) = self.places(graph, &positions, offset, counting);
                graph.op("Gather", &[&table, &places])
            }
        };
        graph.op("Add", &[&hidden, &rows])
    }

    /// The row of each token, `[T]` where all count, else `[B, T]`, and then which count.
    fn places(
        &self,
        graph: &mut Graph,
        positions: &SharedPositions,
        offset: usize,
        counting: Counting,
    ) -> (String, Option<String>) {
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        let flags = match counting {
            Counting::Every => {
                let (range, offset) = (positions.range(graph), graph.ints(&[], &[offset]));
                return (graph.op("Add", &[&range, &offset]), None);
            }
            Counting::Attended => self.mask.to_owned(),
            Counting::Unpadded { padding } => {
                let padding = graph.ints(&[], &[i64::from(padding)]);
                let padded = graph.op("Equal", &[self.ids, &padding]);
                let real = graph.op("Not", &[&padded]);
                graph.op_with("Cast", &[&real], &[Attribute::Int("to", ElementType::Int64.code())])
            }
        };
        (counted(graph, &flags, offset), Some(flags))
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

fn patch_input(graph: &mut Graph, spec: &PatchInputSpec, width: usize, stack: StackKind) -> String {
    let module = |part| Module::Embed(stack, part);
    let (height, across) = spec.image;
    let dims = vec![BATCH, Dim::Fixed(spec.channels), Dim::Fixed(height), Dim::Fixed(across)];
    let pixels = graph.input(Port { name: "pixel_values", element: ElementType::Float, dims });
    let kernel =
        graph.weight(module(EmbedModule::Patch).weight(), &[width, spec.channels, spec.patch.0, spec.patch.1], false);
    let bias = spec.bias.then(|| graph.weight(module(EmbedModule::Patch).bias(), &[width], false));
    let strides = [spec.patch.0 as i64, spec.patch.1 as i64];
    let read: Vec<&str> = [pixels.as_str(), &kernel].into_iter().chain(bias.as_deref()).collect();
    let cut = graph.op_with("Conv", &read, &[Attribute::Ints("strides", &strides)]);
    let shape = graph.ints(&[3], &[0, 0, -1]);
    let flat = graph.op("Reshape", &[&cut, &shape]);
    let flat = graph.op_with("Transpose", &[&flat], &[Attribute::Ints("perm", &[0, 2, 1])]);
    // `[B, 1, 1]`, to which a leading token is repeated.
    let (zero, ones) = (graph.ints(&[1], &[0]), graph.ints(&[2], &[1, 1]));
    let shape = graph.op("Shape", &[&pixels]);
    let batch = graph.op("Gather", &[&shape, &zero]);
    let each = graph.op_with("Concat", &[&batch, &ones], &[Attribute::Int("axis", 0)]);
    let tokens = |graph: &mut Graph, part: EmbedModule, count: usize| {
        let token = graph.weight(module(part).weight(), &[1, count, width], false);
        graph.op("Expand", &[&token, &each])
    };
    let (placed, count) = (spec.placed_tokens(), spec.patches(spec.image));
    let joined = |graph: &mut Graph, parts: &[String]| match parts {
        [one] => one.clone(),
        several => {
            let several: Vec<&str> = several.iter().map(String::as_str).collect();
            graph.op_with("Concat", &several, &[Attribute::Int("axis", 1)])
        }
    };
    let own = [(EmbedModule::Class, spec.class), (EmbedModule::Distillation, spec.distillation)];
    let own = own.into_iter().filter(|(_, there)| *there);
    let mut parts: Vec<String> = own.map(|(part, _)| tokens(graph, part, 1)).collect();
    parts.push(flat);
    let mut hidden = joined(graph, &parts);
    if spec.positions {
        let positions = graph.weight(module(EmbedModule::Positions).weight(), &[1, count + placed, width], false);
        hidden = graph.op("Add", &[&hidden, &positions]);
    }
    if spec.registers > 0 {
        let registers = tokens(graph, EmbedModule::Registers, spec.registers);
        let part = |graph: &mut Graph, from: usize, to: usize| {
            let indices: Vec<i64> = (from..to).map(|i| i as i64).collect();
            let indices = graph.ints(&[indices.len()], &indices);
            graph.op_with("Gather", &[&hidden, &indices], &[Attribute::Int("axis", 1)])
        };
        let parts = [part(graph, 0, placed), registers, part(graph, placed, placed + count)];
        hidden = joined(graph, &parts);
    }
    match spec.norm {
        Some(n) => norm(graph, n, module(EmbedModule::Norm), &[width], &hidden),
        None => hidden,
    }
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
        if let Some(n) = transform.norm {
            x = norm(graph, n, Module::OutputNorm, &[transform.width], &x);
        }
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
