//! Folders and files that are no checkpoint: what they are, and what to open instead.

use std::fs;
use std::path::{Path, PathBuf};

use super::{folder_of, is_gguf};
use crate::error::Error;

/// Files by which the formats of other programs are known, with their names.
const FORMATS: [(&str, &str); 8] = [
    (".onnx", "ONNX Runtime"),
    ("weights.npz", "MLX"),
    (".h5", "TensorFlow"),
    (".msgpack", "Flax"),
    (".tflite", "TensorFlow Lite"),
    (".mlpackage", "Core ML"),
    (".pdparams", "PaddlePaddle"),
    (".ot", "rust-bert"),
];

/// The file that CTranslate2 keeps weights in.
const CT2: &str = "model.bin";

/// What a folder without weights that are read here is, where that can be told by its files.
pub(super) fn explain_folder(folder: &Path) -> Option<Error> {
    let mut files = names(folder);
    files.extend(names(&folder.join("onnx")));
    let ggufs: Vec<&PathBuf> = files.iter().filter(|file| is_gguf(file)).collect();
    if let [first, others @ ..] = ggufs.as_slice() {
        let what = match others.len() {
            0 => "the folder holds a GGUF file and no checkpoint".to_owned(),
            more => format!("the folder holds {} GGUF files and no checkpoint", more + 1),
        };
        let hint = format!("open the file itself: {}", first.display());
        return Some(Error::new(what).at(folder).hint(hint));
    }
    let name = files.iter().find_map(|file| format_of(file));
    let name = name.or_else(|| folder.join(CT2).is_file().then_some("CTranslate2"))?;
    Some(for_other_program("folder", name).at(folder))
}

/// What a file that is no folder and no GGUF file is.
pub(super) fn explain_file(file: &Path) -> Option<Error> {
    if !file.is_file() {
        return None;
    }
    if let Some(name) = format_of(file) {
        return Some(for_other_program("file", name));
    }
    let folder = folder_of(file);
    let what = "this is a file, not a model folder or GGUF file";
    Some(Error::new(what).hint(match folder.join("config.json").is_file() {
        true => format!("give the folder that it lies in: {}", folder.display()),
        false => "give a folder that holds config.json and model.safetensors".to_owned(),
    }))
}

fn for_other_program(kind: &str, program: &str) -> Error {
    Error::new(format!("the {kind} is for {program}, which is written here and not read"))
        .hint("open the checkpoint that it was made from, in Hugging Face layout or as GGUF")
}

/// The program that reads a file, where the name of the file tells.
fn format_of(file: &Path) -> Option<&'static str> {
    let name = file.file_name()?.to_str()?.to_ascii_lowercase();
    FORMATS.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, program)| *program)
}

/// What lies in a folder, in the order of names.
fn names(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;

    #[test]
    fn what_other_programs_read_is_named_with_what_to_open_instead() {
        for (files, what) in [
            (&["config.json", "onnx/model.onnx"][..], "the folder is for ONNX Runtime"),
            (&["config.json", "model.bin", "shared_vocabulary.json"], "the folder is for CTranslate2"),
            (&["config.json", "weights.npz"], "the folder is for MLX"),
            (&["config.json", "tf_model.h5"], "the folder is for TensorFlow"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("onnx")).unwrap();
            files.iter().for_each(|file| fs::write(folder.path().join(file), "{}").unwrap());
            let said = Checkpoint::open(folder.path()).unwrap_err().to_string();
            assert!(said.contains(what) && said.contains("open the checkpoint that it was made from"), "{said}");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.gguf");
        fs::write(&file, b"GGUF\x03\0\0\0").unwrap();
        let said = Checkpoint::open(folder.path()).unwrap_err().to_string();
        assert!(said.contains(&format!("open the file itself: {}", file.display())), "{said}");
        for (name, hint) in
            [("model.onnx", "for ONNX Runtime"), ("model.safetensors", "give the folder that it lies in")]
        {
            let file = folder.path().join(name);
            fs::write(folder.path().join("config.json"), "{}").unwrap();
            fs::write(&file, "").unwrap();
            let said = Checkpoint::open(&file).unwrap_err().to_string();
            assert!(said.contains(hint), "{said}");
        }
        assert!(
            Checkpoint::open(folder.path().join("missing")).unwrap_err().to_string().contains("no such model folder")
        );
    }
}
