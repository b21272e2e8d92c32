//! Every reader of files against damaged ones: bytes flipped, cut, doubled, spliced, numbers replaced by extremes.
//!
//! Each target begins with files that this program or others wrote and damages them by a seeded generator, so that a
//! failure comes back; what an execution reaches does not guide the next one, as it does in fuzzers that watch coverage. A
//! damaged file must be read, or refused in one line; it must neither panic nor ask for memory that its size does not
//! explain. A failure leaves the file in the system's folder for temporary files and names it.
//!
//! `PILLARS_FUZZ=100000` sets the number of executions of each target, `PILLARS_FUZZ_SECONDS=60` the time after which a
//! target ends; without either a few hundred keep the suite short. `PILLARS_FUZZ_SEED=1` damages otherwise, so that several
//! processes do not repeat each other. With `--nocapture` every target ends in a row of the table that `tests/README.md`
//! shows. Memory that other threads ask for is counted where they belong to the target alone for certain: with
//! `--test-threads=1`.

mod damage;
mod data;
mod documents;
mod inputs;
mod models;
mod tokenizers;
mod writers;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use self::damage::damaged;
pub(crate) use self::inputs::read_all;
use crate::{assert_one_line, largest, largest_anywhere};

/// The most that a reader of a small file may ask for in one piece.
const MODERATE_BYTES: usize = 64 << 20;
/// A decoder of images or sound may hold what it decodes whole; it has bounds of its own.
const DECODED_BYTES: usize = 600 << 20;

/// Targets that may ask for much run alone, so that others are not blamed.
static CROWD: RwLock<()> = RwLock::new(());

/// For as long as it is held, no target runs.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    CROWD.write().unwrap_or_else(PoisonError::into_inner)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|n| n.parse().ok())
}

/// Executions of a target, and the time after which it ends.
fn limits() -> (u64, Duration) {
    let seconds = number("PILLARS_FUZZ_SECONDS");
    let executions = number("PILLARS_FUZZ").unwrap_or(if seconds.is_some() { u64::MAX } else { 300 });
    (executions, Duration::from_secs(seconds.unwrap_or(u64::MAX)))
}

/// What became of the damaged files of a target.
#[derive(Default)]
struct Tally {
    read: u64,
    refused: u64,
    spent: Duration,
    slowest: Duration,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.read += other.read;
        self.refused += other.refused;
        self.spent += other.spent;
        self.slowest = self.slowest.max(other.slowest);
    }

    /// Prints a row of the table: target, executions, refused, read, seconds, the slowest in milliseconds.
    fn tell(&self, target: &str) {
        let Self { read, refused, spent, slowest } = self;
        let all = read + refused;
        println!("| {target} | {all} | {refused} | {read} | {:.1} | {} |", spent.as_secs_f64(), slowest.as_millis());
        assert!(*refused > all / 20, "{target}: damage must matter: {read} read, {refused} refused");
    }
}

/// Files to damage, where they are read, and the most that reading one may ask for in one piece.
struct Target<'a> {
    name: &'a str,
    seeds: &'a [Vec<u8>],
    path: &'a Path,
    most: usize,
}

impl Target<'_> {
    /// Writes damaged files and lets `read` read each, after the files themselves.
    fn run(&self, (executions, time): (u64, Duration), read: impl Fn() -> pillars::Result<()>) -> Tally {
        let name = self.name.bytes().map(u64::from).sum::<u64>();
        let seed = number("PILLARS_FUZZ_SEED").unwrap_or(0);
        let mut random = StdRng::seed_from_u64(name ^ seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut tally = Tally::default();
        for seed in self.seeds {
            fs::write(self.path, seed).unwrap();
            read().unwrap();
        }
        let begun = Instant::now();
        for execution in 0..executions {
            if begun.elapsed() >= time {
                break;
            }
            self.execute(execution, &damaged(self.seeds, &mut random), &read, &mut tally);
        }
        tally.spent = begun.elapsed();
        tally
    }

    fn execute(&self, execution: u64, bytes: &[u8], read: &impl Fn() -> pillars::Result<()>, tally: &mut Tally) {
        let shared = || CROWD.read().unwrap_or_else(PoisonError::into_inner);
        let (_others, _alone) = match self.most > MODERATE_BYTES {
            false => (Some(shared()), None),
            true => (None, Some(alone())),
        };
        fs::write(self.path, bytes).unwrap();
        largest();
        largest_anywhere();
        let begun = Instant::now();
        match catch_unwind(AssertUnwindSafe(read)) {
            Ok(Ok(())) => tally.read += 1,
            Ok(Err(error)) => {
                tally.refused += 1;
                // A thread of its own that panics is told as this.
                if assert_one_line(&error).contains("internal fault") {
                    self.keep(execution, bytes, &error.to_string());
                }
            }
            Err(_) => self.keep(execution, bytes, "a panic"),
        }
        tally.slowest = tally.slowest.max(begun.elapsed());
        let asked = largest().max(largest_anywhere());
        if asked > self.most {
            self.keep(execution, bytes, &format!("{asked} bytes were asked for"));
        }
    }

    fn keep(&self, execution: u64, bytes: &[u8], why: &str) -> ! {
        let name = self.name.replace([' ', '/'], "-");
        let kept = std::env::temp_dir().join(format!("pillars-fuzz-{name}-{execution}"));
        fs::write(&kept, bytes).unwrap();
        panic!("{}, execution {execution}: {why}; the file is {}", self.name, kept.display());
    }
}

/// Runs a target alone and tells what became of its files.
fn fuzz(name: &str, seeds: &[Vec<u8>], path: &Path, most: usize, read: impl Fn() -> pillars::Result<()>) {
    Target { name, seeds, path, most }.run(limits(), read).tell(name);
}

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/austen-plain")
}

/// A copy of the files of a checkpoint.
fn copied(source: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(source).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() && entry.file_name() != "reference.safetensors" {
            fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
    }
    folder
}
