//! Runs, measurements and exports, and what workers bring.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use super::repair::RepairOrder;
use crate::analysis::{Analysis, Points};
use crate::chart::Unit;
use crate::evaluation::curve::Curves;
use crate::evaluation::{Measured, Quality};
use crate::gui::app::{App, Waiting};
use crate::gui::findings::{Results, is_of_same};
use crate::gui::jobs::{Ended, JobKind, JobOutcome, MOST_PATTERNS};
use crate::gui::repairing::FoundMoments;
use crate::gui::state::Overlay;
use crate::gui::wording::compared_with;
use crate::repair::RepairMode;
use crate::run::{Analyzed, CurveSpec, MeasuredRepair, PruneSpec, attention, refusal};
use crate::words::{counted, noun, printed};
use crate::workspace::Outlook;

/// What a run is called among the steps that undo takes back.
const RUN: &str = "run";
/// Rows that are shown before anything is computed.
const FIRST_ROWS: usize = 20;

impl App {
    /// Checks the settings of the next run against the model.
    pub(super) fn check_run(&mut self) {
        self.state.checked = self.state.model.as_ref().map(|m| self.state.run.check(m));
        self.state.messages.begin();
        self.state.compare_settings();
        // Patterns are of the run's input, which may be another now.
        self.state.patterns = None;
        self.state.pattern_fault = None;
        self.asked_patterns = None;
        self.look_at_rows();
    }

    /// Reads the first rows of an input that is another than before, or is read by other columns.
    fn look_at_rows(&mut self) {
        let (Some(opened), Some(input)) = (self.state.model.clone(), self.state.run.input.clone()) else {
            self.state.rows = None;
            return;
        };
        if self.state.rows.as_ref().is_some_and(|(known, _)| *known == input) {
            return;
        }
        let spec = self.state.run.clone();
        self.state.jobs.start(JobKind::Rows, "Look at the first rows", move |ticket| {
            let rows = spec.preview(&opened, FIRST_ROWS, ticket);
            Ok(JobOutcome::Previewed(input, rows))
        });
    }

    /// Reads the input, groups the heads of every layer, lets them vote.
    pub(super) fn run(&mut self) {
        let Some(Ok(run)) = self.state.checked.clone() else { return };
        self.state.run_began = Some(std::time::Instant::now());
        self.state.messages.begin();
        let estimate = self.state.estimate.as_ref().filter(|(spec, _)| spec == run.spec()).map(|(_, found)| *found);
        self.state.jobs.start(JobKind::Analyze, "Run", move |ticket| {
            let run = estimate.iter().fold(run, |run, estimate| run.estimated(estimate));
            let orders = if run.spec().moments { 0.04 } else { 0.0 };
            let [of_run, of_order] = ticket.parts([1.0, orders]);
            let Analyzed { analysis, moments, timings } = run.analyze(&of_run)?;
            let moments = moments.map(|moments| FoundMoments::new(Arc::new(moments)));
            if let Some(moments) = &moments {
                of_order.stage("order heads by reconstruction", None, "layers");
                moments.reconstruction()?;
            }
            Ok(JobOutcome::Analyzed(Arc::new(analysis), moments, timings.forward.as_secs_f64()))
        });
    }

    /// Measures a few batches of the run, to tell how long all of it takes.
    pub(super) fn estimate(&mut self) {
        let Some(Ok(run)) = self.state.checked.clone() else { return };
        self.state.jobs.start(JobKind::Estimate, "Estimate the run", move |ticket| {
            let found = run.estimate(ticket)?;
            Ok(JobOutcome::Estimated(Box::new(run.spec().clone()), found))
        });
    }

    /// Measures the quality of one plan.
    pub(super) fn measure(&mut self, index: usize) {
        let (Some(run), Some(model)) = (self.state.measuring_run(), &self.state.model) else { return };
        let Some(named) = self.state.draft.now().plans().get(index) else { return };
        let name = named.title();
        // Of a large model a worker may still count what the plan saves.
        let known = self.state.compared.get(index).filter(|compared| compared.plan == *named);
        let outlook = known.map_or_else(
            || Outlook::of(&model.model, &named.plan(&model.facts.shape), self.state.run.cost_length()),
            |compared| compared.outlook.clone(),
        );
        let plan = match outlook {
            Ok(outlook) => outlook.legal,
            Err(error) => return self.state.messages.fail(&format!("Measure {name}"), &error),
        };
        let order = RepairOrder::of(&self.state, &plan);
        let shares = self.state.measure_work(&plan).passes();
        // Beside a repair the masked model is measured too, once.
        let masked = self.state.measured_as(&plan, false).filter(|_| order.is_some()).cloned();
        self.state.jobs.start(JobKind::Measure, format!("Measure {name}"), move |ticket| {
            let [of_masked, of_repair, of_repaired] = ticket.parts(shares);
            let is_masked_known = masked.is_some();
            let mut masked = match masked {
                Some(masked) => masked,
                None => run.compare(&name, &plan, None, &of_masked)?,
            };
            let made = match order.as_ref().map(|order| order.carry_out(&plan, &of_repair)).transpose() {
                // What is known of the masked plan is not lost with its repair.
                Err(error) if !error.is_cancelled() => {
                    masked.unrepaired = Some(error.to_string());
                    None
                }
                made => made?,
            };
            let mut measured = Vec::new();
            if !is_masked_known || masked.unrepaired.is_some() {
                measured.push(masked);
            }
            if let Some(made) = &made {
                let moments = order.as_ref().and_then(RepairOrder::moments);
                let repair = MeasuredRepair { plan: &made.repair, moments };
                measured.push(run.compare(&name, &plan, Some(repair), &of_repaired)?);
            }
            Ok(JobOutcome::Measured(measured, made.map(Box::new)))
        });
    }

    /// Measures quality against the share of heads kept.
    pub(super) fn measure_curves(&mut self) {
        let (Some(run), Some(results)) = (self.state.measuring_run(), &self.state.results) else { return };
        let analysis = Arc::clone(&results.analysis);
        let moments = results.moments.as_ref().map(|found| Arc::clone(&found.moments));
        let with_repair = self.state.repairing.is_on() && moments.is_some();
        let repairs = if with_repair { vec![RepairMode::None, RepairMode::Refit] } else { vec![RepairMode::None] };
        let before = self.state.curves.clone();
        let points = Arc::clone(&self.points);
        self.state.jobs.start(JobKind::Curves, "Measure the quality curve", move |ticket| {
            let mut so_far = None;
            let mut keep = |found: &Curves| {
                so_far = Some(found.clone());
                *points.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(found.clone()));
                Ok(())
            };
            let before = before.as_deref();
            let wanted = CurveSpec { anew: true, repairs, ..CurveSpec::default() };
            let found = run.curve(&analysis, moments.as_deref(), &wanted, before, &mut keep, ticket);
            let (curves, is_whole) = match (found, so_far) {
                (Ok(curves), _) => (curves, true),
                // What was measured before a stop is kept, and need not be measured again.
                (Err(error), Some(curves)) if error.is_cancelled() => (curves, false),
                (Err(error), _) => return Err(error),
            };
            Ok(JobOutcome::Curves(Box::new(curves), is_whole))
        });
    }

    /// Takes over the points that a curve under way has by now, so that they are shown and kept.
    pub(in super::super) fn take_points(&mut self) {
        let points = self.points.lock().unwrap_or_else(PoisonError::into_inner).take();
        let is_under_way = self.state.jobs.get(JobKind::Curves).is_some();
        if let Some(points) = points.filter(|points| is_under_way && !points.points.is_empty()) {
            self.state.curves = Some(points);
            self.state.measured_revision += 1;
        }
    }

    /// Writes the pruned checkpoint into `out`.
    pub(super) fn export(&mut self, out: PathBuf) {
        let (Some(opened), Some(plan)) = (&self.state.model, self.state.legal_plan().cloned()) else { return };
        let run = match self.state.measuring.check_without_input(opened) {
            Ok(run) => run,
            Err(faults) => return self.state.messages.fail("Export", &refusal(faults)),
        };
        let wanted = PruneSpec {
            out: out.clone(),
            format: self.state.export.format,
            quantization: self.state.export.quantization_of(self.state.export.format),
            force: self.state.export.force,
            ..PruneSpec::default()
        };
        let order = RepairOrder::of(&self.state, &plan);
        let is_made = order.as_ref().is_some_and(|order| !order.is_known());
        // Beside another repair, random heads are other ones.
        let measured = self.state.measured_as(&plan, order.is_some()).filter(|_| !is_made).cloned();
        if is_made {
            self.state.messages.info("Export: there is no repair of these heads yet, so it is made first");
        }
        self.state.export.done = None;
        self.state.export.failure = None;
        let title = format!("Export {} to {}", opened.facts.name, out.display());
        self.state.jobs.start(JobKind::Export, title, move |ticket| {
            // Before a repair, which takes long.
            run.check_export(&plan, order.is_some(), &[wanted.format], &wanted)?;
            let repairs = order.as_ref().map_or(0.0, |order| if order.is_known() { 0.0 } else { 1.0 });
            let [of_repair, rest] = ticket.parts([repairs, 1.0]);
            let made = order.map(|order| order.carry_out(&plan, &of_repair.named("repair first"))).transpose()?;
            let written = (&plan, made.as_ref().map(|made| &*made.repair));
            let report = run.prune_measured(written, measured.as_ref(), &wanted, &rest)?;
            Ok(JobOutcome::Exported(wanted.out, Box::new(report), made.map(Box::new)))
        });
    }

    /// Starts what the views in front need and do not have: attention patterns, another grouping.
    pub(in super::super) fn fetch(&mut self) {
        self.fetch_grouping();
        self.fetch_patterns();
    }

    fn fetch_grouping(&mut self) {
        let state = &mut self.state;
        let (Some(groups), Some(site), Some(map)) = (state.what_if, state.site(), state.feature()) else {
            state.regrouped = None;
            return;
        };
        let Some(results) = &state.results else { return };
        let key = (results.revision, site, map, groups);
        let is_there = state.regrouped.as_ref().is_some_and(|(held, _)| *held == key);
        if is_there || self.asked_grouping == Some(key) {
            return;
        }
        self.asked_grouping = Some(key);
        let analysis = Arc::clone(&results.analysis);
        state.jobs.start(JobKind::Regroup, "Group heads", move |_| {
            let missing = || crate::Error::new("the layer was not analyzed");
            let feature = analysis.site(site).and_then(|s| s.features.get(&map)).ok_or_else(missing)?;
            let settings = &analysis.settings;
            let points = Points::new(&feature.gram, settings.metric).by(settings.clustering);
            let grouping = points.group_thoroughly(groups, settings.seed)?;
            Ok(JobOutcome::Regrouped(key, grouping))
        });
    }

    fn fetch_patterns(&mut self) {
        let state = &mut self.state;
        if !self.layout.is_visible(crate::gui::view::View::Attention) {
            return;
        }
        let Some(Ok(run)) = &state.checked else { return };
        let heads: Vec<_> = state.attention_heads().take(MOST_PATTERNS).collect();
        if heads.is_empty() {
            return;
        }
        let key = (state.shown.clone(), heads);
        let is_there = state.patterns.as_ref().is_some_and(|(held, _)| *held == key);
        if is_there || self.asked_patterns.as_ref() == Some(&key) {
            return;
        }
        self.asked_patterns = Some(key.clone());
        let run = run.clone();
        state.jobs.start(JobKind::Attention, "Attention patterns", move |ticket| {
            let found = attention(&run, &key.0, &key.1, ticket)?;
            Ok(JobOutcome::Patterns(key, Box::new(found)))
        });
    }

    /// Takes in what a worker brought.
    pub(in super::super) fn finish(&mut self, ended: Ended) {
        let Ended { kind, title, is_here, result } = ended;
        self.settle_typed(kind, result.as_ref().err());
        match result {
            Ok(outcome) => self.take_in(outcome),
            Err(error) => {
                match kind {
                    JobKind::Open => self.open_failed(&error),
                    JobKind::Export if is_here && !error.is_cancelled() => self.state.export.fail(error.clone()),
                    JobKind::Propose | JobKind::Cost if error.is_cancelled() => return,
                    JobKind::Train if !error.is_cancelled() => self.state.training.failure = Some(error.clone()),
                    JobKind::Attention => {
                        if !error.is_cancelled() {
                            // Those of another input are not shown for it.
                            self.state.patterns = None;
                            self.state.pattern_fault = Some(error);
                        }
                        return;
                    }
                    _ => {}
                }
                self.state.messages.fail(&title, &error);
            }
        }
        if kind == JobKind::Open {
            self.state.opening = None;
        }
        if kind == JobKind::Train {
            self.training_ended();
        }
    }

    fn take_in(&mut self, outcome: JobOutcome) {
        match outcome {
            JobOutcome::Opened(place, warnings) => self.ask_before(Waiting::Open(Box::new(place), warnings)),
            JobOutcome::Analyzed(analysis, moments, pass_secs) => {
                let text = format!(
                    "Run finished: {} {} in {}",
                    Unit::Count.format(analysis.tokens as f64),
                    noun(analysis.tokens, analysis.unit().noun()),
                    counted(analysis.batches, "batches")
                );
                self.state.messages.result(text, &analysis.notes);
                // What was foretold is known now.
                self.state.estimate = None;
                self.state.last_run_secs = self.state.run_began.take().map(|began| began.elapsed().as_secs_f64());
                self.state.last_pass_secs = Some(pass_secs);
                self.adopt_analysis(RUN, analysis, moments);
            }
            JobOutcome::Previewed(input, rows) => self.state.rows = Some((input, rows)),
            JobOutcome::Estimated(spec, found) => self.state.estimate = Some((*spec, found)),
            JobOutcome::Measured(measured, made) => {
                if let Some(made) = made {
                    self.adopt_repair(*made);
                }
                measured.into_iter().for_each(|measured| self.adopt_measured(measured));
            }
            JobOutcome::Repaired(made) => self.adopt_repair(*made),
            JobOutcome::Proposed(revision, found) => self.adopt_proposed(revision, found),
            JobOutcome::BatchChoices(revision, proposal, found) => self.adopt_choices(revision, &proposal, &found),
            JobOutcome::Compared(revision, compared) => self.adopt_compared(revision, compared),
            JobOutcome::SideBySide(found) => self.adopt_comparison(*found),
            JobOutcome::FoundPlan(plan, repair) => self.adopt_found(*plan, repair.map(|repair| *repair)),
            JobOutcome::Curves(curves, is_whole) => {
                let text = match is_whole {
                    true => "Quality curve measured",
                    false => "Stopped: measure the curve again to go on from there",
                };
                self.state.messages.result(text, &curves.notes);
                self.state.curves = Some(Arc::from(curves));
                self.state.measured_revision += 1;
            }
            JobOutcome::Exported(path, report, made) => {
                // Another model may have been opened since.
                let is_here = self.state.model.as_ref().is_some_and(|m| m.facts.fingerprint == report.fingerprint);
                if let Some(made) = made.filter(|_| is_here) {
                    self.adopt_repair(*made);
                }
                let proof = Unit::Plain.format(report.agreement.relative);
                let model = compared_with(report.agreement.reference);
                let text = format!(
                    "Exported to {}: reopened, and equal to the {model} within {proof} of the largest value",
                    path.display()
                );
                self.state.messages.result(text, report.measured.iter().flat_map(|m| &m.notes));
                match is_here {
                    true => {
                        self.state.export.done = Some((path, *report));
                        self.state.export.outcomes += 1;
                    }
                    false => {
                        let past = self.past.entry(report.fingerprint.clone()).or_default();
                        past.exported = Some((path, *report));
                    }
                }
            }
            JobOutcome::Trained(path, summary) => self.trained(&path, *summary),
            JobOutcome::Patterns(key, patterns) => {
                self.state.pattern_fault = None;
                self.state.patterns = Some((key, Arc::from(patterns)));
            }
            JobOutcome::Regrouped(key, grouping) => self.state.regrouped = Some((key, grouping)),
            JobOutcome::Downloaded(name) => {
                self.state.messages.info(format!("Downloaded {name}: open it by this name"));
                if self.state.overlay == Some(Overlay::Cached) {
                    self.look_into_cache();
                }
            }
            JobOutcome::Cached(models) => self.state.cached = Some(models),
            JobOutcome::Devices(devices) => self.state.devices = devices,
            JobOutcome::Chosen(purpose, Some(path), _) => self.use_path(purpose, &path),
            JobOutcome::Chosen(purpose, None, unseen) => self.dialog_closed(purpose, unseen),
            JobOutcome::Written(path) => self.state.messages.info(format!("Written {}", path.display())),
            JobOutcome::Saved(path, work) => {
                self.state.messages.info(format!("Written {}", path.display()));
                self.state.settings.remember(&path);
                self.state.file = Some(path);
                self.autosave.in_file = work.map(|work| *work);
            }
            JobOutcome::Autosaved(other) => self.note_other_window(other),
            JobOutcome::Tidied(gone) if gone.is_empty() => {}
            JobOutcome::Tidied(gone) => {
                self.state
                    .messages
                    .info(format!("Removed {} that were not used for a year", counted(gone.len(), "autosaves")));
            }
        }
    }

    /// Shows another result; proposals are made anew from it. The earlier one comes back by undo, under `name`.
    pub(super) fn adopt_analysis(&mut self, name: &str, analysis: Arc<Analysis>, moments: Option<FoundMoments>) {
        let revision = self.next_revision();
        let earlier = self.state.findings();
        let before = self.state.draft.now().clone();
        self.state.results = Some(Results { analysis, moments, revision });
        self.state.repairing.begin_run();
        self.state.compare_settings();
        self.state.regrouped = None;
        self.state.what_if = None;
        self.propose_again();
        if let Some(earlier) = earlier {
            self.state.draft.note(name, before, earlier);
        }
        self.propose_first();
    }

    /// Keeps what was measured, and tells it with its notes.
    fn adopt_measured(&mut self, measured: Measured) {
        let (before, after) = (&measured.comparison.before, &measured.comparison.after);
        let text = match (before.perplexity, after.perplexity) {
            _ if before.task_metric().is_some() => {
                let told = |q: &Quality| {
                    q.task_metric().map_or_else(String::new, |(_, metric)| printed(format!("{:.4}", metric.value)))
                };
                let name = before.task_metric().map_or("", |(name, _)| name);
                format!("{name} {} to {}", told(before), told(after))
            }
            (Some(before), Some(after)) => {
                format!("perplexity {} to {}", Unit::Plain.format(before), Unit::Plain.format(after))
            }
            _ => format!(
                "embeddings keep a cosine of {}",
                Unit::Plain.format(measured.comparison.similarity.mean_cosine)
            ),
        };
        let repaired = measured.repair_words();
        let unrepaired = measured.unrepaired.iter().map(|why| format!("the plan was measured without repair: {why}"));
        let notes = measured.notes.iter().cloned().chain(unrepaired);
        self.state.messages.result(format!("Measured {}{repaired}: {text}", measured.name), notes);
        self.state.measured.retain(|m| !is_of_same(m, &measured));
        self.state.measured.push(measured);
        self.state.measured_revision += 1;
    }
}
