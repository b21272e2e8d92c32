//! The bar of a piece of work covers all of it, and never goes back.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pillars::corpus::Input;
use pillars::plan::{Amount, Method, PlanRequest};
use pillars::repair::RepairMode;
use pillars::run::{
    BudgetSpec, Checked, CurveSpec, MeasuredRepair, Opened, PruneSpec, RepairSpec, Spec, TrainSpec, refusal,
};
use pillars::task::Ticket;

use crate::common::fixtures;
use crate::common::varied::tokens;

/// Does `work` and asserts that its bar went from the beginning to the end, forward alone.
fn watch<T>(what: &str, work: impl FnOnce(&Ticket) -> pillars::Result<T>) -> T {
    let (ticket, is_over) = (Ticket::default(), AtomicBool::new(false));
    let mut seen = Vec::new();
    let done = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen: Vec<(f64, String)> = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let progress = ticket.progress();
                // What has not begun has no share.
                if let Some(share) = progress.fraction().filter(|_| progress.part.is_some()) {
                    seen.push((share, progress.stage));
                } else {
                    assert!(
                        seen.is_empty(),
                        "{what}: {} tells of itself alone, behind {:?}",
                        progress.stage,
                        seen.last()
                    );
                }
                std::thread::sleep(Duration::from_micros(200));
            }
            seen
        });
        let done = work(&ticket).unwrap_or_else(|error| panic!("{what}: {error}"));
        is_over.store(true, Ordering::Relaxed);
        seen = watcher.join().unwrap();
        done
    });
    assert!(!seen.is_empty(), "{what} tells nothing");
    for pair in seen.windows(2) {
        assert!(pair[1].0 >= pair[0].0 - 1e-9, "{what}: from {:?} back to {:?}", pair[0], pair[1]);
    }
    assert!(seen[0].0 < 0.5, "{what} begins at {:?}", seen[0]);
    if std::env::var_os("TIMELINE").is_some() {
        for pair in seen.windows(2).filter(|pair| pair[0].1 != pair[1].1) {
            eprintln!("{what}: {:?} then {:?}", pair[0], pair[1]);
        }
    }
    let end = ticket.progress();
    assert!(end.fraction().is_some_and(|share| share > 0.999), "{what} ends at {:?} in {}", end.fraction(), end.stage);
    done
}

fn check(spec: &Spec, model: &Path) -> Checked {
    let opened = Opened::open(model, &Ticket::default()).unwrap();
    spec.check(&opened).map_err(refusal).unwrap()
}

#[test]
fn shares_rise_from_nothing_to_all_once_over_every_kind_of_work() {
    let scratch = tempfile::tempdir().unwrap();
    let input = tokens(scratch.path(), 60, 24);
    let spec = Spec {
        input: Some(Input::guess(&input)),
        batch_size: Some(2),
        importance: true,
        moments: true,
        held_out_every: Some(3),
        ..Spec::default()
    };
    let model = fixtures().join("llama");
    let run = check(&spec, &model);
    let estimate = watch("an estimate", |ticket| run.estimate(ticket));
    let found = watch("a run", |ticket| run.analyze(ticket));
    watch("a run that was estimated", |ticket| run.clone().estimated(&estimate).analyze(ticket));
    let (analysis, moments) = (found.analysis, found.moments);
    let half = PlanRequest::new(Method::Votes, Amount::LayerRatio(0.5));
    let plan = pillars::propose(&analysis, &half).unwrap();
    watch("a curve", |ticket| {
        let wanted = CurveSpec { repairs: vec![RepairMode::None, RepairMode::Refit], ..CurveSpec::default() };
        run.curve(&analysis, moments.as_ref(), &wanted, None, &mut |_| Ok(()), ticket)
    });
    for repair in [RepairMode::None, RepairMode::Refit] {
        watch("a search", |ticket| {
            let wanted = BudgetSpec { repair, ..BudgetSpec::default() };
            run.plan_within((&analysis, moments.as_ref()), &wanted, ticket)
        });
    }
    let mut made = None;
    for mode in [RepairMode::Refit, RepairMode::Stream, RepairMode::Auto] {
        let wanted = RepairSpec { mode, ..RepairSpec::default() };
        let repair = watch("a repair", |ticket| run.repair(&plan, None, &wanted, ticket));
        watch("a measurement", |ticket| run.compare("plan", &plan, Some(MeasuredRepair::from(&repair)), ticket));
        made = Some(repair);
    }
    watch("a measurement of a masked plan", |ticket| run.compare("plan", &plan, None, ticket));
    for (place, repair) in [None, made.as_ref()].into_iter().enumerate() {
        let wanted = PruneSpec { out: scratch.path().join(format!("out{place}")), ..PruneSpec::default() };
        watch("an export", |ticket| run.prune(&plan, repair, &wanted, ticket));
    }
    let mut training = TrainSpec::new(spec, run.opened(), scratch.path().join("trained"));
    training.settings.steps = 4;
    training.settings.held_out_batches = 1;
    if let Some(voting) = &mut training.settings.voting {
        voting.finetune_steps = 3;
    }
    watch("training", |ticket| pillars::train(&training, &Default::default(), &mut |_| {}, ticket));
}
