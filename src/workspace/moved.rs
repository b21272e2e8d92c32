//! An input that was moved together with its workspace or its model.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Workspace;
use crate::corpus::{Input, Reading, fingerprint_of};
use crate::error::Result;
use crate::task::Ticket;

impl Workspace {
    /// Looks for an input that is not where it was: beside the file of the workspace, beside the model and in it, whose folder
    /// was `before`. Results that were computed on the same bytes are from then on those of the input that was found.
    ///
    /// # Errors
    /// Where the work is cancelled.
    pub(super) fn follow_input(&mut self, before: &Path, ticket: &Ticket) -> Result<()> {
        let Some(input) = self.run.input.clone().filter(|input| !input.is_standard_input()) else { return Ok(()) };
        if input.path().exists() {
            return Ok(());
        }
        let Some(place) = self.places(input.path(), before).into_iter().find(|place| place.exists()) else {
            return Ok(());
        };
        let found = input.at(place.clone());
        self.run.input = Some(found.clone());
        self.moved_input = Some(place);
        self.rename_source(&input, &found, ticket)
    }

    /// Where the input at `path` may have gone.
    fn places(&self, path: &Path, before: &Path) -> Vec<PathBuf> {
        let Some(name) = path.file_name() else { return Vec::new() };
        let model = self.model.as_ref().map(|model| model.folder.as_path());
        let beside_file = self.file.as_deref().and_then(Path::parent).map(|folder| folder.join(name));
        // In the same place as seen from the model.
        let inside = path.strip_prefix(before).ok().zip(model).map(|(rest, model)| model.join(rest));
        let around =
            |path: &Path| -> Option<PathBuf> { Some(model?.parent()?.join(path.strip_prefix(before.parent()?).ok()?)) };
        let beside_model = model.and_then(Path::parent).map(|folder| folder.join(name));
        [beside_file, inside, around(path), beside_model].into_iter().flatten().collect()
    }

    /// Lets records of what was read from `was` name `now`, where that holds the same bytes.
    fn rename_source(&mut self, was: &Input, now: &Input, ticket: &Ticket) -> Result<()> {
        let is_of = |reading: &Reading| reading.source.as_ref() == Some(was) && !reading.fingerprint.is_empty();
        let of_analysis = self.analysis.as_ref().and_then(|analysis| analysis.reading.as_ref());
        let of_curves = self.curves.as_ref().map(|curves| &curves.reading);
        let of_measured = self.measured.iter().map(|measured| &measured.reading);
        let known = of_analysis.into_iter().chain(of_curves).chain(of_measured).any(is_of);
        if !known || !now.path().is_file() {
            return Ok(());
        }
        let Ok(bytes) = fingerprint_of(&[now.path()], ticket) else { return ticket.check() };
        let rename = |reading: &mut Reading| {
            if is_of(reading) && reading.fingerprint == bytes {
                reading.source = Some(now.clone());
            }
        };
        if let Some(reading) = self.analysis.as_mut().and_then(|analysis| Arc::make_mut(analysis).reading.as_mut()) {
            rename(reading);
        }
        if let Some(curves) = &mut self.curves {
            rename(&mut Arc::make_mut(curves).reading);
        }
        self.measured.iter_mut().for_each(|measured| rename(&mut measured.reading));
        Ok(())
    }

    /// The model lies in `folder` now, and what it read may have gone with it.
    ///
    /// # Errors
    /// Where the work is cancelled.
    pub fn move_model(&mut self, folder: PathBuf, ticket: &Ticket) -> Result<()> {
        let Some(model) = &mut self.model else { return Ok(()) };
        let before = std::mem::replace(&mut model.folder, folder);
        self.follow_input(&before, ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::Measured;
    use crate::run::Spec;
    use crate::workspace::ModelRef;

    fn measured(reading: Reading) -> Measured {
        let quality = serde_json::json!({
            "loss_per_token": 1.5, "perplexity": 4.5, "accuracy": 0.5, "scored_tokens": 8, "tokens": 9, "sequences": 2,
            "batches": 1, "secs": 0.5, "tokens_per_sec": 18.0,
        });
        let similarity =
            serde_json::json!({"mean_cosine": 1.0, "least_cosine": 1.0, "max_abs_difference": 0.0, "sequences": 2});
        let all = serde_json::json!({
            "before": quality, "after": quality, "agreement": 1.0, "similarity": similarity, "reading": reading,
        });
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn an_input_is_found_where_it_was_carried_and_takes_its_results_along() {
        let scratch = tempfile::tempdir().unwrap();
        let (there, ticket) = (scratch.path(), Ticket::default());
        std::fs::create_dir_all(there.join("texts")).unwrap();
        std::fs::write(there.join("texts/a.txt"), "the same").unwrap();
        let bytes = fingerprint_of(&[there.join("texts/a.txt")], &ticket).unwrap();
        let was = Input::Text("/old/texts/a.txt".into());
        let reading = |fingerprint: &str| Reading {
            source: Some(was.clone()),
            fingerprint: fingerprint.to_owned(),
            ..Reading::default()
        };
        let mut workspace = Workspace {
            model: Some(ModelRef { folder: "/old/model".into(), fingerprint: "f".to_owned() }),
            run: Spec { input: Some(was.clone()), ..Spec::default() },
            measured: vec![measured(reading(&bytes)), measured(reading("other bytes"))],
            ..Workspace::default()
        };
        workspace.move_model(there.join("model"), &ticket).unwrap();
        let now = Input::Text(there.join("texts/a.txt"));
        assert_eq!(workspace.run.input, Some(now.clone()));
        let sources: Vec<_> = workspace.measured.iter().map(|m| m.reading.source.clone().unwrap()).collect();
        assert_eq!(sources, [now, was], "what was measured on other bytes is not taken for it");
        // Beside the file of the workspace comes first.
        std::fs::write(there.join("b.txt"), "b").unwrap();
        workspace.file = Some(there.join("w.pillars"));
        workspace.run.input = Some(Input::Text("/old/texts/b.txt".into()));
        workspace.follow_input(Path::new("/old/model"), &ticket).unwrap();
        assert_eq!(workspace.moved_input, Some(there.join("b.txt")));
        // What lies nowhere stays as it was named.
        let gone = Some(Input::Text("/old/gone.txt".into()));
        workspace.run.input.clone_from(&gone);
        workspace.follow_input(Path::new("/old/model"), &ticket).unwrap();
        assert_eq!(workspace.run.input, gone);
    }
}
