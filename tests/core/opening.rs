//! Checkpoints as other programs leave them: they open as transformers opens them, or the error says what they are.
use std::collections::HashMap;

use crate::common::{batch, fixtures, reference, reopened, tensors_of};
use candle_core::{DType, Device, Tensor};
use pillars::checkpoint::{Stored, TensorPlan, write_safetensors};
use pillars::model::Model;
use pillars::network::FeatureMap;
use pillars::network::{Gates, NoProbe, Probe, Site, SiteMaps};
use pillars::plan::Plan;
use pillars::pruning::{self, ExportFormat, ExportOptions};
use pillars::task::Ticket;
use serde_json::{Value, json};

fn fixture(family: &str) -> Model {
    Model::open(fixtures().join(family)).unwrap()
}

/// The last hidden state of a model on its fixture's input.
fn states(model: &Model, family: &str) -> Vec<f32> {
    let batch = batch(&reference(&fixtures().join(family).join("reference.safetensors")));
    let network = model.network(&Device::Cpu, DType::F32).unwrap();
    let hidden = network.hidden(&batch, &Gates::open(), &mut NoProbe).unwrap().states;
    hidden.flatten_all().unwrap().to_vec1().unwrap()
}

fn logits(model: &Model, family: &str) -> Vec<f32> {
    let batch = batch(&reference(&fixtures().join(family).join("reference.safetensors")));
    let network = model.network(&Device::Cpu, DType::F32).unwrap();
    network.run(&batch).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// A fixture with other keys and other names of tensors, opened; tensors for which `name` gives `None` are left out.
fn renamed(family: &str, keys: Value, name: impl Fn(&str) -> Option<String>) -> (tempfile::TempDir, Model) {
    let model = fixture(family);
    let tensors = tensors_of(&model).into_iter().filter_map(|(n, tensor)| Some((name(&n)?, tensor))).collect();
    reopened(&with_keys(&model, keys), &tensors)
}

fn with_keys(model: &Model, keys: Value) -> Value {
    let mut config = model.config().value().clone();
    for (key, value) in keys.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

/// The error for a fixture with other keys and tensors.
fn error(family: &str, keys: Value, tensors: &HashMap<String, Tensor>) -> String {
    let folder = tempfile::tempdir().unwrap();
    let config = with_keys(&fixture(family), keys).to_string();
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    candle_core::safetensors::save(tensors, folder.path().join("model.safetensors")).unwrap();
    Model::open(folder.path()).unwrap_err().to_string()
}

#[test]
fn tables_that_differ_are_not_tied_and_equal_ones_are() {
    let model = fixture("gpt2");
    let mut tensors = tensors_of(&model);
    let table = tensors["transformer.wte.weight"].clone();
    tensors.insert("lm_head.weight".to_owned(), table.clone());
    let (_folder, copied) = reopened(model.config().value(), &tensors);
    assert!(copied.spec().output.as_ref().unwrap().tied && copied.notes().is_empty());
    tensors.insert("lm_head.weight".to_owned(), (table * 2.0).unwrap());
    let (_folder, trained) = reopened(model.config().value(), &tensors);
    assert!(!trained.spec().output.as_ref().unwrap().tied);
    assert!(trained.notes()[0].contains("lm_head.weight"), "{:?}", trained.notes());
    let twice: Vec<f32> = logits(&model, "gpt2").iter().map(|x| 2.0 * x).collect();
    assert_eq!(logits(&trained, "gpt2"), twice);
}

#[test]
fn one_table_serves_input_and_output_under_either_name() {
    for (family, name) in [("gpt2", "transformer.wte.weight"), ("gemma", "model.embed_tokens.weight")] {
        let (_folder, model) = renamed(family, json!({}), |n| Some(n.replace(name, "lm_head.weight")));
        assert_eq!(logits(&model, family), logits(&fixture(family), family), "{family}");
    }
}

#[test]
fn a_stack_without_its_head_is_a_model() {
    let (_folder, model) =
        renamed("llama", json!({"tie_word_embeddings": false}), |n| (n != "lm_head.weight").then(|| n.to_owned()));
    assert!(model.spec().output.is_none() && model.notes().len() == 1, "{:?}", model.notes());
    assert_eq!(states(&model, "llama"), states(&fixture("llama"), "llama"));
    // T5's encoder without a word on what it is.
    let (_folder, model) = renamed("t5", json!({"architectures": null}), |n| {
        (n.starts_with("encoder.") || n.starts_with("shared.")).then(|| n.to_owned())
    });
    assert!(model.spec().decoder.is_none() && model.spec().encoder.is_some());
}

#[test]
fn what_wrappers_put_before_names_is_left_out_and_said() {
    let (_folder, model) = renamed("llama", json!({}), |n| Some(format!("module._orig_mod.{n}")));
    assert_eq!(logits(&model, "llama"), logits(&fixture("llama"), "llama"));
    assert!(model.notes()[0].contains("'module._orig_mod.'"), "{:?}", model.notes());
}

#[test]
fn vision_models_open_under_the_names_that_they_have_in_memory() {
    let parts = [
        ("attention.attention.query", "attention.q_proj"),
        ("attention.attention.key", "attention.k_proj"),
        ("attention.attention.value", "attention.v_proj"),
        ("attention.output.dense", "attention.o_proj"),
    ];
    let swap = |n: &str, list: &[(&str, &str)]| list.iter().fold(n.to_owned(), |n, (old, new)| n.replace(old, new));
    let (_folder, dino) = renamed("dinov2", json!({}), |n| Some(swap(n, &parts)));
    assert_eq!(states(&dino, "dinov2"), states(&fixture("dinov2"), "dinov2"));
    let more = [("encoder.layer.", "layers."), ("intermediate.dense", "mlp.fc1"), ("output.dense", "mlp.fc2")];
    let (_folder, vit) = renamed("vit", json!({}), |n| Some(swap(&swap(n, &parts), &more)));
    assert_eq!(states(&vit, "vit"), states(&fixture("vit"), "vit"));
}

#[test]
fn t5_opens_from_task_classes() {
    let under = |n: &str| Some(format!("transformer.{n}"));
    let (_folder, model) = renamed("t5", json!({"architectures": ["T5ForSequenceClassification"]}), under);
    assert_eq!(states(&model, "t5"), states(&fixture("t5"), "t5"));
    let (_folder, model) = renamed("t5", json!({"architectures": ["T5ForTokenClassification"]}), |n| {
        (!n.starts_with("decoder.")).then(|| format!("transformer.{n}"))
    });
    assert!(model.spec().decoder.is_none());
}

#[test]
fn errors_say_what_a_checkpoint_is() {
    let model = fixture("llama");
    let whole = tensors_of(&model);
    let timm = json!({"model_type": null, "architecture": "vit_tiny_patch16_224", "pretrained_cfg": {}});
    assert!(error("vit", timm, &whole).contains("timm"));
    // Weights in groups of bits, with their scales beside them and no word in the configuration.
    let name = "model.layers.0.mlp.up_proj.weight";
    let mut packed = whole.clone();
    packed.remove(name);
    packed.insert(name.replace(".weight", ".qweight"), Tensor::zeros((4, 6), DType::U32, &Device::Cpu).unwrap());
    assert!(error("llama", json!({}), &packed).contains("quantized"));
    let mut packed = whole.clone();
    packed.insert(name.to_owned(), Tensor::zeros((48, 4), DType::U32, &Device::Cpu).unwrap());
    assert!(error("llama", json!({"quantization": {"bits": 4}}), &packed).contains("quantized"));
    // The key alone, left over from training, changes nothing.
    let (_folder, merged) = reopened(&with_keys(&model, json!({"quantization_config": {"bits": 4}})), &whole);
    assert_eq!(logits(&merged, "llama"), logits(&model, "llama"));
    assert!(merged.notes()[0].contains("quantization_config"));

    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(fixtures().join("llama/config.json"), folder.path().join("config.json")).unwrap();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
    std::fs::write(folder.path().join("model.safetensors"), pointer).unwrap();
    let text = Model::open(folder.path()).unwrap_err().to_string();
    assert!(text.contains("Git LFS pointer"), "{text}");
}

#[test]
fn quantized_weights_are_named_with_what_to_do() {
    let name = "model.layers.0.mlp.up_proj";
    let whole = tensors_of(&fixture("llama"));
    let integers = Tensor::zeros((4, 6), DType::U32, &Device::Cpu).unwrap();
    let method = |name: &str| json!({"quantization_config": {"quant_method": name, "bits": 4}});
    for (keys, endings, kind, advice) in [
        (method("gptq"), &["qweight", "qzeros", "scales", "g_idx"][..], "by GPTQ", "32 or 16 bits"),
        (json!({}), &["qweight", "qzeros", "scales", "g_idx"], "by GPTQ", "32 or 16 bits"),
        (method("awq"), &["qweight", "qzeros", "scales"], "by AWQ", "32 or 16 bits"),
        (json!({}), &["qweight", "qzeros", "scales"], "by GPTQ or AWQ", "32 or 16 bits"),
        (method("bitsandbytes"), &["weight", "weight.absmax"], "by bitsandbytes", "dequantize()"),
        (json!({"quantization_config": {"load_in_8bit": true}}), &["weight", "SCB"], "by bitsandbytes", "dequantize()"),
        (json!({}), &["weight", "weight.absmax", "weight.quant_map"], "by bitsandbytes", "dequantize()"),
        (method("fp8"), &["weight", "weight_scale_inv"], "by fp8", "FineGrainedFP8Config"),
        (json!({}), &["weight", "weight_scale_inv"], "by fp8", "FineGrainedFP8Config"),
        (method("mxfp4"), &["weight_blocks", "weight_scales"], "by MXFP4", "Mxfp4Config"),
        (
            json!({"quantization": {"bits": 4, "group_size": 64}}),
            &["weight", "scales", "biases"],
            "by MLX",
            "mlx_lm.convert",
        ),
        (json!({}), &["weight", "scales", "biases"], "by MLX", "mlx_lm.convert"),
        (method("compressed-tensors"), &["weight_packed", "weight_scale"], "by compressed-tensors", "run_compressed"),
        (method("hqq"), &["W_q"], "by hqq", "32 or 16 bits"),
    ] {
        let mut packed = whole.clone();
        packed.remove(&format!("{name}.weight"));
        for ending in endings {
            packed.insert(format!("{name}.{ending}"), integers.clone());
        }
        let said = error("llama", keys.clone(), &packed);
        assert!(said.contains(&format!("the weights are quantized {kind}")) && said.contains(advice), "{keys} {said}");
    }
}

#[test]
fn an_adapter_alone_names_its_base_model_and_how_to_merge() {
    let folder = tempfile::tempdir().unwrap();
    let adapter = json!({"peft_type": "LORA", "base_model_name_or_path": "meta-llama/Llama-3.2-1B", "r": 16});
    std::fs::write(folder.path().join("adapter_config.json"), adapter.to_string()).unwrap();
    let said = Model::open(folder.path()).unwrap_err().to_string();
    assert!(said.contains("an adapter (LORA) for 'meta-llama/Llama-3.2-1B', not a whole model"), "{said}");
    assert!(said.contains("merge_and_unload") && said.contains("from_pretrained('meta-llama/Llama-3.2-1B')"), "{said}");
    std::fs::write(folder.path().join("adapter_config.json"), "{").unwrap();
    let said = Model::open(folder.path()).unwrap_err().to_string();
    assert!(said.contains("does not name its base model") && said.contains("merge_and_unload"), "{said}");
}

#[test]
fn tensors_of_other_types_do_no_harm_where_nobody_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let model = fixture("llama");
    std::fs::copy(fixtures().join("llama/config.json"), folder.path().join("config.json")).unwrap();
    let kinds = [Stored::I8, Stored::I16, Stored::U16, Stored::U64, Stored::F8E4M3, Stored::F8E5M2];
    let mut plans: Vec<TensorPlan> = kinds
        .into_iter()
        .map(|stored| TensorPlan { name: format!("router.{}", stored.name()), stored, shape: vec![2, 3] })
        .collect();
    plans.extend(model.checkpoint().names().iter().map(|name| {
        let info = model.checkpoint().info(name).unwrap();
        TensorPlan { name: name.clone(), stored: info.stored, shape: info.shape.clone() }
    }));
    write_safetensors(&folder.path().join("model.safetensors"), &plans, |plan| {
        match plan.name.strip_prefix("router.") {
            Some(_) => Ok(vec![1; plan.bytes()]),
            None => model.checkpoint().read(&plan.name),
        }
    })
    .unwrap();
    let opened = Model::open(folder.path()).unwrap();
    assert_eq!(logits(&opened, "llama"), logits(&model, "llama"));
    assert_eq!(opened.unused().len(), kinds.len());
}

#[test]
fn keys_that_say_nothing_change_nothing() {
    let model = fixture("llama");
    let (_folder, empty) = reopened(&with_keys(&model, json!({"rope_scaling": {}})), &tensors_of(&model));
    assert_eq!(empty.spec(), model.spec());
    // What Python writes for numbers that JSON lacks, beside a text that says the same words.
    let folder = tempfile::tempdir().unwrap();
    let config = model.config().value().to_string();
    let config =
        config.replacen('{', "{\"loss\": NaN, \"note\": \"a \\\"NaN\\\"\", \"best\": [-Infinity, Infinity], ", 1);
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    std::fs::copy(fixtures().join("llama/model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    let opened = Model::open(folder.path()).unwrap();
    assert_eq!(opened.spec(), model.spec());
    assert_eq!(opened.config().value()["note"], "a \"NaN\"");
    // Where the network needs the number, the key is named.
    let text = error("llama", json!({"rms_norm_eps": "NaN"}), &tensors_of(&model));
    assert!(text.contains("rms_norm_eps"), "{text}");
}

/// Whether the first token attends to the last.
#[derive(Default)]
struct LooksAhead(Option<f32>);

impl Probe for LooksAhead {
    fn wants_attention(&self, _site: Site) -> bool {
        true
    }

    fn see(&mut self, maps: &SiteMaps<'_>) -> pillars::Result<()> {
        let weights = maps.map(FeatureMap::Attention)?;
        let last = weights.dim(3)? - 1;
        self.0.get_or_insert(weights.get(0)?.get(0)?.get(0)?.get(last)?.to_scalar()?);
        Ok(())
    }
}

#[test]
fn decoders_that_are_not_causal_attend_both_ways() {
    for family in ["llama", "qwen2", "gpt2"] {
        let (_folder, model) = renamed(family, json!({"is_causal": false}), |n| Some(n.to_owned()));
        let batch = batch(&reference(&fixtures().join(family).join("reference.safetensors")));
        let network = model.network(&Device::Cpu, DType::F32).unwrap();
        let mut probe = LooksAhead::default();
        network.hidden(&batch, &Gates::open(), &mut probe).unwrap();
        assert!(probe.0.unwrap() > 0.0, "{family}");
    }
}

#[test]
fn what_gemma_calls_attending_both_ways_is_that_of_every_decoder() {
    for (family, key, value) in [("gemma", "use_bidirectional_attention", true), ("llama", "is_causal", false)] {
        let (_folder, model) = renamed(family, json!({key: value}), |n| Some(n.to_owned()));
        assert!(model.spec().sites().iter().all(|(_, attention)| !attention.causal), "{family}");
        assert!(model.notes().is_empty(), "{:?}", model.notes());
    }
    // The window is that of both sides together.
    let (_folder, model) =
        renamed("gemma3_text", json!({"use_bidirectional_attention": true, "sliding_window": 512}), |n| {
            Some(n.to_owned())
        });
    let windows: Vec<_> = model.spec().sites().iter().filter_map(|(_, attention)| attention.window).collect();
    assert!(!windows.is_empty() && windows.iter().all(|window| *window == 256), "{windows:?}");
}

#[test]
fn a_compact_export_opens_as_the_class_that_the_source_names() {
    let teacher = json!({"architectures": ["DeiTForImageClassificationWithTeacher"]});
    let (_folder, model) = renamed("deit", teacher, |n| Some(n.to_owned()));
    let folder = tempfile::tempdir().unwrap();
    let plan: Plan = Plan::parse_any(r#"{"encoder.0": [0, 2]}"#).unwrap();
    let out = folder.path().join("out");
    let options = ExportOptions::default();
    pruning::export(&model, &plan, ExportFormat::Compact, &out, &options, None, &Ticket::default()).unwrap();
    let module = std::fs::read_to_string(out.join("modeling_pillars_deit.py")).unwrap();
    assert!(module.contains("ARCHITECTURE = \"DeiTForImageClassificationWithTeacher\"\n"));
}

#[test]
fn parts_of_weights_without_their_index_are_told_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str| fixtures().join("llama").join(name);
    std::fs::copy(of("config.json"), folder.path().join("config.json")).unwrap();
    for part in 1..=2 {
        let name = format!("model-0000{part}-of-00002.safetensors");
        std::fs::copy(of("model.safetensors"), folder.path().join(name)).unwrap();
    }
    let said = Model::open(folder.path()).unwrap_err().to_string();
    assert!(said.contains("the weights lie in 2 files, and model.safetensors.index.json, which lists them"), "{said}");
    assert!(said.contains("download it too"), "{said}");
}

#[test]
fn weights_beside_those_of_the_network_are_named_and_buffers_are_not() {
    let model = fixture("gpt2");
    let mut tensors = tensors_of(&model);
    let one = Tensor::ones((2, 2), DType::F32, &Device::Cpu).unwrap();
    let first = tensors.keys().find(|name| name.contains("h.0.attn.c_attn.weight")).unwrap().clone();
    let layer = first.strip_suffix("attn.c_attn.weight").unwrap();
    for name in ["attn.masked_bias", "attn.rotary.inv_freq"] {
        tensors.insert(format!("{layer}{name}"), one.clone());
    }
    tensors.insert(format!("{layer}attn.bias"), one.reshape((1, 1, 2, 2)).unwrap());
    tensors.insert("classifier.weight".to_owned(), one.clone());
    let (_folder, opened) = reopened(&model.config().value().clone(), &tensors);
    assert_eq!(opened.left_weights(), [] as [String; 0]);
    tensors.insert(format!("{layer}attn.c_attn.lora_A.weight"), one);
    let (_folder, opened) = reopened(&model.config().value().clone(), &tensors);
    let left = opened.left_weights();
    let [note] = left.as_slice() else { panic!("{left:?}") };
    assert!(note.starts_with("1 tensor in layers of the network") && note.contains("lora_A"), "{note}");
    assert!(opened.notes().contains(note));
}
