//! Writing a pruned checkpoint with its proof.

use std::path::Path;

use crate::corpus::Corpus;
use crate::error::Result;
use crate::model::Model;
use crate::plan::Plan;
use crate::pruning::{self, ExportOptions, Format, Report};
use crate::task::Ticket;
use crate::workspace::CheckedRun;

/// What is written where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportRequest {
    /// The folder to write.
    pub out: std::path::PathBuf,
    /// How removed heads are written.
    pub format: Format,
    /// Replace a folder that this program wrote.
    pub force: bool,
}

/// Writes `model` without the heads that `plan` removes, reopens it and compares it with the masked model: on the run's
/// own input where there is one, else on random input.
pub fn export(
    model: &Model,
    plan: &Plan,
    request: &ExportRequest,
    run: Option<&CheckedRun>,
    ticket: &Ticket,
) -> Result<Report> {
    let options = ExportOptions { force: request.force, ..ExportOptions::default() };
    let out: &Path = &request.out;
    match run {
        Some(run) => {
            let corpus = Corpus::open(&run.input, model.checkpoint().folder(), &run.intake, &run.corpus, ticket)?;
            let mut batches = corpus.batches(&options.device);
            pruning::export(model, plan, request.format, out, &options, Some(&mut batches), ticket)
        }
        None => pruning::export(model, plan, request.format, out, &options, None, ticket),
    }
}
