//! Models by the names that they have on the hub.

use std::path::{Path, PathBuf};

use pillars::hub::{CachedModel, HubCache, locate};
use pillars::model::Model;
use pillars::{Opened, Ticket};

use crate::common::fixtures;
use crate::common::hub::{COMMIT, put};

const FILES: [&str; 2] = ["config.json", "model.safetensors"];

struct Made {
    folder: tempfile::TempDir,
    cache: HubCache,
}

impl Made {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = HubCache::at(folder.path().join("hub"));
        Self { folder, cache }
    }

    fn put(&self, name: &str, family: &str, files: &[&str]) -> PathBuf {
        put(self.cache.root(), name, &fixtures().join(family), files)
    }

    fn names(&self) -> Vec<String> {
        self.cache.models().unwrap().into_iter().map(|model| model.name).collect()
    }

    fn refused(&self, name: &str) -> String {
        locate(Path::new(name), &self.cache).unwrap_err().to_string()
    }
}

#[test]
fn a_model_of_the_cache_opens_by_its_name_and_shows_no_hash() {
    let made = Made::new();
    assert!(made.names().is_empty());
    let snapshot = made.put("owner/tiny-llama", "llama", &FILES);
    made.put("gpt2", "gpt2", &FILES);
    // What is no model's is passed over.
    std::fs::create_dir_all(made.cache.root().join("datasets--owner--text/snapshots/1")).unwrap();
    std::fs::create_dir_all(made.cache.root().join("models--a--b--/snapshots/1")).unwrap();
    std::fs::write(made.cache.root().join("version.txt"), "1").unwrap();
    assert_eq!(made.names(), ["gpt2", "owner/tiny-llama"]);
    for name in
        ["owner/tiny-llama", "owner/tiny-llama@main", &format!("owner/tiny-llama@{COMMIT}"), "owner/tiny-llama@6c8ad4d"]
    {
        let located = locate(Path::new(name), &made.cache).unwrap();
        assert_eq!((&located.path, located.note), (&snapshot, None), "{name}");
    }
    assert!(locate(Path::new("gpt2"), &made.cache).unwrap().path.join("config.json").is_file());
    let opened = Opened::open(&snapshot, &Ticket::default()).unwrap();
    assert_eq!(opened.facts.name, "owner/tiny-llama");
    let bytes: u64 = FILES.iter().map(|f| std::fs::metadata(fixtures().join("llama").join(f)).unwrap().len()).sum();
    let model = made.cache.model(&"owner/tiny-llama".parse().unwrap()).unwrap().unwrap();
    assert_eq!(
        model,
        CachedModel {
            name: "owner/tiny-llama".to_owned(),
            place: snapshot,
            bytes,
            missing: None,
            is_unfinished: false
        }
    );
}

#[test]
fn what_the_cache_does_not_hold_is_said_with_what_to_do() {
    let made = Made::new();
    let snapshot = made.put("owner/model", "bert", &FILES);
    let none = made.refused("owner/other");
    assert!(none.starts_with("no such model folder, and the hub's cache holds no 'owner/other'"), "{none}");
    assert!(none.contains("download owner/other"), "{none}");
    let branch = made.refused("owner/model@v2");
    assert!(branch.contains("not its revision 'v2'") && branch.ends_with("it holds main"), "{branch}");
    // A name without an owner, and what is no name, are left to whoever opens them.
    for path in ["nothing-here", "/owner/other", "a/b/c"] {
        assert_eq!(locate(Path::new(path), &made.cache).unwrap().path, Path::new(path));
    }
    // Downloaded by its commit alone, a model has no branch; the one commit that there is is meant.
    std::fs::remove_dir_all(snapshot.join("../../refs")).unwrap();
    assert_eq!(locate(Path::new("owner/model"), &made.cache).unwrap().path, snapshot);
    std::fs::create_dir(snapshot.join("../0000000000000000000000000000000000000000")).unwrap();
    let several = made.refused("owner/model");
    assert!(several.contains("it holds the commits ") && several.contains("0000000000000000"), "{several}");
}

#[test]
fn branches_are_listed_beside_the_usual_one() {
    let made = Made::new();
    let snapshot = made.put("owner/model", "bert", &FILES);
    let refs = snapshot.join("../../refs");
    std::fs::create_dir_all(refs.join("refs/pr")).unwrap();
    std::fs::write(refs.join("refs/pr/1"), COMMIT).unwrap();
    // One that leads out is no commit.
    std::fs::write(refs.join("wrong"), "../../../..").unwrap();
    assert_eq!(made.names(), ["owner/model", "owner/model@refs/pr/1"]);
    assert_eq!(locate(Path::new("owner/model@refs/pr/1"), &made.cache).unwrap().path, snapshot);
    assert!(made.refused("owner/model@wrong").contains("not its revision 'wrong'"));
}

#[test]
#[cfg(unix)]
fn an_unfinished_download_is_said_and_a_dead_link_hides_nothing() {
    let made = Made::new();
    let whole = made.put("owner/whole", "bert", &FILES);
    let dead = made.put("owner/dead", "bert", &FILES);
    std::fs::remove_file(dead.join("../../blobs").join(format!("{:040x}", 1))).unwrap();
    let unread = made.put("owner/no-config", "bert", &["model.safetensors"]);
    let sharded = made.put("owner/sharded", "bert", &["config.json"]);
    let index = r#"{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#;
    std::fs::write(sharded.join("model.safetensors.index.json"), index).unwrap();
    std::fs::write(sharded.join("model-00001-of-00002.safetensors"), "x").unwrap();
    std::os::unix::fs::symlink("../../blobs/gone", whole.join("tf_model.h5")).unwrap();
    std::fs::write(whole.join("../../blobs/abc.incomplete"), "x").unwrap();
    let found: Vec<(String, Option<String>)> =
        made.cache.models().unwrap().into_iter().map(|model| (model.name.clone(), model.state())).collect();
    let said = |name: &str, what: &str| (name.to_owned(), Some(what.to_owned()));
    assert_eq!(
        found,
        [
            said("owner/dead", "not whole: model.safetensors is not there"),
            said("owner/no-config", "not whole: config.json is not there"),
            said("owner/sharded", "not whole: model-00002-of-00002.safetensors is not there"),
            said("owner/whole", "the download of a file was not finished"),
        ]
    );
    let located = locate(Path::new("owner/whole"), &made.cache).unwrap();
    assert!(located.note.unwrap().contains("what the model needs is there") && Model::open(&located.path).is_ok());
    let sharded = made.refused("owner/sharded");
    assert!(sharded.starts_with("owner/sharded is not whole in the hub's cache: model-00002-of-00002"), "{sharded}");
    assert!(sharded.contains("download owner/sharded"), "{sharded}");
    assert!(unread.is_dir());
}

#[test]
#[cfg(unix)]
fn links_lead_into_the_model_and_nowhere_else() {
    let made = Made::new();
    let snapshot = made.put("owner/model", "bert", &["config.json"]);
    made.put("owner/other", "bert", &FILES);
    let outside = made.folder.path().join("outside.safetensors");
    std::fs::copy(fixtures().join("bert/model.safetensors"), &outside).unwrap();
    let link = snapshot.join("model.safetensors");
    for target in [outside, made.cache.root().join("models--owner--other/blobs").join(format!("{:040x}", 1))] {
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let refused = made.refused("owner/model");
        assert!(refused.starts_with("a file of the hub's cache is a link that leads out of its model"), "{refused}");
        assert!(locate(&snapshot, &made.cache).is_err());
        std::fs::remove_file(&link).unwrap();
    }
    // It hides no other model.
    assert!(made.names().contains(&"owner/other".to_owned()));
}
