//! Encoders of speech: wav2vec 2.0 (Baevski et al. 2020) and HuBERT (Hsu et al. 2021).

use serde_json::Value;

use crate::error::Result;
use crate::model::activation::activation;
use crate::model::family::Name;
use crate::model::{ConfigReader, TensorLayout};
use crate::network::{
    AttentionSpec, ConvolutionSpec, InputSpec, LayerSpec, MlpSpec, NetworkSpec, NormKind, NormSpec, Objective,
    OutputSpec, ProjectionBias, SampleInputSpec, SampleNorm, StackSpec, Wiring,
};

/// What both name alike.
pub(super) const NAMES: &[Name] = &[
    ("encoder.embed.convolutions.{n}", "feature_extractor.conv_layers.{n}.conv", TensorLayout::PLAIN),
    ("encoder.embed.convolution_norms.{n}", "feature_extractor.conv_layers.{n}.layer_norm", TensorLayout::PLAIN),
    ("encoder.embed.projection_norm", "feature_projection.layer_norm", TensorLayout::PLAIN),
    ("encoder.embed.project", "feature_projection.projection", TensorLayout::PLAIN),
    ("encoder.embed.position_direction.bias", "encoder.pos_conv_embed.conv.bias", TensorLayout::PLAIN),
    ("encoder.embed.norm", "encoder.layer_norm", TensorLayout::PLAIN),
    ("encoder.{i}.attention.query", "encoder.layers.{i}.attention.q_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.key", "encoder.layers.{i}.attention.k_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.value", "encoder.layers.{i}.attention.v_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.output", "encoder.layers.{i}.attention.out_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.norm", "encoder.layers.{i}.layer_norm", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.up", "encoder.layers.{i}.feed_forward.intermediate_dense", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.down", "encoder.layers.{i}.feed_forward.output_dense", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.norm", "encoder.layers.{i}.final_layer_norm", TensorLayout::PLAIN),
    ("encoder.norm", "encoder.layer_norm", TensorLayout::PLAIN),
    ("output.weight", "lm_head.weight", TensorLayout::PLAIN),
    ("output.bias", "lm_head.bias", TensorLayout::PLAIN),
];

/// Weights of the convolution over frames as files of 4.x name them.
pub(super) const WEIGHT_NORM: &[Name] = &[
    ("encoder.embed.position_magnitude", "encoder.pos_conv_embed.conv.weight_g", TensorLayout::PLAIN),
    ("encoder.embed.position_direction.weight", "encoder.pos_conv_embed.conv.weight_v", TensorLayout::PLAIN),
];

/// The same as newer files name them.
pub(super) const PARAMETRIZED: &[Name] = &[
    (
        "encoder.embed.position_magnitude",
        "encoder.pos_conv_embed.conv.parametrizations.weight.original0",
        TensorLayout::PLAIN,
    ),
    (
        "encoder.embed.position_direction.weight",
        "encoder.pos_conv_embed.conv.parametrizations.weight.original1",
        TensorLayout::PLAIN,
    ),
];

/// Both classes have the same.
const KERNELS: [usize; 7] = [10, 3, 3, 3, 3, 2, 2];
const STRIDES: [usize; 7] = [5, 2, 2, 2, 2, 2, 2];
const CHANNELS: [usize; 7] = [512; 7];

/// The network of a configuration.
pub(super) fn encoder(reading: &ConfigReader<'_>) -> Result<NetworkSpec> {
    let config = reading.config;
    reading.refuse("add_adapter")?;
    reading.refuse("conv_pos_batch_norm")?;
    if config.get("adapter_attn_dim").is_some() {
        return Err(config.unsupported("'adapter_attn_dim' is there: adapters in the layers are not supported"));
    }
    let (width, heads) = (reading.width()?, reading.heads()?);
    let norm = NormSpec { kind: NormKind::Layer, eps: config.number_or("layer_norm_eps", 1e-5)? };
    let stable = config.flag_or("do_stable_layer_norm", false)?;
    let groups = config.size_or("num_conv_pos_embedding_groups", 16)?;
    let kernel = config.size_or("num_conv_pos_embeddings", 128)?;
    if groups == 0 || !width.is_multiple_of(groups) {
        return Err(config.wrong("num_conv_pos_embedding_groups", "a number that divides hidden_size"));
    }
    if !(1..=WIDEST).contains(&kernel) {
        return Err(config.wrong("num_conv_pos_embeddings", &format!("a number from 1 to {WIDEST}")));
    }
    let input = SampleInputSpec {
        convolutions: convolutions(reading)?,
        bias: config.flag_or("conv_bias", false)?,
        activation: activation(config, "feat_extract_activation", "gelu")?,
        norm: match config.text_opt("feat_extract_norm")?.unwrap_or("group") {
            "group" => SampleNorm::FirstOverTime,
            "layer" => SampleNorm::EachOverChannels,
            _ => return Err(config.wrong("feat_extract_norm", "group or layer")),
        },
        projection_norm: config.flag_or("feat_proj_layer_norm", true)?.then_some(norm),
        position_kernel: kernel,
        position_groups: groups,
        input_norm: (!stable).then_some(norm),
    };
    let attention =
        AttentionSpec { projection_bias: ProjectionBias::all(true), ..AttentionSpec::new(heads, heads, width / heads) };
    let mlp = MlpSpec {
        width: reading.inner(width)?,
        activation: activation(config, "hidden_act", "gelu")?,
        gated: false,
        bias: true,
    };
    let wiring = if stable { Wiring::Pre } else { Wiring::Post };
    let layers =
        (0..reading.layers()?).map(|i| LayerSpec::new(i, attention.clone(), mlp.clone(), norm, wiring)).collect();
    let stack = StackSpec {
        width,
        input: InputSpec::Samples(input),
        layers,
        final_norm: stable.then_some(norm),
        project_out: None,
    };
    let output = OutputSpec { bias: true, ..OutputSpec::new(config.size_or("vocab_size", 32)?, Objective::Ctc, false) };
    Ok(NetworkSpec::encoder(stack, (reading.has)("lm_head.weight").then_some(output)))
}

/// No published convolution is wider.
const WIDEST: usize = 1024;

/// `conv_dim`, `conv_kernel` and `conv_stride`, of one length.
fn convolutions(reading: &ConfigReader<'_>) -> Result<Vec<ConvolutionSpec>> {
    const MOST: usize = 32;
    const MOST_CHANNELS: usize = 1 << 14;
    let config = reading.config;
    let list = |key: &str, default: &[usize], most: usize| -> Result<Vec<usize>> {
        let wrong = || config.wrong(key, &format!("a list of up to {MOST} numbers from 1 to {most}"));
        let Some(value) = config.get(key) else { return Ok(default.to_vec()) };
        let list = value.as_array().filter(|list| (1..=MOST).contains(&list.len())).ok_or_else(wrong)?;
        let numbers = list.iter().map(Value::as_u64).map(|n| n.and_then(|n| usize::try_from(n).ok()));
        numbers.map(|n| n.filter(|n| (1..=most).contains(n)).ok_or_else(wrong)).collect()
    };
    let channels = list("conv_dim", &CHANNELS, MOST_CHANNELS)?;
    let (kernels, strides) = (list("conv_kernel", &KERNELS, WIDEST)?, list("conv_stride", &STRIDES, WIDEST)?);
    if kernels.len() != channels.len() || strides.len() != channels.len() {
        return Err(config.unsupported("'conv_dim', 'conv_kernel' and 'conv_stride' differ in length"));
    }
    let each = channels.into_iter().zip(kernels).zip(strides);
    Ok(each.map(|((channels, kernel), stride)| ConvolutionSpec { channels, kernel, stride }).collect())
}
