//! Training with patience ends each stage where held-out data says, and goes on with the best weights.
use crate::train_run::{Place, cancelled_at, run, weights};
use pillars::training::{BEST, MetricsLog, Record, Stage, TrainingRun};

const PATIENCE: u64 = 2;

/// At a rate this high the held-out loss goes up and down.
fn restless(place: &Place, out: &str, patience: Option<u64>) -> TrainingRun {
    let mut request = place.request(out);
    let settings = &mut request.settings;
    (settings.rate, settings.steps, settings.accumulate) = (6e-2, 60, 1);
    (settings.record_every, settings.look_every, settings.save_every) = (1, 2, 7);
    settings.patience = patience;
    if let Some(voting) = &mut settings.voting {
        (voting.finetune_rate, voting.finetune_steps) = (Some(0.3), 60);
    }
    request
}

fn log(run: &TrainingRun, stage: Stage) -> Vec<Record> {
    MetricsLog::read(&run.out.join("training")).unwrap().into_iter().filter(|r| r.stage == stage).collect()
}

/// The step at which looks with these losses end a stage, and the best look: its step and loss.
fn ends(looks: &[Record]) -> (u64, u64, f64) {
    let losses: Vec<(u64, f64)> = looks.iter().filter_map(|r| Some((r.step, r.validation_loss?))).collect();
    for (at, (step, _)) in losses.iter().enumerate() {
        let (best, loss) = *losses[..=at].iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        let since = losses[..=at].iter().filter(|(step, _)| *step > best).count() as u64;
        if since == PATIENCE || at + 1 == losses.len() {
            return (*step, best, loss);
        }
    }
    panic!("nothing was looked at");
}

#[test]
fn patience_ends_each_stage_behind_its_best_look_and_goes_on_with_that() {
    let place = Place::new();
    let (all, early) = (restless(&place, "all", None), restless(&place, "early", Some(PATIENCE)));
    run(&all).unwrap();
    let found = run(&early).unwrap();
    // Up to where it ends, the first stage is that of the run without patience.
    let reference = log(&all, Stage::Constrained);
    let (last, best, loss) = ends(&reference);
    assert!(best < last && last < 60, "{best} {last}");
    assert_eq!(found.constrained_steps, last);
    let own = log(&early, Stage::Constrained);
    assert_eq!(own.len() as u64, last);
    for (own, reference) in own.iter().zip(&reference) {
        assert_eq!((own.task_loss, own.validation_loss), (reference.task_loss, reference.validation_loss));
    }
    assert!((found.full_loss.unwrap() - loss).abs() < 1e-9, "{found:?} {loss}");
    assert!(own.last().unwrap().validation_loss.unwrap() > loss);
    // Fine-tuning counts anew.
    let (last, best, loss) = ends(&log(&early, Stage::FineTuning));
    assert!(best < last && last < 60, "{best} {last}");
    assert_eq!((found.finetune_steps, log(&early, Stage::FineTuning).len() as u64), (last, last));
    assert!((found.final_loss.unwrap() - loss).abs() < 1e-9, "{found:?} {loss}");
    assert!(!early.out.join("training").join(BEST).exists());
    // Looks that all get better end nothing.
    let mut calm = place.request("calm");
    calm.settings.patience = Some(PATIENCE);
    let found = run(&calm).unwrap();
    assert_eq!((found.constrained_steps, found.finetune_steps), (24, 11));
}

#[test]
fn a_cancelled_run_with_patience_goes_on_to_the_same_end() {
    let place = Place::new();
    let (whole, broken) = (restless(&place, "whole", Some(PATIENCE)), restless(&place, "broken", Some(PATIENCE)));
    let expected = run(&whole).unwrap();
    let (first, second) = (expected.constrained_steps, expected.finetune_steps);
    // Among others at the very step that ends a stage, and at the one behind its best look.
    let behind = ends(&log(&whole, Stage::Constrained)).1 + 1;
    cancelled_at(&broken, &[3, behind, first, first + 3, first + second]);
    let got = run(&broken).unwrap();
    assert_eq!((got.constrained_steps, got.finetune_steps), (first, second));
    assert_eq!(weights(&whole.out), weights(&broken.out));
    assert_eq!(weights(&whole.out.join("full")), weights(&broken.out.join("full")));
    assert_eq!(got.kept, expected.kept);
    let steps = |run: &TrainingRun| {
        let log = MetricsLog::read(&run.out.join("training")).unwrap();
        log.iter().map(|r| (r.stage, r.step, r.total_steps)).collect::<Vec<_>>()
    };
    assert_eq!(steps(&whole), steps(&broken));
}
