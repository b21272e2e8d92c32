//! The models that come with the program.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Folder, text and description of every sample; the first is the one that a first start opens.
const SAMPLES: [(&str, &str, &str); 3] = [
    ("rxnfp-bert-pretrained", "reactions.txt", "BERT of chemical reactions, 12 layers of 4 heads"),
    ("austen-plain", "austen.txt", "English decoder, 4 layers of 8 heads, trained plainly"),
    ("austen-grouped", "austen.txt", "Its twin, trained with the group constraint"),
];

/// A model and something for it to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What it is, for a person.
    pub about: &'static str,
    pub model: PathBuf,
    /// Text that the model understands.
    pub text: Option<PathBuf>,
}

/// The bundled sample that a first start opens.
pub fn sample() -> Option<Sample> {
    samples().first().cloned()
}

/// The bundled samples: beside the program, above it, or in the source tree it was built from. They are looked for
/// once, because a window asks in every frame.
pub fn samples() -> &'static [Sample] {
    static FOUND: OnceLock<Vec<Sample>> = OnceLock::new();
    FOUND.get_or_init(find)
}

/// The sample whose model lies in `folder`, wherever that is: beside the program or in a copy of its own.
pub fn sample_at(folder: &Path) -> Option<Sample> {
    let folder = folder.canonicalize().ok()?;
    samples_in(folder.parent()?).into_iter().find(|sample| sample.model == folder)
}

fn find() -> Vec<Sample> {
    let program = std::env::current_exe().ok();
    let beside = program.iter().flat_map(|p| p.ancestors().skip(1).take(2).map(|d| d.join("sample_models")));
    let shared = program.iter().flat_map(|p| p.ancestors().nth(2).map(|d| d.join("share/pillars/sample_models")));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models");
    let folders = beside.chain(shared).chain([source]);
    folders.map(|folder| samples_in(&folder)).find(|found| !found.is_empty()).unwrap_or_default()
}

fn samples_in(folder: &Path) -> Vec<Sample> {
    let of = |&(name, text, about): &(&str, &str, &'static str)| {
        let model = folder.join(name);
        let text = [folder.join(text), model.join(text)].into_iter().find(|p| p.is_file());
        model.join("config.json").is_file().then_some(Sample { about, model, text })
    };
    SAMPLES.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;

    #[test]
    fn a_sample_needs_its_model() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(samples_in(folder.path()), []);
        let (name, text, _) = SAMPLES[1];
        let model = folder.path().join(name);
        std::fs::create_dir(&model).unwrap();
        std::fs::write(model.join("config.json"), "{}").unwrap();
        let found = samples_in(folder.path());
        assert_eq!(found.iter().map(|s| (&s.model, &s.text)).collect::<Vec<_>>(), [(&model, &None)]);
        std::fs::write(folder.path().join(text), "It is a truth").unwrap();
        assert_eq!(samples_in(folder.path())[0].text, Some(folder.path().join(text)));
        // As it may be named on the command line.
        let roundabout = model.join("../austen-plain/.");
        let found = sample_at(&roundabout).unwrap();
        assert_eq!(found.text.unwrap().canonicalize().unwrap(), folder.path().join(text).canonicalize().unwrap());
        assert_eq!(sample_at(folder.path()), None);
    }

    #[test]
    fn every_sample_is_there_with_its_text_and_they_are_small() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models");
        let samples = samples_in(&source);
        assert_eq!(samples.len(), SAMPLES.len());
        let mut bytes = 0;
        for sample in &samples {
            let model = Model::open(&sample.model).unwrap();
            assert!(sample.text.is_some(), "{}", sample.about);
            bytes += std::fs::metadata(model.checkpoint().folder().join("model.safetensors")).unwrap().len();
        }
        assert!(bytes < 20_000_000, "{bytes}");
    }
}
