//! A hub that stands on this machine.
#![allow(dead_code, reason = "every test program takes what it needs of it")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use pillars::Ticket;
use pillars::hub::{Downloaded, Hub, HubCache, download};
use pillars::task::CancelToken;
use sha1::Sha1;
use sha2::{Digest, Sha256};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// How the server treats a file.
#[derive(Clone, Default)]
pub struct Manner {
    /// Closes the connection after so many bytes of the body, so many times.
    pub breaks: Vec<usize>,
    /// Ignores ranges.
    pub is_forgetful: bool,
    /// What it sends instead.
    pub sends: Option<Vec<u8>>,
    /// Where it sends on to.
    pub redirect: Option<String>,
    /// Answers this instead.
    pub status: Option<u16>,
    /// Stops whoever asks.
    pub stops: Option<CancelToken>,
}

/// One request: its path, range and token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub path: String,
    pub range: Option<String>,
    pub token: Option<String>,
}

#[derive(Default)]
pub struct State {
    pub files: HashMap<String, Vec<u8>>,
    pub manners: HashMap<String, Manner>,
    /// The answer to the question for the files: status, code, body.
    pub listing: Option<(u16, &'static str, String)>,
    pub seen: Vec<Seen>,
}

/// A hub with the model `owner/model`.
pub struct Server {
    pub state: Arc<Mutex<State>>,
    pub address: String,
    pub folder: tempfile::TempDir,
    pub cache: HubCache,
}

pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl Server {
    pub fn new(files: &[(&str, Vec<u8>)]) -> Self {
        let state = State {
            files: files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect(),
            ..State::default()
        };
        let state = Arc::new(Mutex::new(state));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || answer(stream, &shared));
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let cache = HubCache::at(folder.path().join("hub"));
        Self { state, address, folder, cache }
    }

    /// The fixture of BERT beside files that nobody needs.
    pub fn of_bert() -> Self {
        let read = |name: &str| {
            std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bert").join(name)).unwrap()
        };
        Self::new(&[
            ("config.json", read("config.json")),
            ("model.safetensors", read("model.safetensors")),
            ("pytorch_model.bin", b"not needed".to_vec()),
            ("tf_model.h5", b"not needed".to_vec()),
            ("onnx/model.onnx", b"not needed".to_vec()),
            (".gitattributes", b"not needed".to_vec()),
            ("modules.json", br#"[{"path": ""}, {"path": "1_Pooling"}]"#.to_vec()),
            ("1_Pooling/config.json", b"{}".to_vec()),
            ("README.md", b"card".to_vec()),
        ])
    }

    pub fn treat(&self, path: &str, manner: Manner) {
        self.state.lock().unwrap().manners.insert(path.to_owned(), manner);
    }

    pub fn fetch_with(&self, name: &str, token: Option<&str>, ticket: &Ticket) -> pillars::Result<Downloaded> {
        let hub = Hub::at(&self.address, token.map(str::to_owned))?;
        download(&name.parse()?, &hub, &self.cache, ticket)
    }

    pub fn fetch(&self) -> pillars::Result<Downloaded> {
        self.fetch_with("owner/model", None, &Ticket::default())
    }

    pub fn refused(&self) -> String {
        self.fetch().unwrap_err().to_string()
    }

    pub fn asked_for(&self, end: &str) -> Vec<Seen> {
        self.state.lock().unwrap().seen.iter().filter(|seen| seen.path.ends_with(end)).cloned().collect()
    }

    pub fn blobs(&self) -> PathBuf {
        self.cache.root().join("models--owner--model/blobs")
    }

    pub fn unfinished(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.blobs()).unwrap().flatten().map(|entry| entry.path());
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "incomplete")).collect()
    }
}

/// What the hub says of a commit: large files by SHA-256, small ones by what Git calls them.
fn listing(state: &State) -> String {
    let sibling = |(name, bytes): (&String, &Vec<u8>)| {
        let git = hexadecimal(&Sha1::digest([format!("blob {}\0", bytes.len()).as_bytes(), bytes].concat()));
        let large = name.ends_with(".safetensors") || name.ends_with(".bin");
        let sha256 = hexadecimal(&Sha256::digest(bytes));
        let lfs = large.then(|| serde_json::json!({"sha256": sha256, "size": bytes.len(), "pointerSize": 134}));
        serde_json::json!({"rfilename": name, "size": bytes.len(), "blobId": git, "lfs": lfs})
    };
    let siblings: Vec<serde_json::Value> = state.files.iter().map(sibling).collect();
    serde_json::json!({"id": "owner/model", "sha": COMMIT, "siblings": siblings}).to_string()
}

fn answer(stream: TcpStream, shared: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let header = |name: &str| {
            let found =
                lines.iter().find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)));
            found.map(|(_, value)| value.to_owned())
        };
        let path = lines.first()?.split(' ').nth(1)?.to_owned();
        let mut state = shared.lock().ok()?;
        state.seen.push(Seen { path: path.clone(), range: header("range"), token: header("authorization") });
        if path.starts_with("/api/") {
            let (status, code, body) = state.listing.clone().unwrap_or_else(|| (200, "", listing(&state)));
            let code = if code.is_empty() { String::new() } else { format!("X-Error-Code: {code}\r\n") };
            write!(stream, "HTTP/1.1 {status} Said\r\n{code}Content-Length: {}\r\n\r\n{body}", body.len()).ok()?;
            continue;
        }
        let file = path.split_once(COMMIT).map_or("", |(_, rest)| rest.trim_start_matches('/')).to_owned();
        let mut manner = state.manners.get(&file).cloned().unwrap_or_default();
        if let Some(target) = manner.redirect.as_ref().filter(|_| !path.starts_with("/moved")) {
            write!(stream, "HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n").ok()?;
            continue;
        }
        manner.stops.iter().for_each(CancelToken::cancel);
        if let Some(status) = manner.status {
            write!(stream, "HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n").ok()?;
            continue;
        }
        let whole = manner.sends.clone().or_else(|| state.files.get(&file).cloned()).unwrap_or_default();
        let asked = header("range").filter(|_| !manner.is_forgetful);
        let from =
            asked.as_ref().and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
        let body = whole.get(from.unwrap_or(0)..).unwrap_or_default();
        match from {
            Some(from) => write!(
                stream,
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{}\r\nContent-Length: {}\r\n\r\n",
                whole.len() - 1,
                whole.len(),
                body.len()
            )
            .ok()?,
            None => write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).ok()?,
        }
        if !manner.breaks.is_empty() {
            let after = manner.breaks.remove(0).min(body.len());
            state.manners.insert(file, manner);
            drop(state);
            stream.write_all(body.get(..after)?).ok()?;
            stream.flush().ok()?;
            return None;
        }
        drop(state);
        stream.write_all(body).ok()?;
    }
}
