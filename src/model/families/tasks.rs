//! Heads of labeled tasks, as the classes of transformers build them: what each reads, how it is stored.

use super::modernbert;
use crate::error::Result;
use crate::model::activation::activation;
use crate::model::family::Name;
use crate::model::{ConfigReader, TaskClass, TensorLayout};
use crate::network::{Activation, LabelNames, NormSpec, Pooling, ProblemType, TaskHeadSpec, TaskKind, TransformSpec};

/// BERT: pooler and classifier.
pub(super) const BERT: &[TaskClass] = &[
    TaskClass { class: SEQUENCE, names: BERT_POOLED, head: |r, width| pooled(r, width, Activation::Tanh) },
    TaskClass { class: CHOICE, names: BERT_POOLED, head: |r, width| choice(r, width, Activation::Tanh) },
    TOKENS,
    ANSWERS,
];

const BERT_POOLED: &[Name] =
    &[("task.dense", "bert.pooler.dense", TensorLayout::PLAIN), ("task.output", "classifier", TensorLayout::PLAIN)];

/// ALBERT: the same under other names.
pub(super) const ALBERT: &[TaskClass] = &[
    TaskClass { class: SEQUENCE, names: ALBERT_POOLED, head: |r, width| pooled(r, width, Activation::Tanh) },
    TaskClass { class: CHOICE, names: ALBERT_POOLED, head: |r, width| choice(r, width, Activation::Tanh) },
    TOKENS,
    ANSWERS,
];

const ALBERT_POOLED: &[Name] =
    &[("task.dense", "albert.pooler", TensorLayout::PLAIN), ("task.output", "classifier", TensorLayout::PLAIN)];

/// RoBERTa and its kin: a head of two layers without the pooler, which a multiple choice has all the same.
pub(super) const ROBERTA: &[TaskClass] = &[
    TaskClass { class: SEQUENCE, names: TWO_LAYERS, head: |r, width| pooled(r, width, Activation::Tanh) },
    TaskClass { class: CHOICE, names: ROBERTA_POOLED, head: |r, width| choice(r, width, Activation::Tanh) },
    TOKENS,
    ANSWERS,
];

const TWO_LAYERS: &[Name] = &[
    ("task.dense", "classifier.dense", TensorLayout::PLAIN),
    ("task.output", "classifier.out_proj", TensorLayout::PLAIN),
];

const ROBERTA_POOLED: &[Name] = &[
    ("task.dense", "roberta.pooler.dense", TensorLayout::PLAIN),
    ("task.dense", "data2vec_text.pooler.dense", TensorLayout::PLAIN),
    ("task.dense", "mpnet.pooler.dense", TensorLayout::PLAIN),
    ("task.output", "classifier", TensorLayout::PLAIN),
];

/// ELECTRA: a head of two layers with GELU between them, whatever the layers have.
pub(super) const ELECTRA: &[TaskClass] = &[
    TaskClass { class: SEQUENCE, names: TWO_LAYERS, head: |r, width| pooled(r, width, Activation::Gelu) },
    TaskClass {
        class: CHOICE,
        names: &[
            ("task.dense", "sequence_summary.summary", TensorLayout::PLAIN),
            ("task.output", "classifier", TensorLayout::PLAIN),
        ],
        head: |r, width| choice(r, width, Activation::Gelu),
    },
    TOKENS,
    ANSWERS,
];

/// DeBERTa: BERT's, with an activation that the configuration names.
pub(super) const DEBERTA: &[TaskClass] = &[
    TaskClass {
        class: SEQUENCE,
        names: CONTEXT_POOLED,
        head: |r, width| pooled(r, width, activation(r.config, "pooler_hidden_act", "gelu")?),
    },
    TaskClass {
        class: CHOICE,
        names: CONTEXT_POOLED,
        head: |r, width| choice(r, width, activation(r.config, "pooler_hidden_act", "gelu")?),
    },
    TOKENS,
    ANSWERS,
];

const CONTEXT_POOLED: &[Name] =
    &[("task.dense", "pooler.dense", TensorLayout::PLAIN), ("task.output", "classifier", TensorLayout::PLAIN)];

/// DistilBERT: a dense layer with ReLU before the classifier.
pub(super) const DISTILBERT: &[TaskClass] = &[
    TaskClass { class: SEQUENCE, names: PRE_CLASSIFIER, head: |r, width| pooled(r, width, Activation::Relu) },
    TaskClass { class: CHOICE, names: PRE_CLASSIFIER, head: |r, width| choice(r, width, Activation::Relu) },
    TOKENS,
    ANSWERS,
];

const PRE_CLASSIFIER: &[Name] =
    &[("task.dense", "pre_classifier", TensorLayout::PLAIN), ("task.output", "classifier", TensorLayout::PLAIN)];

/// ModernBERT: the transform of its language-model head in every class; sequences are pooled first.
pub(super) const MODERNBERT: &[TaskClass] = &[
    TaskClass {
        class: SEQUENCE,
        names: MODERNBERT_HEAD,
        head: |r, width| {
            let (pooling, dense) = (Some(modernbert::pooling(r)?), Some(modernbert::transform(r, width)?));
            Ok(TaskHeadSpec { pooling, dense, ..plain(r, TaskKind::SequenceClassification)? })
        },
    },
    TaskClass {
        class: CHOICE,
        names: MODERNBERT_HEAD,
        head: |r, width| {
            let (pooling, dense) = (Some(modernbert::pooling(r)?), Some(modernbert::transform(r, width)?));
            Ok(TaskHeadSpec { pooling, dense, ..plain(r, TaskKind::MultipleChoice)? })
        },
    },
    TaskClass {
        class: TOKENS.class,
        names: MODERNBERT_HEAD,
        head: |r, width| {
            let dense = Some(modernbert::transform(r, width)?);
            Ok(TaskHeadSpec { dense, ..plain(r, TaskKind::TokenClassification)? })
        },
    },
    TaskClass {
        class: ANSWERS.class,
        names: MODERNBERT_HEAD,
        head: |r, width| {
            let dense = Some(modernbert::transform(r, width)?);
            Ok(TaskHeadSpec { dense, ..plain(r, TaskKind::QuestionAnswering)? })
        },
    },
];

const MODERNBERT_HEAD: &[Name] = &[
    ("task.dense", "head.dense", TensorLayout::PLAIN),
    ("task.norm", "head.norm", TensorLayout::PLAIN),
    ("task.output", "classifier", TensorLayout::PLAIN),
];

/// Decoders: one layer without a bias on the last token of a sequence.
pub(super) const DECODER: &[TaskClass] = &[
    TaskClass {
        class: SEQUENCE,
        names: SCORE,
        head: |r, _| {
            let pooling = Some(Pooling::Last { padding: r.config.token_opt("pad_token_id") });
            Ok(TaskHeadSpec { pooling, bias: false, ..plain(r, TaskKind::SequenceClassification)? })
        },
    },
    TaskClass { class: TOKENS.class, names: SCORE, head: TOKENS.head },
    ANSWERS,
];

/// A name by class; the first that is there counts.
const SCORE: &[Name] =
    &[("task.output", "score", TensorLayout::PLAIN), ("task.output", "classifier", TensorLayout::PLAIN)];

/// BART, mBART, T5: a head of two layers on what the decoder makes of the end of the text, which it reads moved by one.
pub(super) const ENCODER_DECODER: &[TaskClass] = &[
    TaskClass {
        class: SEQUENCE,
        names: &[
            ("task.dense", "classification_head.dense", TensorLayout::PLAIN),
            ("task.output", "classification_head.out_proj", TensorLayout::PLAIN),
        ],
        head: |r, width| {
            let end = r.config.token_opt("eos_token_id");
            let end =
                end.ok_or_else(|| r.config.unsupported("'eos_token_id' is missing: texts are judged by their end"))?;
            let pooling = Some(Pooling::LastEnd { end });
            Ok(TaskHeadSpec { pooling, ..pooled(r, width, Activation::Tanh)? })
        },
    },
    ANSWERS,
];

/// ViT: the class token.
pub(super) const VIT: &[TaskClass] = &[TaskClass {
    class: IMAGE,
    names: CLASSIFIER,
    head: |r, _| Ok(TaskHeadSpec { pooling: Some(Pooling::First), ..plain(r, TaskKind::ImageClassification)? }),
}];

/// DeiT: the same, or the mean with what a teacher taught the distillation token.
pub(super) const DEIT: &[TaskClass] = &[
    VIT[0],
    TaskClass {
        class: "ForImageClassificationWithTeacher",
        names: &[
            ("task.output", "cls_classifier", TensorLayout::PLAIN),
            ("task.distillation", "distillation_classifier", TensorLayout::PLAIN),
        ],
        head: |r, _| {
            let pooling = Some(Pooling::First);
            Ok(TaskHeadSpec { pooling, distillation: true, ..plain(r, TaskKind::ImageClassification)? })
        },
    },
];

/// DINOv2: the class token beside the mean of the patches.
pub(super) const DINO: &[TaskClass] =
    &[TaskClass { class: IMAGE, names: CLASSIFIER, head: |r, _| class_and_patches(r, 1) }];

/// The same with registers between them, which are no patches.
pub(super) const DINO_REGISTERS: &[TaskClass] = &[TaskClass {
    class: IMAGE,
    names: CLASSIFIER,
    head: |r, _| class_and_patches(r, 1 + r.config.size_or("num_register_tokens", 4)?),
}];

/// wav2vec 2.0 and HuBERT: a projector at every frame, whose mean the classifier reads, as it would that of the projected mean.
pub(super) const SPEECH: &[TaskClass] = &[TaskClass {
    class: SEQUENCE,
    names: &[("task.dense", "projector", TensorLayout::PLAIN), ("task.output", "classifier", TensorLayout::PLAIN)],
    head: |r, _| {
        r.refuse("use_weighted_layer_sum")?;
        let dense = Some(dense(r.config.size_or("classifier_proj_size", 256)?, Activation::Linear, None));
        Ok(TaskHeadSpec { pooling: Some(Pooling::Mean), dense, ..plain(r, TaskKind::SequenceClassification)? })
    },
}];

fn class_and_patches(reading: &ConfigReader<'_>, leading: usize) -> Result<TaskHeadSpec> {
    let pooling = Some(Pooling::FirstAndMean { leading });
    Ok(TaskHeadSpec { pooling, ..plain(reading, TaskKind::ImageClassification)? })
}

const SEQUENCE: &str = "ForSequenceClassification";
const CHOICE: &str = "ForMultipleChoice";
const IMAGE: &str = "ForImageClassification";

const CLASSIFIER: &[Name] = &[("task.output", "classifier", TensorLayout::PLAIN)];

/// A class for every token.
const TOKENS: TaskClass = TaskClass {
    class: "ForTokenClassification",
    names: CLASSIFIER,
    head: |r, _| plain(r, TaskKind::TokenClassification),
};

/// The first and the last token of an answer.
const ANSWERS: TaskClass = TaskClass {
    class: "ForQuestionAnswering",
    names: &[("task.output", "qa_outputs", TensorLayout::PLAIN)],
    head: |r, _| plain(r, TaskKind::QuestionAnswering),
};

/// One layer with a bias on every position.
fn plain(reading: &ConfigReader<'_>, kind: TaskKind) -> Result<TaskHeadSpec> {
    let count = reading.labels()?;
    let outputs = match kind {
        TaskKind::QuestionAnswering => 2,
        TaskKind::MultipleChoice => 1,
        _ => count,
    };
    let problem = match (kind, reading.config.text_opt("problem_type")?) {
        (TaskKind::SequenceClassification | TaskKind::ImageClassification, named) => match named {
            Some("regression") => ProblemType::Regression,
            Some("multi_label_classification") => ProblemType::MultiLabel,
            Some("single_label_classification") => ProblemType::SingleLabel,
            None if outputs == 1 => ProblemType::Regression,
            None => ProblemType::SingleLabel,
            Some(_) => {
                let wanted = "regression, single_label_classification or multi_label_classification";
                return Err(reading.config.wrong("problem_type", wanted));
            }
        },
        _ => ProblemType::SingleLabel,
    };
    let labels = LabelNames::of(reading.config, outputs);
    Ok(TaskHeadSpec { kind, problem, outputs, labels, pooling: None, dense: None, bias: true, distillation: false })
}

/// The first token through a dense layer and an activation.
fn pooled(reading: &ConfigReader<'_>, width: usize, activation: Activation) -> Result<TaskHeadSpec> {
    let dense = Some(dense(width, activation, None));
    Ok(TaskHeadSpec { pooling: Some(Pooling::First), dense, ..plain(reading, TaskKind::SequenceClassification)? })
}

/// The same, with one number for each ending.
fn choice(reading: &ConfigReader<'_>, width: usize, activation: Activation) -> Result<TaskHeadSpec> {
    let dense = Some(dense(width, activation, None));
    Ok(TaskHeadSpec { pooling: Some(Pooling::First), dense, ..plain(reading, TaskKind::MultipleChoice)? })
}

fn dense(width: usize, activation: Activation, norm: Option<NormSpec>) -> TransformSpec {
    TransformSpec { width, activation, norm, bias: true }
}
