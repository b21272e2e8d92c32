//! BERT (Devlin et al. 2019): post-norm encoder, learned positions, masked-LM head behind a transform.

use crate::error::Result;
use crate::model::activation::activation;
use crate::model::{Family, Layout, Reading};
use crate::network::{
    AttentionSpec, Counting, InputSpec, LayerSpec, MlpSpec, NetworkSpec, NormKind, NormSpec, Objective, OutputSpec,
    PositionSpec, ProjectionBias, StackSpec, TokenInputSpec, TransformSpec, Wiring,
};

pub(super) const FAMILIES: &[Family] =
    &[Family { model_type: "bert", title: "BERT", spec, names: NAMES, prefix: "bert." }];

const NAMES: &[(&str, &str, Layout)] = &[
    ("encoder.embed.tokens", "bert.embeddings.word_embeddings.weight", Layout::PLAIN),
    ("encoder.embed.positions", "bert.embeddings.position_embeddings.weight", Layout::PLAIN),
    ("encoder.embed.types", "bert.embeddings.token_type_embeddings.weight", Layout::PLAIN),
    ("encoder.embed.norm", "bert.embeddings.LayerNorm", Layout::PLAIN),
    ("encoder.{i}.attention.query", "bert.encoder.layer.{i}.attention.self.query", Layout::PLAIN),
    ("encoder.{i}.attention.key", "bert.encoder.layer.{i}.attention.self.key", Layout::PLAIN),
    ("encoder.{i}.attention.value", "bert.encoder.layer.{i}.attention.self.value", Layout::PLAIN),
    ("encoder.{i}.attention.output", "bert.encoder.layer.{i}.attention.output.dense", Layout::PLAIN),
    ("encoder.{i}.attention.norm", "bert.encoder.layer.{i}.attention.output.LayerNorm", Layout::PLAIN),
    ("encoder.{i}.mlp.up", "bert.encoder.layer.{i}.intermediate.dense", Layout::PLAIN),
    ("encoder.{i}.mlp.down", "bert.encoder.layer.{i}.output.dense", Layout::PLAIN),
    ("encoder.{i}.mlp.norm", "bert.encoder.layer.{i}.output.LayerNorm", Layout::PLAIN),
    ("output.transform", "cls.predictions.transform.dense", Layout::PLAIN),
    ("output.norm", "cls.predictions.transform.LayerNorm", Layout::PLAIN),
    ("output.weight", "cls.predictions.decoder.weight", Layout::PLAIN),
    ("output.bias", "cls.predictions.bias", Layout::PLAIN),
];

fn spec(reading: &Reading<'_>) -> Result<NetworkSpec> {
    let config = reading.config;
    if config.flag_or("is_decoder", false)? {
        return Err(config.unsupported("a BERT model used as a decoder is not supported"));
    }
    if config.text_opt("position_embedding_type")?.is_some_and(|kind| kind != "absolute") {
        return Err(config.wrong("position_embedding_type", "absolute"));
    }
    let width = config.size("hidden_size")?;
    let heads = config.size("num_attention_heads")?;
    let rows = config.size("max_position_embeddings")?;
    let vocabulary = config.size("vocab_size")?;
    let activation = activation(config, "hidden_act", "gelu")?;
    let norm = NormSpec { kind: NormKind::Layer, eps: config.number_or("layer_norm_eps", 1e-12)? };
    let attention = AttentionSpec {
        projection_bias: ProjectionBias::all(true),
        ..AttentionSpec::new(heads, heads, width / heads.max(1))
    };
    let mlp = MlpSpec { width: config.size("intermediate_size")?, activation, gated: false, bias: true };
    let layers = (0..config.size("num_hidden_layers")?)
        .map(|i| LayerSpec::new(i, attention.clone(), mlp.clone(), norm, Wiring::Post))
        .collect();
    let input = TokenInputSpec {
        types: config.size_or("type_vocab_size", 2)?,
        positions: PositionSpec::Table { rows, offset: 0, counting: Counting::Every, after_projection: false },
        norm: Some(norm),
        max_length: Some(rows),
        ..TokenInputSpec::new(vocabulary, width)
    };
    let output = (reading.has)("cls.predictions.transform.dense.weight").then_some(()).map(|()| -> Result<_> {
        Ok(OutputSpec {
            transform: Some(TransformSpec { width, activation, norm, bias: true }),
            bias: true,
            ..OutputSpec::new(vocabulary, Objective::Masked, config.flag_or("tie_word_embeddings", true)?)
        })
    });
    let stack = StackSpec { width, input: InputSpec::Tokens(input), layers, final_norm: None, project_out: None };
    Ok(NetworkSpec::encoder(stack, output.transpose()?))
}
