//! Downloading a model into the hub's cache, as the hub's own programs lay it out.
//!
//! Contents go to `blobs/HASH.incomplete`, where a later attempt goes on, and get their name once length and hash are
//! right; links in `snapshots/COMMIT` name them; the branch moves to the commit last, so that an attempt that fails leaves
//! what was there.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha1::Sha1;
use sha2::{Digest, Sha256};
use ureq::http::StatusCode;

use super::cache::{INCOMPLETE, MAIN};
use super::listing::{HubFile, Listing, MODULES};
use super::{Hub, HubCache, HubName};
use crate::checkpoint::{Lock, free_bytes, make_folders, write_atomically};
use crate::error::{Error, Result};
use crate::task::Ticket;
use crate::words::{bytes_in_words, counted, hexadecimal};

/// Attempts after which a file that comes no further is given up.
const ATTEMPTS: u32 = 4;

/// Bytes read at a time.
const PIECE: usize = 1 << 16;

/// Unit of progress in bytes.
const UNIT: u64 = 1_000_000;

/// A model that was downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downloaded {
    /// The folder to open as a model.
    pub place: PathBuf,
    /// Files of the model that are there now.
    pub files: usize,
    /// Bytes that came over the network.
    pub bytes: u64,
}

/// Downloads what is needed of a model into `cache`: what lies there already is not fetched again, and what was begun goes
/// on.
///
/// # Errors
/// Where the hub has no such model or gives it to others only, the connection fails again and again, what comes is not what
/// the hub names, or the disk has no room.
pub fn download(name: &HubName, hub: &Hub, cache: &HubCache, ticket: &Ticket) -> Result<Downloaded> {
    ticket.stage(format!("ask for {name}"), None, "files");
    let revision = name.revision().unwrap_or(MAIN);
    let path = format!("/api/models/{}/revision/{}?blobs=true", name.repository(), revision.replace('/', "%2F"));
    let answer = hub.get(&path, 0)?;
    if !answer.status.is_success() {
        return Err(refused(hub, name, answer.status, answer.header("x-error-code")));
    }
    let listing = Listing::read(&hub.text(answer)?, name)?;
    let weights = listing.weights(name)?;
    ticket.check()?;
    let repository = cache.root().join(name.folder());
    let snapshot = repository.join("snapshots").join(&listing.sha);
    let mut work = Download { name, hub, cache, repository, snapshot, commit: &listing.sha, bytes: 0, files: 0 };
    for folder in [work.repository.join("blobs"), work.snapshot.clone(), work.locks()] {
        make_folders(&folder)?;
    }
    // First what says which others are needed.
    let is_index = weights.path.ends_with(".index.json");
    let mut files: Vec<&HubFile> = listing.beside();
    files.extend(is_index.then_some(weights));
    work.fetch(&files, ticket)?;
    let read = |path: &str| fs::read_to_string(work.snapshot.join(path)).map_err(|e| Error::from(e).at(path));
    let mut files = if is_index { listing.shards(&read(&weights.path)?, name)? } else { vec![weights] };
    if listing.file(MODULES).is_some() {
        files.extend(listing.in_modules(&read(MODULES)?));
    }
    work.fetch(&files, ticket)?;
    if listing.sha != revision {
        let path = work.repository.join("refs").join(revision);
        path.parent().map_or(Ok(()), make_folders)?;
        write_atomically(&path, listing.sha.as_bytes())?;
    }
    let model = cache.model(name)?.ok_or_else(|| Error::new(format!("{name} is not in the cache")).at(cache.root()))?;
    match model.missing {
        Some(missing) => Err(Error::new(format!("{name} cannot be opened: {missing}")).at(model.place)),
        None => Ok(Downloaded { place: model.place, files: work.files, bytes: work.bytes }),
    }
}

/// Why the hub does not give a model.
fn refused(hub: &Hub, name: &HubName, status: StatusCode, code: Option<&str>) -> Error {
    let (base, repository) = (hub.base(), name.repository());
    let sign_in = "set HF_TOKEN to a token that may read it";
    match (status.as_u16(), code) {
        (_, Some("RevisionNotFound")) => {
            Error::new(format!("{repository} has no revision '{}'", name.revision().unwrap_or(MAIN)))
        }
        (_, Some("GatedRepo")) => Error::new(format!("{name} is given only to those who agree to its terms"))
            .hint(format!("agree at {base}/{repository}, and {sign_in}")),
        (401, _) if hub.has_token() => Error::new(format!("{base} has no model {repository}, or not for your token"))
            .hint("check the name and HF_TOKEN"),
        (401 | 403, _) => Error::new(format!("{base} has no model {repository}, or only for those who sign in"))
            .hint(format!("check the name, or {sign_in}")),
        (404, _) => Error::new(format!("{base} has no model {name}")).hint("check the name and the revision"),
        (429, _) => Error::new(format!("{base} was asked too often")).hint("try again in some minutes"),
        _ => Error::new(format!("{base} answers {status} when asked for {name}")).hint("try again later"),
    }
}

/// A download under way.
struct Download<'a> {
    name: &'a HubName,
    hub: &'a Hub,
    cache: &'a HubCache,
    repository: PathBuf,
    snapshot: PathBuf,
    commit: &'a str,
    bytes: u64,
    files: usize,
}

/// How an attempt at a file ended.
enum Attempt {
    Whole,
    /// So many bytes are there, because of this.
    Broken(u64, String),
}

impl Download<'_> {
    fn blob(&self, hash: &str) -> PathBuf {
        self.repository.join("blobs").join(hash)
    }

    /// Where programs of the hub keep each other from writing one file together.
    fn locks(&self) -> PathBuf {
        self.cache.root().join(".locks").join(self.name.folder())
    }

    /// Makes sure that `files` are there.
    fn fetch(&mut self, files: &[&HubFile], ticket: &Ticket) -> Result<()> {
        let (mut total, mut there) = (0u64, 0u64);
        for file in files {
            let (size, blob) = (file.size()?, self.blob(file.hash()?));
            let has = |path: &Path| fs::metadata(path).map_or(0, |m| m.len()).min(size);
            total = total.saturating_add(size);
            there += has(&blob).max(has(&blob.with_extension(INCOMPLETE)));
        }
        let needed = total.saturating_sub(there);
        if let Some(free) = free_bytes(&self.repository).filter(|free| *free < needed) {
            let (needed, free) = (bytes_in_words(needed), bytes_in_words(free));
            let what = format!("{} takes {needed} more, and {free} are free on the disk", self.name);
            return Err(Error::new(what).at(self.cache.root()));
        }
        ticket.stage_from(format!("download {}", self.name), there / UNIT, Some(total.div_ceil(UNIT)), "MB");
        for file in files {
            self.file(file, ticket).map_err(|e| e.within(&file.path))?;
            self.link(file)?;
            self.files += 1;
        }
        Ok(())
    }

    /// Makes sure that the contents of a file are there.
    fn file(&mut self, file: &HubFile, ticket: &Ticket) -> Result<()> {
        let (hash, size) = (file.hash()?, file.size()?);
        let blob = self.blob(hash);
        if fs::metadata(&blob).is_ok_and(|m| m.len() == size) {
            return Ok(());
        }
        let _held = Lock::take(&self.locks().join(format!("{hash}.lock")), &blob)?;
        let part = blob.with_extension(INCOMPLETE);
        let mut failures = 0;
        let mut furthest = fs::metadata(&part).map_or(0, |m| m.len());
        loop {
            match self.attempt(file, &part, size, ticket)? {
                Attempt::Whole => break,
                Attempt::Broken(length, why) => {
                    failures = if length > furthest { 1 } else { failures + 1 };
                    furthest = furthest.max(length);
                    if failures >= ATTEMPTS {
                        let had = format!("{} of {} are there", bytes_in_words(length), bytes_in_words(size));
                        return Err(Error::new(format!("the download broke off: {why}"))
                            .hint(format!("{had}; the same command goes on")));
                    }
                    for _ in 0..failures * 4 {
                        ticket.check()?;
                        std::thread::sleep(Duration::from_millis(50));
                    }
                }
            }
        }
        ticket.rename(format!("check {}", file.path));
        let found = hash_of(&part, hash.len(), size, ticket)?;
        ticket.rename(format!("download {}", self.name));
        if found != hash.to_ascii_lowercase() {
            let _ = fs::remove_file(&part);
            return Err(
                Error::new("what came has another hash than the hub names").hint("it was removed; download it again")
            );
        }
        fs::rename(&part, &blob).map_err(|e| Error::from(e).at(&blob))
    }

    /// Fetches what is missing of a file.
    fn attempt(&mut self, file: &HubFile, part: &Path, size: u64, ticket: &Ticket) -> Result<Attempt> {
        let place = |e: std::io::Error| Error::from(e).at(part);
        let mut to = OpenOptions::new().create(true).append(true).open(part).map_err(place)?;
        let mut length = to.metadata().map_err(place)?.len();
        if length > size {
            to.set_len(0).map_err(place)?;
            length = 0;
        }
        if length == size {
            return Ok(Attempt::Whole);
        }
        let path = format!("/{}/resolve/{}/{}", self.name.repository(), self.commit, encoded(&file.path));
        let mut answer = match self.hub.get(&path, length) {
            Ok(answer) => answer,
            Err(error) => return Ok(Attempt::Broken(length, error.to_string())),
        };
        let begins = answer
            .header("content-range")
            .and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse::<u64>().ok());
        match answer.status.as_u16() {
            206 if begins == Some(length) => {}
            // It begins anew, or there is nothing behind what is here.
            200 | 206 | 416 => {
                to.set_len(0).map_err(place)?;
                if answer.status != StatusCode::OK {
                    return Ok(Attempt::Broken(0, "the hub does not go on where the file broke off".to_owned()));
                }
                length = 0;
            }
            408 | 429 | 500..=599 => {
                return Ok(Attempt::Broken(length, format!("{} answers {}", self.hub.base(), answer.status)));
            }
            _ => return Err(refused(self.hub, self.name, answer.status, answer.header("x-error-code"))),
        }
        let mut piece = vec![0u8; PIECE];
        loop {
            ticket.check()?;
            let read = match answer.body.read(&mut piece) {
                Ok(read) => read,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Ok(Attempt::Broken(length, e.to_string())),
            };
            if read == 0 {
                break;
            }
            if length + read as u64 > size {
                drop(to);
                let _ = fs::remove_file(part);
                return Err(Error::new(format!("more came than the {} that the hub names", counted(size, "bytes"))));
            }
            to.write_all(piece.get(..read).unwrap_or_default()).map_err(place)?;
            let before = length / UNIT;
            length += read as u64;
            self.bytes += read as u64;
            ticket.advance(length / UNIT - before)?;
        }
        if length < size {
            return Ok(Attempt::Broken(length, "the connection was closed".to_owned()));
        }
        to.sync_all().map_err(place)?;
        Ok(Attempt::Whole)
    }

    /// Gives contents their name in the snapshot.
    fn link(&self, file: &HubFile) -> Result<()> {
        let path = self.snapshot.join(&file.path);
        let hash = file.hash()?;
        path.parent().map_or(Ok(()), make_folders)?;
        let place = |e: std::io::Error| Error::from(e).at(&path);
        let up = "../".repeat(file.path.split('/').count() + 1);
        let target = format!("{up}blobs/{hash}");
        if fs::read_link(&path).is_ok_and(|there| there == Path::new(&target)) {
            return Ok(());
        }
        let beside = path.with_file_name(format!(".pillars-{hash}"));
        let _ = fs::remove_file(&beside);
        #[cfg(unix)]
        std::os::unix::fs::symlink(&target, &beside).map_err(place)?;
        #[cfg(not(unix))]
        fs::copy(self.blob(hash), &beside).map(drop).map_err(place)?;
        fs::rename(&beside, &path).map_err(place)
    }
}

/// The hash of a file in as many digits as the hub's has: SHA-256, or the SHA-1 by which Git knows it.
fn hash_of(path: &Path, digits: usize, size: u64, ticket: &Ticket) -> Result<String> {
    let mut file = File::open(path).map_err(|e| Error::from(e).at(path))?;
    file.seek(SeekFrom::Start(0)).map_err(|e| Error::from(e).at(path))?;
    let (mut long, mut short) = (Sha256::new(), Sha1::new());
    short.update(format!("blob {size}\0"));
    let mut piece = vec![0u8; 1 << 20];
    loop {
        ticket.check()?;
        let read = file.read(&mut piece).map_err(|e| Error::from(e).at(path))?;
        let bytes = piece.get(..read).unwrap_or_default();
        match digits {
            _ if read == 0 => break,
            64 => long.update(bytes),
            _ => short.update(bytes),
        }
    }
    Ok(if digits == 64 { hexadecimal(&long.finalize()) } else { hexadecimal(&short.finalize()) })
}

/// A path in an address.
fn encoded(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    path.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
