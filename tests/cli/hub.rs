//! Models by name on the command line.

use std::path::Path;
use std::process::{Command, Output};

use crate::common::fixtures;
use crate::common::hub::{COMMIT, put};
use crate::contract::{Folder, json};

fn run(folder: &Folder, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pillars"));
    command.args(arguments).current_dir(folder.path(".")).env("HF_HUB_CACHE", folder.path("hub"));
    command.output().unwrap()
}

fn good(folder: &Folder, arguments: &[&str]) -> (String, String) {
    let output = run(folder, arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    (String::from_utf8(output.stdout).unwrap(), stderr)
}

#[test]
fn every_command_takes_the_name_of_a_model_in_the_cache() {
    let folder = Folder::new();
    assert!(good(&folder, &["models"]).1.contains("no model lies in the hub's cache"));
    let files = ["config.json", "model.safetensors", "reference.safetensors"];
    let snapshot = put(&folder.path("hub"), "owner/tiny", &fixtures().join("llama"), &files);
    let input = snapshot.join("reference.safetensors");
    let input = input.to_str().unwrap();
    let listed = good(&folder, &["models"]).0;
    assert!(listed.starts_with("owner/tiny  ") && listed.contains("llama") && !listed.contains(COMMIT), "{listed}");
    let document = json(&good(&folder, &["models", "--json"]).0);
    assert_eq!(document["models"][0]["path"], snapshot.canonicalize().unwrap().to_str().unwrap());
    let shown = good(&folder, &["inspect", "owner/tiny"]).0;
    assert!(shown.contains("(owner/tiny)") && !shown.contains(COMMIT), "{shown}");
    good(&folder, &["analyze", "owner/tiny@main", "--inputs", input, "--out", "a.json"]);
    good(&folder, &["plan", "a.json", "--keep", "1", "--out", "p.json"]);
    good(&folder, &["evaluate", "owner/tiny", "--inputs", input, "--plan", "p.json"]);
    good(&folder, &["compare", "owner/tiny", "owner/tiny@main", "--inputs", input]);
    good(&folder, &["prune", "owner/tiny", "--plan", "p.json", "--out", "smaller"]);
    let record = json(&std::fs::read_to_string(folder.path("smaller/pillars.json")).unwrap());
    assert_eq!(record["source"], "owner/tiny");
    let card = std::fs::read_to_string(folder.path("smaller/README.md")).unwrap();
    assert!(card.contains("base_model: owner/tiny"), "{card}");
    let refused = run(&folder, &["inspect", "owner/none"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!((refused.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("the hub's cache holds no 'owner/none'") && said.contains("download"), "{said}");
}

#[test]
fn a_folder_here_wins_over_the_cache_and_that_is_said() {
    let folder = Folder::new();
    put(&folder.path("hub"), "owner/tiny", &fixtures().join("llama"), &["config.json", "model.safetensors"]);
    std::fs::create_dir_all(folder.path("owner/tiny")).unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(fixtures().join("bert").join(file), folder.path("owner/tiny").join(file)).unwrap();
    }
    let (shown, said) = good(&folder, &["inspect", "owner/tiny", "--json"]);
    assert_eq!(json(&shown)["family"], "bert");
    assert!(
        said.contains("'owner/tiny' is a folder here, which is read, and not the model of the hub's cache"),
        "{said}"
    );
    assert!(Path::new(&folder.path("owner/tiny")).is_dir());
}
