//! Every reader of files against damaged ones: bytes flipped, cut, doubled, spliced, numbers replaced by extremes.
//!
//! Each target begins with files that this program or others wrote and damages them by a seeded generator, so that a
//! failure comes back; what an execution reaches does not guide the next one, as it does in the crate in `tests/fuzz`, which
//! runs the same targets. A damaged file must be read, or refused in one line; it must neither panic nor ask for memory that
//! its size does not explain. A failure leaves the file in the system's folder for temporary files and names it.
//!
//! `PILLARS_FUZZ=100000` sets the number of executions of each target, `PILLARS_FUZZ_SECONDS=60` the time after which a
//! target ends; without either a few hundred keep the suite short. `PILLARS_FUZZ_SEED=1` damages otherwise, so that several
//! processes do not repeat each other. With `--nocapture` every target ends in a row of a table: target, executions, refused,
//! read, seconds, the slowest in milliseconds. Memory that other threads ask for is counted where they belong to the target
//! alone for certain: with `--test-threads=1`.

use std::fs;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::targets::damage::damaged;
use crate::targets::{Named, Taken, for_groups};

macro_rules! tests {
    ($($room:ident: $($group:ident),+;)+) => {
        $(mod $room {
            $(#[test]
            fn $group() {
                crate::targets::$room::$group().into_iter().for_each(super::run);
            })+
        })+
    };
}
for_groups!(tests);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|n| n.parse().ok())
}

/// Executions of a target, and the time after which it ends.
fn limits() -> (u64, Duration) {
    let seconds = number("PILLARS_FUZZ_SECONDS");
    let executions = number("PILLARS_FUZZ").unwrap_or(if seconds.is_some() { u64::MAX } else { 300 });
    (executions, Duration::from_secs(seconds.unwrap_or(u64::MAX)))
}

/// Lets a target read its files, then damaged ones, and tells what became of them.
fn run(named: Named) {
    let (name, slug) = (named.name.clone(), named.slug());
    let target = named.make();
    for seed in &target.seeds {
        assert_eq!(target.execute(seed), Ok(Taken::Read), "{name}");
    }
    let seed = number("PILLARS_FUZZ_SEED").unwrap_or(0);
    let letters = name.bytes().map(u64::from).sum::<u64>();
    let mut random = StdRng::seed_from_u64(letters ^ seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let (executions, time) = limits();
    let (mut read, mut refused, mut slowest) = (0, 0, Duration::ZERO);
    let begun = Instant::now();
    for execution in 0..executions {
        if begun.elapsed() >= time {
            break;
        }
        let bytes = damaged(&target.seeds, &mut random);
        let began = Instant::now();
        match target.execute(&bytes) {
            Ok(Taken::Read) => read += 1,
            Ok(Taken::Refused) => refused += 1,
            Err(why) => {
                let kept = std::env::temp_dir().join(format!("pillars-fuzz-{slug}-{execution}"));
                fs::write(&kept, bytes).unwrap();
                panic!("{name}, execution {execution}: {why}; the file is {}", kept.display());
            }
        }
        slowest = slowest.max(began.elapsed());
    }
    let (all, spent) = (read + refused, begun.elapsed().as_secs_f64());
    println!("| {name} | {all} | {refused} | {read} | {spent:.1} | {} |", slowest.as_millis());
    assert!(refused > all / 20, "{name}: damage must matter: {read} read, {refused} refused");
}
