//! The model that comes with the program.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Name of the sample's folder.
const MODEL: &str = "rxnfp-bert-pretrained";
/// Name of the text that goes with it.
const TEXT: &str = "reactions.txt";

/// A model and something for it to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The checkpoint folder.
    pub model: PathBuf,
    /// Text that the model understands.
    pub text: Option<PathBuf>,
}

/// The bundled sample: beside the program, above it, or in the source tree it was built from. It is looked for once,
/// because a window asks in every frame.
pub fn sample() -> Option<Sample> {
    static FOUND: OnceLock<Option<Sample>> = OnceLock::new();
    FOUND.get_or_init(find).clone()
}

fn find() -> Option<Sample> {
    let program = std::env::current_exe().ok();
    let beside = program.iter().flat_map(|p| p.ancestors().skip(1).take(2).map(|d| d.join("sample_models")));
    let shared = program.iter().flat_map(|p| p.ancestors().nth(2).map(|d| d.join("share/pillars/sample_models")));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models");
    beside.chain(shared).chain([source]).find_map(|folder| sample_in(&folder))
}

fn sample_in(folder: &Path) -> Option<Sample> {
    let model = folder.join(MODEL);
    if !model.join("config.json").is_file() {
        return None;
    }
    let text = [folder.join(TEXT), model.join(TEXT), model.join("sample.txt")].into_iter().find(|p| p.is_file());
    Some(Sample { model, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_needs_its_model() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(sample_in(folder.path()), None);
        let model = folder.path().join(MODEL);
        std::fs::create_dir(&model).unwrap();
        std::fs::write(model.join("config.json"), "{}").unwrap();
        assert_eq!(sample_in(folder.path()), Some(Sample { model: model.clone(), text: None }));
        std::fs::write(folder.path().join(TEXT), "C>>C").unwrap();
        assert_eq!(sample_in(folder.path()).and_then(|s| s.text), Some(folder.path().join(TEXT)));
    }
}
