//! Encoder-decoders.

use serde_json::Value;

use super::{bart, t5, tasks};
use crate::model::{DecoderStart, Family, RaggedNeed, StockHeads, UniformHeads};

/// What the decoder of each reads first where its configuration names nothing, as its class in transformers has it.
static STARTS: [(&str, DecoderStart); 7] = [
    ("bart", DecoderStart::Id(2)),
    ("mbart", DecoderStart::LastLabel),
    ("pegasus", DecoderStart::Id(0)),
    ("blenderbot", DecoderStart::Id(1)),
    ("marian", DecoderStart::Id(58100)),
    ("m2m_100", DecoderStart::Id(2)),
    ("whisper", DecoderStart::Id(50257)),
];

impl Family {
    /// What the decoder of an encoder-decoder of this family reads first where the configuration does not say.
    pub fn decoder_start(&self) -> Option<DecoderStart> {
        STARTS.iter().find(|(name, _)| *name == self.model_type).map(|(_, start)| *start)
    }
}

pub(super) static ROWS: &[Family] = &[
    Family {
        model_type: "bart",
        title: "BART",
        prefixes: &["model."],
        tasks: tasks::ENCODER_DECODER,
        stock: StockHeads::Never { width: "d_model / encoder_attention_heads and decoder_attention_heads" },
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: None,
        names: |_| &[bart::NAMES, bart::SHARED_TABLE, bart::TABLES],
        spec: |r| bart::encoder_decoder(r, &bart::BART),
    },
    Family {
        model_type: "mbart",
        title: "mBART",
        prefixes: &["model."],
        tasks: tasks::ENCODER_DECODER,
        stock: StockHeads::Never { width: "d_model / encoder_attention_heads and decoder_attention_heads" },
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: None,
        names: |_| &[bart::NAMES, bart::SHARED_TABLE, bart::TABLES],
        spec: |r| bart::encoder_decoder(r, &bart::BartVariant { pre_norm: true, ..bart::BART }),
    },
    Family {
        model_type: "pegasus",
        title: "Pegasus",
        prefixes: &["model."],
        tasks: &[],
        stock: StockHeads::Never { width: "d_model / encoder_attention_heads and decoder_attention_heads" },
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: None,
        names: |_| &[bart::NAMES, bart::SHARED_TABLE, bart::TABLES],
        spec: |r| bart::encoder_decoder(r, &bart::UNSHIFTED),
    },
    Family {
        model_type: "blenderbot",
        title: "Blenderbot",
        prefixes: &["model."],
        tasks: &[],
        stock: StockHeads::Never { width: "d_model / encoder_attention_heads and decoder_attention_heads" },
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: None,
        names: |_| &[bart::NAMES, bart::SHARED_TABLE, bart::TABLES],
        spec: |r| bart::encoder_decoder(r, &bart::UNSHIFTED),
    },
    Family {
        model_type: "marian",
        title: "Marian",
        prefixes: &["model."],
        tasks: &[],
        stock: StockHeads::Never { width: "d_model / encoder_attention_heads and decoder_attention_heads" },
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: None,
        names: |config| match config.get("share_encoder_decoder_embeddings") {
            Some(Value::Bool(false)) => &[bart::NAMES, bart::TABLES],
            _ => &[bart::NAMES, bart::SHARED_TABLE, bart::TABLES],
        },
        spec: |r| {
            let variant =
                bart::BartVariant { embedding_norm: false, positions: bart::Positions::Sinusoidal, ..bart::BART };
            bart::encoder_decoder(r, &variant)
        },
    },
    Family {
        model_type: "m2m_100",
        title: "M2M100",
        prefixes: &["model."],
        tasks: &[],
        stock: StockHeads::Never { width: "d_model / encoder_attention_heads and decoder_attention_heads" },
        reads_pruned_heads: false,
        ragged: None,
        mlx: None,
        names: |_| &[bart::NAMES, bart::SHARED_TABLE, bart::TABLES],
        spec: |r| {
            let positions = bart::Positions::SinusoidalUnpadded(1);
            let variant = bart::BartVariant {
                positions,
                activation: "relu",
                scaled: true,
                logits_bias: false,
                ..bart::UNSHIFTED
            };
            bart::encoder_decoder(r, &variant)
        },
    },
    Family {
        model_type: "whisper",
        title: "Whisper",
        prefixes: &["model."],
        tasks: &[],
        stock: StockHeads::Never { width: "d_model / encoder_attention_heads and decoder_attention_heads" },
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: None,
        names: |_| &[bart::NAMES, bart::WHISPER, bart::TABLES],
        spec: |r| {
            let variant = bart::BartVariant {
                pre_norm: true,
                embedding_norm: false,
                positions: bart::Positions::Learned(0),
                key_bias: false,
                logits_bias: false,
                frames: true,
                ..bart::BART
            };
            bart::encoder_decoder(r, &variant)
        },
    },
    Family {
        model_type: "t5",
        title: "T5",
        prefixes: &["", "transformer."],
        tasks: tasks::ENCODER_DECODER,
        // One number for encoder, decoder and cross attention; the table of relative positions has a column for each.
        stock: StockHeads::Uniform(UniformHeads {
            heads: "num_heads",
            kv_heads: None,
            width: "d_kv",
            ..UniformHeads::GROUPED
        }),
        reads_pruned_heads: false,
        ragged: Some(&[RaggedNeed::RelativeBias]),
        mlx: None,
        names: |config| {
            if t5::is_gated(config) { &[t5::NAMES, t5::GATED] } else { &[t5::NAMES, t5::PLAIN] }
        },
        spec: t5::encoder_decoder,
    },
];
