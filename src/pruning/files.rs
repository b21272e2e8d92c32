//! What travels with the weights: tokenizer, chat template, preprocessor, license.

use std::fs;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::RECORD;
use super::remote::is_module;
use crate::checkpoint::{Snapshot, open_file, read_file};
use crate::error::{Error, Result};

/// Endings of files that hold weights, compiled models or training state; stale beside new weights.
const WEIGHTS: &[&str] = &[
    ".safetensors",
    ".safetensors.index.json",
    ".bin",
    ".bin.index.json",
    ".pt",
    ".pth",
    ".ckpt",
    ".h5",
    ".msgpack",
    ".msgpack.index.json",
    ".h5.index.json",
    ".onnx",
    ".onnx_data",
    ".gguf",
    ".ggml",
    ".ot",
    ".tflite",
    ".mlmodel",
    ".npz",
    ".npy",
    ".pkl",
    ".pickle",
    ".pdparams",
    ".engine",
];

/// Folders beside the weights that belong to a model although they hold no weights of ours.
const FOLDERS: &[&str] = &["additional_chat_templates"];
/// Where sentence-transformers says which folders its further modules are in.
const MODULES: &str = "modules.json";
/// The name under which the model's own card is kept beside ours.
const SOURCE_CARD: &str = "README.source.md";

/// What came of copying the files that belong to a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SideFiles {
    /// Names of the files that were copied, from the folder.
    pub copied: Vec<String>,
    /// Names of links that were not followed, for they lead out of the folder.
    pub left_out: Vec<String>,
}

impl SideFiles {
    /// What a person should know of it.
    pub fn note(&self) -> Option<String> {
        let names = self.left_out.join(", ");
        (!names.is_empty()).then(|| {
            format!(
                "left out, for they are links that lead out of the model's folder: {names}; put copies there (cp -L)"
            )
        })
    }

    fn extend(&mut self, other: Self) {
        self.copied.extend(other.copied);
        self.left_out.extend(other.left_out);
    }
}

/// Copies every file that belongs to the model and holds no weights. Links are followed to regular files inside the
/// folder, in the download cache that the folder is part of, or beside what `config.json` is a link to; hidden files, links
/// that lead elsewhere, and whatever this program writes itself stay behind.
pub fn copy_side_files(source: &Path, target: &Path) -> Result<SideFiles> {
    let mut all = copy_folder(source, target, Path::new(""), |name| !holds_weights(name))?;
    for folder in module_folders(source).into_iter().chain(FOLDERS.iter().map(PathBuf::from)) {
        // A module's folder comes whole: its weights are its own and no attention was cut in them.
        if source.join(&folder).is_dir() && !target.join(&folder).exists() {
            all.extend(copy_folder(source, target, &folder, |_| true)?);
        }
    }
    all.copied.sort();
    all.left_out.sort();
    Ok(all)
}

fn copy_folder(source: &Path, target: &Path, inside: &Path, wanted: impl Fn(&str) -> bool) -> Result<SideFiles> {
    let folder = source.join(inside);
    let place = |e: std::io::Error| Error::from(e).at(&folder);
    let top = inside.as_os_str().is_empty();
    let roots = roots(source);
    let mut all = SideFiles::default();
    for entry in fs::read_dir(&folder).map_err(place)? {
        let entry = entry.map_err(place)?;
        // A name that is no text cannot be one that any reader looks for.
        let Ok(name) = entry.file_name().into_string() else { continue };
        // A link that leads nowhere, a folder, a pipe or a device is no file of the model.
        if !fs::metadata(entry.path()).is_ok_and(|m| m.is_file()) {
            continue;
        }
        if name.starts_with('.') || !wanted(&name) || (top && is_ours(source, &name)) {
            continue;
        }
        // A link may be anybody's: what it leads to outside is not the model's.
        if !entry.path().canonicalize().is_ok_and(|real| roots.iter().any(|root| real.starts_with(root))) {
            all.left_out.push(inside.join(name).to_string_lossy().into_owned());
            continue;
        }
        let name = if top && name == "README.md" { SOURCE_CARD } else { name.as_str() };
        let relative = inside.join(name);
        let path = target.join(&relative);
        let make = || -> std::io::Result<()> {
            fs::create_dir_all(path.parent().unwrap_or(target))?;
            let mut reader = open_file(entry.path())?;
            let mut writer = fs::File::create(&path)?;
            std::io::copy(&mut reader, &mut writer)?;
            writer.sync_all()
        };
        make().map_err(|e| Error::from(e).within(format!("copy {}", entry.path().display())).at(target))?;
        all.copied.push(relative.to_string_lossy().into_owned());
    }
    Ok(all)
}

/// Where a model's files may lie: its folder, the files of the download cache (`models--owner--name/blobs`) whose snapshot
/// the folder is, and the folder of the configuration itself where that is a link, as in a folder of links to another.
fn roots(source: &Path) -> Vec<PathBuf> {
    let Ok(folder) = source.canonicalize() else { return Vec::new() };
    let snapshot = Snapshot::of(&folder).map(|snapshot| snapshot.blobs());
    let linked = folder.join("config.json").canonicalize().ok().and_then(|real| Some(real.parent()?.to_path_buf()));
    std::iter::once(folder).chain(snapshot).chain(linked).collect()
}

/// Whether a file name says weights.
fn holds_weights(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    WEIGHTS.iter().any(|ending| name.ends_with(ending))
}

/// Files that every export writes anew.
fn is_ours(source: &Path, name: &str) -> bool {
    let written_by_us = source.join(RECORD).is_file();
    name == "config.json" || name == RECORD || is_module(name) || (written_by_us && name == "README.md")
}

/// Folders that `modules.json` names, each a plain name inside the model.
fn module_folders(source: &Path) -> Vec<PathBuf> {
    let Some(Value::Array(modules)) =
        read_file(source.join(MODULES)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok())
    else {
        return Vec::new();
    };
    let paths = modules.iter().filter_map(|m| m.get("path")?.as_str());
    let plain = |path: &PathBuf| {
        let mut parts = path.components();
        matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
    };
    paths.map(PathBuf::from).filter(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_stay_and_everything_else_comes() {
        let folder = tempfile::tempdir().unwrap();
        let (source, target) = (folder.path().join("source"), folder.path().join("target"));
        for sub in ["1_Pooling", "onnx", "additional_chat_templates", "../outside"] {
            fs::create_dir_all(source.join(sub)).unwrap();
        }
        fs::create_dir(&target).unwrap();
        let modules = r#"[{"path": ""}, {"path": "1_Pooling"}, {"path": "../outside"}, {"path": "gone"}]"#;
        for (name, text) in [
            ("tokenizer.json", "{}"),
            ("chat_template.jinja", "x"),
            ("LICENSE", "MIT"),
            ("README.md", "card"),
            ("modules.json", modules),
            ("1_Pooling/config.json", "{}"),
            ("additional_chat_templates/tool.jinja", "x"),
            ("onnx/model.onnx", "x"),
            ("../outside/secret.txt", "x"),
            ("config.json", "{}"),
            ("model.safetensors", "x"),
            ("pytorch_model.bin", "x"),
            ("pytorch_model-00001-of-00002.bin", "x"),
            ("model.safetensors.index.json", "{}"),
            ("tf_model.h5", "x"),
            (".gitattributes", "x"),
            ("modeling_pillars_bert.py", "x"),
        ] {
            fs::write(source.join(name), text).unwrap();
        }
        #[cfg(unix)]
        {
            fs::write(folder.path().join("secret"), "mine").unwrap();
            std::os::unix::fs::symlink(folder.path().join("secret"), source.join("secret.txt")).unwrap();
            std::os::unix::fs::symlink("../secret", source.join("secret2.txt")).unwrap();
            std::os::unix::fs::symlink("LICENSE", source.join("COPYING")).unwrap();
            std::os::unix::fs::symlink("nowhere", source.join("broken.txt")).unwrap();
            std::os::unix::fs::symlink("/dev", source.join("device")).unwrap();
            std::os::unix::fs::symlink("/dev/zero", source.join("endless.txt")).unwrap();
        }
        let copied = copy_side_files(&source, &target).unwrap().copied;
        let expected = [
            "1_Pooling/config.json",
            "COPYING",
            "LICENSE",
            "README.source.md",
            "additional_chat_templates/tool.jinja",
            "chat_template.jinja",
            "modules.json",
            "tokenizer.json",
        ];
        assert_eq!(copied, expected);
        assert_eq!(fs::read_to_string(target.join("COPYING")).unwrap(), "MIT");
        assert!(!fs::symlink_metadata(target.join("COPYING")).unwrap().is_symlink());
    }

    #[test]
    #[cfg(unix)]
    fn a_snapshot_of_a_download_cache_is_read_through_its_links() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("models--owner--name");
        let (blobs, source, target) = (cache.join("blobs"), cache.join("snapshots/abc"), folder.path().join("target"));
        for path in [&blobs, &source, &target] {
            fs::create_dir_all(path).unwrap();
        }
        fs::write(blobs.join("1f"), "{}").unwrap();
        fs::write(cache.join("other"), "x").unwrap();
        std::os::unix::fs::symlink("../../blobs/1f", source.join("tokenizer.json")).unwrap();
        std::os::unix::fs::symlink("../../other", source.join("other.txt")).unwrap();
        let all = copy_side_files(&source, &target).unwrap();
        assert_eq!((all.copied, all.left_out), (vec!["tokenizer.json".to_owned()], vec!["other.txt".to_owned()]));
        assert_eq!(fs::read_to_string(target.join("tokenizer.json")).unwrap(), "{}");
    }

    #[test]
    #[cfg(unix)]
    fn a_folder_of_links_to_a_model_is_that_model_and_a_link_of_its_own_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for sub in ["model", "links", "mixed", "one", "two"] {
            fs::create_dir(at(sub)).unwrap();
        }
        for name in ["config.json", "tokenizer.json"] {
            fs::write(at("model").join(name), "{}").unwrap();
            std::os::unix::fs::symlink(at("model").join(name), at("links").join(name)).unwrap();
        }
        let all = copy_side_files(&at("links"), &at("one")).unwrap();
        assert_eq!((all.copied.join(" ").as_str(), all.note()), ("tokenizer.json", None));
        fs::write(at("mixed/config.json"), "{}").unwrap();
        std::os::unix::fs::symlink("../model/tokenizer.json", at("mixed/tokenizer.json")).unwrap();
        let all = copy_side_files(&at("mixed"), &at("two")).unwrap();
        assert_eq!((all.copied.len(), all.left_out.join(" ").as_str()), (0, "tokenizer.json"));
        assert!(all.note().unwrap().contains("tokenizer.json; put copies there"));
    }
}
