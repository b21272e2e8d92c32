//! The models that come with the program.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::corpus::{DataColumns, Input};
use crate::run::Spec;

/// A bundled model and what it reads, as they lie under the folder of samples.
struct SampleRow {
    model: &'static str,
    input: &'static str,
    about: &'static str,
    /// One batch in so many is left for measuring.
    held_out_every: Option<u64>,
}

/// Every sample; the first is the one that a first start opens.
const SAMPLES: [SampleRow; 4] = [
    SampleRow {
        model: "books/classifier",
        input: "books/unseen.tsv",
        about: "Classifier of sentences, 3 layers of 8 heads",
        held_out_every: Some(2),
    },
    SampleRow {
        model: "rxnfp-bert-pretrained",
        input: "reactions.txt",
        about: "BERT of chemical reactions, 12 layers of 4 heads",
        held_out_every: None,
    },
    SampleRow {
        model: "austen-plain",
        input: "austen.txt",
        about: "English decoder, 4 layers of 8 heads, trained plainly",
        held_out_every: None,
    },
    SampleRow {
        model: "austen-grouped",
        input: "austen.txt",
        about: "Its twin, trained with the group constraint",
        held_out_every: None,
    },
];

/// A model and something for it to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What it is, for a person.
    pub about: &'static str,
    pub model: PathBuf,
    /// What the model understands.
    pub input: Option<Input>,
    /// One batch in so many is left for measuring; `None` where all are read.
    pub held_out_every: Option<u64>,
}

impl Sample {
    /// Fills in what a run is to read, where nothing was chosen yet.
    pub fn prepare(&self, run: &mut Spec) {
        if run.input.is_none() {
            run.input.clone_from(&self.input);
            run.held_out_every = self.held_out_every;
        }
    }
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
    folder.ancestors().skip(1).take(2).flat_map(samples_in).find(|sample| sample.model == folder)
}

/// Where samples may lie, seen from the program: beside it, as in an archive; above it, as under `target`; under `share` or
/// `lib` of its prefix, as packages of Linux and AppImages have it; in the resources of a bundle of macOS.
fn places(program: &Path) -> Vec<PathBuf> {
    let above = |levels: usize| program.ancestors().nth(levels);
    let beside = [above(1), above(2)].into_iter().flatten().map(|folder| folder.join("sample_models"));
    let prefixed = ["share/pillars/sample_models", "lib/pillars/sample_models", "Resources/sample_models"];
    beside.chain(above(2).into_iter().flat_map(|prefix| prefixed.map(|place| prefix.join(place)))).collect()
}

/// Places seen from the program and from what a link leads to: pipx and uv put links on the path, which macOS takes for the
/// program.
fn places_of(program: &Path) -> Vec<PathBuf> {
    let real = program.canonicalize().ok().filter(|real| real != program);
    places(program).into_iter().chain(real.iter().flat_map(|real| places(real))).collect()
}

fn find() -> Vec<Sample> {
    let program = std::env::current_exe().ok();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models");
    let folders = program.iter().flat_map(|program| places_of(program)).chain([source]);
    folders.map(|folder| samples_in(&folder)).find(|found| !found.is_empty()).unwrap_or_default()
}

fn samples_in(folder: &Path) -> Vec<Sample> {
    let of = |row: &SampleRow| {
        let model = folder.join(row.model);
        let input = Some(folder.join(row.input)).filter(|path| path.is_file()).map(|path| match path.extension() {
            // Rows with labels, where a table alone would be taken for pairs of texts.
            Some(extension) if extension == "tsv" => Input::Data { path, columns: DataColumns::default() },
            _ => Input::guess(&path),
        });
        let found = Sample { about: row.about, model, input, held_out_every: row.held_out_every };
        found.model.join("config.json").is_file().then_some(found)
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
        let SampleRow { model: name, input: text, .. } = SAMPLES[2];
        let model = folder.path().join(name);
        std::fs::create_dir(&model).unwrap();
        std::fs::write(model.join("config.json"), "{}").unwrap();
        let found = samples_in(folder.path());
        assert_eq!(found.iter().map(|s| (&s.model, &s.input)).collect::<Vec<_>>(), [(&model, &None)]);
        std::fs::write(folder.path().join(text), "It is a truth").unwrap();
        assert_eq!(samples_in(folder.path())[0].input, Some(Input::Text(folder.path().join(text))));
        // As it may be named on the command line.
        let roundabout = model.join("../austen-plain/.");
        let found = sample_at(&roundabout).unwrap();
        assert_eq!(found.input, Some(Input::Text(folder.path().canonicalize().unwrap().join(text))));
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
            assert!(sample.input.is_some(), "{}", sample.about);
            bytes += std::fs::metadata(model.checkpoint().folder().join("model.safetensors")).unwrap().len();
        }
        assert!(bytes < 20_000_000, "{bytes}");
    }

    #[test]
    fn packages_of_every_system_hold_samples_where_they_are_looked_for() {
        for (program, samples) in [
            ("/opt/pillars/pillars", "/opt/pillars/sample_models"),
            ("/usr/bin/pillars", "/usr/share/pillars/sample_models"),
            ("/tmp/.mount/usr/bin/pillars", "/tmp/.mount/usr/lib/pillars/sample_models"),
            (
                "/Applications/Pillars.app/Contents/MacOS/pillars",
                "/Applications/Pillars.app/Contents/Resources/sample_models",
            ),
            ("/venv/bin/pillars", "/venv/share/pillars/sample_models"),
        ] {
            assert!(places(Path::new(program)).contains(&PathBuf::from(samples)), "{program}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn samples_are_found_behind_a_link_to_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let prefix = folder.path().canonicalize().unwrap();
        for name in ["venv/bin", "bin"] {
            std::fs::create_dir_all(prefix.join(name)).unwrap();
        }
        std::fs::write(prefix.join("venv/bin/pillars"), "").unwrap();
        let link = prefix.join("bin/pillars");
        std::os::unix::fs::symlink(prefix.join("venv/bin/pillars"), &link).unwrap();
        assert!(places_of(&link).contains(&prefix.join("venv/share/pillars/sample_models")));
    }
}
