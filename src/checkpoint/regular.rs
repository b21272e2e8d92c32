//! Files that are read whole or in pieces: only such as end. A named pipe in their place would be waited for forever.

use std::fs::{self, File, Metadata};
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

/// Opens a file, of which links may tell where it is.
///
/// # Errors
/// Also where it is a folder, a pipe or a device.
pub(crate) fn open_file(path: impl AsRef<Path>) -> Result<File> {
    check(path.as_ref(), |_| false)?;
    File::open(path)
}

/// The bytes of a file. What a shell hands over as one, `<(command)`, is read too: its writer is there, and ends with this
/// program.
///
/// # Errors
/// As [`open_file`].
pub(crate) fn read_file(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    check(path.as_ref(), is_handed_over)?;
    fs::read(path)
}

/// [`read_file`] of a text.
///
/// # Errors
/// As [`open_file`], and where it is no UTF-8.
pub(crate) fn read_text(path: impl AsRef<Path>) -> Result<String> {
    check(path.as_ref(), is_handed_over)?;
    fs::read_to_string(path)
}

fn check(path: &Path, is_allowed: fn(&Path) -> bool) -> Result<()> {
    let about = fs::metadata(path)?;
    if about.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    match about.is_file() || (is_pipe(&about) && is_allowed(path)) {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::InvalidInput, "this is not a regular file")),
    }
}

/// Whether a path is one by which a process names what is open to it.
fn is_handed_over(path: &Path) -> bool {
    path.starts_with("/dev") || path.starts_with("/proc")
}

#[cfg(unix)]
fn is_pipe(about: &Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&about.file_type())
}

#[cfg(not(unix))]
fn is_pipe(_: &Metadata) -> bool {
    false
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn pipes_are_refused_and_links_followed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "text").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        assert_eq!(read_text(at("link")).unwrap(), "text");
        assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        std::os::unix::fs::symlink(at("pipe"), at("link to pipe")).unwrap();
        for path in [at("pipe"), at("link to pipe"), "/dev/zero".into()] {
            let found = [open_file(&path).err(), read_file(&path).err(), read_text(&path).err()];
            for error in found {
                assert_eq!(error.unwrap().to_string(), "this is not a regular file", "{}", path.display());
            }
        }
        assert_eq!(read_file(folder.path()).unwrap_err().kind(), ErrorKind::IsADirectory);
        assert_eq!(read_file(at("missing")).unwrap_err().raw_os_error(), Some(libc::ENOENT));
    }
}
