//! A window that is used for long: models change, work is started and cancelled at random moments, views, plans and themes
//! change, checkpoints are written, the window is closed and opened again. Some rounds of it are always run; `PILLARS_SOAK=60`
//! goes on for so many minutes, and then memory must stay level after the first sixth of them.

use std::time::{Duration, Instant};

use eframe::egui::{Key, Modifiers};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256Plus;

use crate::desk::{Desk, fixture, tokens};
use crate::in_use::in_use;

/// Rounds where no time is given.
const ROUNDS: usize = 2;
/// Memory may grow by so much after the first sixth of the time.
const LEVEL: f64 = 1.05;
const FAMILIES: [&str; 6] = ["bert", "llama", "albert", "gpt2", "qwen3", "opt"];
const VIEWS: [Key; 7] = [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5, Key::Num6, Key::Num7];

struct Soak {
    desk: Desk,
    random: Xoshiro256Plus,
    cancels: usize,
    exports: usize,
}

impl Soak {
    /// Starts work by `press` and cancels it after a while, or lets it come to its end.
    fn work(&mut self, press: impl FnOnce(&mut Desk)) {
        press(&mut self.desk);
        if self.random.gen_bool(0.6) {
            let end = Instant::now() + Duration::from_millis(self.random.gen_range(0..60));
            while Instant::now() < end && !self.desk.state().jobs.running().is_empty() {
                self.desk.harness.step();
                std::thread::sleep(Duration::from_millis(1));
            }
            if !self.desk.state().jobs.running().is_empty() {
                self.desk.chord(Modifiers::COMMAND, Key::Period);
                self.cancels += 1;
            }
        }
        self.desk.settle();
    }

    /// One model from its opening to what is written of it.
    fn round(&mut self, number: usize) {
        let family = FAMILIES[number % FAMILIES.len()];
        self.desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::O), &fixture(family));
        // Every search leaves a plan; a second visit begins anew, so that what people would keep does not pile up.
        if number / FAMILIES.len() % 2 == 1 {
            self.desk.command("start afresh");
            self.desk.settle();
        }
        let input = tokens(self.desk.folder.path(), 12, 10);
        self.desk.type_path((Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::I), &input);
        self.work(|desk| desk.press(Key::F5));
        if self.desk.state().results.is_none() {
            self.desk.press(Key::F5);
            self.desk.settle();
        }
        assert!(self.desk.state().results.is_some(), "{family}: {}", self.desk.messages());
        for key in VIEWS {
            self.desk.chord(Modifiers::COMMAND, key);
        }
        for words in ["repair the plan", "find the smallest plan", "measure the quality curve", "measure quality"] {
            self.work(|desk| desk.command(words));
        }
        let theme = ["light theme", "dark theme"].choose(&mut self.random).copied().unwrap();
        self.desk.command(theme);
        self.desk.command("duplicate plan");
        self.desk.chord(Modifiers::COMMAND, Key::Z);
        let out = self.desk.folder.path().join(format!("out-{number}"));
        let before = self.desk.state().export.done.is_some();
        self.work(|desk| desk.begin_with((Modifiers::COMMAND, Key::E), &out));
        let is_whole = out.join("pillars.json").is_file();
        assert!(!before && is_whole == out.exists(), "{family}: half of an export is left");
        let names = std::fs::read_dir(self.desk.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let hidden: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with(".pillars")).collect();
        assert!(hidden.is_empty(), "{family}: {hidden:?}");
        if is_whole {
            self.exports += 1;
            std::fs::remove_dir_all(&out).unwrap();
        }
        let text = self.desk.messages();
        let bad: Vec<&str> = text.lines().filter(|line| line.starts_with("error: ")).collect();
        assert!(bad.is_empty(), "{family}: {bad:?}");
    }

    /// Closes the window and opens it again: the work is there.
    fn reopen(self) -> Self {
        let kept = self.desk.state().legal_plan().map(|plan| plan.kept.clone());
        let Self { desk, random, cancels, exports } = self;
        let desk = desk.reopen();
        assert_eq!(desk.state().legal_plan().map(|plan| plan.kept.clone()), kept, "{}", desk.messages());
        Self { desk, random, cancels, exports }
    }
}

#[test]
fn a_window_that_is_used_for_long_loses_nothing() {
    let minutes: Option<f64> = std::env::var("PILLARS_SOAK").ok().and_then(|text| text.parse().ok());
    let (began, span) = (Instant::now(), Duration::from_secs_f64(60.0 * minutes.unwrap_or(0.0)));
    let random = Xoshiro256Plus::seed_from_u64(11);
    let mut soak = Soak { desk: Desk::start(None), random, cancels: 0, exports: 0 };
    let mut after = Vec::new();
    let mut settled = None;
    while after.len() < ROUNDS || began.elapsed() < span {
        soak.round(after.len());
        after.push(in_use());
        if after.len() % 2 == 0 {
            soak = soak.reopen();
        }
        if settled.is_none() && began.elapsed() * 6 >= span {
            settled = Some(after.len());
        }
    }
    let Soak { cancels, exports, .. } = soak;
    // The least of some rounds in which every family comes twice: what is kept for a while is no growth.
    let some = 2 * FAMILIES.len();
    let Some(from) = settled.filter(|from| from + 2 * some <= after.len()) else {
        assert!(minutes.is_none(), "too few rounds to tell: {}", after.len());
        return;
    };
    let least = |rounds: &[usize]| rounds.iter().copied().min().unwrap() as f64;
    let (level, now) = (least(&after[from..from + some]), least(&after[after.len() - some..]));
    let words = [level, now].map(|bytes| format!("{:.2} MiB", bytes / f64::from(1 << 20))).join(", then ");
    eprintln!("{} rounds, {cancels} cancels, {exports} exports: {words} in use", after.len());
    assert!(now <= LEVEL * level, "memory grew: {words}");
}
