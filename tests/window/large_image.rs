//! An image of more patches than a pattern is kept for: its weights are pooled, and still lie where they belong.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, safetensors};
use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::Queryable;
use pillars::chart::Picture;
use pillars::gui::View;

use crate::desk::{Desk, fixture};

/// Patches along a side: 1,089 of them and a class token, where patterns are kept up to 1,024 tokens.
const SIDE: usize = 33;
/// Pixels along the side of a patch.
const PATCH: usize = 4;

/// Numbers without pattern but always the same.
fn noise(count: usize) -> Vec<f32> {
    (0..count).map(|i| (((i * 7919 + i * i % 1013) % 2003) as f32 / 1001.0 - 1.0) * 0.5).collect()
}

/// The tiny ViT for images of so many patches, and one image for it.
fn model_and_image(folder: &Path) -> (PathBuf, PathBuf) {
    let model = folder.join("vit");
    std::fs::create_dir(&model).unwrap();
    let config = std::fs::read_to_string(fixture("vit").join("config.json")).unwrap();
    let config = config.replace("\"image_size\": 16", &format!("\"image_size\": {}", SIDE * PATCH));
    std::fs::write(model.join("config.json"), config).unwrap();
    let mut weights = safetensors::load(fixture("vit").join("model.safetensors"), &Device::Cpu).unwrap();
    let tokens = 1 + SIDE * SIDE;
    let places = Tensor::from_vec(noise(tokens * 32), (1, tokens, 32), &Device::Cpu).unwrap();
    weights.insert("embeddings.position_embeddings".to_owned(), places);
    safetensors::save(&weights, model.join("model.safetensors")).unwrap();
    let side = SIDE * PATCH;
    let pixels = Tensor::from_vec(noise(3 * side * side), (1, 3, side, side), &Device::Cpu).unwrap();
    let input = folder.join("image.safetensors");
    let inputs: HashMap<_, _> = [("pixel_values".to_owned(), pixels.to_dtype(DType::F32).unwrap())].into();
    safetensors::save(&inputs, &input).unwrap();
    (model, input)
}

#[test]
fn weights_cover_all_of_an_image_of_more_than_1024_patches() {
    let folder = tempfile::tempdir().unwrap();
    let (model, input) = model_and_image(folder.path());
    let mut desk = Desk::start(Some(model));
    desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &input);
    desk.click_head(desk.head("encoder.0", 1), Modifiers::NONE);
    desk.chord(Modifiers::COMMAND, Key::Num6);
    desk.settle();
    let Picture::Attention(maps) = desk.same(View::Attention) else { panic!("{}", desk.messages()) };
    assert!(desk.harness.query_by_role_and_label(Role::Image, "Attention of encoder.0 head 1 on the image").is_some());
    let (image, query) = maps.image.clone().expect("weights lie over the image");
    assert_eq!((image.rows, image.columns), (SIDE, SIDE));
    let panel = &maps.panels[0];
    // Pooled two by two, each patch has the weight of its own block, to the last row and column.
    let block = (1 + SIDE * SIDE).div_ceil(panel.weights.cols());
    assert!(block > 1, "the pattern is pooled");
    for (row, column) in [(0, 0), (0, SIDE - 1), (SIDE / 2, 3), (SIDE - 1, 0), (SIDE - 1, SIDE - 1)] {
        let token = image.token(row, column);
        let weight = panel.weight(query, token);
        assert!(weight.is_finite(), "{row}, {column}");
        assert_eq!(weight, panel.weights.get(query / block, token / block), "{row}, {column}");
    }
    // What is painted is colored from edge to edge.
    let painted = image.under(|token| panel.weight(query, token), &maps.scale(panel));
    let bare = image.under(|_| f64::NAN, &maps.scale(panel));
    for (x, y) in [(0, 0), (SIDE * PATCH - 1, 0), (0, SIDE * PATCH - 1), (SIDE * PATCH - 1, SIDE * PATCH - 1)] {
        assert_ne!(painted.pixel(x, y), bare.pixel(x, y), "{x}, {y}");
    }
}
