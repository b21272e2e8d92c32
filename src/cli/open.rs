//! From arguments to settings, and to a model that they fit.

use std::path::{Path, PathBuf};

use super::args::{CommonArgs, InputArgs};
use super::console::Console;
use crate::corpus::{DataColumns, Input};
use crate::error::{Error, Result};
use crate::model::MemoryLimit;
use crate::plan::Plan;
use crate::repair::{Repair, RepairSource};
use crate::run::{Checked, Opened, OwnRepair, Spec, refusal};
use crate::task::Ticket;

impl CommonArgs {
    /// What these arguments ask for; what they do not name has its default.
    pub(super) fn spec(&self, input: &InputArgs, memory: Option<MemoryLimit>) -> Spec {
        Spec {
            input: input.chosen(),
            seq_len: self.seq_len.map(|n| n as usize),
            batch_size: self.batch_size.map(|n| n as usize),
            batches: self.batches,
            pack: self.pack,
            preset: self.preset,
            seed: self.seed,
            device: self.device,
            precision: self.dtype,
            memory,
            ..Spec::default()
        }
    }
}

/// Opens the model in `folder` and checks what is asked of it.
pub(super) fn open(folder: &Path, spec: &Spec) -> Result<Checked> {
    if spec.input.is_none() {
        let error = Error::usage("no input is given");
        return Err(error.hint("give --text, --tokens, --inputs, --images, --audio, --pairs or --data"));
    }
    spec.check(&Opened::open(folder, &Ticket::default())?).map_err(refusal)
}

/// Says where the model computes, where that is not the device one would expect.
pub(super) fn warn_of_fallback(checked: &Checked, console: &Console) {
    if let Some(note) = checked.opened().loaded.placed().and_then(|placed| placed.fallback) {
        console.warn(&note);
    }
}

/// Reads a plan or mask, checks it against the model, and says how many layers it leaves unnamed.
pub(super) fn read_plan(path: &Path, checked: &Checked, console: &Console) -> Result<Plan> {
    let plan = Plan::read_any(path)?;
    let spec = checked.opened().model.spec();
    plan.validate(spec).map_err(|e| e.at(path))?;
    if let Some(words) = plan.unnamed_words(spec) {
        console.warn(&format!("{}: {words}", path.display()));
    }
    Ok(plan)
}

/// Reads or makes the repair that was named, else reads the one beside the plan, and says so.
pub(super) fn obtain_repair(
    named: Option<&RepairSource>,
    (path, plan): (&Path, &Plan),
    checked: &Checked,
    console: &Console,
) -> Result<Option<Repair>> {
    let Some(source) = named else {
        let Some(own) = OwnRepair::of(path, plan)? else { return Ok(None) };
        let file = own.found()?;
        console.warn(&format!(
            "a repair lies beside the plan ({}), which is used; --repair none leaves it out",
            file.display()
        ));
        let source = RepairSource::File(file.to_path_buf());
        let found = checked.repair_from(&source, plan, &Ticket::default());
        return found.map_err(|error| error.hint("--repair none leaves it out"));
    };
    if source.path().is_some() {
        return checked.repair_from(source, plan, &Ticket::default());
    }
    let repair = console.watch(|ticket| checked.repair_from(source, plan, ticket))?;
    if repair.is_none() && matches!(source, RepairSource::Made(mode) if mode.repairs()) {
        console.warn("every head stays, so there is nothing to repair");
    }
    console.warn_all(repair.as_ref().map_or(&[], |made| &made.record.notes));
    Ok(repair)
}

impl InputArgs {
    /// Whether any input was named.
    pub(super) fn is_given(&self) -> bool {
        self.chosen().is_some()
    }

    /// The file or folder that was named.
    pub(super) fn path(&self) -> Option<&Path> {
        let Self { text, tokens, inputs, images, audio, language: _, pairs, data, target_language: _, columns: _ } =
            self;
        [text, tokens, inputs, images, audio, pairs, data].into_iter().flatten().map(PathBuf::as_path).next()
    }

    /// The one input that was named.
    pub(super) fn chosen(&self) -> Option<Input> {
        let Self { text, tokens, inputs, images, audio, language, pairs, data, target_language, columns } =
            self.clone();
        let columns = DataColumns { text: columns.text_column, pair: columns.pair_column, label: columns.label_column };
        let pairs = pairs.map(|path| Input::Pairs { path, columns: None, language: target_language });
        text.map(Input::Text)
            .or(tokens.map(Input::Tokens))
            .or(inputs.map(Input::Inputs))
            .or(images.map(Input::Images))
            .or(audio.map(|path| Input::Audio { path, language }))
            .or(pairs)
            .or(data.map(|path| Input::Data { path, columns }))
    }
}
