//! Opening whatever lies at a path.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::beside::moments_of;
use super::{ModelRef, Workspace};
use crate::analysis::{Analysis, Document, Moments};
use crate::checkpoint::{UniqueKeys, is_gguf, read_text};
use crate::corpus::Input;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::repair::Repair;
use crate::run::{Opened, OwnRepair};
use crate::task::Ticket;

/// What was found at a path.
#[derive(Debug)]
pub enum OpenedPath {
    Model(Box<Opened>),
    /// A workspace with its model, or why that cannot be opened.
    Workspace(Box<Workspace>, Result<Box<Opened>>),
    /// A plan or mask under the name of its file, with the repair that it was measured with, or why that cannot be read.
    Plan(String, Box<Plan>, Option<Result<Box<Repair>>>),
    /// An analysis, with the second moments that lie beside it, or why those there are not of it.
    Analysis(Box<Analysis>, Result<Option<Arc<Moments>>>),
    /// Something that a model may read.
    Input(Input),
}

/// Bytes of the largest document that is read; that of 128 layers with 128 heads has some 50 million.
const LARGEST: u64 = 2 << 30;

/// Opens a model folder, a workspace, a plan, an analysis or an input, whichever lies at `path`.
pub fn open_place(path: &Path, ticket: &Ticket) -> Result<OpenedPath> {
    if !path.exists() {
        return Err(Error::new("nothing is there").at(path).hint("check the path"));
    }
    if path.is_dir() {
        let is_model = path.join("config.json").exists();
        let images = || Input::guess(path);
        return if is_model || !holds_images(path) {
            Ok(OpenedPath::Model(Box::new(Opened::open(path, ticket)?)))
        } else {
            Ok(OpenedPath::Input(images()))
        };
    }
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let parent = path.parent().unwrap_or(Path::new("."));
    if matches!(name, "config.json" | "model.safetensors" | "model.safetensors.index.json") {
        return Ok(OpenedPath::Model(Box::new(Opened::open(parent, ticket)?)));
    }
    if is_gguf(path) {
        return Ok(OpenedPath::Model(Box::new(Opened::open(path, ticket)?)));
    }
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
    if !matches!(extension.as_str(), "json" | "pillars") {
        return Ok(OpenedPath::Input(Input::guess(path)));
    }
    let bytes = std::fs::metadata(path).map_err(|e| Error::from(e).at(path))?.len();
    if bytes > LARGEST {
        return Err(Error::new("too large for a workspace, a plan or an analysis").at(path).hint("check the path"));
    }
    ticket.stage("reading the file", None, "files");
    let text = read_text(path).map_err(|e| Error::from(e).at(path))?;
    let UniqueKeys(fields) = serde_json::from_str(&text).map_err(|e| Error::from(e).at(path))?;
    let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or("plan").to_owned();
    match fields.get("format").and_then(Value::as_str) {
        Some(Workspace::FORMAT) => {
            let workspace = Workspace::from_fields(fields).map_err(|e| e.at(path))?;
            let mut workspace = Workspace { file: Some(path.to_path_buf()), ..workspace };
            workspace.take_moments(path);
            workspace.take_repairs(path);
            workspace.look_into_folders();
            open_workspace(workspace, ticket)
        }
        Some(Analysis::FORMAT) => {
            let analysis = Analysis::from_fields(fields).map_err(|e| e.at(path))?;
            let moments = moments_of(path, &analysis);
            Ok(OpenedPath::Analysis(Box::new(analysis), moments))
        }
        // SQuAD as it is published.
        None if fields.get("data").is_some_and(Value::is_array) => Ok(OpenedPath::Input(Input::guess(path))),
        _ => {
            let plan = Plan::parse_any(&text).map_err(|e| e.at(path))?;
            let own = OwnRepair::of(path, &plan).transpose();
            let own = own.map(|own| Ok(Box::new(Repair::read(own?.found()?)?)));
            Ok(OpenedPath::Plan(stem, Box::new(plan), own))
        }
    }
}

/// Opens the model of a workspace: where the workspace says it lies, else beside the file of the workspace, where both
/// were carried to another machine together.
pub fn open_workspace(mut workspace: Workspace, ticket: &Ticket) -> Result<OpenedPath> {
    let Some(model) = &mut workspace.model else {
        let error = Error::new("the workspace names no model").hint("open a model folder");
        return Ok(OpenedPath::Workspace(Box::new(workspace), Err(error)));
    };
    let before = model.folder.clone();
    let mut opened = Opened::open(&model.folder, ticket);
    if opened.is_err()
        && let Some(folder) = beside(model, workspace.file.as_deref())
        && let Ok(other) = Opened::open(&folder, ticket)
        && other.facts.fingerprint == model.fingerprint
    {
        model.folder = folder;
        opened = Ok(other);
    }
    if opened.as_ref().is_err_and(Error::is_cancelled) {
        return Err(Error::cancelled());
    }
    if opened.is_ok() {
        workspace.follow_input(&before, ticket)?;
    }
    Ok(OpenedPath::Workspace(Box::new(workspace), opened.map(Box::new)))
}

/// A folder of the model's name beside `file`.
fn beside(model: &ModelRef, file: Option<&Path>) -> Option<PathBuf> {
    let folder = file?.parent()?.join(model.folder.file_name()?);
    folder.is_dir().then_some(folder)
}

fn holds_images(folder: &Path) -> bool {
    let is_image = |path: PathBuf| {
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
        matches!(extension.as_str(), "png" | "jpg" | "jpeg")
    };
    std::fs::read_dir(folder).is_ok_and(|all| all.flatten().take(1000).any(|e| is_image(e.path())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(family: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(family)
    }

    #[test]
    fn a_path_is_opened_as_what_it_is() {
        let open = |path: &Path| open_place(path, &Ticket::default());
        assert!(matches!(open(&fixture("bert")), Ok(OpenedPath::Model(_))));
        assert!(matches!(open(&fixture("bert").join("model.safetensors")), Ok(OpenedPath::Model(_))));
        assert!(matches!(
            open(&fixture("bert").join("reference.safetensors")),
            Ok(OpenedPath::Input(Input::Inputs(_)))
        ));
        assert!(
            matches!(open(&fixture("bert").join("mask.json")), Ok(OpenedPath::Plan(name, _, None)) if name == "mask")
        );
        assert!(open(Path::new("/no/such/place")).is_err());
        let scratch = tempfile::tempdir().unwrap();
        let empty = open(scratch.path()).unwrap_err().to_string();
        assert!(empty.contains("config.json"), "{empty}");
        let path = scratch.path().join("w.pillars");
        let model = crate::workspace::ModelRef { folder: "/moved/away".into(), fingerprint: "f".to_owned() };
        Workspace { model: Some(model), ..Workspace::default() }.write(&path).unwrap();
        let Ok(OpenedPath::Workspace(workspace, Err(error))) = open(&path) else { panic!("no workspace") };
        assert!(workspace.model.is_some() && error.to_string().contains("/moved/away"));
        assert_eq!(workspace.file, Some(path));
    }

    #[test]
    fn a_workspace_finds_its_model_beside_itself() {
        let scratch = tempfile::tempdir().unwrap();
        let here = scratch.path().join("bert");
        std::fs::create_dir(&here).unwrap();
        for name in ["config.json", "model.safetensors"] {
            std::fs::copy(fixture("bert").join(name), here.join(name)).unwrap();
        }
        let fingerprint = Opened::open(&here, &Ticket::default()).unwrap().facts.fingerprint.clone();
        let path = scratch.path().join("w.pillars");
        let save = |fingerprint: &str| {
            let model = ModelRef { folder: "/elsewhere/bert".into(), fingerprint: fingerprint.to_owned() };
            Workspace { model: Some(model), ..Workspace::default() }.write(&path).unwrap();
        };
        save(&fingerprint);
        let found = open_place(&path, &Ticket::default()).unwrap();
        let OpenedPath::Workspace(workspace, Ok(opened)) = found else { panic!("no workspace with its model") };
        assert_eq!((&opened.facts.folder, &workspace.model.unwrap().folder), (&here, &here));
        // A text that was carried along is found too.
        std::fs::write(scratch.path().join("a.txt"), "text").unwrap();
        let model = Some(ModelRef { folder: "/elsewhere/bert".into(), fingerprint: fingerprint.clone() });
        let run = crate::run::Spec { input: Some(Input::Text("/elsewhere/a.txt".into())), ..Default::default() };
        Workspace { model, run, ..Workspace::default() }.write(&path).unwrap();
        let OpenedPath::Workspace(workspace, Ok(_)) = open_place(&path, &Ticket::default()).unwrap() else { panic!() };
        let there = scratch.path().join("a.txt");
        assert_eq!((workspace.run.input, workspace.moved_input), (Some(Input::Text(there.clone())), Some(there)));
        // Another model of the same name is not taken for it.
        save("0123456789abcdef");
        assert!(matches!(open_place(&path, &Ticket::default()), Ok(OpenedPath::Workspace(_, Err(_)))));
    }
}
