//! A window without a screen, and a model of 128 layers of 128 heads to show in it: what a frame costs is measured by the
//! benches and bounded by a test.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use eframe::App as _;
use eframe::egui::epaint::{ClippedPrimitive, Primitive};
use eframe::egui::{self, Event, Key, Modifiers, Pos2, RawInput, Rect, TextureId, pos2, vec2};
use pillars::analysis::{
    Analysis, AnalysisSettings, CurvePoint, Distances, Document, FeatureAnalysis, Gram, Groups, ModelInfo, SiteAnalysis,
};
use pillars::corpus::Input;
use pillars::gui::App;
use pillars::model::Model;
use pillars::network::{FeatureMap, Site, SiteKind};
use pillars::run::Spec;
use pillars::workspace::{ModelRef, Store, Workspace};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256Plus;

pub const LAYERS: usize = 128;
pub const HEADS: usize = 128;
pub const VIEWS: [(&str, Key); 7] = [
    ("overview", Key::Num1),
    ("redundancy", Key::Num2),
    ("groups", Key::Num3),
    ("votes", Key::Num4),
    ("prune", Key::Num5),
    ("attention", Key::Num6),
    ("training", Key::Num7),
];

/// A window without a screen.
pub struct Window {
    pub ctx: egui::Context,
    pub app: App,
    frame: eframe::Frame,
    frames: u64,
}

impl Window {
    pub fn open(store: Store, path: &Path) -> Self {
        let ctx = egui::Context::default();
        let (settings, _) = store.settings();
        let mut app = App::new(&ctx, store, settings).without_dialogs();
        app.start(Some(path.to_path_buf()));
        let mut window = Self { ctx, app, frame: eframe::Frame::_new_kittest(), frames: 0 };
        window.settle();
        window
    }

    /// One frame; returns what is to be painted.
    pub fn draw(&mut self, events: Vec<Event>) -> Vec<ClippedPrimitive> {
        self.frames += 1;
        let input = RawInput {
            screen_rect: Some(Rect::from_min_size(Pos2::ZERO, vec2(1920.0, 1080.0))),
            time: Some(self.frames as f64 / 60.0),
            max_texture_side: Some(16_384),
            events,
            ..RawInput::default()
        };
        let (app, frame) = (&mut self.app, &mut self.frame);
        let mut output = self.ctx.run_ui(input, |ui| {
            app.logic(&ui.ctx().clone(), frame);
            app.ui(ui, frame);
        });
        // There is no screen to bring textures to.
        output.textures_delta.clear();
        self.ctx.tessellate(output.shapes, output.pixels_per_point)
    }

    /// Frames for a while, workers included: how long the longest of them kept the processor, and how
    /// long until nothing was to do.
    pub fn longest(&mut self, mut events: Vec<Event>) -> (Duration, Duration) {
        let (began, mut longest) = (Instant::now(), Duration::ZERO);
        let mut quiet = 0;
        while quiet < 8 {
            let start = processor_time();
            self.draw(std::mem::take(&mut events));
            longest = longest.max(processor_time() - start);
            quiet = if self.app.state().jobs.running().is_empty() && !self.ctx.has_requested_repaint() {
                quiet + 1
            } else {
                0
            };
            // Workers of the views are no jobs: they have this long to come back.
            std::thread::sleep(Duration::from_millis(10));
        }
        (longest, began.elapsed())
    }

    /// Frames until a picture is among what is painted, beside letters and shapes; how long that took.
    pub fn until_picture(&mut self, mut events: Vec<Event>) -> Duration {
        let began = Instant::now();
        let is_picture =
            |p: &ClippedPrimitive| matches!(&p.primitive, Primitive::Mesh(m) if m.texture_id != TextureId::default());
        while !self.draw(std::mem::take(&mut events)).iter().any(is_picture) {
            assert!(began.elapsed() < Duration::from_secs(60), "no picture comes");
            std::thread::sleep(Duration::from_millis(2));
        }
        began.elapsed()
    }

    /// A frame in which the pointer has moved.
    pub fn hover(&mut self) -> usize {
        let step = (self.frames % 60) as f32 * 3.0;
        self.draw(vec![Event::PointerMoved(pos2(500.0 + step, 400.0 + step))]).len()
    }

    pub fn press(&mut self, modifiers: Modifiers, key: Key) {
        self.draw(key_events(modifiers, key));
    }

    /// Frames until workers are done.
    pub fn settle(&mut self) {
        for _ in 0..3 {
            self.draw(Vec::new());
            while !self.app.state().jobs.running().is_empty() {
                std::thread::sleep(Duration::from_millis(5));
                self.draw(Vec::new());
            }
        }
    }
}

/// Time that this thread had the processor: what others do on the machine at the same time does not count.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let spent = text.split(' ').next().and_then(|n| n.parse().ok()).map(Duration::from_nanos);
    // Elsewhere than on Linux the clock on the wall has to do.
    spent.unwrap_or_else(|| std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default())
}

/// A key that is pressed and let go.
pub fn key_events(modifiers: Modifiers, key: Key) -> Vec<Event> {
    [true, false].map(|pressed| Event::Key { key, physical_key: None, pressed, repeat: false, modifiers }).to_vec()
}

/// A GPT-2 of 128 layers of 128 heads of width 1, with random weights.
fn write_model(folder: &Path) {
    let config = serde_json::json!({
        "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "activation_function": "gelu_new",
        "n_layer": LAYERS, "n_head": HEADS, "n_embd": HEADS, "n_inner": 8, "n_positions": 64, "vocab_size": 64,
        "layer_norm_epsilon": 1e-5, "tie_word_embeddings": true,
    });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let mut rng = Xoshiro256Plus::seed_from_u64(1);
    let mut tensors = BTreeMap::new();
    let mut add = |name: String, shape: &[usize]| {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.gen_range(-0.1..0.1)).collect();
        tensors.insert(name, Tensor::from_vec(values, shape, &Device::Cpu).unwrap());
    };
    add("transformer.wte.weight".into(), &[64, HEADS]);
    add("transformer.wpe.weight".into(), &[64, HEADS]);
    for part in ["weight", "bias"] {
        add(format!("transformer.ln_f.{part}"), &[HEADS]);
    }
    for layer in 0..LAYERS {
        let parts: [(&str, &[usize]); 12] = [
            ("ln_1.weight", &[HEADS]),
            ("ln_1.bias", &[HEADS]),
            ("ln_2.weight", &[HEADS]),
            ("ln_2.bias", &[HEADS]),
            ("attn.c_attn.weight", &[HEADS, 3 * HEADS]),
            ("attn.c_attn.bias", &[3 * HEADS]),
            ("attn.c_proj.weight", &[HEADS, HEADS]),
            ("attn.c_proj.bias", &[HEADS]),
            ("mlp.c_fc.weight", &[HEADS, 8]),
            ("mlp.c_fc.bias", &[8]),
            ("mlp.c_proj.weight", &[8, HEADS]),
            ("mlp.c_proj.bias", &[HEADS]),
        ];
        for (name, shape) in parts {
            add(format!("transformer.h.{layer}.{name}"), shape);
        }
    }
    candle_core::safetensors::save(&tensors.into_iter().collect(), folder.join("model.safetensors")).unwrap();
}

/// An analysis of that model in which heads lie about 8 centers.
fn analysis(model: &Model) -> Analysis {
    let mut rng = Xoshiro256Plus::seed_from_u64(2);
    let groups = 8;
    let batches = 40;
    let site = |layer: usize| {
        let centers: Vec<[f64; 4]> = (0..groups).map(|_| std::array::from_fn(|_| rng.gen_range(-4.0..4.0))).collect();
        let labels: Vec<usize> = (0..HEADS).map(|h| if h < groups { h } else { rng.gen_range(0..groups) }).collect();
        let points: Vec<[f64; 4]> =
            labels.iter().map(|g| std::array::from_fn(|axis| centers[*g][axis] + rng.gen_range(-1.0..1.0))).collect();
        let dot = |a: &[f64; 4], b: &[f64; 4]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        let values = points.iter().flat_map(|a| points.iter().map(move |b| dot(a, b))).collect();
        let gram = Gram::from_rows(HEADS, values).unwrap();
        let silhouette = Distances::new(&gram).silhouettes(&labels);
        let mean_silhouette = silhouette.as_ref().map(|s| s.iter().sum::<f64>() / HEADS as f64);
        let votes: Vec<u64> = (0..HEADS).map(|_| rng.gen_range(0..=batches)).collect();
        let curve = (2..40).map(|groups| CurvePoint {
            groups,
            inertia: 100.0 / groups as f64,
            mean_silhouette: Some(0.5 - (groups as f64 - 8.0).abs() * 0.01),
            dunn: Some(0.3),
        });
        let feature = FeatureAnalysis {
            gram,
            groups: labels,
            inertia: 1.0,
            silhouette,
            mean_silhouette,
            dunn: Some(0.3),
            dead: Vec::new(),
            curve: curve.collect(),
            votes: votes.clone(),
            margins: votes.iter().map(|v| *v as f64 * 0.3).collect(),
            tied_votes: 3,
            scores: vec![0.5; HEADS],
            by_groups: Vec::new(),
            partitions: Vec::new(),
            stability: None,
            evidence: None,
            kept: (0..groups).collect(),
            kept_per_group: (0..groups).collect(),
            kv_shared: false,
        };
        SiteAnalysis {
            site: Site::new(SiteKind::Decoder, layer),
            heads: HEADS,
            kv_heads: HEADS,
            head_dim: 1,
            stored_layer: layer,
            features: BTreeMap::from([(FeatureMap::Output, feature)]),
            kept: (0..groups).collect(),
            margin: Some(1),
            history: vec![votes.clone(); batches as usize],
            votes,
            cka: None,
            baselines: BTreeMap::new(),
            evidence: None,
        }
    };
    Analysis {
        model: ModelInfo::of(model, DType::F32).unwrap(),
        settings: AnalysisSettings { groups: Groups::Fixed(groups), ..AnalysisSettings::default() },
        reading: None,
        merged: Vec::new(),
        tokens: 4000,
        batches,
        sites: (0..LAYERS).map(site).collect(),
        checkpoints: (1..=batches).collect(),
        settled: (1..=batches).map(|b| b as f64 / batches as f64).collect(),
        evidence: None,
        not_compared: None,
        notes: Vec::new(),
    }
}

/// The synthetic model with its analysis, in a window whose views stand as `view` says.
pub fn open_large(folder: &Path, view: serde_json::Value) -> Window {
    let path = write_large(folder, view);
    let window = Window::open(Store::at(folder.join("remembered")), &path);
    assert!(window.app.state().results.is_some(), "{}", window.app.state().messages.text());
    window
}

/// The workspace of the synthetic model with its analysis, beside the model.
pub fn write_large(folder: &Path, view: serde_json::Value) -> PathBuf {
    write_model(folder);
    let model = Model::open(folder).unwrap();
    let analysis = analysis(&model);
    let lines: String = (0..4).map(|l| format!("{{\"input_ids\": {:?}}}\n", [l + 1; 48])).collect();
    std::fs::write(folder.join("tokens.jsonl"), lines).unwrap();
    let reference = ModelRef { folder: folder.to_path_buf(), fingerprint: analysis.model.fingerprint.clone() };
    let run = Spec { input: Some(Input::guess(&folder.join("tokens.jsonl"))), ..Spec::default() };
    let path = folder.join("large.pillars");
    let workspace =
        Workspace { model: Some(reference), run, view, analysis: Some(Arc::new(analysis)), ..Workspace::default() };
    workspace.write(&path).unwrap();
    path
}
