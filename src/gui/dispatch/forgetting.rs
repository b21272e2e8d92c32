//! What goes with a model when another takes its place.

use crate::gui::app::App;
use crate::gui::jobs::{JobKind, Jobs};
use crate::gui::past::ShownTraining;
use crate::gui::state::{Export, State};
use crate::repair::RepairMode;
use crate::run::Spec;
use crate::workspace::{Draft, History, ProgramSettings};

impl App {
    /// Forgets everything that belongs to one model, and drops the work on it that is under way. Where the same model comes
    /// back `anew`, what it is asked to do next stays.
    pub(super) fn forget_model(&mut self, is_anew: bool) {
        self.flush();
        self.drop_work();
        if let Some(model) = &self.state.model {
            let draft = std::mem::replace(&mut self.state.draft, History::new(Draft::default()));
            self.closed.hold(&model.facts.fingerprint, draft);
        }
        self.put_by();
        self.forget_findings();
        if !is_anew {
            self.forget_wishes();
        }
        self.asked_patterns = None;
        self.asked_grouping = None;
        self.layout.forget_model();
    }

    /// Stops the work on the model that is open, and says so.
    pub(super) fn drop_work(&mut self) {
        for title in self.state.jobs.abandon_model() {
            self.state.messages.info(format!("{title}: cancelled, because its model was closed"));
        }
    }

    /// Forgets what was found out about a model, chosen in it and made of it. Every field of the state is named, so that a new
    /// one has to be put on one side or the other.
    fn forget_findings(&mut self) {
        let state = &mut self.state;
        let first = State::new(state.store.clone(), ProgramSettings::default(), Jobs::new(|| {}));
        let State {
            // Of the program, and of this machine.
            store: _,
            settings: _,
            opening: _,
            open_failure: _,
            devices: _,
            jobs: _,
            messages: _,
            cache: _,
            cached: _,
            overlay: _,
            refused: _,
            comparisons: _,
            // The model itself goes with whoever closes it or takes another.
            model: _,
            // What it is asked to do next: see `forget_wishes`.
            run: _,
            quality_share: _,
            quality_measure: _,
            repairing: _,
            export,
            training,
            // What is worked out anew from the rest.
            measured_revision,
            plan_revision,
            measuring: _,
            lost,
            file,
            notes,
            has_looked,
            has_seen_plan,
            placed,
            rows,
            checked,
            estimate,
            run_began,
            last_run_secs,
            last_pass_secs,
            results,
            differences,
            draft,
            outlook,
            compared,
            proposal_fault,
            measured,
            curves,
            beside,
            shown,
            patterns,
            pattern_fault,
            regrouped,
            what_if,
            selection,
        } = state;
        (*lost, *file, *notes, *placed) = (first.lost, first.file, first.notes, first.placed);
        (*has_looked, *has_seen_plan) = (first.has_looked, first.has_seen_plan);
        (*rows, *checked, *estimate, *run_began) = (first.rows, first.checked, first.estimate, first.run_began);
        (*last_run_secs, *last_pass_secs) = (first.last_run_secs, first.last_pass_secs);
        (*results, *differences) = (first.results, first.differences);
        (*draft, *outlook, *compared) = (first.draft, first.outlook, first.compared);
        (*proposal_fault, *measured, *curves) = (first.proposal_fault, first.measured, first.curves);
        (*beside, *shown, *patterns) = (first.beside, first.shown, first.patterns);
        (*pattern_fault, *regrouped) = (first.pattern_fault, first.regrouped);
        (*what_if, *selection) = (first.what_if, first.selection);
        (export.done, export.failure, export.outcomes) = (None, None, 0);
        // A run goes on; what one came to belongs to its model.
        if state.jobs.get(JobKind::Train).is_none() {
            (training.run, training.failure) = (ShownTraining::default(), None);
        }
        (training.run.folder, training.before) = (None, None);
        *measured_revision += 1;
        *plan_revision += 1;
    }

    /// Forgets what a model is asked to do: its input, how it is exported, repaired and trained, what a plan may cost by which
    /// of its measures, with how much memory. Where it computes is a matter of this machine.
    fn forget_wishes(&mut self) {
        let state = &mut self.state;
        state.run = Spec { device: state.run.device, ..Spec::default() };
        state.repairing.begin(RepairMode::None);
        state.export = Export::default();
        (state.training.settings, state.training.from_scratch, state.training.resume) = Default::default();
        (state.quality_share, state.quality_measure) = (None, None);
    }
}
