//! Vision encoders over patches: ViT (Dosovitskiy et al. 2021), DeiT, DINOv2, BEiT, told apart by a [`VitVariant`].

use crate::error::Result;
use crate::model::activation::activation;
use crate::model::family::Name;
use crate::model::{ConfigReader, Part, TensorLayout};
use crate::network::{
    Activation, AttentionSpec, InputSpec, LayerSpec, MlpSpec, NetworkSpec, NormKind, NormSpec, PatchInputSpec,
    ProjectionBias, Resampling, ScoreBias, StackSpec, Wiring,
};

/// Names of all of them.
pub(super) const NAMES: &[Name] = &[
    ("encoder.embed.patch", "embeddings.patch_embeddings.projection", TensorLayout::PLAIN),
    ("encoder.embed.class", "embeddings.cls_token", TensorLayout::PLAIN),
    ("encoder.embed.distillation", "embeddings.distillation_token", TensorLayout::PLAIN),
    ("encoder.embed.registers", "embeddings.register_tokens", TensorLayout::PLAIN),
    ("encoder.embed.positions", "embeddings.position_embeddings", TensorLayout::PLAIN),
    ("encoder.{i}.attention.query", "encoder.layer.{i}.attention.attention.query", TensorLayout::PLAIN),
    ("encoder.{i}.attention.key", "encoder.layer.{i}.attention.attention.key", TensorLayout::PLAIN),
    ("encoder.{i}.attention.value", "encoder.layer.{i}.attention.attention.value", TensorLayout::PLAIN),
    ("encoder.{i}.attention.output", "encoder.layer.{i}.attention.output.dense", TensorLayout::PLAIN),
    ("encoder.norm", "layernorm", TensorLayout::PLAIN),
];

pub(super) const VIT_LAYERS: &[Name] = &[
    ("encoder.{i}.attention.norm", "encoder.layer.{i}.layernorm_before", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.norm", "encoder.layer.{i}.layernorm_after", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.up", "encoder.layer.{i}.intermediate.dense", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.down", "encoder.layer.{i}.output.dense", TensorLayout::PLAIN),
];

pub(super) const DINO_LAYERS: &[Name] = &[
    ("encoder.{i}.attention.norm", "encoder.layer.{i}.norm1", TensorLayout::PLAIN),
    ("encoder.{i}.attention.scale", "encoder.layer.{i}.layer_scale1.lambda1", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.norm", "encoder.layer.{i}.norm2", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.scale", "encoder.layer.{i}.layer_scale2.lambda1", TensorLayout::PLAIN),
];

pub(super) const DINO_PLAIN: &[Name] = &[
    ("encoder.{i}.mlp.up", "encoder.layer.{i}.mlp.fc1", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.down", "encoder.layer.{i}.mlp.fc2", TensorLayout::PLAIN),
];

pub(super) const DINO_GATED: &[Name] = &[
    ("encoder.{i}.mlp.gate", "encoder.layer.{i}.mlp.weights_in", TensorLayout::part(Part::Half(0))),
    ("encoder.{i}.mlp.up", "encoder.layer.{i}.mlp.weights_in", TensorLayout::part(Part::Half(1))),
    ("encoder.{i}.mlp.down", "encoder.layer.{i}.mlp.weights_out", TensorLayout::PLAIN),
];

pub(super) const BEIT: &[Name] = &[
    ("encoder.{i}.attention.scale", "encoder.layer.{i}.lambda_1", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.scale", "encoder.layer.{i}.lambda_2", TensorLayout::PLAIN),
    (
        "encoder.{i}.attention.grid_bias",
        "encoder.layer.{i}.attention.attention.relative_position_bias.relative_position_bias_table",
        TensorLayout::PLAIN,
    ),
    ("encoder.relative", "encoder.relative_position_bias.relative_position_bias_table", TensorLayout::PLAIN),
];

/// Names of the projections as transformers 5 has them in memory, which some programs write.
pub(super) const VIT_5: &[Name] = &[
    ("encoder.{i}.attention.query", "layers.{i}.attention.q_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.key", "layers.{i}.attention.k_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.value", "layers.{i}.attention.v_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.output", "layers.{i}.attention.o_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.norm", "layers.{i}.layernorm_before", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.norm", "layers.{i}.layernorm_after", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.up", "layers.{i}.mlp.fc1", TensorLayout::PLAIN),
    ("encoder.{i}.mlp.down", "layers.{i}.mlp.fc2", TensorLayout::PLAIN),
];

/// The same for DINOv2.
pub(super) const DINO_5: &[Name] = &[
    ("encoder.{i}.attention.query", "encoder.layer.{i}.attention.q_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.key", "encoder.layer.{i}.attention.k_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.value", "encoder.layer.{i}.attention.v_proj", TensorLayout::PLAIN),
    ("encoder.{i}.attention.output", "encoder.layer.{i}.attention.o_proj", TensorLayout::PLAIN),
];

/// How one of these families differs from the others.
pub(super) struct VitVariant {
    /// A distillation token after the class token (DeiT, Touvron et al. 2021).
    pub distillation: bool,
    /// DINOv2 (Oquab et al. 2023): learned factors on branches, a feed-forward part sized by a ratio and perhaps
    /// gated, images of any size.
    pub dino: bool,
    /// Tokens without positions behind the class token (Darcet et al. 2024).
    pub registers: bool,
    /// BEiT (Bao et al. 2022): a bias by offsets between patches, positions perhaps, keys without bias.
    pub beit: bool,
}

pub(super) const VIT: VitVariant = VitVariant { distillation: false, dino: false, registers: false, beit: false };

/// The network of a configuration.
pub(super) fn encoder(reading: &ConfigReader<'_>, variant: &VitVariant) -> Result<NetworkSpec> {
    let config = reading.config;
    let width = reading.width()?;
    let heads = reading.heads()?;
    let eps = config.number_or("layer_norm_eps", if variant.dino { 1e-6 } else { 1e-12 })?;
    let norm = NormSpec { kind: NormKind::Layer, eps };
    let input = PatchInputSpec {
        channels: config.size_or("num_channels", 3)?,
        image: reading.pixels("image_size", 224)?,
        patch: reading.pixels("patch_size", if variant.dino && !variant.registers { 14 } else { 16 })?,
        bias: true,
        class: true,
        distillation: variant.distillation,
        positions: !variant.beit || config.flag_or("use_absolute_position_embeddings", false)?,
        registers: if variant.registers { config.size_or("num_register_tokens", 4)? } else { 0 },
        norm: None,
        resampling: match (variant.dino, variant.registers) {
            // Its biases by offsets are of one grid.
            (false, _) if variant.beit => None,
            (_, false) => Some(Resampling::Bicubic),
            (_, true) => Some(Resampling::BicubicAntialiased),
        },
        any_size: variant.dino,
    };
    let qkv = variant.beit || config.flag_or("qkv_bias", true)?;
    let attention = AttentionSpec {
        projection_bias: ProjectionBias { key: qkv && !variant.beit, ..ProjectionBias::qkv(qkv, true) },
        bias: if variant.beit { grid_bias(reading, &input)? } else { ScoreBias::None },
        ..AttentionSpec::new(heads, heads, reading.head_dim(width / heads)?)
    };
    let scales = variant.dino || variant.beit && config.number_or("layer_scale_init_value", 0.1)? > 0.0;
    let mlp = feed_forward(reading, variant, width)?;
    let layers = (0..reading.layers()?)
        .map(|i| LayerSpec {
            channel_scale: scales,
            ..LayerSpec::new(i, attention.clone(), mlp.clone(), norm, Wiring::Pre)
        })
        .collect();
    // Where BEiT pools patches, the norm stands behind that.
    let pools = variant.beit && config.flag_or("use_mean_pooling", true)?;
    let final_norm = (!pools).then_some(norm);
    let stack = StackSpec { width, input: InputSpec::Patches(input), layers, final_norm, project_out: None };
    Ok(NetworkSpec::encoder(stack, None))
}

/// The bias by offsets between patches, of each layer or of all.
fn grid_bias(reading: &ConfigReader<'_>, input: &PatchInputSpec) -> Result<ScoreBias> {
    /// No published grid has as many patches along a side.
    const MOST: usize = 64;
    let config = reading.config;
    let own = config.flag_or("use_relative_position_bias", false)?;
    let shared = config.flag_or("use_shared_relative_position_bias", false)?;
    let (rows, columns) = input.grid(input.image);
    match (own, shared) {
        (false, false) => Ok(ScoreBias::None),
        (true, true) => {
            let what = "'use_relative_position_bias' and 'use_shared_relative_position_bias' are both true";
            Err(config.unsupported(format!("{what}, which is not supported")))
        }
        _ if !(1..=MOST).contains(&rows) || !(1..=MOST).contains(&columns) => {
            Err(config.wrong("image_size", &format!("1 to {MOST} patches along a side")))
        }
        _ => Ok(ScoreBias::Grid { rows, columns, shared }),
    }
}

fn feed_forward(reading: &ConfigReader<'_>, variant: &VitVariant, width: usize) -> Result<MlpSpec> {
    let config = reading.config;
    let plain = activation(config, "hidden_act", "gelu")?;
    if !variant.dino {
        return Ok(MlpSpec { width: reading.inner(width)?, activation: plain, gated: false, bias: true });
    }
    let ratio = config.number_or("mlp_ratio", 4.0)?;
    if !(0.0..=1024.0).contains(&ratio) {
        return Err(config.wrong("mlp_ratio", "a small number"));
    }
    let inner = (width as f64 * ratio) as usize;
    Ok(if config.flag_or("use_swiglu_ffn", false)? {
        // The gate costs a third matrix: two thirds of the width, to the next multiple of 8.
        let inner = ((inner as f64 * 2.0 / 3.0) as usize).next_multiple_of(8);
        MlpSpec { width: inner, activation: Activation::Silu, gated: true, bias: true }
    } else {
        MlpSpec { width: inner, activation: plain, gated: false, bias: true }
    })
}
