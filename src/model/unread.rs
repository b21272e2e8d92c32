//! Stored tensors that look like weights of the network and that it does not read.

use std::collections::HashSet;

use crate::checkpoint::Checkpoint;
use crate::words::counted;

/// Last words of the names of what is learned. Buffers (`position_ids`, `inv_freq`, `masked_bias`) have others.
const LEARNED: [&str; 7] = ["weight", "bias", "gamma", "beta", "weight_g", "weight_v", "weight_scale"];

/// Words in the names of heads of other tasks, of copies that are tied, and of what training alone needs, which a network may
/// leave without a word.
const OTHERS: [&str; 38] = [
    "answer_class",
    "classification_head",
    "classifier",
    "cls",
    "contact_head",
    "decoder_pred",
    "discriminator_predictions",
    "embed_out",
    "embed_positions",
    "embed_tokens",
    "final_logits_bias",
    "generator_lm_head",
    "generator_predictions",
    "label_proj",
    "lm_head",
    "lm_loss",
    "logit_scale",
    "logits_proj",
    "masked_spec_embed",
    "mtp",
    "multiple_choice_head",
    "pooler",
    "pre_classifier",
    "pred_layer",
    "predictions",
    "proj_out",
    "project_hid",
    "project_q",
    "qa_outputs",
    "quantizer",
    "relative_attention_bias",
    "score",
    "sequence_summary",
    "shared",
    "v_head",
    "vocab_layer_norm",
    "vocab_projector",
    "vocab_transform",
];

/// What the network leaves of the weights in the files, in sentences: layers that the configuration does not count, and
/// tensors beside those that it reads.
pub(super) fn notes(checkpoint: &Checkpoint, unused: &[&str]) -> Vec<String> {
    let left: HashSet<&str> = unused.iter().copied().collect();
    let read = || checkpoint.names().iter().map(String::as_str).filter(|name| !left.contains(name));
    let patterns: HashSet<String> = read().map(pattern).collect();
    let layers: HashSet<&str> = read().filter_map(layer).collect();
    let (mut beyond, mut beside) = (Vec::new(), Vec::new());
    // Layers that foretell further tokens stand behind those that are counted.
    let foretells =
        ["num_nextn_predict_layers", "mtp_num_hidden_layers"].iter().any(|key| checkpoint.config().get(key).is_some());
    for name in unused.iter().copied().filter(|name| is_learned(checkpoint, name)) {
        if patterns.contains(&pattern(name)) {
            if !foretells {
                beyond.push(name);
            }
        } else if layer(name).is_some_and(|layer| layers.contains(layer)) {
            beside.push(name);
        }
    }
    let numbers: HashSet<&str> = beyond.iter().copied().filter_map(layer).collect();
    let mut notes = Vec::new();
    if let Some(first) = beyond.first() {
        notes.push(format!(
            "the files hold {} that config.json does not count, which are not read, e.g. '{first}': if the model was trained with \
             them, its results are not these",
            counted(numbers.len().max(1), "layers")
        ));
    }
    if let Some(first) = beside.first() {
        notes.push(format!(
            "{} in layers of the network look like weights and are not read, e.g. '{first}'",
            counted(beside.len(), "tensors")
        ));
    }
    notes
}

/// Whether a tensor that is not read is one of those that should be.
fn is_learned(checkpoint: &Checkpoint, name: &str) -> bool {
    let is_last = |last: &str| LEARNED.contains(&last);
    // Masks of attention are called biases and have four axes.
    let is_mask = name.ends_with("bias") && checkpoint.info(name).is_some_and(|info| info.shape.len() > 2);
    name.rsplit('.').next().is_some_and(is_last) && !is_mask && !name.split('.').any(|word| OTHERS.contains(&word))
}

/// A name with its numbers left out.
fn pattern(name: &str) -> String {
    let words = name.split('.').map(|word| if is_number(word) { "*" } else { word });
    words.collect::<Vec<_>>().join(".")
}

/// The begin of a name up to its first number: the layer that it is of.
fn layer(name: &str) -> Option<&str> {
    let mut end = 0;
    for word in name.split('.') {
        end += word.len() + 1;
        if is_number(word) {
            return name.get(..end);
        }
    }
    None
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::model::Model;

    #[test]
    fn names_are_taken_apart_at_their_numbers() {
        assert_eq!(pattern("model.layers.12.mlp.up_proj.weight"), "model.layers.*.mlp.up_proj.weight");
        assert_eq!(layer("model.layers.12.mlp.weight"), Some("model.layers.12."));
        assert_eq!(layer("lm_head.weight"), None);
    }

    /// What is left by design is no news.
    #[test]
    fn no_fixture_is_suspected() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let folders = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut opened = 0;
        for model in folders.filter_map(|folder| Model::open(folder).ok()) {
            opened += 1;
            let found = notes(model.checkpoint(), &model.unused());
            assert!(found.is_empty(), "{}: {found:?}", model.checkpoint().place().display());
        }
        assert!(opened > 10);
    }
}
