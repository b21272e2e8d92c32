//! Downloading from a hub that stands on this machine.

use std::path::Path;

use pillars::Ticket;
use pillars::hub::{Hub, download};
use pillars::model::Model;
use pillars::task::CancelToken;
use sha2::{Digest, Sha256};

use crate::common::fixtures;
use crate::hub_server::{COMMIT, Manner, Server, hexadecimal};

#[test]
fn what_is_needed_comes_and_opens_by_its_name() {
    let server = Server::of_bert();
    let done = server.fetch().unwrap();
    assert!(Model::open(&done.place).is_ok());
    assert_eq!(done.files, 5);
    let asked: Vec<String> = server.state.lock().unwrap().seen.iter().map(|seen| seen.path.clone()).collect();
    for other in ["pytorch_model.bin", "tf_model.h5", "model.onnx", ".gitattributes"] {
        assert!(!asked.iter().any(|path| path.ends_with(other)), "{other} was fetched");
    }
    assert!(asked[0].starts_with("/api/models/owner/model/revision/main?blobs=true"));
    for (name, bytes) in &server.state.lock().unwrap().files {
        let path = done.place.join(name);
        assert!(!path.exists() || std::fs::read(&path).unwrap() == *bytes, "{name}");
    }
    assert!(done.place.join("1_Pooling/config.json").is_file());
    let model = server.cache.model(&"owner/model".parse().unwrap()).unwrap().unwrap();
    assert_eq!((model.state(), &model.place), (None, &done.place));
    assert!(server.unfinished().is_empty());
    let reference = std::fs::read_to_string(server.cache.root().join("models--owner--model/refs/main")).unwrap();
    assert_eq!(reference, COMMIT);
    // What is there is not fetched again.
    let again = server.fetch().unwrap();
    assert_eq!((again.bytes, again.place), (0, done.place));
    // Under another name of the same commit neither.
    let tag = server.fetch_with("owner/model@refs/pr/1", None, &Ticket::default()).unwrap();
    assert_eq!(tag.bytes, 0);
    assert!(server.state.lock().unwrap().seen.last().unwrap().path.contains("/revision/refs%2Fpr%2F1?"));
    assert!(server.cache.models().unwrap().iter().any(|model| model.name == "owner/model@refs/pr/1"));
}

#[test]
fn shards_come_as_their_index_names_them() {
    let bert = |name: &str| std::fs::read(fixtures().join("bert").join(name)).unwrap();
    let index = br#"{"weight_map": {"a": "model-00001-of-00001.safetensors"}}"#.to_vec();
    let server = Server::new(&[
        ("config.json", bert("config.json")),
        ("model.safetensors.index.json", index),
        ("model-00001-of-00001.safetensors", bert("model.safetensors")),
        ("model-of-another.safetensors", b"x".to_vec()),
    ]);
    let done = server.fetch().unwrap();
    assert!(Model::open(&done.place).is_ok() && server.asked_for("another.safetensors").is_empty());
    let missing = Server::new(&[
        ("config.json", bert("config.json")),
        ("model.safetensors.index.json", br#"{"weight_map": {"a": "gone.safetensors"}}"#.to_vec()),
    ]);
    assert!(missing.refused().contains("has no 'gone.safetensors', which its index names"));
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_stopped() {
    let server = Server::of_bert();
    server.treat("model.safetensors", Manner { breaks: vec![1000, 500, 0], ..Manner::default() });
    let done = server.fetch().unwrap();
    assert!(Model::open(&done.place).is_ok());
    let ranges: Vec<Option<String>> =
        server.asked_for("model.safetensors").into_iter().map(|seen| seen.range).collect();
    let range = |from: usize| Some(format!("bytes={from}-"));
    assert_eq!(ranges, [None, range(1000), range(1500), range(1500)]);
    // One that never comes further is given up, and a later one goes on.
    let server = Server::of_bert();
    server.treat("model.safetensors", Manner { breaks: vec![700, 0, 0, 0, 0, 0], ..Manner::default() });
    let error = server.refused();
    assert!(error.starts_with("model.safetensors: the download broke off"), "{error}");
    assert!(error.contains("700 bytes of") && error.ends_with("the same command goes on"), "{error}");
    let model = server.cache.model(&"owner/model".parse().unwrap()).unwrap().unwrap();
    assert!(model.is_unfinished && model.missing.is_some());
    server.treat("model.safetensors", Manner::default());
    let done = server.fetch().unwrap();
    let size = std::fs::metadata(fixtures().join("bert/model.safetensors")).unwrap().len();
    // The two bytes of the pooling's configuration come behind the weights.
    assert_eq!(done.bytes, size - 700 + 2);
    assert!(Model::open(&done.place).is_ok());
}

#[test]
fn a_hub_that_knows_no_ranges_begins_anew() {
    let server = Server::of_bert();
    server.treat("model.safetensors", Manner { breaks: vec![1000], is_forgetful: true, ..Manner::default() });
    assert!(Model::open(server.fetch().unwrap().place).is_ok());
}

#[test]
fn what_is_not_what_the_hub_names_is_not_kept() {
    let whole = std::fs::read(fixtures().join("bert/model.safetensors")).unwrap();
    let mut other = whole.clone();
    other[5000] ^= 1;
    for (sends, said) in [
        (other, "model.safetensors: what came has another hash than the hub names"),
        ([whole.as_slice(), b"more"].concat(), "model.safetensors: more came than the"),
        (whole[..whole.len() - 10].to_vec(), "model.safetensors: the download broke off: the connection was closed"),
    ] {
        let server = Server::of_bert();
        let is_short = sends.len() < whole.len();
        server.treat("model.safetensors", Manner { sends: Some(sends), is_forgetful: true, ..Manner::default() });
        let error = server.refused();
        assert!(error.starts_with(said), "{error}");
        assert_eq!(server.unfinished().len(), usize::from(is_short));
        assert!(!server.cache.root().join("models--owner--model/refs/main").exists());
        server.treat("model.safetensors", Manner::default());
        assert!(Model::open(server.fetch().unwrap().place).is_ok());
    }
    // A small file has the hash of Git.
    let server = Server::of_bert();
    server.treat("config.json", Manner { sends: Some(vec![b' '; 700]), is_forgetful: true, ..Manner::default() });
    assert!(server.refused().starts_with("config.json: "));
}

#[test]
fn a_stop_leaves_what_came_for_later() {
    let server = Server::of_bert();
    let cancel = CancelToken::default();
    server.treat("model.safetensors", Manner { stops: Some(cancel.clone()), ..Manner::default() });
    let ticket = Ticket::new(cancel, || {});
    let error = server.fetch_with("owner/model", None, &ticket).unwrap_err();
    assert!(error.is_cancelled());
    assert!(!server.asked_for("config.json").is_empty() && !server.unfinished().is_empty());
    assert!(Model::open(server.fetch().unwrap().place).is_ok());
}

#[test]
fn the_token_goes_to_the_hub_and_nobody_else() {
    let (server, other) = (Server::of_bert(), Server::of_bert());
    let target = format!("{}/elsewhere/{COMMIT}/model.safetensors", other.address);
    server.treat("model.safetensors", Manner { redirect: Some(target), ..Manner::default() });
    let moved = format!("/moved/{COMMIT}/config.json");
    server.treat("config.json", Manner { redirect: Some(moved), ..Manner::default() });
    let done = server.fetch_with("owner/model", Some(" secret\n"), &Ticket::default()).unwrap();
    assert!(Model::open(&done.place).is_ok());
    let bearer = Some("Bearer secret".to_owned());
    assert!(server.state.lock().unwrap().seen.iter().all(|seen| seen.token == bearer));
    assert_eq!(server.asked_for("config.json").iter().filter(|seen| seen.path.starts_with("/moved")).count(), 1);
    let abroad = other.asked_for("model.safetensors");
    assert_eq!((abroad.len(), &abroad[0].token), (1, &None));
    // In circles, to a place that is no address.
    for (target, said) in [(moved_forever(), "sends on without end"), ("ftp://x/y".to_owned(), "which is not followed")]
    {
        let server = Server::of_bert();
        server.treat("model.safetensors", Manner { redirect: Some(target), ..Manner::default() });
        assert!(server.refused().contains(said), "{}", server.refused());
    }
}

fn moved_forever() -> String {
    format!("/again/{COMMIT}/model.safetensors")
}

#[test]
fn every_refusal_says_what_to_do() {
    for (status, code, token, said) in [
        (
            401,
            "RepoNotFound",
            None,
            "has no model owner/model, or only for those who sign in; check the name, or set HF_TOKEN",
        ),
        (401, "", Some("t"), "has no model owner/model, or not for your token; check the name and HF_TOKEN"),
        (
            403,
            "GatedRepo",
            Some("t"),
            "owner/model is given only to those who agree to its terms; agree at http://127.0.0.1",
        ),
        (404, "RevisionNotFound", None, "owner/model has no revision 'main'"),
        (404, "", None, "has no model owner/model; check the name and the revision"),
        (429, "", None, "was asked too often; try again"),
        (503, "", None, "answers 503"),
    ] {
        let server = Server::of_bert();
        server.state.lock().unwrap().listing = Some((status, code, String::new()));
        let error = server.fetch_with("owner/model", token, &Ticket::default()).unwrap_err().to_string();
        assert!(error.contains(said), "{status}: {error}");
        assert!(!server.cache.root().exists(), "a refusal leaves nothing");
    }
    let server = Server::of_bert();
    server.treat("model.safetensors", Manner { status: Some(403), ..Manner::default() });
    assert!(server.refused().starts_with("model.safetensors: http://127.0.0.1"), "{}", server.refused());
    let nobody = Hub::at("http://127.0.0.1:9", None).unwrap();
    let error = download(&"owner/model".parse().unwrap(), &nobody, &server.cache, &Ticket::default()).unwrap_err();
    assert!(error.to_string().contains("cannot be reached"), "{error}");
    assert!(Hub::at("huggingface.co", None).is_err());
}

#[test]
fn what_the_hub_says_leads_nowhere_else() {
    let file = |name: &str, hash: &str| format!(r#"{{"rfilename": "{name}", "size": 4, "blobId": "{hash}"}}"#);
    let hash = "a".repeat(40);
    for (body, said) in [
        ("no json".to_owned(), "is not understood"),
        (r#"{"sha": "../../x", "siblings": []}"#.to_owned(), "names no commit"),
        (format!(r#"{{"sha": "{COMMIT}", "siblings": [{}]}}"#, file("../config.json", &hash)), "leads out"),
        (format!(r#"{{"sha": "{COMMIT}", "siblings": [{}]}}"#, file("/etc/config.json", &hash)), "leads out"),
        (format!(r#"{{"sha": "{COMMIT}", "siblings": [{}]}}"#, file("a\\\\b", &hash)), "leads out"),
        (format!(r#"{{"sha": "{COMMIT}", "siblings": []}}"#), "holds no weights that are read here"),
        (format!(r#"{{"sha": "{COMMIT}", "siblings": [{}]}}"#, file("adapter_config.json", &hash)), "is an adapter"),
        (
            format!(r#"{{"sha": "{COMMIT}", "siblings": [{}, {}]}}"#, file("a.gguf", &hash), file("b.gguf", &hash)),
            "holds 2 GGUF files",
        ),
        (format!(r#"{{"sha": "{COMMIT}", "siblings": [{}]}}"#, file("model.safetensors", "../x")), "names no hash"),
        (
            format!(r#"{{"sha": "{COMMIT}", "siblings": [{{"rfilename": "model.safetensors", "blobId": "{hash}"}}]}}"#),
            "does not say how large",
        ),
        (
            format!(
                r#"{{"sha": "{COMMIT}", "siblings": [{{"rfilename": "model.safetensors", "size": {}, "blobId": "{hash}"}}]}}"#,
                u64::MAX
            ),
            "are free on the disk",
        ),
    ] {
        let server = Server::of_bert();
        server.state.lock().unwrap().listing = Some((200, "", body.clone()));
        let error = server.refused();
        assert!(error.contains(said), "{body}: {error}");
        assert!(!server.folder.path().join("config.json").exists());
        assert!(!Path::new("/etc/config.json").exists());
    }
}

#[test]
fn one_process_at_a_time_fetches_a_file() {
    let server = Server::of_bert();
    let whole = std::fs::read(fixtures().join("bert/model.safetensors")).unwrap();
    let locks = server.cache.root().join(".locks/models--owner--model");
    std::fs::create_dir_all(&locks).unwrap();
    let lock = locks.join(format!("{}.lock", hexadecimal(&Sha256::digest(&whole))));
    let held = pillars::checkpoint::Lock::take(&lock, &lock).unwrap();
    assert!(server.refused().contains("works here"));
    drop(held);
    assert!(server.fetch().is_ok());
}
