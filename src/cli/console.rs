//! stdout for results, stderr for progress, warnings and failures.
#![allow(clippy::print_stdout, reason = "results of the command line belong on stdout")]

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::task::{CancelToken, Progress, Ticket};
use crate::words::{bytes_in_words, duration_in_words};

/// How often plain progress lines appear where stderr is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
const POLL_EVERY: Duration = Duration::from_millis(100);

/// The terminal, as the commands see it.
pub(super) struct Console {
    quiet: bool,
    cancel: CancelToken,
    /// Notes that were said: one may come with a repair and again with what was measured with it.
    said: Mutex<BTreeSet<String>>,
    began: Instant,
    /// What the command wrote.
    written: Mutex<Vec<PathBuf>>,
}

impl Console {
    /// Leaves the interrupt signal as it is.
    pub(super) fn new(quiet: bool) -> Self {
        Self {
            quiet,
            cancel: CancelToken::default(),
            said: Mutex::default(),
            began: Instant::now(),
            written: Mutex::default(),
        }
    }

    /// Takes over the signals that ask to stop: the first asks the work to stop, the second ends the process. One that
    /// was ignored when the process began, as `nohup` has it, stays ignored.
    pub(super) fn take_interrupts(&self) {
        let wish = self.cancel.clone();
        let take = || {
            // A second console in one process (tests) cannot take the signal again, and need not.
            let _ = ctrlc::set_handler(move || {
                if wish.is_cancelled() {
                    std::process::exit(130);
                }
                wish.cancel();
            });
        };
        #[cfg(unix)]
        signals::held_back(|| {
            let ignored = signals::ignored();
            take();
            signals::ignore(&ignored);
        });
        #[cfg(not(unix))]
        take();
    }

    /// Prints a result to standard output.
    pub(super) fn print(&self, text: &str) -> Result<()> {
        let mut out = std::io::stdout().lock();
        let end = if text.ends_with('\n') { "" } else { "\n" };
        match write!(out, "{text}{end}").and_then(|()| out.flush()) {
            // A reader that closes the pipe has seen enough.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }

    /// Prints a result as JSON.
    pub(super) fn print_json(&self, value: &impl Serialize) -> Result<()> {
        self.print(&serde_json::to_string_pretty(value)?)
    }

    /// Says something that is not the result.
    pub(super) fn warn(&self, text: &str) {
        if !self.quiet {
            eprintln!("pillars: {text}");
        }
    }

    /// Says several things that are not the result, each once however often it comes.
    pub(super) fn warn_all(&self, texts: &[String]) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        for text in texts.iter().filter(|text| said.insert((*text).clone())) {
            self.warn(text);
        }
    }

    /// Remembers a file or folder that the command wrote, for [`Console::close`].
    pub(super) fn wrote(&self, path: &Path) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_path_buf());
    }

    /// Says in one line what the command wrote, and how long it took, where it wrote something.
    pub(super) fn close(&self) {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let told = |path: &PathBuf| format!("{} ({})", path.display(), bytes_in_words(bytes_of(path)));
        let all: Vec<String> = written.iter().map(told).collect();
        if !all.is_empty() {
            self.warn(&format!(
                "wrote {} in {}",
                all.join(", "),
                duration_in_words(self.began.elapsed().as_secs_f64())
            ));
        }
    }

    /// Says why the command failed.
    pub(super) fn fail(&self, error: &Error) {
        eprintln!("pillars: {error}");
    }

    /// Runs `work` while its progress shows.
    pub(super) fn watch<T>(&self, work: impl FnOnce(&Ticket) -> Result<T>) -> Result<T> {
        let ticket = Ticket::new(self.cancel.clone(), || {});
        let _reporter = (!self.quiet).then(|| Reporter::start(ticket.clone()));
        work(&ticket)
    }
}

/// Bytes of a file, or of all files of a folder and those below.
fn bytes_of(path: &Path) -> u64 {
    let inside = || std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| bytes_of(&entry.path())).sum();
    match std::fs::symlink_metadata(path) {
        Ok(about) if about.is_dir() => inside(),
        Ok(about) => about.len(),
        Err(_) => 0,
    }
}

/// Signals as the process found them.
#[cfg(unix)]
#[expect(unsafe_code, reason = "no safe interface tells or restores what a signal does")]
mod signals {
    use std::ffi::c_int;

    /// What the handler takes over.
    const TAKEN: [c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

    /// Those that are ignored now.
    pub(super) fn ignored() -> Vec<c_int> {
        let is_ignored = |signal: &c_int| {
            let mut now = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
            // SAFETY: nothing is changed, and `now` is a place for the answer that is all zeros where there is none.
            let now = unsafe {
                libc::sigaction(*signal, std::ptr::null(), now.as_mut_ptr());
                now.assume_init()
            };
            now.sa_sigaction == libc::SIG_IGN
        };
        TAKEN.into_iter().filter(is_ignored).collect()
    }

    /// Does `work` while no signal is heard by this thread, the only one as yet. Those that came meanwhile come then, but not
    /// those that are ignored by then.
    pub(super) fn held_back(work: impl FnOnce()) {
        let mut taken = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
        let mut before = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: the sets are places that these calls fill, and hold no signal where they fail.
        unsafe {
            libc::sigemptyset(taken.as_mut_ptr());
            for signal in TAKEN {
                libc::sigaddset(taken.as_mut_ptr(), signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, taken.as_ptr(), before.as_mut_ptr());
        }
        work();
        // SAFETY: as above.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    }

    /// Ignores `signals` from now on.
    pub(super) fn ignore(signals: &[c_int]) {
        for signal in signals {
            // SAFETY: no code of ours runs on a signal that is ignored.
            unsafe { libc::signal(*signal, libc::SIG_IGN) };
        }
    }
}

/// A thread that shows a ticket's progress until it is dropped.
struct Reporter {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Reporter {
    fn start(ticket: Ticket) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let show = if std::io::stderr().is_terminal() { show_bar } else { show_lines };
        // Without the thread there is no progress to see, and nothing else is lost.
        let thread = std::thread::Builder::new().spawn(move || show(&ticket, &seen)).ok();
        Self { stop, thread }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn show_bar(ticket: &Ticket, stop: &AtomicBool) {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let style = |text: &str| ProgressStyle::with_template(text).unwrap_or_else(|_| ProgressStyle::default_bar());
    let counted = style("{prefix} [{bar:30}] {pos}/{len} {msg}, {eta} left");
    let open = style("{prefix} {pos} {msg}, {elapsed}");
    let mut stage = String::new();
    while !stop.load(Ordering::Relaxed) {
        let now = ticket.progress();
        if now.stage != stage {
            stage.clone_from(&now.stage);
            bar.reset();
            bar.set_prefix(stage.clone());
        }
        match now.total {
            Some(total) => {
                bar.set_style(counted.clone());
                bar.set_length(total);
            }
            None => bar.set_style(open.clone()),
        }
        bar.set_message(now.unit);
        if !stage.is_empty() {
            bar.set_position(now.done);
        }
        std::thread::park_timeout(POLL_EVERY);
    }
    bar.finish_and_clear();
}

fn show_lines(ticket: &Ticket, stop: &AtomicBool) {
    let mut last: Option<(Instant, String, String)> = None;
    while !stop.load(Ordering::Relaxed) {
        let now = ticket.progress();
        let text = line(&now);
        let due = match &last {
            None => !now.stage.is_empty(),
            // What did not move is not said again.
            Some((at, stage, said)) => *stage != now.stage || (at.elapsed() >= PLAIN_EVERY && *said != text),
        };
        if due {
            eprintln!("pillars: {text}");
            last = Some((Instant::now(), now.stage, text));
        }
        std::thread::park_timeout(POLL_EVERY);
    }
}

fn line(progress: &Progress) -> String {
    let Progress { stage, done, total, unit, .. } = progress;
    let mut text = match total {
        Some(total) => format!("{stage}: {done}/{total} {unit}"),
        // Nothing is counted yet, and what will be depends on the input: no image is a line.
        None if *done == 0 => stage.clone(),
        None => format!("{stage}: {done} {unit}"),
    };
    // Below what is shown nothing is left to wait for.
    if let Some(left) = progress.remaining_secs().filter(|left| *left >= 0.05) {
        text.push_str(&format!(", {} left", duration_in_words(left)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_that_has_counted_nothing_names_no_unit() {
        let read =
            |done, total| Progress { stage: "read".to_owned(), unit: "lines", done, total, ..Progress::default() };
        assert_eq!(line(&read(0, None)), "read");
        assert_eq!(line(&read(3, None)), "read: 3 lines");
        assert_eq!(line(&read(0, Some(4))), "read: 0/4 lines");
        // No time is left of what is over.
        let timed = |done| Progress { elapsed_secs: 8.0, ..read(done, Some(4)) };
        assert_eq!(line(&timed(2)), "read: 2/4 lines, 8 s left");
        assert_eq!(line(&timed(4)), "read: 4/4 lines");
    }
}
