//! What a frame of the window costs the processor: drawing (`logic` and `ui`) and tessellation, per view, at 1920 x 1080
//! points with the pointer moving over the view. A frame at 120 Hz lasts 8.3 ms.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "../tests/common/large.rs"]
mod large;

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use candle_core::DType;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use eframe::egui::{Key, Modifiers};
use large::{VIEWS, Window, open_large};
use pillars::analysis::{Document, ModelInfo};
use pillars::model::Model;
use pillars::run::Spec;
use pillars::workspace::{ModelRef, Store, Workspace, sample};

/// As the program begins.
#[path = "../src/process.rs"]
mod process;

/// The bundled sample after a run over two batches.
fn open_sample(folder: &Path) -> Window {
    let sample = sample().expect("the bundled sample");
    let model = Model::open(&sample.model).unwrap();
    let fingerprint = ModelInfo::of(&model, DType::F32).unwrap().fingerprint;
    let run = Spec { input: sample.input, batches: Some(2), ..Spec::default() };
    let reference = ModelRef { folder: sample.model, fingerprint };
    let path = folder.join("sample.pillars");
    Workspace { model: Some(reference), run, ..Workspace::default() }.write(&path).unwrap();
    let mut window = Window::open(Store::at(folder.join("remembered")), &path);
    window.press(Modifiers::NONE, Key::F5);
    window.settle();
    assert!(window.app.state().results.is_some(), "{}", window.app.state().messages.text());
    window
}

fn views(group: &mut BenchmarkGroup<'_, WallTime>, window: &mut Window) {
    for (name, key) in VIEWS {
        window.press(Modifiers::COMMAND, key);
        window.settle();
        group.bench_function(name, |b| b.iter(|| black_box(window.hover())));
    }
}

fn frames(c: &mut Criterion) {
    process::settle();
    let (small, large) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut group = c.benchmark_group("frame of the sample");
    group.sample_size(30).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(300));
    let mut window = open_sample(small.path());
    views(&mut group, &mut window);
    // What is drawn once more was measured: the curve of every method, a table, the palette over all of it.
    window.press(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::M);
    window.settle();
    window.press(Modifiers::COMMAND, Key::Num5);
    window.settle();
    assert!(window.app.state().curves.is_some(), "{}", window.app.state().messages.text());
    group.bench_function("prune with its curve", |b| b.iter(|| black_box(window.hover())));
    window.press(Modifiers::COMMAND, Key::Num1);
    window.press(Modifiers::COMMAND, Key::T);
    window.settle();
    group.bench_function("overview as a table", |b| b.iter(|| black_box(window.hover())));
    window.press(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::P);
    window.settle();
    group.bench_function("palette", |b| b.iter(|| black_box(window.hover())));
    drop(window);
    group.finish();
    let mut group = c.benchmark_group("frame of 128 layers x 128 heads");
    group.sample_size(30).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(300));
    views(&mut group, &mut open_large(large.path(), serde_json::Value::Null));
    group.finish();
    let mut group = c.benchmark_group("frame of 128 x 128 heads, every layer at once");
    group.sample_size(30).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(300));
    let every = serde_json::json!({"views": {"redundancy": {"all_layers": true}}});
    let mut window = open_large(large.path(), every);
    window.press(Modifiers::COMMAND, Key::Num2);
    window.settle();
    group.bench_function("redundancy", |b| b.iter(|| black_box(window.hover())));
    window.press(Modifiers::COMMAND, Key::T);
    window.settle();
    group.bench_function("redundancy as a table", |b| b.iter(|| black_box(window.hover())));
    group.finish();
}

criterion_group!(benches, frames);
criterion_main!(benches);
