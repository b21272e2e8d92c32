//! One attention layer as operations of ONNX.

use super::graph::{Attribute, ElementType, Graph};
use super::modules::{linear, norm};
use crate::network::{
    AttentionModule, AttentionSpec, DisentangledSpec, Module, Projection, QueryKeyNorm, QueryKeyNormScope, Role,
    RotarySpec, ScoreBias, alibi_slopes, grid_entries, relative_bucket,
};

/// Added to the scores of keys that a query must not see: they vanish in the softmax, and no row becomes NaN.
const UNSEEN: f64 = -1e9;

/// Distances beyond this are taken for it; sequences are shorter.
const LONGEST: usize = 1 << 14;

/// What the attention layers of one stack share.
pub(super) struct SharedPositions {
    /// `[B, T]`, 1 at real positions; absent where every position is real.
    pub mask: Option<String>,
    /// A value whose second axis has the length of the sequence.
    pub like: String,
    /// The role of the table of relative positions, `[buckets, heads before pruning]`, of a stack that has one.
    pub relative: Option<Role>,
    offsets: Option<String>,
    angles: Vec<(RotarySpec, [String; 2])>,
    visible: Vec<(VisibilityKey, String)>,
    relative_bias: Option<String>,
    /// Entries of a table of offsets between patches, `[T, T]`.
    grid: Option<String>,
    /// Embeddings of distances, `[1, 2 span, D]`.
    pub distances: Option<String>,
    /// Which of them stands for each query and key, `[T, T]`.
    distance_entries: Option<String>,
}

/// What visibility depends on: whether it is causal, and the window.
type VisibilityKey = (bool, Option<usize>);

impl SharedPositions {
    pub(super) fn new(mask: Option<String>, like: String, relative: Option<Role>) -> Self {
        Self {
            mask,
            like,
            relative,
            offsets: None,
            angles: Vec::new(),
            visible: Vec::new(),
            relative_bias: None,
            grid: None,
            distances: None,
            distance_entries: None,
        }
    }

    /// The length of the sequence as a scalar.
    fn length(&self, graph: &mut Graph) -> String {
        let shape = graph.op("Shape", &[&self.like]);
        let axis = graph.ints(&[], &[1]);
        graph.op("Gather", &[&shape, &axis])
    }

    /// The numbers `0..T`, shape `[T]`.
    pub(super) fn range(&self, graph: &mut Graph) -> String {
        let length = self.length(graph);
        let (zero, one) = (graph.ints(&[], &[0]), graph.ints(&[], &[1]));
        graph.op("Range", &[&zero, &length, &one])
    }

    /// Key position less query position, `[T, T]`.
    fn offsets(&mut self, graph: &mut Graph) -> String {
        if let Some(ready) = &self.offsets {
            return ready.clone();
        }
        let range = self.range(graph);
        let (first, last) = (graph.ints(&[1], &[0]), graph.ints(&[1], &[1]));
        let keys = graph.op("Unsqueeze", &[&range, &first]);
        let queries = graph.op("Unsqueeze", &[&range, &last]);
        let made = graph.op("Sub", &[&keys, &queries]);
        self.offsets.insert(made).clone()
    }

    /// Which keys a query sees, as booleans that broadcast to `[B, 1, T, S]`; `None` where it sees all.
    fn visible(&mut self, graph: &mut Graph, spec: &AttentionSpec) -> Option<String> {
        let key = (spec.causal, spec.window);
        if self.mask.is_none() && key == (false, None) {
            return None;
        }
        if let Some((_, ready)) = self.visible.iter().find(|(k, _)| *k == key) {
            return Some(ready.clone());
        }
        let mut conditions = Vec::new();
        if spec.causal {
            let (offsets, zero) = (self.offsets(graph), graph.ints(&[], &[0]));
            conditions.push(graph.op("LessOrEqual", &[&offsets, &zero]));
        }
        if let Some(window) = spec.window {
            let offsets = self.offsets(graph);
            let distance = graph.op("Abs", &[&offsets]);
            // Causal windows hold `window` keys with the query's own; others reach `window` to either side.
            let reach = i64::try_from(window).unwrap_or(i64::MAX) - i64::from(spec.causal);
            let reach = graph.ints(&[], &[reach]);
            conditions.push(graph.op("LessOrEqual", &[&distance, &reach]));
        }
        if let Some(mask) = self.mask.clone() {
            conditions.push(key_mask(graph, &mask));
        }
        let all = conditions.into_iter().reduce(|a, b| graph.op("And", &[&a, &b]))?;
        self.visible.push((key, all.clone()));
        Some(all)
    }

    /// Cosines and sines, `[T, dims / 2]` each.
    fn angles(&mut self, graph: &mut Graph, rotary: &RotarySpec) -> [String; 2] {
        if let Some((_, ready)) = self.angles.iter().find(|(r, _)| r == rotary) {
            return ready.clone();
        }
        let range = self.range(graph);
        let range = graph.op_with("Cast", &[&range], &[Attribute::Int("to", ElementType::Float.code())]);
        let last = graph.ints(&[1], &[1]);
        let range = graph.op("Unsqueeze", &[&range, &last]);
        let frequencies: Vec<f32> = rotary.inverse_frequencies.iter().map(|f| *f as f32).collect();
        let frequencies = graph.floats(&[1, frequencies.len()], &frequencies);
        let turned = graph.op("Mul", &[&range, &frequencies]);
        let made = ["Cos", "Sin"].map(|function| {
            let value = graph.op(function, &[&turned]);
            match rotary.attention_factor {
                1.0 => value,
                factor => {
                    let factor = graph.scalar(factor);
                    graph.op("Mul", &[&value, &factor])
                }
            }
        });
        self.angles.push((rotary.clone(), made.clone()));
        made
    }

    /// The bias on scores, which broadcasts to `[B, H, T, S]`.
    fn bias(&mut self, graph: &mut Graph, spec: &AttentionSpec, own_table: Role) -> Option<String> {
        match spec.bias {
            // What depends on contents is formed with them.
            ScoreBias::None | ScoreBias::Disentangled(_) => None,
            ScoreBias::Alibi => {
                let slopes = alibi_slopes(spec.origin_heads);
                let slope = |head: &usize| slopes.get(*head).map_or(0.0, |slope| *slope as f32);
                let slopes: Vec<f32> = spec.origin.iter().map(slope).collect();
                let slopes = graph.floats(&[1, spec.heads, 1, 1], &slopes);
                let places = match self.mask.clone() {
                    // As many real tokens as lie before the key.
                    Some(mask) => {
                        let (axis, one) = (graph.ints(&[], &[1]), graph.ints(&[], &[1]));
                        let seen = graph.op("CumSum", &[&mask, &axis]);
                        let before = graph.op("Sub", &[&seen, &one]);
                        let places = graph.op("Mul", &[&before, &mask]);
                        let axes = graph.ints(&[2], &[1, 2]);
                        graph.op("Unsqueeze", &[&places, &axes])
                    }
                    None => self.range(graph),
                };
                let places = graph.op_with("Cast", &[&places], &[Attribute::Int("to", ElementType::Float.code())]);
                Some(graph.op("Mul", &[&slopes, &places]))
            }
            ScoreBias::Relative { buckets, max_distance } => {
                let all = match &self.relative_bias {
                    Some(ready) => ready.clone(),
                    None => {
                        let table = self.relative?;
                        let made = self.relative_table(graph, spec, table, [buckets, max_distance]);
                        self.relative_bias.insert(made).clone()
                    }
                };
                Some(own_heads(graph, spec, all))
            }
            ScoreBias::Grid { rows, columns, shared } => {
                if let Some(ready) = self.relative_bias.clone().filter(|_| shared) {
                    return Some(own_heads(graph, spec, ready));
                }
                let (role, heads) = if shared { (self.relative?, spec.origin_heads) } else { (own_table, spec.heads) };
                let index = match &self.grid {
                    Some(ready) => ready.clone(),
                    None => {
                        let entries: Vec<i64> = grid_entries(rows, columns).into_iter().map(i64::from).collect();
                        let made = graph.ints(&[rows * columns + 1; 2], &entries);
                        self.grid.insert(made).clone()
                    }
                };
                let table = graph.weight(role, &[spec.bias.entries(), heads], false);
                let bias = graph.op("Gather", &[&table, &index]);
                let bias = graph.op_with("Transpose", &[&bias], &[Attribute::Ints("perm", &[2, 0, 1])]);
                let axis = graph.ints(&[1], &[0]);
                let bias = graph.op("Unsqueeze", &[&bias, &axis]);
                if !shared {
                    return Some(bias);
                }
                let all = self.relative_bias.insert(bias).clone();
                Some(own_heads(graph, spec, all))
            }
        }
    }

    /// Which embedding of a distance stands for each query and key, `[T, T]`. Farther distances than `longest` do not come.
    fn distance_entries(&mut self, graph: &mut Graph, spec: &DisentangledSpec, longest: usize) -> String {
        if let Some(ready) = &self.distance_entries {
            return ready.clone();
        }
        let farthest = i64::try_from(longest).unwrap_or(i64::MAX);
        // Offsets are those of keys from queries.
        let entries: Vec<i64> = (-farthest..=farthest).map(|offset| i64::from(spec.entry(-offset))).collect();
        let entries = graph.ints(&[entries.len()], &entries);
        let offsets = self.offsets(graph);
        let (low, high) = (graph.ints(&[], &[-farthest]), graph.ints(&[], &[farthest]));
        let above = graph.op("Max", &[&offsets, &low]);
        let clipped = graph.op("Min", &[&above, &high]);
        let index = graph.op("Add", &[&clipped, &high]);
        let made = graph.op("Gather", &[&entries, &index]);
        self.distance_entries.insert(made).clone()
    }

    /// The bucketed bias of all original heads, `[1, H, T, T]`. Distances beyond the farthest share its bucket, so a
    /// table over clipped distances holds every case.
    fn relative_table(
        &mut self,
        graph: &mut Graph,
        spec: &AttentionSpec,
        role: Role,
        [buckets, max_distance]: [usize; 2],
    ) -> String {
        let farthest = i64::try_from(max_distance).unwrap_or(i64::MAX);
        let bucket_of: Vec<i64> = (-farthest..=farthest)
            .map(|d| i64::from(relative_bucket(d, buckets, max_distance, !spec.causal)))
            .collect();
        let table = graph.weight(role, &[buckets, spec.origin_heads], false);
        let bucket_of = graph.ints(&[bucket_of.len()], &bucket_of);
        let rows = graph.op("Gather", &[&table, &bucket_of]);
        let offsets = self.offsets(graph);
        let (low, high) = (graph.ints(&[], &[-farthest]), graph.ints(&[], &[farthest]));
        let above = graph.op("Max", &[&offsets, &low]);
        let clipped = graph.op("Min", &[&above, &high]);
        let index = graph.op("Add", &[&clipped, &high]);
        let bias = graph.op("Gather", &[&rows, &index]);
        let first = graph.op_with("Transpose", &[&bias], &[Attribute::Ints("perm", &[2, 0, 1])]);
        let axis = graph.ints(&[1], &[0]);
        graph.op("Unsqueeze", &[&first, &axis])
    }
}

/// Of a bias `[1, H, T, T]` of all original heads, those of the layer.
fn own_heads(graph: &mut Graph, spec: &AttentionSpec, all: String) -> String {
    if spec.heads == spec.origin_heads {
        return all;
    }
    let origin: Vec<i64> = spec.origin.iter().map(|h| i64::try_from(*h).unwrap_or(0)).collect();
    let origin = graph.ints(&[origin.len()], &origin);
    graph.op_with("Gather", &[&all, &origin], &[Attribute::Int("axis", 1)])
}

/// `[B, S]` of 1 and 0 as booleans `[B, 1, 1, S]`.
fn key_mask(graph: &mut Graph, mask: &str) -> String {
    let real = graph.op_with("Cast", &[mask], &[Attribute::Int("to", ElementType::Bool.code())]);
    let axes = graph.ints(&[2], &[1, 2]);
    graph.op("Unsqueeze", &[&real, &axes])
}

/// What the heads of a layer read besides their queries.
pub(super) enum Reads<'a> {
    Itself(&'a mut SharedPositions),
    /// The encoder's result `[B, S, D]` and its mask.
    EncoderStates(&'a str, Option<&'a str>),
}

/// `x [B, T, D]` through the attention layer whose parts `module` names; `None` where it has no head and no
/// bias, so that it adds nothing.
pub(super) fn attention(
    graph: &mut Graph,
    spec: &AttentionSpec,
    module: &dyn Fn(AttentionModule) -> Module,
    [width, memory_width]: [usize; 2],
    x: &str,
    reads: Reads<'_>,
) -> Option<String> {
    let d = spec.head_dim;
    if spec.heads == 0 {
        let bias = module(AttentionModule::Projection(Projection::Output)).bias();
        return spec.projection_bias.output.then(|| graph.weight(bias, &[width], false));
    }
    let source = match &reads {
        Reads::Itself(_) => x.to_owned(),
        Reads::EncoderStates(states, _) => (*states).to_owned(),
    };
    let bias = spec.projection_bias;
    let projection = |one| module(AttentionModule::Projection(one));
    let query = linear(graph, projection(Projection::Query), [width, spec.heads * d], bias.query, x);
    let query = split(graph, [spec.heads, d], &query);
    let key = linear(graph, projection(Projection::Key), [memory_width, spec.kv_heads * d], bias.key, &source);
    let key = split(graph, [spec.kv_heads, d], &key);
    let value = linear(graph, projection(Projection::Value), [memory_width, spec.kv_heads * d], bias.value, &source);
    let value = split(graph, [spec.kv_heads, d], &value);
    let [query, key, value] = match spec.clip {
        Some(clip) => {
            let (low, high) = (graph.scalar(-clip), graph.scalar(clip));
            [query, key, value].map(|x| graph.op("Clip", &[&x, &low, &high]))
        }
        None => [query, key, value],
    };
    let [mut query, mut key] = match spec.query_key_norm {
        Some(of) => [
            head_norm(graph, of, module(AttentionModule::QueryNorm), [spec.heads, d], &query),
            head_norm(graph, of, module(AttentionModule::KeyNorm), [spec.kv_heads, d], &key),
        ],
        None => [query, key],
    };
    let (score_bias, visible, distances) = match reads {
        Reads::Itself(positions) => {
            let distances = match (&spec.bias, positions.distances.clone()) {
                (ScoreBias::Disentangled(of), Some(embeddings)) => {
                    Some((embeddings, positions.distance_entries(graph, of, LONGEST)))
                }
                _ => None,
            };
            if let Some(rotary) = &spec.rotary {
                let angles = positions.angles(graph, rotary);
                query = rotate(graph, rotary, d, &angles, &query);
                key = rotate(graph, rotary, d, &angles, &key);
            }
            let own_table = module(AttentionModule::GridBias).weight();
            (positions.bias(graph, spec, own_table), positions.visible(graph, spec), distances)
        }
        Reads::EncoderStates(_, mask) => (None, mask.map(|mask| key_mask(graph, mask)), None),
    };
    let by_distance = match (&spec.bias, distances) {
        (ScoreBias::Disentangled(of), Some((embeddings, entries))) => {
            let contents = [query.as_str(), &key];
            scores_by_distance(graph, spec, of, module, width, contents, [&embeddings, &entries])
        }
        _ => None,
    };
    let [key, value] = [key, value].map(|shared| repeat(graph, spec, &shared));
    let turned = graph.op_with("Transpose", &[&key], &[Attribute::Ints("perm", &[0, 1, 3, 2])]);
    let mut scores = graph.op("MatMul", &[&query, &turned]);
    if let Some(more) = by_distance {
        scores = graph.op("Add", &[&scores, &more]);
    }
    if spec.scale != 1.0 {
        let scale = graph.scalar(spec.scale);
        scores = graph.op("Mul", &[&scores, &scale]);
    }
    if let Some(cap) = spec.soft_cap {
        scores = soft_cap(graph, cap, &scores);
    }
    if let Some(bias) = score_bias {
        scores = graph.op("Add", &[&scores, &bias]);
    }
    if let Some(visible) = visible {
        let unseen = graph.scalar(UNSEEN);
        scores = graph.op("Where", &[&visible, &scores, &unseen]);
    }
    let weights = if spec.sinks {
        let sinks = graph.weight(module(AttentionModule::Sinks).weight(), &[1, spec.heads, 1, 1], false);
        softmax_with(graph, &scores, &sinks)
    } else {
        graph.op_with("Softmax", &[&scores], &[Attribute::Int("axis", -1)])
    };
    let output = graph.op("MatMul", &[&weights, &value]);
    let joined = join(graph, [spec.heads, d], &output);
    Some(linear(graph, projection(Projection::Output), [spec.heads * d, width], bias.output, &joined))
}

/// Scores of queries and keys `[B, H, T, d]` against embeddings of their distances, before scaling.
fn scores_by_distance(
    graph: &mut Graph,
    spec: &AttentionSpec,
    of: &DisentangledSpec,
    module: &dyn Fn(AttentionModule) -> Module,
    width: usize,
    [query, key]: [&str; 2],
    [embeddings, entries]: [&str; 2],
) -> Option<String> {
    let d = spec.head_dim;
    let perm = Attribute::Ints("perm", &[1, 0]);
    let turned = graph.op_with("Transpose", &[entries], &[perm]);
    let sides = [
        (query, AttentionModule::PositionKey, Projection::Key, of.to_positions, entries, false),
        (key, AttentionModule::PositionQuery, Projection::Query, of.from_positions, turned.as_str(), true),
    ];
    let mut sum: Option<String> = None;
    for (content, own, of_contents, _, entries, is_key) in sides.into_iter().filter(|side| side.3) {
        let part = if of.shares_projections { AttentionModule::Projection(of_contents) } else { own };
        let bias = match of_contents {
            _ if !of.shares_projections => true,
            Projection::Key => spec.projection_bias.key,
            _ => spec.projection_bias.query,
        };
        let positions = linear(graph, module(part), [width, spec.heads * d], bias, embeddings);
        let positions = split(graph, [spec.heads, d], &positions);
        let positions = graph.op_with("Transpose", &[&positions], &[Attribute::Ints("perm", &[0, 1, 3, 2])]);
        let scores = graph.op("MatMul", &[content, &positions]);
        // The entries for every sequence and head.
        let shape = graph.op("Shape", &[&scores]);
        let (first, own) = (graph.ints(&[3], &[0, 1, 2]), graph.op("Shape", &[entries]));
        let (leading, last) = (graph.op("Gather", &[&shape, &first]), graph.ints(&[1], &[1]));
        let last = graph.op("Gather", &[&own, &last]);
        let every = graph.op_with("Concat", &[&leading, &last], &[Attribute::Int("axis", 0)]);
        let axes = graph.ints(&[2], &[0, 1]);
        let index = graph.op("Unsqueeze", &[entries, &axes]);
        let index = graph.op("Expand", &[&index, &every]);
        let mut chosen = graph.op_with("GatherElements", &[&scores, &index], &[Attribute::Int("axis", 3)]);
        if is_key {
            chosen = graph.op_with("Transpose", &[&chosen], &[Attribute::Ints("perm", &[0, 1, 3, 2])]);
        }
        sum = Some(match sum {
            Some(sum) => graph.op("Add", &[&sum, &chosen]),
            None => chosen,
        });
    }
    sum
}

/// The softmax of scores `[B, H, T, S]` and one score more of each head, `[1, H, 1, 1]`, without the weight of that.
fn softmax_with(graph: &mut Graph, scores: &str, sinks: &str) -> String {
    let highest =
        graph.op_with("ReduceMax", &[scores], &[Attribute::Ints("axes", &[-1]), Attribute::Int("keepdims", 1)]);
    let highest = graph.op("Max", &[&highest, sinks]);
    let [own, sink] = [scores, sinks].map(|x| {
        let lowered = graph.op("Sub", &[x, &highest]);
        graph.op("Exp", &[&lowered])
    });
    let axis = graph.ints(&[1], &[3]);
    let sum = graph.op("ReduceSum", &[&own, &axis]);
    let sum = graph.op("Add", &[&sum, &sink]);
    graph.op("Div", &[&own, &sum])
}

/// `[B, H, T, d]` to `[B, T, H d]`.
fn join(graph: &mut Graph, [heads, d]: [usize; 2], x: &str) -> String {
    let turned = graph.op_with("Transpose", &[x], &[Attribute::Ints("perm", &[0, 2, 1, 3])]);
    let shape = graph.ints(&[3], &[0, 0, (heads * d) as i64]);
    graph.op("Reshape", &[&turned, &shape])
}

/// `[B, T, H d]` to `[B, H, T, d]`.
fn split(graph: &mut Graph, [heads, d]: [usize; 2], x: &str) -> String {
    let shape = graph.ints(&[4], &[0, 0, heads as i64, d as i64]);
    let apart = graph.op("Reshape", &[x, &shape]);
    graph.op_with("Transpose", &[&apart], &[Attribute::Ints("perm", &[0, 2, 1, 3])])
}

/// Queries or keys `[B, H, T, d]` through their norm.
fn head_norm(graph: &mut Graph, of: QueryKeyNorm, module: Module, [heads, d]: [usize; 2], x: &str) -> String {
    match of.scope {
        QueryKeyNormScope::Shared => norm(graph, of.norm, module, &[d], x),
        QueryKeyNormScope::EachHead => norm(graph, of.norm, module, &[heads, 1, d], x),
        QueryKeyNormScope::AllHeads => {
            let joined = join(graph, [heads, d], x);
            let normal = norm(graph, of.norm, module, &[heads * d], &joined);
            split(graph, [heads, d], &normal)
        }
    }
}

/// `cap * tanh(x / cap)`.
pub(super) fn soft_cap(graph: &mut Graph, cap: f64, x: &str) -> String {
    let cap = graph.scalar(cap);
    let small = graph.op("Div", &[x, &cap]);
    let bent = graph.op("Tanh", &[&small]);
    graph.op("Mul", &[&bent, &cap])
}

/// Key/value heads `[B, H_kv, S, d]`, each as often as query heads read it.
fn repeat(graph: &mut Graph, spec: &AttentionSpec, shared: &str) -> String {
    let times = spec.queries_per_kv();
    if times == 1 {
        return shared.to_owned();
    }
    let axis = graph.ints(&[1], &[2]);
    let apart = graph.op("Unsqueeze", &[shared, &axis]);
    let shape = graph.ints(&[5], &[1, 1, times as i64, 1, 1]);
    let repeated = graph.op("Expand", &[&apart, &shape]);
    let shape = graph.ints(&[4], &[0, spec.heads as i64, -1, spec.head_dim as i64]);
    graph.op("Reshape", &[&repeated, &shape])
}

/// Rotates pairs `(x_i, x_(i + n))` of the leading `2 n` dimensions. Pairs that are neighbors are put that far apart
/// first, in queries and keys alike, so that their products stay what they are.
fn rotate(graph: &mut Graph, rotary: &RotarySpec, d: usize, [cos, sin]: &[String; 2], x: &str) -> String {
    let half = rotary.inverse_frequencies.len();
    let turned = if rotary.interleaved {
        let order = (0..half).map(|i| 2 * i).chain((0..half).map(|i| 2 * i + 1)).chain(2 * half..d);
        let order: Vec<i64> = order.map(|i| i as i64).collect();
        let order = graph.ints(&[d], &order);
        graph.op_with("Gather", &[x, &order], &[Attribute::Int("axis", 3)])
    } else {
        x.to_owned()
    };
    let part = |graph: &mut Graph, from: usize, to: usize| {
        let (from, to, axis) =
            (graph.ints(&[1], &[from as i64]), graph.ints(&[1], &[to as i64]), graph.ints(&[1], &[3]));
        graph.op("Slice", &[&turned, &from, &to, &axis])
    };
    let (first, second) = (part(graph, 0, half), part(graph, half, 2 * half));
    let product = |graph: &mut Graph, a: &str, b: &str| graph.op("Mul", &[a, b]);
    let (a, b) = (product(graph, &first, cos), product(graph, &second, sin));
    let (c, e) = (product(graph, &second, cos), product(graph, &first, sin));
    let mut parts = vec![graph.op("Sub", &[&a, &b]), graph.op("Add", &[&c, &e])];
    if 2 * half < d {
        parts.push(part(graph, 2 * half, d));
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    graph.op_with("Concat", &parts, &[Attribute::Int("axis", -1)])
}
