//! Models with the heads of labeled tasks, against values that transformers computed: `tests/data/tasks`.
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{D, DType, Device, Tensor};
use pillars::corpus::{Corpus, CorpusSettings, Input, Intake, Purpose};
use pillars::evaluation::evaluate;
use pillars::model::Model;
use pillars::network::{Batch, Gates, Kept, Network, NoProbe, Source, TaskKind};
use pillars::plan::Plan;
use pillars::pruning::{self, ExportFormat, ExportOptions};
use pillars::task::Ticket;
use pillars::training::{gate_importance, task_loss};

use crate::common::{Keeper, folders_in, mask, reference, relative_difference, test_data};

/// Agreement that float rounding allows, relative to the largest reference value.
const CLOSE: f64 = 1e-4;

fn folders() -> Vec<PathBuf> {
    let folders = folders_in(&test_data().join("tasks"));
    assert_eq!(folders.len(), 20);
    folders
}

fn name(folder: &Path) -> String {
    folder.file_name().unwrap().to_string_lossy().into_owned()
}

/// The inputs and labels of a reference, as the program reads such files.
fn read(model: &Model, path: &Path) -> Batch {
    let settings = CorpusSettings { purpose: Purpose::Score, ..CorpusSettings::default() };
    let (input, intake) = (Input::Inputs(path.to_path_buf()), Intake::of(model).unwrap());
    let corpus = Corpus::open(&input, model.checkpoint().folder(), &intake, &settings, &Ticket::default());
    let mut batches = corpus.unwrap_or_else(|e| panic!("{e}")).batches(&Device::Cpu);
    let batch = batches.next().unwrap().unwrap();
    assert!(batches.next().is_none());
    batch
}

struct Case {
    name: String,
    model: Model,
    network: Network,
    batch: Batch,
    reference: HashMap<String, Tensor>,
    kept: Kept,
}

fn cases() -> impl Iterator<Item = Case> {
    folders().into_iter().map(|folder| {
        let name = name(&folder);
        let model = Model::open(&folder).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(model.spec().task.is_some(), "{name}");
        let batch = read(&model, &folder.join("reference.safetensors"));
        let network = model.network(&Device::Cpu, DType::F32).unwrap();
        let reference = reference(&folder.join("reference.safetensors"));
        Case { name, network, batch, reference, kept: mask(&folder), model }
    })
}

/// Largest difference over the largest reference value, at real positions where every position has an answer.
fn difference(case: &Case, got: &Tensor, want: &Tensor) -> f64 {
    assert_eq!(got.dims(), want.dims(), "{}", case.name);
    let real = match (&case.batch.source, case.model.spec().task.as_ref().unwrap().pooling) {
        (Source::Tokens(tokens), None) => tokens.mask.real().to_vec(),
        _ => vec![true; got.dim(0).unwrap()],
    };
    let rows = |x: &Tensor| x.reshape((real.len(), ())).unwrap().to_vec2::<f32>().unwrap();
    let (got, want) = (rows(got), rows(want));
    let largest = want.iter().flatten().fold(0f32, |m, x| m.max(x.abs()));
    let rows = got.iter().zip(&want).zip(&real).filter(|(_, real)| **real);
    let all = rows.flat_map(|((g, w), _)| g.iter().zip(w)).map(|(g, w)| (g - w).abs());
    f64::from(all.fold(0f32, |m, x| if x.is_nan() { f32::INFINITY } else { m.max(x) }) / largest)
}

#[test]
fn every_head_computes_what_transformers_computes() {
    let mut kinds = std::collections::BTreeSet::new();
    for case in cases() {
        let Case { name, model, network, batch, reference, kept } = &case;
        kinds.insert(model.spec().task.as_ref().unwrap().kind.name());
        let gates = Gates::keep(model.spec(), kept, DType::F32, &Device::Cpu).unwrap();
        let mut worst = 0.0f64;
        for (key, gates) in [("logits", Gates::open()), ("masked.logits", gates)] {
            let got = network.forward(batch, &gates, &mut NoProbe).unwrap();
            worst = worst.max(difference(&case, &got, &reference[key]));
        }
        assert!(worst < CLOSE, "{name} differs by {worst:.1e}");
        // The mask matters, so that a head that reads nothing of the network would be found.
        assert!(difference(&case, &reference["logits"], &reference["masked.logits"]) > 1e-3, "{name}");
        // Every tensor is read: none of the head is left aside.
        let unused = model.unused();
        assert!(
            !unused.iter().any(|n| n.contains("classif") || n.contains("score") || n.contains("head")),
            "{unused:?}"
        );
    }
    assert_eq!(kinds.len(), 5);
}

#[test]
fn attention_under_heads_is_that_of_transformers() {
    for case in cases() {
        let Case { name, model, network, batch, reference, .. } = &case;
        let mut keeper = Keeper::default();
        network.hidden(batch, &Gates::open(), &mut keeper).unwrap();
        assert_eq!(keeper.maps.len(), 2 * model.spec().sites().len(), "{name}");
        for (key, got) in &keeper.maps {
            let axis = if key.starts_with("attn.") { 2 } else { 1 };
            let apart = relative_difference(got, &reference[key], &keeper.queries[key], axis);
            assert!(apart < CLOSE, "{name} differs by {apart:.1e} at {key}");
        }
    }
}

/// The loss of question answering by its definition, over real positions: transformers lets padding take part.
fn loss_of_ends(case: &Case) -> f64 {
    let Source::Tokens(tokens) = &case.batch.source else { panic!("tokens") };
    let ends = [("start_logits", "start_positions"), ("end_logits", "end_positions")];
    let mut sum = 0.0;
    for (logits, positions) in ends {
        let rows = case.reference[logits].to_vec2::<f32>().unwrap();
        let positions = case.reference[positions].to_vec1::<i64>().unwrap();
        for (n, (row, at)) in rows.iter().zip(&positions).enumerate() {
            let real = row.iter().zip(tokens.mask.row(n)).filter(|(_, real)| **real).map(|(x, _)| f64::from(*x));
            sum += real.map(f64::exp).sum::<f64>().ln() - f64::from(row[*at as usize]);
        }
    }
    sum / (2.0 * tokens.mask.sequences() as f64)
}

#[test]
fn losses_are_those_of_transformers() {
    for case in cases() {
        let Case { name, model, network, batch, reference, .. } = &case;
        let want = match model.spec().task.as_ref().unwrap().kind {
            TaskKind::QuestionAnswering => loss_of_ends(&case),
            _ => f64::from(reference["loss"].to_scalar::<f32>().unwrap()),
        };
        let hidden = network.hidden(batch, &Gates::open(), &mut NoProbe).unwrap();
        let found = task_loss(network, &hidden, batch, 0.0).unwrap();
        let got = f64::from(found.mean.to_scalar::<f32>().unwrap());
        assert!((got - want).abs() < CLOSE * want, "{name}: {got} instead of {want}");
        let quality = evaluate(network, &Gates::open(), [Ok(batch.clone())], None, &Ticket::default()).unwrap();
        let scored = quality.loss_per_token.unwrap();
        assert!((scored - want).abs() < CLOSE * want, "{name}: {scored} instead of {want}");
        assert_eq!(quality.scored_tokens as usize, found.tokens, "{name}");
        assert_eq!((quality.perplexity, quality.task), (None, Some(model.spec().task.as_ref().unwrap().kind)));
    }
}

#[test]
fn accuracy_is_the_share_of_right_answers() {
    let mut seen = 0;
    for case in cases() {
        let kind = case.model.spec().task.as_ref().unwrap().kind;
        if kind == TaskKind::QuestionAnswering {
            continue;
        }
        let classes = case.reference["logits"].dim(D::Minus1).unwrap();
        let rows = case.reference["logits"].reshape(((), classes)).unwrap().to_vec2::<f32>().unwrap();
        let labels = case.reference["labels"].flatten_all().unwrap().to_vec1::<i64>().unwrap();
        let (mut right, mut all) = (0, 0);
        for (row, label) in rows.iter().zip(&labels).filter(|(_, label)| **label != -100) {
            let top = (0..classes).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
            right += usize::from(top as i64 == *label);
            all += 1;
        }
        let batches = [Ok(case.batch.clone())];
        let quality = evaluate(&case.network, &Gates::open(), batches, None, &Ticket::default()).unwrap();
        assert_eq!(quality.accuracy, Some(right as f64 / f64::from(all)), "{}", case.name);
        let metric = &quality.metrics["accuracy"];
        assert_eq!(metric.n as usize, labels.len().min(case.batch.source.sequences().unwrap()), "{}", case.name);
        assert!(metric.low.unwrap() <= metric.value && metric.value <= metric.high.unwrap());
        seen += 1;
    }
    assert_eq!(seen, 19);
}

#[test]
fn exports_give_the_answers_of_the_masked_model() {
    let mut written = 0;
    for case in cases() {
        let Case { name, model, network, batch, kept, .. } = &case;
        let gates = Gates::keep(model.spec(), kept, DType::F32, &Device::Cpu).unwrap();
        let want = network.forward(batch, &gates, &mut NoProbe).unwrap();
        for format in [ExportFormat::Masked, ExportFormat::Compact, ExportFormat::Native] {
            let folder = tempfile::tempdir().unwrap();
            let out = folder.path().join("out");
            let plan = Plan { allow_empty: true, ..Plan::from_mask(kept.clone()) };
            let mut input = [Ok(batch.clone())].into_iter();
            let input: Option<&mut dyn Iterator<Item = _>> = Some(&mut input);
            let options = ExportOptions::default();
            let report = match pruning::export(model, &plan, format, &out, &options, input, &Ticket::default()) {
                Ok(report) => report,
                Err(error) => {
                    assert_eq!(format, ExportFormat::Native, "{name}: {error}");
                    continue;
                }
            };
            written += 1;
            assert_eq!(report.agreement.compared, "logits", "{name}");
            let smaller = Model::open(&out).unwrap();
            assert_eq!(smaller.spec().task, model.spec().task, "{name}");
            let got = smaller.network(&Device::Cpu, DType::F32).unwrap().run(batch).unwrap();
            // A native export may keep other heads than were asked for.
            if format != ExportFormat::Native {
                let apart = difference(&case, &got, &want);
                assert!(apart < CLOSE, "{name} as {format}: {apart:.1e}");
            }
            // Without input the proof draws its own.
            let out = folder.path().join("again");
            pruning::export(model, &plan, format, &out, &options, None, &Ticket::default()).unwrap();
        }
    }
    assert!(written >= 40, "{written}");
}

/// Derivatives of the loss by gates, by differences of the loss itself.
#[test]
fn importance_follows_the_loss_of_labels() {
    const STEP: f64 = 1e-4;
    for case in cases() {
        let Case { name, model, batch, .. } = &case;
        let network = model.network(&Device::Cpu, DType::F64).unwrap();
        let found = gate_importance(&network, [Ok(batch.clone())], None, 0, &Ticket::default()).unwrap();
        assert!(found.notes.is_empty(), "{name}: {:?}", found.notes);
        let loss = |site, head: usize, gate: f64| {
            let heads = model.spec().heads_at(site).unwrap();
            let factors: Vec<f64> = (0..heads).map(|h| if h == head { gate } else { 1.0 }).collect();
            let mut gates = Gates::open();
            gates.set(site, Tensor::new(factors, &Device::Cpu).unwrap());
            let hidden = network.hidden(batch, &gates, &mut NoProbe).unwrap();
            task_loss(&network, &hidden, batch, 0.0)
                .unwrap()
                .mean
                .to_dtype(DType::F64)
                .unwrap()
                .to_scalar::<f64>()
                .unwrap()
        };
        let mut largest = 0f64;
        for (site, _) in model.spec().sites() {
            let slope = (loss(site, 0, 1.0 + STEP) - loss(site, 0, 1.0 - STEP)) / (2.0 * STEP);
            let got = found.sites[&site].values[0];
            assert!(
                (got - slope.abs()).abs() < 1e-4 * slope.abs().max(1e-3),
                "{name} at {site}: {got} instead of {slope}"
            );
            largest = largest.max(got);
        }
        assert!(largest > 1e-5, "{name}");
    }
}
