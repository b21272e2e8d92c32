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
    // What somebody trained it from is another model than the one that is opened.
    let mut config = json(&std::fs::read_to_string(snapshot.join("config.json")).unwrap());
    config["_name_or_path"] = "ancestor/other".into();
    std::fs::write(snapshot.join("config.json"), config.to_string()).unwrap();
    let input = snapshot.join("reference.safetensors");
    let input = input.to_str().unwrap();
    let listed = good(&folder, &["models"]).0;
    assert!(
        listed.lines().nth(1).is_some_and(|line| line.starts_with("owner/tiny  ") && line.contains("yes: "))
            && listed.contains("llama")
            && !listed.contains(COMMIT),
        "{listed}"
    );
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
    assert!(card.contains("base_model: owner/tiny") && card.contains("# owner/tiny, "), "{card}");
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

#[test]
fn heads_that_tell_when_a_word_was_said_are_pinned() {
    let folder = Folder::new();
    for file in ["config.json", "model.safetensors"] {
        let model = folder.path("whisper");
        std::fs::create_dir_all(&model).unwrap();
        std::fs::copy(fixtures().join("whisper").join(file), model.join(file)).unwrap();
    }
    let input = fixtures().join("whisper/reference.safetensors");
    let input = input.to_str().unwrap();
    good(&folder, &["analyze", "whisper", "--inputs", input, "--out", "a.json"]);
    let plan = ["plan", "a.json", "--keep", "1", "--pin-alignment", "--out", "p.json"];
    let said = String::from_utf8(run(&folder, &plan).stderr).unwrap();
    assert!(said.contains("names no alignment_heads") && said.contains("leave out --pin-alignment"), "{said}");
    let pairs = r#"{"alignment_heads": [[0, 2], [1, 1], [1, 3]]}"#;
    std::fs::write(folder.path("whisper/generation_config.json"), pairs).unwrap();
    good(&folder, &plan);
    let kept = json(&std::fs::read_to_string(folder.path("p.json")).unwrap())["kept"].clone();
    assert_eq!((&kept["cross.0"], &kept["cross.1"]), (&serde_json::json!([2]), &serde_json::json!([1, 3])));
    assert_eq!(kept["decoder.0"].as_array().map(Vec::len), Some(1));
    good(&folder, &["prune", "whisper", "--plan", "p.json", "--out", "smaller"]);
    let written = json(&std::fs::read_to_string(folder.path("smaller/generation_config.json")).unwrap());
    assert_eq!(written["alignment_heads"], serde_json::json!([[0, 0], [1, 0], [1, 1]]));
}

#[cfg(feature = "hub")]
#[test]
fn a_model_is_downloaded_and_opened_by_its_name() {
    use crate::hub_server::{Manner, Server};

    let server = Server::of_bert();
    let folder = Folder::new();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pillars"));
        command.args(arguments).current_dir(folder.path(".")).env("HF_HUB_CACHE", folder.path("hub"));
        command.env("HF_ENDPOINT", &server.address).env_remove("HF_TOKEN").output().unwrap()
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    // Who may not have it is told so in a line, and nothing opens.
    server.treat("model.safetensors", Manner { status: Some(401), ..Manner::default() });
    let refused = run(&["download", "owner/model"]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).lines().last().is_some_and(|line| line.contains("HF_TOKEN")), "{}", said(&refused));
    assert_eq!(run(&["inspect", "owner/model"]).status.code(), Some(1));
    // A connection that breaks in the middle is taken up again.
    server.treat("model.safetensors", Manner { breaks: vec![5000], ..Manner::default() });
    let done = run(&["download", "owner/model"]);
    assert!(done.status.success(), "{}", said(&done));
    assert!(server.asked_for("model.safetensors").iter().any(|seen| seen.range.as_deref() == Some("bytes=5000-")));
    assert!(run(&["inspect", "owner/model"]).status.success());
    let listed = run(&["models"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("owner/model"));
}
