//! The Python with which transformers and mlx-lm open ragged checkpoints: one file each for every family, with its name
//! filled in.

use serde_json::{Map, Value, json};

use crate::model::{KEPT_KEY, Model};
use crate::network::{InputSpec, NetworkSpec, QueryKeyNorm, QueryKeyNormScope};

const TEMPLATE: &str = include_str!("modeling.py");
const MLX_TEMPLATE: &str = include_str!("mlx.py");

/// What file names of this module begin with.
const STEM: &str = "modeling_pillars_";
/// What that of mlx-lm begins with.
const MLX_STEM: &str = "mlx_pillars_";
/// The key under which mlx-lm is told of it.
const MLX_KEY: &str = "model_file";

/// Classes of transformers that open a checkpoint, without their common beginning `Auto`.
const ENCODER: &[&str] = &[
    "Model",
    "ModelForPreTraining",
    "ModelForMaskedLM",
    "ModelForSequenceClassification",
    "ModelForTokenClassification",
    "ModelForQuestionAnswering",
    "ModelForMultipleChoice",
    "ModelForNextSentencePrediction",
    "ModelForTextEncoding",
];
const DECODER: &[&str] = &[
    "Model",
    "ModelForCausalLM",
    "ModelForSequenceClassification",
    "ModelForTokenClassification",
    "ModelForQuestionAnswering",
];
const ENCODER_DECODER: &[&str] = &[
    "Model",
    "ModelForPreTraining",
    "ModelForSeq2SeqLM",
    "ModelForSequenceClassification",
    "ModelForQuestionAnswering",
    "ModelForTextEncoding",
];
const FRAMES: &[&str] = &["Model", "ModelForSpeechSeq2Seq", "ModelForAudioClassification"];
const PIXELS: &[&str] = &["Model", "ModelForImageClassification", "ModelForMaskedImageModeling", "Backbone"];

/// Whether a file of a model's folder is such a module.
pub(super) fn is_module(name: &str) -> bool {
    (name.starts_with(STEM) || name.starts_with(MLX_STEM)) && name.ends_with(".py")
}

/// The module's name, without its ending.
fn stem(model: &Model) -> String {
    format!("{STEM}{}", model.family().model_type.replace('-', "_"))
}

/// What the module's classes begin with: `PillarsXlmRoberta`.
fn prefix(model: &Model) -> String {
    let words = model.family().model_type.split(['-', '_']);
    let capital =
        |word: &str| word.chars().take(1).map(|c| c.to_ascii_uppercase()).chain(word.chars().skip(1)).collect();
    format!("Pillars{}", words.map(capital).collect::<Vec<String>>().concat())
}

/// Names and texts of the modules that a configuration needs; none where no layer is narrower than the original.
pub(super) fn modules(model: &Model, config: &Map<String, Value>) -> Vec<(String, String)> {
    let kept = config.get(KEPT_KEY).and_then(|pillars| pillars.get("kept")?.as_object());
    if kept.is_none_or(Map::is_empty) {
        return Vec::new();
    }
    [module(model), mlx_module(model)].into_iter().flatten().collect()
}

/// Whether mlx-lm opens layers of `model` that have lost heads, by the module written for it.
pub(super) fn has_mlx(model: &Model) -> bool {
    // Norms with weights for each head have stock classes of their own.
    let plain = |norm: QueryKeyNorm| norm.scope == QueryKeyNormScope::Shared;
    let sites = model.spec().sites();
    // It lets no decoder attend both ways.
    model.family().mlx.is_some() && sites.iter().all(|(_, a)| a.causal && a.query_key_norm.is_none_or(plain))
}

fn mlx_module(model: &Model) -> Option<(String, String)> {
    let layers = model.family().mlx.filter(|_| has_mlx(model))?;
    let text = MLX_TEMPLATE.replace("{title}", model.family().title).replace("{module}", layers.module);
    Some((mlx_name(model), text))
}

fn mlx_name(model: &Model) -> String {
    format!("{MLX_STEM}{}.py", model.family().model_type.replace('-', "_"))
}

fn module(model: &Model) -> Option<(String, String)> {
    let needs = model.family().ragged?;
    let needs: String = needs.iter().map(|need| format!("\"{}\", ", need.name())).collect();
    let NetworkSpec { encoder, decoder, .. } = model.spec();
    let only = match (encoder, decoder) {
        (Some(_), Some(_)) => "None",
        (None, Some(_)) => "\"decoder\"",
        _ => "\"encoder\"",
    };
    let family = model.family();
    let text = TEMPLATE
        .replace("{title}", family.title)
        .replace("{model_type}", family.model_type)
        .replace("{prefix}", &prefix(model))
        .replace("{needs}", needs.trim_end())
        .replace("{architecture}", &architecture(model))
        .replace("{only_stack}", only);
    Some((format!("{}.py", stem(model)), text))
}

/// The class that the source names, as far as it can be the name of one: it becomes part of a program.
fn architecture(model: &Model) -> String {
    let is_name = |name: &&str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    model.config().architecture().filter(is_name).unwrap_or_default().to_owned()
}

/// Points a configuration at the modules.
pub(super) fn refer(model: &Model, config: &mut Map<String, Value>) {
    if has_mlx(model) {
        config.insert(MLX_KEY.to_owned(), json!(mlx_name(model)));
    }
    if model.family().ragged.is_none() {
        return;
    }
    let NetworkSpec { encoder, decoder, .. } = model.spec();
    let autos = match (encoder.as_ref().map(|stack| &stack.input), decoder) {
        (Some(InputSpec::Frames(_) | InputSpec::Samples(_)), _) => FRAMES,
        (Some(InputSpec::Patches(_)), _) => PIXELS,
        (Some(InputSpec::Tokens(_)), Some(_)) => ENCODER_DECODER,
        (Some(InputSpec::Tokens(_)), None) => ENCODER,
        (None, _) => DECODER,
    };
    // Code of the source's own for its model would not know of the cut; what reads its inputs still does its work.
    let own = config.get("auto_map").and_then(Value::as_object).cloned().unwrap_or_default();
    let reads = |key: &str| key.contains("Tokenizer") || key.contains("Processor") || key.contains("Extractor");
    let mut map: Map<String, Value> = own.into_iter().filter(|(key, _)| reads(key)).collect();
    let classes = format!("{}.{}", stem(model), prefix(model));
    map.extend(autos.iter().map(|auto| (format!("Auto{auto}"), json!(format!("{classes}{auto}")))));
    config.insert("auto_map".to_owned(), Value::Object(map));
}

/// Takes every reference to such a module out of a configuration.
pub(super) fn forget(config: &mut Map<String, Value>) {
    if config.get(MLX_KEY).and_then(Value::as_str).is_some_and(is_module) {
        config.remove(MLX_KEY);
    }
    let Some(Value::Object(map)) = config.get_mut("auto_map") else { return };
    map.retain(|_, class| !class.as_str().is_some_and(|class| class.starts_with(STEM)));
    if map.is_empty() {
        config.remove("auto_map");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_references_are_forgotten_and_readers_of_input_are_kept() {
        let model = Model::open(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/phi3")).unwrap();
        let own = json!({"auto_map": {"AutoModelForCausalLM": "modeling_phi3.Phi3", "AutoTokenizer": "tok.Tok"}});
        let mut config = own.as_object().cloned().unwrap();
        refer(&model, &mut config);
        let class = &config["auto_map"]["AutoModelForCausalLM"];
        assert_eq!(class, "modeling_pillars_phi3.PillarsPhi3ModelForCausalLM");
        assert_eq!(config["auto_map"]["AutoTokenizer"], "tok.Tok");
        forget(&mut config);
        assert_eq!(config["auto_map"], json!({"AutoTokenizer": "tok.Tok"}));
    }

    #[test]
    fn the_template_has_no_hole_left() {
        let model = Model::open(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/t5")).unwrap();
        let config = json!({"pillars": {"kept": {"cross.0": [0]}}});
        let (name, text) = modules(&model, config.as_object().unwrap()).remove(0);
        assert_eq!(name, "modeling_pillars_t5.py");
        assert!(text.contains("= \"t5\", \"PillarsT5\", None, (\"relative_bias\",)\n"));
        assert!(
            ["{title}", "{model_type}", "{prefix}", "{only_stack}", "{needs}", "{architecture}"]
                .iter()
                .all(|hole| !text.contains(hole))
        );
        assert!(modules(&model, json!({"pillars": {"kept": {}}}).as_object().unwrap()).is_empty());
    }

    #[test]
    fn mlx_lm_is_told_of_a_module_for_families_that_it_has() {
        let fixture = |family| {
            Model::open(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(family)).unwrap()
        };
        let kept = json!({"pillars": {"kept": {"decoder.0": [0]}}});
        let model = fixture("mistral");
        let mut config = kept.as_object().cloned().unwrap();
        refer(&model, &mut config);
        assert_eq!(config["model_file"], "mlx_pillars_mistral.py");
        let (name, text) = modules(&model, &config).remove(1);
        assert!(name == config["model_file"] && is_module(&name));
        assert!(text.contains("\nSTOCK = \"llama\"\n") && !text.contains("{module}") && !text.contains("{title}"));
        forget(&mut config);
        assert!(config.get("model_file").is_none());
        // Another's module stays.
        config.insert("model_file".to_owned(), json!("own.py"));
        forget(&mut config);
        assert_eq!(config["model_file"], "own.py");
        assert_eq!(modules(&fixture("bert"), kept.as_object().unwrap()).len(), 1);
    }
}
