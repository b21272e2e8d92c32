//! Documents that this program writes: analyses, workspaces, plans, curves, moments, repairs.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use pillars::analysis::{Document, Moments};
use pillars::chart::CurveView;
use pillars::evaluation::curve::Curves;
use pillars::model::Model;
use pillars::plan::snap;
use pillars::repair::{Repair, RepairMode};
use pillars::run::RepairSpec;
use pillars::workspace::Workspace;
use pillars::{Amount, Analysis, CurveSpec, Input, Method, Opened, Plan, PlanRequest, Spec, Ticket};

use super::{Named, Target};
use crate::common::fixtures;

/// Files that this program writes, from a small model.
struct Written {
    analysis: Analysis,
    moments: Vec<u8>,
    plan: Plan,
    repair: Vec<u8>,
    curves: Curves,
}

/// Lists of ids as JSON Lines.
pub(super) fn tokens() -> Vec<u8> {
    let line =
        |n: usize| format!("{{\"input_ids\": {:?}}}\n", (0..24).map(|i| 3 + (i * 7 + n * 5) % 90).collect::<Vec<_>>());
    (0..12).map(line).collect::<String>().into_bytes()
}

fn written() -> &'static Written {
    static MADE: OnceLock<Written> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.jsonl");
        fs::write(&path, tokens()).unwrap();
        let ticket = Ticket::default();
        let model = Opened::open(&fixtures().join("llama"), &ticket).unwrap();
        let spec = Spec { input: Some(Input::Tokens(path)), batch_size: Some(4), moments: true, ..Spec::default() };
        let run = spec.check(&model).map_err(pillars::refusal).unwrap();
        let found = run.analyze(&ticket).unwrap();
        let plan =
            pillars::propose(&found.analysis, &PlanRequest::new(Method::Votes, Amount::LayerRatio(0.5))).unwrap();
        let moments = found.moments.unwrap();
        let wanted = RepairSpec { mode: RepairMode::Refit, ..RepairSpec::default() };
        let repair = run.repair(&plan, Some(&moments), &wanted, &ticket).unwrap();
        let few = CurveSpec { amounts: vec![Amount::LayerRatio(0.5)], draws: 2, ..CurveSpec::default() };
        let curves = run.curve(&found.analysis, None, &few, None, &mut |_| Ok(()), &ticket).unwrap();
        let [sums, outputs] = ["a.moments.safetensors", "r.safetensors"].map(|name| folder.path().join(name));
        moments.write(&sums).unwrap();
        repair.write(&outputs).unwrap();
        let [moments, repair] = [sums, outputs].map(|path| fs::read(path).unwrap());
        Written { analysis: found.analysis, moments, plan, repair, curves }
    })
}

/// A document of this program: what reads it checks what its numbers say of each other.
fn document<D: Document>(target: &str, text: impl Fn() -> String + 'static) -> Vec<Named> {
    let make = move || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("document.json");
        Target::at(folder, "document.json", vec![text().into_bytes()], move || D::read(&path).map(drop))
    };
    vec![Named::new(target, make)]
}

pub(crate) fn analyses() -> Vec<Named> {
    document::<Analysis>("analysis", || written().analysis.to_json().unwrap())
}

pub(crate) fn workspaces() -> Vec<Named> {
    document::<Workspace>("workspace", || {
        let analysis = Some(written().analysis.clone().into());
        Workspace { analysis, ..Workspace::default() }.to_json().unwrap()
    })
}

/// What reads also serves: a plan is applied to the shape of the model it is for.
pub(crate) fn plans() -> Vec<Named> {
    let make = || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        let mask = serde_json::to_string(&written().plan.kept).unwrap();
        let seeds = vec![written().plan.to_json().unwrap().into_bytes(), mask.into_bytes()];
        let model = Model::open(fixtures().join("llama")).unwrap();
        Target::at(folder, "plan.json", seeds, move || {
            let plan = Plan::read_any(&path)?;
            snap(model.spec(), &plan).map(drop)
        })
    };
    vec![Named::new("plan", make)]
}

pub(crate) fn moments_and_repairs() -> Vec<Named> {
    type Read = fn(&Path) -> pillars::Result<()>;
    let of = |name: &str, bytes: fn(&Written) -> &Vec<u8>, read: Read| {
        Named::new(name, move || {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.safetensors");
            Target::at(folder, "a.safetensors", vec![bytes(written()).clone()], move || read(&path))
        })
    };
    vec![
        of("moments", |written| &written.moments, |path| Moments::read(path).map(drop)),
        of("repair", |written| &written.repair, |path| Repair::read(path).map(drop)),
    ]
}

/// What reads also gives its pictures, or says why not.
pub(crate) fn curves() -> Vec<Named> {
    let make = || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("curves.json");
        let seed = written().curves.to_json().unwrap().into_bytes();
        Target::at(folder, "curves.json", vec![seed], move || {
            let curves = Curves::read(&path)?;
            for view in CurveView::ALL {
                let _ = view.picture(&curves);
            }
            Ok(())
        })
    };
    vec![Named::new("curves", make)]
}
