//! Files and folders under way: hidden until they have their name, and swept where a killed process left them.

use std::fs::{self, File, Permissions};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{cannot_make, folder_of};
use crate::error::{Error, Result};

/// Begin of every name under which something waits that has no name of its own yet.
pub(super) const HIDDEN: &str = ".pillars-";

/// Begin of the names of folders under way. Hidden folders of other names hold what was moved aside.
const PARTIAL: &str = ".pillars-partial-";

/// Begin of the names of private copies.
const COPY: &str = "pillars-input-";

/// How old something hidden must be before it can be taken for rubbish where its maker is not known to have ended: it has
/// locked it by then.
const SETTLED: Duration = Duration::from_secs(60);

/// A new file beside `path`, to be renamed to it. It has the permissions that the process gives new files, and is locked
/// for as long as it is open, so that other processes know it is no rubbish.
///
/// # Errors
/// Where the folder does not exist or cannot be written.
pub(super) fn file_beside(path: &Path) -> Result<tempfile::NamedTempFile> {
    let (kind, mut named) = (own(HIDDEN), tempfile::Builder::new());
    let made = with_permissions(&mut named, 0o666).prefix(&kind).tempfile_in(folder_of(path));
    let made = made.map_err(|error| cannot_make(error, path))?;
    hold(made.as_file());
    Ok(made)
}

/// A new folder beside `path`, to be renamed to it, and what holds it as this process's own. What killed processes left
/// there is removed first.
///
/// # Errors
/// Where the folder above does not exist or cannot be written.
pub(super) fn folder_beside(path: &Path) -> Result<(tempfile::TempDir, Option<File>)> {
    let parent = folder_of(path);
    sweep(parent);
    let (kind, mut named) = (own(PARTIAL), tempfile::Builder::new());
    let made = with_permissions(&mut named, 0o777).prefix(&kind).tempdir_in(parent);
    let made = made.map_err(|error| cannot_make(error, path))?;
    // File systems that know no locks, and systems that open no folders, go without.
    let lock = File::open(made.path()).ok().filter(|folder| folder.try_lock().is_ok());
    Ok((made, lock))
}

/// Gives what is in a file from [`file_beside`] its name, once it is on the disk, and makes the name last too.
///
/// # Errors
/// Where the disk is full, or the name cannot be given.
pub(super) fn finish_file(file: &File, hidden: tempfile::TempPath, path: &Path) -> Result<()> {
    let place = |e: io::Error| Error::from(e).at(path);
    file.sync_all().map_err(place)?;
    hidden.persist(path).map_err(|e| place(e.error))?;
    sync_folder(folder_of(path)).map_err(place)
}

/// Makes new names in `folder` last.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// A private copy of something that is read more than once, in the system's folder for such files. It goes with its last
/// use; copies that killed processes left go first.
///
/// # Errors
/// Where that folder cannot be written.
pub(crate) fn copy_file() -> io::Result<tempfile::NamedTempFile> {
    sweep_names(&std::env::temp_dir(), |name| name.starts_with(COPY));
    let made = tempfile::Builder::new().prefix(&own(COPY)).tempfile()?;
    hold(made.as_file());
    Ok(made)
}

/// Removes from `folder` what processes that were killed left half done: hidden files and folders that no process holds.
pub(super) fn sweep(folder: &Path) {
    sweep_names(folder, |name| name.starts_with(HIDDEN));
}

fn sweep_names(folder: &Path, is_ours: impl Fn(&str) -> bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Ok(about) = entry.metadata() else { continue };
        // What was moved aside is somebody's, whoever holds it; links, pipes and devices are not this program's.
        let is_named = name
            .to_str()
            .is_some_and(|name| is_ours(name) && (about.is_file() || (about.is_dir() && name.starts_with(PARTIAL))));
        let is_settled = || about.modified().is_ok_and(is_distant) || is_left(&entry.path());
        if !is_named || !is_settled() {
            continue;
        }
        if (about.is_dir() || cfg!(unix)) && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            // What cannot be removed does no harm.
            let _ = if about.is_dir() { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
        }
    }
}

/// Whether a moment is not about now: long ago, or, where a clock was wrong then or is now, far ahead.
fn is_distant(at: SystemTime) -> bool {
    at.elapsed().unwrap_or_else(|ahead| ahead.duration()) > SETTLED
}

/// This process, as its hidden names and locks tell of it: its number, and behind a point which start of which machine that
/// is a number of, as far as that is known. Folders are shared by machines.
pub(super) fn own_tag() -> String {
    format!("{}.{}", std::process::id(), machine())
}

/// What tells this start of this machine from others; empty where nothing does.
fn machine() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.chars().take_while(char::is_ascii_hexdigit).collect()
}

/// What begins the names that this process gives under `kind`.
fn own(kind: &str) -> String {
    format!("{kind}{}-", own_tag())
}

/// Whether the process that made something hidden has ended, by its name, or by what is in it where it is a lock. Of processes of
/// other machines nothing is known.
fn is_left(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    if name.ends_with(".lock") {
        return fs::read_to_string(path).is_ok_and(|tag| has_ended(&tag));
    }
    let rest = [PARTIAL, COPY, HIDDEN].iter().find_map(|kind| name.strip_prefix(kind));
    rest.and_then(|rest| rest.split_once('-')).is_some_and(|(tag, _)| has_ended(tag))
}

/// Whether the process of a tag was one of this machine and has ended.
pub(super) fn has_ended(tag: &str) -> bool {
    let Some((number, of)) = tag.trim().split_once('.') else { return false };
    !of.is_empty() && of == machine() && number.parse().is_ok_and(is_gone)
}

/// Whether no process of this number is there.
#[cfg(unix)]
#[expect(unsafe_code, reason = "no safe interface asks for a process")]
fn is_gone(process: u32) -> bool {
    let Ok(number) = libc::pid_t::try_from(process) else { return false };
    // SAFETY: signal 0 is sent to nobody; it asks whether the process is there.
    let is_refused = number > 0 && unsafe { libc::kill(number, 0) } != 0;
    is_refused && io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH)
}

/// Nobody can tell.
#[cfg(not(unix))]
fn is_gone(_: u32) -> bool {
    false
}

/// Locks a file for as long as it is open. Elsewhere locks keep a file's own readers out, so that files are not swept there.
fn hold(file: &File) {
    if cfg!(unix) {
        // File systems that know no locks go without.
        let _ = file.try_lock();
    }
}

/// Temporary files are private by default; results follow the process's mask.
#[cfg(unix)]
fn with_permissions<'a, 'b>(
    named: &'a mut tempfile::Builder<'b, 'static>,
    mode: u32,
) -> &'a mut tempfile::Builder<'b, 'static> {
    use std::os::unix::fs::PermissionsExt;
    named.permissions(Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn with_permissions<'a, 'b>(
    named: &'a mut tempfile::Builder<'b, 'static>,
    _: u32,
) -> &'a mut tempfile::Builder<'b, 'static> {
    named
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn age(path: &Path) {
        date(path, SystemTime::now() - 2 * SETTLED);
    }

    fn date(path: &Path, at: SystemTime) {
        File::open(path).unwrap().set_modified(at).unwrap();
    }

    #[test]
    fn what_is_dated_ahead_is_removed_too() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        let day = Duration::from_secs(24 * 60 * 60);
        let [left, held, near] = [".pillars-left", ".pillars-held", ".pillars-near"].map(at);
        let folder = at(".pillars-partial-left");
        fs::create_dir_all(folder.join("inside")).unwrap();
        [&left, &held, &near].into_iter().for_each(|file| fs::write(file, "half").unwrap());
        [&left, &held, &folder].into_iter().for_each(|path| date(path, SystemTime::now() + 365 * day));
        // Clocks of machines that share a folder differ by a little.
        date(&near, SystemTime::now() + SETTLED / 2);
        let holder = File::open(&held).unwrap();
        holder.try_lock().unwrap();
        sweep(parent.path());
        assert_eq!([left, folder, held, near].map(|path| path.exists()), [false, false, true, true]);
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_another_works_in_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        let folders = [".pillars-partial-left", ".pillars-partial-fresh", ".pillars-partial-other"].map(at);
        let files =
            [".pillars-AbCdEf", ".pillars-a.json.lock", ".pillars-fresh", ".pillars-other", "pillars-mine"].map(at);
        let kept = at(".pillars-before-x");
        for folder in folders.iter().chain([&kept]) {
            fs::create_dir_all(folder.join("inside")).unwrap();
        }
        for file in &files {
            fs::write(file, "half").unwrap();
        }
        for path in [&folders[0], &folders[2], &files[0], &files[1], &files[3], &files[4], &kept] {
            age(path);
        }
        let held = [&folders[2], &files[3]].map(|path| File::open(path).unwrap());
        held.iter().for_each(|file| file.try_lock().unwrap());
        sweep(parent.path());
        assert!(folders.iter().map(|p| p.exists()).eq([false, true, true]));
        assert!(files.iter().map(|p| p.exists()).eq([false, false, true, true, true]));
        assert!(kept.exists());
        drop(held);
        // One's own file and folder are held, however old they are.
        let file = file_beside(&at("a.json")).unwrap();
        let (folder, _lock) = folder_beside(&at("out")).unwrap();
        age(file.path());
        age(folder.path());
        // A process that another test starts shares what was held here until its own program runs.
        let began = std::time::Instant::now();
        loop {
            sweep(parent.path());
            if !files[3].exists() && !folders[2].exists() {
                break;
            }
            assert!(began.elapsed() < SETTLED, "what nobody holds stays");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(file.path().exists() && folder.path().exists());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_an_ended_process_left_is_removed_at_once() {
        // A process that has ended and was waited for has a number that nobody has, for a while.
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        let gone = format!("{}.{}", ended.id(), machine());
        ended.wait().unwrap();
        let elsewhere = format!("{}.0123abcd", ended.id());
        let (parent, own) = (tempfile::tempdir().unwrap(), own_tag());
        let at = |name: String| parent.path().join(name);
        let (lock, foreign) = (at(".pillars-a.json.lock".to_owned()), at(".pillars-b.json.lock".to_owned()));
        fs::write(&lock, &gone).unwrap();
        fs::write(&foreign, &own).unwrap();
        for process in [&gone, &own, &elsewhere] {
            fs::write(at(format!(".pillars-{process}-AbCdEf")), "half").unwrap();
            fs::create_dir_all(at(format!(".pillars-partial-{process}-x/inside"))).unwrap();
        }
        // A file that is to have such a name, claimed a moment ago: its number is not yet in it.
        let claimed = at(format!(".pillars-{gone}-mine.json.lock"));
        fs::write(&claimed, "").unwrap();
        sweep(parent.path());
        let mut left: Vec<_> = fs::read_dir(parent.path()).unwrap().map(|e| e.unwrap().path()).collect();
        left.sort();
        let mut expected = vec![foreign, claimed];
        for process in [&own, &elsewhere] {
            expected.extend([at(format!(".pillars-{process}-AbCdEf")), at(format!(".pillars-partial-{process}-x"))]);
        }
        expected.sort();
        assert_eq!(left, expected);
    }

    #[test]
    fn results_follow_the_mask_of_the_process() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let plain = parent.path().join("plain");
        fs::write(&plain, "").unwrap();
        fs::create_dir(parent.path().join("folder")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        let path = parent.path().join("a.json");
        let (folder, _lock) = folder_beside(&path).unwrap();
        assert_eq!(mode(file_beside(&path).unwrap().path()), mode(&plain));
        assert_eq!(mode(folder.path()), mode(&parent.path().join("folder")));
    }
}
