//! Encoders of speech.

use super::{tasks, wav2vec};
use crate::model::{Family, StockHeads};

pub(super) static ROWS: &[Family] = &[
    Family {
        model_type: "wav2vec2",
        title: "wav2vec 2.0",
        prefixes: &["wav2vec2."],
        stock: StockHeads::NEVER,
        reads_pruned_heads: false,
        ragged: None,
        mlx: None,
        names: |_| &[wav2vec::NAMES, wav2vec::PARAMETRIZED, wav2vec::WEIGHT_NORM],
        tasks: tasks::SPEECH,
        spec: wav2vec::encoder,
    },
    Family {
        model_type: "hubert",
        title: "HuBERT",
        prefixes: &["hubert."],
        stock: StockHeads::NEVER,
        reads_pruned_heads: false,
        ragged: None,
        mlx: None,
        names: |_| &[wav2vec::NAMES, wav2vec::WEIGHT_NORM, wav2vec::PARAMETRIZED],
        tasks: tasks::SPEECH,
        spec: wav2vec::encoder,
    },
];
