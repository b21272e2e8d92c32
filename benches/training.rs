//! What the group constraint costs beside the training step that it is part of: a decoder of 4 layers, 8 heads and
//! width 128 on 8 x 128 tokens, the small size of `pillars experiment`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::time::Instant;

use candle_core::Device;
use criterion::{Criterion, criterion_group, criterion_main};
use pillars::checkpoint::Config;
use pillars::experiment::{ExperimentTask, ModelShape, architecture};
use pillars::network::{Batch, Gates, Tokens};
use pillars::training::constraint::Constraint;
use pillars::training::{AdamSettings, Blueprint, Learner, StepParts, StepSettings};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256Plus;

/// As the program begins.
#[path = "../src/process.rs"]
mod process;

const SEQUENCES: usize = 8;
const LENGTH: usize = 128;

fn learner(shape: &ModelShape) -> Learner {
    let value = architecture(ExperimentTask::Text, shape, LENGTH);
    let config = Config::new("config.json", value.as_object().unwrap().clone());
    let blueprint = Blueprint::fresh(&config, Path::new("")).unwrap();
    let parameters = blueprint.parameters(0, &Device::Cpu).unwrap();
    Learner::new(blueprint.spec(), parameters, AdamSettings::default()).unwrap()
}

fn batch(vocabulary: u32) -> Batch {
    let mut rng = Xoshiro256Plus::seed_from_u64(1);
    let mut draw = |_| rng.gen_range(0..vocabulary);
    let rows: Vec<_> =
        (0..SEQUENCES).map(|_| ((0..LENGTH).map(&mut draw).collect::<Vec<u32>>(), vec![true; LENGTH])).collect();
    let labels = rows.iter().flat_map(|(ids, _)| (0..LENGTH).map(|t| ids.get(t + 1).copied())).collect();
    Batch { labels: Some(labels), ..Batch::tokens(Tokens::pad(&rows, 0, &Device::Cpu).unwrap()) }
}

/// Steps of each side of the comparison by turns.
const TURNS: u64 = 15;

fn middle(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

fn steps(criterion: &mut Criterion) {
    process::settle();
    let shape = ModelShape { layers: 4, width: 128, heads: 8, inner: 344, vocabulary: 2048 };
    let batch = batch(2048);
    let gates = Gates::open();
    let constraint = Constraint { groups: pillars::analysis::Groups::Fixed(2), ..Constraint::default() };
    let mut sides = [("plain", None), ("with the group constraint", Some(&constraint))]
        .map(|(name, constraint)| (name, constraint, learner(&shape), StepParts::default(), Vec::new()));
    let step = |learner: &mut Learner, constraint| {
        let settings = StepSettings { rate: 1e-3, smoothing: 0.0, constraint, gates: &gates, seed: 0 };
        learner.step(std::slice::from_ref(&batch), &settings).unwrap().parts
    };
    let mut group = criterion.benchmark_group("training step");
    group.sample_size(10);
    for (name, constraint, learner, ..) in &mut sides {
        group.bench_function(*name, |b| b.iter(|| step(learner, *constraint)));
    }
    group.finish();
    // By turns, since a machine that does other things slows both alike.
    for _ in 0..TURNS {
        for (_, constraint, learner, parts, seconds) in &mut sides {
            let start = Instant::now();
            parts.add(&step(learner, *constraint));
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    let ms = |secs: f64| 1e3 * secs;
    let [plain, constrained] = sides.map(|(name, _, _, parts, seconds)| {
        let whole = middle(seconds);
        let StepParts { forward, constraint, backward, optimizer } = parts.per_step(TURNS);
        println!(
            "{name}: {:.1} ms; forward {:.1} ms, constraint {:.2} ms, backward {:.1} ms, optimizer {:.2} ms",
            ms(whole),
            ms(forward),
            ms(constraint),
            ms(backward),
            ms(optimizer)
        );
        whole
    });
    println!("share of the constraint with its gradients: {:.1} % of a step", 100.0 * (1.0 - plain / constrained));
}

criterion_group!(benches, steps);
criterion_main!(benches);
