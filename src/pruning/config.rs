//! `config.json` of an exported checkpoint.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Format;
use crate::error::{Error, Result};
use crate::model::{KEPT_KEY, Model};
use crate::network::Site;

/// Families for which transformers 4.x reads `pruned_heads` when it opens a checkpoint (tested with 4.57.6).
const READS_PRUNED_HEADS: &[&str] = &["bert", "roberta", "distilbert", "electra", "gpt2", "vit", "deit", "dinov2"];

/// The configuration under which the written weights, which have the original heads `kept`, open.
pub(super) fn configure(
    model: &Model,
    kept: &BTreeMap<Site, Vec<usize>>,
    format: Format,
) -> Result<Map<String, Value>> {
    let source = model.config();
    let mut config = source.value().as_object().cloned().ok_or_else(|| Error::new("the configuration is no object"))?;
    match format {
        // Shapes stay, and with them whatever the source says of earlier pruning.
        Format::Masked => {}
        Format::Compact => {
            config.insert(KEPT_KEY.to_owned(), json!({"version": 1, "kept": kept}));
            // A list of an earlier pruning would be incomplete now.
            config.remove("pruned_heads");
            if READS_PRUNED_HEADS.contains(&model.family().model_type) {
                config.insert("pruned_heads".to_owned(), pruned_heads(model, kept));
            }
        }
    }
    Ok(config)
}

/// `{"layer": [removed heads]}`, as transformers 4.x writes it.
fn pruned_heads(model: &Model, kept: &BTreeMap<Site, Vec<usize>>) -> Value {
    let mut pruned = Map::new();
    for (site, heads) in kept {
        let all = model.spec().attention(*site).map_or(0, |a| a.origin_heads);
        let removed: Vec<usize> = (0..all).filter(|h| !heads.contains(h)).collect();
        pruned.insert(site.layer.to_string(), Value::from(removed));
    }
    Value::Object(pruned)
}
