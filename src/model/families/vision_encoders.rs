//! Encoders of images.

use serde_json::Value;

use super::{clip, tasks, vit};
use crate::model::{Family, StockHeads, UniformHeads};

pub(super) static ROWS: &[Family] = &[
    Family {
        model_type: "vit",
        title: "ViT",
        prefixes: &["vit."],
        tasks: tasks::VIT,
        stock: StockHeads::Uniform(UniformHeads { kv_heads: None, opens_in_4: false, ..UniformHeads::GROUPED }),
        reads_pruned_heads: true,
        ragged: Some(&[]),
        names: |_| &[vit::NAMES, vit::VIT_LAYERS, vit::VIT_5],
        spec: |r| vit::encoder(r, &vit::VIT),
    },
    Family {
        model_type: "deit",
        title: "DeiT",
        prefixes: &["deit."],
        tasks: tasks::DEIT,
        stock: StockHeads::Uniform(UniformHeads { kv_heads: None, opens_in_4: false, ..UniformHeads::GROUPED }),
        reads_pruned_heads: true,
        ragged: Some(&[]),
        names: |_| &[vit::NAMES, vit::VIT_LAYERS, vit::VIT_5],
        spec: |r| vit::encoder(r, &vit::VitVariant { distillation: true, ..vit::VIT }),
    },
    Family {
        model_type: "dinov2",
        title: "DINOv2",
        prefixes: &["dinov2."],
        tasks: tasks::DINO,
        stock: StockHeads::Uniform(UniformHeads { kv_heads: None, opens_in_4: false, ..UniformHeads::GROUPED }),
        reads_pruned_heads: true,
        ragged: Some(&[]),
        names: |config| match config.get("use_swiglu_ffn") {
            Some(Value::Bool(true)) => &[vit::NAMES, vit::DINO_LAYERS, vit::DINO_GATED, vit::DINO_5],
            _ => &[vit::NAMES, vit::DINO_LAYERS, vit::DINO_PLAIN, vit::DINO_5],
        },
        spec: |r| vit::encoder(r, &vit::VitVariant { dino: true, ..vit::VIT }),
    },
    Family {
        model_type: "dinov2_with_registers",
        title: "DINOv2 with registers",
        prefixes: &["dinov2_with_registers."],
        tasks: tasks::DINO_REGISTERS,
        stock: StockHeads::Uniform(UniformHeads { kv_heads: None, opens_in_4: false, ..UniformHeads::GROUPED }),
        reads_pruned_heads: false,
        ragged: None,
        names: |config| match config.get("use_swiglu_ffn") {
            Some(Value::Bool(true)) => &[vit::NAMES, vit::DINO_LAYERS, vit::DINO_GATED, vit::DINO_5],
            _ => &[vit::NAMES, vit::DINO_LAYERS, vit::DINO_PLAIN, vit::DINO_5],
        },
        spec: |r| vit::encoder(r, &vit::VitVariant { dino: true, registers: true, ..vit::VIT }),
    },
    Family {
        model_type: "beit",
        title: "BEiT",
        prefixes: &["beit."],
        tasks: &[],
        stock: StockHeads::Uniform(UniformHeads { kv_heads: None, opens_in_4: false, ..UniformHeads::GROUPED }),
        reads_pruned_heads: false,
        ragged: None,
        names: |_| &[vit::BEIT, vit::NAMES, vit::VIT_LAYERS, vit::VIT_5],
        spec: |r| vit::encoder(r, &vit::VitVariant { beit: true, ..vit::VIT }),
    },
    Family {
        model_type: "clip_vision_model",
        title: "CLIP vision",
        prefixes: &[""],
        tasks: &[],
        stock: StockHeads::NEVER,
        reads_pruned_heads: false,
        ragged: None,
        names: |_| &[clip::CLIP_VISION],
        spec: clip::clip_vision,
    },
    Family {
        model_type: "siglip_vision_model",
        title: "SigLIP vision",
        prefixes: &["vision_model."],
        tasks: &[],
        stock: StockHeads::NEVER,
        reads_pruned_heads: false,
        ragged: None,
        names: |_| &[clip::SIGLIP_VISION],
        spec: clip::siglip_vision,
    },
];
