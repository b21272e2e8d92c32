//! Encoders of text.

use super::{bert, clip, deberta, esm, modernbert, tasks};
use crate::model::rope::Rope;
use crate::model::{Family, RaggedNeed, StockHeads};
use crate::network::Activation;

pub(super) static ROWS: &[Family] = &[
    Family {
        model_type: "bert",
        title: "BERT",
        prefixes: &["bert."],
        tasks: tasks::BERT,
        stock: StockHeads::NEVER,
        reads_pruned_heads: true,
        ragged: Some(&[]),
        mlx: None,
        names: |config| match bert::is_untied(config) {
            true => &[bert::INPUT, bert::LAYERS, bert::BERT_UNTIED, bert::BERT_HEAD],
            false => &[bert::INPUT, bert::LAYERS, bert::BERT_HEAD],
        },
        spec: |r| bert::encoder(r, &bert::BERT),
    },
    Family {
        model_type: "roberta",
        title: "RoBERTa",
        prefixes: &["roberta."],
        tasks: tasks::ROBERTA,
        stock: StockHeads::NEVER,
        reads_pruned_heads: true,
        ragged: Some(&[]),
        mlx: None,
        names: |config| match bert::is_untied(config) {
            true => &[bert::INPUT, bert::LAYERS, bert::ROBERTA_UNTIED, bert::ROBERTA_HEAD],
            false => &[bert::INPUT, bert::LAYERS, bert::ROBERTA_HEAD],
        },
        spec: |r| bert::encoder(r, &bert::ROBERTA),
    },
    Family {
        model_type: "xlm-roberta",
        title: "XLM-RoBERTa",
        prefixes: &["roberta."],
        tasks: tasks::ROBERTA,
        stock: StockHeads::NEVER,
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: None,
        names: |config| match bert::is_untied(config) {
            true => &[bert::INPUT, bert::LAYERS, bert::ROBERTA_UNTIED, bert::ROBERTA_HEAD],
            false => &[bert::INPUT, bert::LAYERS, bert::ROBERTA_HEAD],
        },
        spec: |r| bert::encoder(r, &bert::ROBERTA),
    },
    Family {
        model_type: "camembert",
        title: "CamemBERT",
        prefixes: &["roberta."],
        tasks: tasks::ROBERTA,
        stock: StockHeads::NEVER,
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: None,
        names: |config| match bert::is_untied(config) {
            true => &[bert::INPUT, bert::LAYERS, bert::ROBERTA_UNTIED, bert::ROBERTA_HEAD],
            false => &[bert::INPUT, bert::LAYERS, bert::ROBERTA_HEAD],
        },
        spec: |r| bert::encoder(r, &bert::ROBERTA),
    },
    Family {
        model_type: "data2vec-text",
        title: "data2vec text",
        prefixes: &["data2vec_text."],
        tasks: tasks::ROBERTA,
        stock: StockHeads::NEVER,
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: None,
        names: |config| match bert::is_untied(config) {
            true => &[bert::INPUT, bert::LAYERS, bert::ROBERTA_UNTIED, bert::ROBERTA_HEAD],
            false => &[bert::INPUT, bert::LAYERS, bert::ROBERTA_HEAD],
        },
        spec: |r| bert::encoder(r, &bert::ROBERTA),
    },
    Family {
        model_type: "mpnet",
        title: "MPNet",
        prefixes: &["mpnet."],
        tasks: tasks::ROBERTA,
        stock: StockHeads::NEVER,
        reads_pruned_heads: false,
        // Every layer adds the bias of all heads that its stack hands it.
        ragged: None,
        mlx: None,
        names: |config| match bert::is_untied(config) {
            true => &[bert::INPUT, bert::MPNET, bert::ROBERTA_UNTIED, bert::ROBERTA_HEAD],
            false => &[bert::INPUT, bert::MPNET, bert::ROBERTA_HEAD],
        },
        spec: |r| {
            let relative = Some(("relative_attention_num_buckets", 32));
            bert::encoder(r, &bert::BertVariant { types: 0, relative, ..bert::ROBERTA })
        },
    },
    Family {
        model_type: "distilbert",
        title: "DistilBERT",
        prefixes: &["distilbert."],
        tasks: tasks::DISTILBERT,
        stock: StockHeads::Never { width: "dim / n_heads" },
        reads_pruned_heads: true,
        ragged: Some(&[RaggedNeed::Width]),
        mlx: None,
        names: |_| &[bert::INPUT, bert::DISTILBERT],
        spec: |r| {
            let variant = bert::BertVariant {
                head: "vocab_transform.weight",
                activation: ("activation", "gelu"),
                types: 0,
                ..bert::BERT
            };
            bert::encoder(r, &variant)
        },
    },
    Family {
        model_type: "electra",
        title: "ELECTRA",
        prefixes: &["electra."],
        tasks: tasks::ELECTRA,
        stock: StockHeads::NEVER,
        reads_pruned_heads: true,
        ragged: Some(&[]),
        mlx: None,
        names: |_| &[bert::INPUT, bert::LAYERS, bert::ELECTRA],
        spec: |r| {
            let variant = bert::BertVariant {
                head: "generator_predictions.dense.weight",
                head_activation: Some(Activation::Gelu),
                embedding: Some(128),
                ..bert::BERT
            };
            bert::encoder(r, &variant)
        },
    },
    Family {
        model_type: "albert",
        title: "ALBERT",
        prefixes: &["albert."],
        tasks: tasks::ALBERT,
        stock: StockHeads::NEVER,
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: None,
        names: |config| match bert::is_untied(config) {
            true => &[bert::INPUT, bert::ALBERT_UNTIED, bert::ALBERT],
            false => &[bert::INPUT, bert::ALBERT],
        },
        spec: |r| {
            let variant = bert::BertVariant {
                head: "predictions.dense.weight",
                embedding: Some(128),
                shared: true,
                activation: ("hidden_act", "gelu_new"),
                ..bert::BERT
            };
            bert::encoder(r, &variant)
        },
    },
    Family {
        model_type: "modernbert",
        title: "ModernBERT",
        prefixes: &["model."],
        tasks: tasks::MODERNBERT,
        stock: StockHeads::NEVER,
        reads_pruned_heads: false,
        ragged: Some(&[]),
        mlx: None,
        names: |_| &[modernbert::NAMES],
        spec: modernbert::encoder,
    },
    Family {
        model_type: "nomic_bert",
        title: "Nomic BERT",
        prefixes: &["nomic_bert."],
        tasks: &[],
        stock: StockHeads::NEVER,
        reads_pruned_heads: false,
        ragged: None,
        mlx: None,
        names: |_| &[bert::NOMIC],
        spec: |r| {
            let rope = Some(Rope { theta: 1000.0, ..Rope::PLAIN });
            bert::encoder(r, &bert::BertVariant { rope, gated: true, activation: ("hidden_act", "silu"), ..bert::BERT })
        },
    },
    Family {
        model_type: "deberta-v2",
        title: "DeBERTa v2 and v3",
        prefixes: &["deberta."],
        tasks: tasks::DEBERTA,
        stock: StockHeads::NEVER,
        reads_pruned_heads: false,
        ragged: None,
        mlx: None,
        names: |_| &[deberta::NAMES, bert::INPUT, bert::LAYERS, bert::BERT_HEAD, deberta::OWN_HEAD],
        spec: deberta::encoder,
    },
    Family {
        model_type: "esm",
        title: "ESM",
        prefixes: &["esm."],
        tasks: tasks::ROBERTA,
        stock: StockHeads::NEVER,
        reads_pruned_heads: false,
        ragged: None,
        mlx: None,
        names: |_| &[esm::NAMES, bert::INPUT, bert::LAYERS, bert::ROBERTA_HEAD],
        spec: esm::encoder,
    },
    Family {
        model_type: "clip_text_model",
        title: "CLIP text",
        prefixes: &[""],
        tasks: &[],
        stock: StockHeads::NEVER,
        reads_pruned_heads: false,
        ragged: None,
        mlx: None,
        names: |_| &[clip::TEXT],
        spec: clip::text,
    },
];
