//! The reader of files that `PILLARS_FUZZ_TARGET` names, under libFuzzer. With `PILLARS_FUZZ_CORPUS` set to a folder the
//! program writes the files that every target begins with, each target's in a folder of its own with a dictionary beside
//! it, prints the names of the targets and ends.
#![no_main]
#![allow(dead_code, unused_imports, reason = "a target needs a part of what tests share")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs
)]

#[path = "../../common/mod.rs"]
mod common;
#[path = "../../hostile/memory.rs"]
mod memory;
#[path = "../../hostile/targets/mod.rs"]
mod targets;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::{env, fs, panic, process};

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use targets::Target;
use targets::damage::{TEXTS, damaged};

thread_local! {
    static TARGET: Target = chosen();
}

/// Where the last panic was and what it said.
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

fuzz_target!(
    init: {
        // Readers that others wrote may panic on a file that contradicts itself: only what is not caught is a fault.
        panic::set_hook(Box::new(|panic| {
            if let Ok(mut last) = LAST_PANIC.lock() {
                *last = panic.to_string();
            }
        }));
        if let Ok(folder) = env::var("PILLARS_FUZZ_CORPUS") {
            write_corpus(Path::new(&folder));
            process::exit(0);
        }
        TARGET.with(|_| ());
    },
    |bytes: &[u8]| {
        if let Err(why) = TARGET.with(|target| target.execute(bytes)) {
            let panic = LAST_PANIC.lock().map(|last| last.clone()).unwrap_or_default();
            eprintln!("{why}; the last panic: {panic}");
            process::abort();
        }
    }
);

// Every second change is libFuzzer's, which its dictionary and what comparisons asked for help; the others are those of the
// seeded runner.
fuzz_mutator!(|bytes: &mut [u8], size: usize, most: usize, seed: u32| {
    let mut random = StdRng::seed_from_u64(u64::from(seed));
    if size == 0 || random.r#gen() {
        return fuzzer_mutate(bytes, size, most);
    }
    let changed = damaged(&[bytes[..size].to_vec()], &mut random);
    let size = changed.len().min(most);
    bytes[..size].copy_from_slice(&changed[..size]);
    size
});

/// The target that was asked for by its name or as files are named after it.
fn chosen() -> Target {
    let wanted = env::var("PILLARS_FUZZ_TARGET").unwrap_or_default();
    let is_wanted = |named: &targets::Named| named.name == wanted || named.slug() == wanted;
    match targets::all().into_iter().find(is_wanted) {
        Some(named) => named.make(),
        None => {
            let names: Vec<String> = targets::all().iter().map(targets::Named::slug).collect();
            eprintln!("PILLARS_FUZZ_TARGET must be one of {}", names.join(", "));
            process::exit(2);
        }
    }
}

fn write_corpus(folder: &Path) {
    for named in targets::all() {
        let slug = named.slug();
        let (place, target) = (folder.join(&slug), named.make());
        fs::create_dir_all(&place).unwrap();
        for (index, seed) in target.seeds.iter().enumerate() {
            fs::write(place.join(format!("seed-{index}")), seed).unwrap();
        }
        fs::write(folder.join(format!("{slug}.dict")), dictionary(&target.seeds)).unwrap();
        println!("{slug}");
    }
}

/// The words of files, which no change of single bytes finds: comparisons of texts are not watched.
fn dictionary(files: &[Vec<u8>]) -> String {
    const WORDS: usize = 1000;
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || b"_.-".contains(b);
    let words = files.iter().flat_map(|file| file.split(|b| !is_word(b))).filter(|word| (3..32).contains(&word.len()));
    let words: BTreeSet<&str> = words.filter_map(|word| std::str::from_utf8(word).ok()).collect();
    // Evenly from all of them, where they are many.
    let step = words.len().div_ceil(WORDS).max(1);
    let quoted = |word: &str| format!("\"{}\"\n", word.replace('"', "\\\""));
    words.into_iter().step_by(step).chain(TEXTS).map(quoted).collect()
}
