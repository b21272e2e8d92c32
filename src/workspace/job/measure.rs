//! Quality of a plan beside the whole model and a random control.

use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256Plus;
use rand_xoshiro::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use super::LoadedNetwork;
use crate::analysis::Analysis;
use crate::corpus::{Corpus, Purpose};
use crate::error::Result;
use crate::evaluation::curve::{Curves, Subject, Wanted, curves};
use crate::evaluation::{COMPARED_COPIES, Candidate, Comparison, Quality, SCORED_COPIES, compare, evaluate};
use crate::model::{Model, Needs};
use crate::network::{Gates, Kept};
use crate::plan::{Amount, Method, Plan, Ranking};
use crate::task::Ticket;
use crate::workspace::CheckedRun;

/// What one plan does to quality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Name of the plan.
    pub name: String,
    /// What it was measured on, for a person; see [`RunSettings::reading`](crate::workspace::RunSettings::reading).
    #[serde(default)]
    pub of: String,
    /// The heads that stayed.
    pub kept: Kept,
    /// The whole model beside the masked one, on the same batches.
    pub comparison: Comparison,
    /// As many heads in every layer, drawn at random.
    pub random: Quality,
}

/// Masks the heads that `plan` removes and measures, beside the whole model and as many random heads per layer.
pub fn measure(
    model: &Model,
    loaded: &LoadedNetwork,
    run: &CheckedRun,
    name: &str,
    plan: &Plan,
    ticket: &Ticket,
) -> Result<Measured> {
    let corpus = scoring(model, run, ticket)?;
    let needs = Needs { copies: COMPARED_COPIES, ..Needs::ONE };
    let network = loaded.get(model, run, run.room(model, &corpus, needs), ticket)?;
    let total = corpus.total().map(|t| t.value());
    let gates = |kept: &Kept| Gates::keep(network.spec(), kept, network.dtype(), network.device());
    let open = Gates::open();
    let masked = gates(&plan.kept)?;
    let before = Candidate { network: &network, gates: &open };
    let after = Candidate { network: &network, gates: &masked };
    let comparison = compare(before, after, corpus.batches(network.device()), total, ticket)?;
    let control = gates(&random_like(model, plan, run.corpus.seed))?;
    let random = evaluate(&network, &control, corpus.batches(network.device()), total, ticket)?;
    Ok(Measured { name: name.to_owned(), of: String::new(), kept: plan.kept.clone(), comparison, random })
}

/// Draws of the random control.
const DRAWS: u64 = 3;

/// Measures `methods` and random draws at each of `ratios` (shares of heads that stay). Points of `before` are not
/// measured again; `keep` sees what is there after every point.
#[expect(clippy::too_many_arguments, reason = "what a person opened, what they want, and what they have")]
pub fn measure_curves(
    model: &Model,
    loaded: &LoadedNetwork,
    run: &CheckedRun,
    analysis: &Analysis,
    methods: &[Method],
    ratios: &[f64],
    before: Option<&Curves>,
    keep: &mut dyn FnMut(&Curves) -> Result<()>,
    ticket: &Ticket,
) -> Result<Curves> {
    let corpus = scoring(model, run, ticket)?;
    let needs = Needs { copies: SCORED_COPIES, ..Needs::ONE };
    let network = loaded.get(model, run, run.room(model, &corpus, needs), ticket)?;
    let subject = Subject { network: &network, weights: None, analysis, corpus: &corpus };
    let wanted = Wanted {
        anew: true,
        rankings: methods.iter().copied().chain([Method::Random]).map(Ranking::from).collect(),
        amounts: ratios.iter().map(|r| Amount::Ratio(*r)).collect(),
        draws: DRAWS,
        seed: run.corpus.seed,
        length: run.corpus.seq_len.unwrap_or(LENGTH),
    };
    curves(&subject, &wanted, before, keep, ticket)
}

/// Tokens for which FLOPs are counted where the run does not cut its text.
const LENGTH: usize = 128;

/// The run's input with labels to score.
fn scoring(model: &Model, run: &CheckedRun, ticket: &Ticket) -> Result<Corpus> {
    ticket.stage("read the input", None, "lines");
    let mut settings = run.corpus.clone();
    settings.purpose = Purpose::Score;
    settings.part = run.measured();
    Corpus::open(&run.input, model.checkpoint().folder(), &run.intake, &settings, ticket)
}

/// As many heads as `plan` keeps in every layer, drawn at random; layers that share weights get the same.
fn random_like(model: &Model, plan: &Plan, seed: u64) -> Kept {
    let mut rng = Xoshiro256Plus::seed_from_u64(seed);
    let mut kept = Kept::all();
    for class in crate::plan::Shape::from(model.spec()).shared() {
        let Some(first) = class.first() else { continue };
        let count = plan.kept_at(first.site, first.heads).len();
        let mut heads: Vec<usize> = (0..first.heads).collect();
        heads.shuffle(&mut rng);
        heads.truncate(count);
        for site in &class {
            kept.set(site.site, heads.iter().copied());
        }
    }
    kept
}
