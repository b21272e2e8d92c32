//! Comparing what is open with another analysis, or with another model.

use std::path::PathBuf;
use std::sync::Arc;

use crate::analysis::{Analysis, Document};
use crate::chart::SideBySide;
use crate::checkpoint::is_gguf;
use crate::error::Error;
use crate::gui::app::App;
use crate::gui::jobs::{JobKind, JobOutcome};
use crate::gui::view::View;
use crate::run::Opened;

/// What two sides are called, the folders or files that they lie in.
fn names(first: &std::path::Path, second: &std::path::Path) -> [String; 2] {
    let name = |path: &std::path::Path| {
        path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned())
    };
    let [a, b] = [name(first), name(second)];
    if a == b { [first.display().to_string(), second.display().to_string()] } else { [a, b] }
}

impl App {
    /// Sets what lies at `path` beside what is open: an analysis beside the results, a model folder beside the model, both
    /// reading the input of the left panel.
    pub(super) fn compare_with(&mut self, path: PathBuf) {
        let title = format!("Compare with {}", path.display());
        if path.is_dir() || is_gguf(&path) {
            let (Some(Ok(run)), Some(model)) = (&self.state.checked, &self.state.model) else {
                return self.state.messages.fail(
                    "Compare",
                    &Error::usage("two models are compared on an input that both read").hint("choose an input first"),
                );
            };
            let (run, folder) = (run.clone(), model.facts.folder.clone());
            self.state.jobs.start(JobKind::Compare, title, move |ticket| {
                let other = Opened::open(&path, ticket)?;
                let twins = run.compare_models(&other, ticket)?;
                Ok(JobOutcome::SideBySide(Box::new(twins.side_by_side(names(&folder, &path)))))
            });
            return;
        }
        let Some(results) = &self.state.results else {
            return self.state.messages.fail(
                "Compare",
                &Error::usage("there are no results to compare an analysis with").hint("run the model first"),
            );
        };
        let (analysis, feature) = (Arc::clone(&results.analysis), self.state.feature());
        self.state.jobs.start(JobKind::Compare, title, move |_| {
            let other = Analysis::read(&path)?;
            let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            let names = ["these results".to_owned(), name];
            Ok(JobOutcome::SideBySide(Box::new(SideBySide::of_analyses([&analysis, &other], names, feature)?)))
        });
    }

    /// Shows what was compared in place of the overview.
    pub(super) fn adopt_comparison(&mut self, found: SideBySide) {
        self.state.comparisons += 1;
        self.state.beside = Some(Arc::new(found));
        self.layout.show(View::Overview);
    }
}
