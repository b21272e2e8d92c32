//! The tensors of a file: their names in llama.cpp, and what of the network is in each.

use std::collections::BTreeMap;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};

use crate::checkpoint::{GgufFile, GgufTensor, Stored};
use crate::engines::quantization::Quantization;
use crate::engines::rope::RopeKeys;
use crate::error::{Error, Result};
use crate::network::{
    Branch, Module, NetworkSpec, Projection, Role, ScoreBias, SiteKind, StackKind, StackSpec, Term, Weights, roles,
};

/// The type that weights are stored in already.
pub(super) fn like(stored: Stored) -> Quantization {
    match stored {
        Stored::F16 => Quantization::F16,
        Stored::BF16 => Quantization::Bf16,
        _ => Quantization::F32,
    }
}

/// The number by which files say how matrices are stored (`general.file_type`).
///
/// # Errors
/// Where the format has no such way.
pub(super) fn file_type(quantization: Quantization) -> Result<u32> {
    Ok(match quantization {
        Quantization::F32 => 0,
        Quantization::F16 => 1,
        Quantization::Bf16 => 32,
        Quantization::Q8 => 7,
        Quantization::Q4K => 14,
        Quantization::Int8 => {
            return Err(Error::usage(format!("gguf files are not written in {quantization}"))
                .hint("choose f32, f16, bf16, q8_0 or q4_k"));
        }
    })
}

/// How a matrix of this shape is stored: in the finest blocks that divide its rows.
fn block_type(quantization: Quantization, shape: &[usize], is_table: bool) -> GgmlDType {
    let divides = |block: usize| shape.last().is_some_and(|row| row.is_multiple_of(block));
    match quantization {
        _ if shape.len() < 2 => GgmlDType::F32,
        Quantization::F32 => GgmlDType::F32,
        Quantization::F16 => GgmlDType::F16,
        Quantization::Bf16 => GgmlDType::BF16,
        Quantization::Q4K if divides(256) && is_table => GgmlDType::Q6K,
        Quantization::Q4K if divides(256) => GgmlDType::Q4K,
        Quantization::Q8 | Quantization::Q4K if divides(32) => GgmlDType::Q8_0,
        Quantization::Q8 | Quantization::Q4K => GgmlDType::F16,
        Quantization::Int8 => unreachable!("files have a number for every way that they store weights in"),
    }
}

/// What a tensor of a file holds.
#[derive(Clone, Debug)]
enum Held {
    /// Rows of these roles, one behind the other.
    Roles(Vec<Role>),
    /// Columns of the table of relative positions, those of the original heads of a layer.
    Relative(Role, Vec<usize>),
    Numbers(Vec<f32>),
}

/// A tensor of a file.
#[derive(Clone, Debug)]
pub(super) struct FileTensor {
    pub plan: GgufTensor,
    held: Held,
}

impl FileTensor {
    /// Its numbers, of a network's weights.
    pub(super) fn content(&self, weights: &dyn Weights) -> Result<Tensor> {
        match &self.held {
            Held::Roles(roles) => match roles.as_slice() {
                [one] => weights.get(*one),
                several => {
                    let parts = several.iter().map(|role| weights.get(*role)).collect::<Result<Vec<_>>>()?;
                    Ok(Tensor::cat(&parts, 0)?)
                }
            },
            Held::Relative(role, columns) => {
                let columns: Vec<u32> = columns.iter().map(|c| u32::try_from(*c).unwrap_or(u32::MAX)).collect();
                let columns = Tensor::new(columns, &Device::Cpu)?;
                Ok(weights.get(*role)?.index_select(&columns, 1)?)
            }
            Held::Numbers(numbers) => Ok(Tensor::new(numbers.as_slice(), &Device::Cpu)?),
        }
    }
}

/// Every tensor of the file of a network.
pub(super) fn tensors(
    spec: &NetworkSpec,
    rope: Option<&RopeKeys>,
    is_fused: bool,
    quantization: Quantization,
) -> Result<Vec<FileTensor>> {
    let two = spec.encoder.is_some();
    let mut list: Vec<FileTensor> = Vec::new();
    let mut add = |name: String, shape: Vec<usize>, held: Held, is_table: bool| {
        let exact = matches!(held, Held::Relative(..) | Held::Numbers(_));
        let dtype = if exact { GgmlDType::F32 } else { block_type(quantization, &shape, is_table) };
        list.push(FileTensor { plan: GgufTensor { name, shape, dtype }, held });
    };
    for (role, shape) in roles::tensors(spec) {
        match role.module {
            // Encoder and decoder read one table.
            Module::Embed(StackKind::Encoder, _) if two => {}
            Module::Relative(kind) => {
                let (stack, letters) = match kind {
                    StackKind::Encoder => (&spec.encoder, "enc"),
                    StackKind::Decoder => (&spec.decoder, "dec"),
                };
                for (layer, heads) in relative_layers(stack.as_ref()) {
                    let buckets = shape.first().copied().unwrap_or(0);
                    let shape = vec![buckets, heads.len()];
                    let name = format!("{letters}.blk.{layer}.attn_rel_b.weight");
                    add(name, shape, Held::Relative(role, heads), false);
                }
            }
            Module::Attention(kind, layer, part) if is_fused && part != output() => {
                use crate::network::AttentionModule::Projection as Of;
                match part {
                    Of(Projection::Query) if role.term == Term::Weight => {
                        let of = |projection| Module::projection(kind, layer, projection).weight();
                        let parts = [Projection::Query, Projection::Key, Projection::Value].map(of).to_vec();
                        let attention = spec.attention(crate::network::Site::new(kind, layer));
                        let rows = attention.map_or(0, |a| (a.heads + 2 * a.kv_heads) * a.head_dim);
                        let shape = vec![rows, shape.get(1).copied().unwrap_or(0)];
                        add(format!("blk.{layer}.attn_qkv.weight"), shape, Held::Roles(parts), false);
                    }
                    Of(_) => {}
                    _ => add(name(role, two)?, shape, Held::Roles(vec![role]), false),
                }
            }
            module => {
                let is_table = matches!(module, Module::Embed(..) | Module::Output);
                add(name(role, two)?, shape, Held::Roles(vec![role]), is_table);
            }
        }
    }
    if let Some(factors) = rope.and_then(|rope| rope.factors.as_ref()) {
        let numbers: Vec<f32> = factors.iter().map(|f| *f as f32).collect();
        add("rope_freqs.weight".to_owned(), vec![numbers.len()], Held::Numbers(numbers), false);
    }
    Ok(list)
}

fn output() -> crate::network::AttentionModule {
    crate::network::AttentionModule::Projection(Projection::Output)
}

/// The layers that get a table of relative positions, with the columns that it has: the first alone where all have the
/// same heads.
fn relative_layers(stack: Option<&StackSpec>) -> Vec<(usize, Vec<usize>)> {
    let layers = stack.map_or(&[][..], |stack| &stack.layers);
    let relative = |bias: &ScoreBias| matches!(bias, ScoreBias::Relative { .. });
    let mut all: Vec<(usize, Vec<usize>)> = layers
        .iter()
        .enumerate()
        .filter(|(_, layer)| relative(&layer.attention.bias))
        .map(|(index, layer)| (index, layer.attention.origin.clone()))
        .collect();
    if all.windows(2).all(|pair| pair[0].1 == pair[1].1) {
        all.truncate(1);
    }
    all
}

/// What llama.cpp calls the tensor with `role`; `two` says whether there are two stacks.
fn name(role: Role, two: bool) -> Result<String> {
    let stack = |kind: StackKind| match (two, kind) {
        (false, _) => "",
        (true, StackKind::Encoder) => "enc.",
        (true, StackKind::Decoder) => "dec.",
    };
    // Of two stacks, output projections have a shorter name.
    let last = if two { "attn_o" } else { "attn_output" };
    let unknown = || Error::new(format!("GGUF files have no name for '{role}'"));
    use crate::network::{AttentionModule as Of, BranchModule, EmbedModule, MlpModule};
    let (kind, layer, stem) = match role.module {
        Module::Embed(_, EmbedModule::Tokens) => return Ok("token_embd.weight".to_owned()),
        Module::Output => return Ok("output.weight".to_owned()),
        Module::FinalNorm(kind) => return Ok(format!("{}output_norm.weight", stack(kind))),
        Module::Attention(kind, layer, part) => {
            let cross = if kind == SiteKind::Cross { "cross_" } else { "" };
            let stem = match part {
                Of::Projection(Projection::Query) => "attn_q",
                Of::Projection(Projection::Key) => "attn_k",
                Of::Projection(Projection::Value) => "attn_v",
                Of::Projection(Projection::Output) => last,
                Of::QueryNorm => "attn_q_norm",
                Of::KeyNorm => "attn_k_norm",
                Of::Sinks | Of::GridBias | Of::PositionKey | Of::PositionQuery => return Err(unknown()),
            };
            (kind.stack(), layer, format!("{cross}{stem}"))
        }
        Module::Mlp(kind, layer, part) => {
            let stem = match part {
                MlpModule::Up => "ffn_up",
                MlpModule::Gate => "ffn_gate",
                MlpModule::Down => "ffn_down",
            };
            (kind, layer, stem.to_owned())
        }
        Module::Branch(branch, layer, part) => {
            let (kind, stem) = match (branch, part) {
                (Branch::Attention(SiteKind::Cross), BranchModule::Norm) => (StackKind::Decoder, "cross_attn_norm"),
                (Branch::Attention(kind), BranchModule::Norm) => (kind.stack(), "attn_norm"),
                (Branch::Attention(kind), BranchModule::PostNorm) => (kind.stack(), "post_attention_norm"),
                (Branch::Mlp(kind), BranchModule::Norm) => (kind, "ffn_norm"),
                (Branch::Mlp(kind), BranchModule::PostNorm) => (kind, "post_ffw_norm"),
                (_, BranchModule::Scale) => return Err(unknown()),
            };
            (kind, layer, stem.to_owned())
        }
        _ => return Err(unknown()),
    };
    let ending = match role.term {
        Term::Weight => "weight",
        Term::Bias => "bias",
    };
    Ok(format!("{}blk.{layer}.{stem}.{ending}", stack(kind)))
}

/// The weights of a network in a written file, for the proof.
pub(super) struct FileWeights {
    file: GgufFile,
    tensors: Vec<FileTensor>,
    shapes: BTreeMap<Role, Vec<usize>>,
    /// Whether encoder and decoder read one table.
    is_shared: bool,
}

impl FileWeights {
    /// Those of the network `spec`, whose file has `tensors`.
    pub(super) fn new(file: GgufFile, tensors: &[FileTensor], spec: &NetworkSpec) -> Self {
        let shapes = roles::tensors(spec).into_iter().collect();
        Self { file, tensors: tensors.to_vec(), shapes, is_shared: spec.decoder.is_some() }
    }
}

impl Weights for FileWeights {
    fn get(&self, role: Role) -> Result<Tensor> {
        let role = match role.module {
            Module::Embed(StackKind::Encoder, part) if self.is_shared => {
                Role { module: Module::Embed(StackKind::Decoder, part), ..role }
            }
            _ => role,
        };
        let shape = self.shapes.get(&role).ok_or_else(|| Error::new(format!("the network has no '{role}'")))?;
        let read = |name: &str| -> Result<Tensor> { Ok(self.file.tensor(name)?.to_dtype(DType::F32)?) };
        let mut table: Option<Vec<f32>> = None;
        for tensor in &self.tensors {
            match &tensor.held {
                Held::Roles(roles) if roles.contains(&role) => {
                    let whole = read(&tensor.plan.name)?;
                    if roles.len() == 1 {
                        return Ok(whole.reshape(shape.as_slice())?);
                    }
                    let rows =
                        |role: &Role| self.shapes.get(role).and_then(|shape| shape.first().copied()).unwrap_or(0);
                    let from = roles.iter().take_while(|other| **other != role).map(rows).sum();
                    return Ok(whole.narrow(0, from, rows(&role))?);
                }
                Held::Relative(other, columns) if *other == role => {
                    let [buckets, heads] = shape.as_slice() else { continue };
                    let table = table.get_or_insert_with(|| vec![0.0; buckets * heads]);
                    let part = read(&tensor.plan.name)?.to_vec2::<f32>()?;
                    for (row, numbers) in part.iter().enumerate() {
                        for (column, number) in columns.iter().zip(numbers) {
                            if let Some(cell) = table.get_mut(row * heads + column) {
                                *cell = *number;
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        let table = table.ok_or_else(|| Error::new(format!("the file has nothing for '{role}'")))?;
        Ok(Tensor::from_vec(table, shape.as_slice(), &Device::Cpu)?)
    }
}
