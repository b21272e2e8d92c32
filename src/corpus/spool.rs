//! Inputs that cannot be read twice, or not as they are: pipes and compressed files become files of their own first.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::passing::PassingReader;
use super::reader::PACKED;
use super::settings::Input;
use super::unpacked::Unpacked;
use crate::checkpoint::copy_file;
use crate::error::{Error, Result};
use crate::task::Ticket;

static STANDARD_INPUT: Mutex<Option<File>> = Mutex::new(None);

/// Why an input cannot be copied.
fn no_room(error: std::io::Error) -> Error {
    let folder = std::env::temp_dir();
    let why = format!("the input is copied to {}: {error}", folder.display());
    Error::new(why).caused_by(error).hint("set TMPDIR to a folder with room for the input")
}

/// Bytes copied at a time.
const PIECE: usize = 1 << 18;

/// A copy of an input for as long as it is read.
#[derive(Debug)]
pub(crate) struct Spool {
    named: PathBuf,
    copy: tempfile::NamedTempFile,
}

impl Spool {
    /// A copy of what `input` names, where it is no regular file (a pipe is read once and then gone) or is compressed by
    /// gzip; folders and plain files are read where they are.
    ///
    /// # Errors
    /// Where the copy cannot be made.
    pub(super) fn of(input: &Input, ticket: &Ticket) -> Result<Option<Self>> {
        let path = input.path();
        let place = |e: std::io::Error| Error::from(e).at(path);
        if input.is_standard_input() {
            let mut kept = STANDARD_INPUT.lock().unwrap_or_else(PoisonError::into_inner);
            let file = standard_input(&mut kept, ticket).map_err(|e| e.within("standard input"))?;
            return Self::copied(file, path, true, ticket);
        }
        let about = std::fs::metadata(path).map_err(place)?;
        if about.is_dir() {
            return Ok(None);
        }
        if about.is_file() {
            return Self::copied(&mut File::open(path).map_err(place)?, path, false, ticket);
        }
        let named = path.to_path_buf();
        let mut passing = PassingReader::start(move || File::open(named), ticket).map_err(place)?;
        Self::copied(&mut passing, path, true, ticket)
    }

    /// The same of an input that is read once more afterwards, which a pipe cannot be.
    ///
    /// # Errors
    /// As [`Spool::of`], and of a pipe.
    pub(crate) fn again(input: &Input, ticket: &Ticket) -> Result<Option<Self>> {
        let path = input.path();
        if !input.is_standard_input() && !std::fs::metadata(path).map_err(|e| Error::from(e).at(path))?.is_file() {
            let what = "this is no file, and a tokenizer is learned from a text before it is read";
            return Err(Error::new(what).at(path).hint("save the text to a file first"));
        }
        Self::of(input, ticket)
    }

    /// The copy.
    pub(crate) fn path(&self) -> &Path {
        self.copy.path()
    }

    /// A copy of what `file` holds, which `path` names: where that `is_passing`, or is compressed.
    fn copied(file: &mut dyn Read, path: &Path, is_passing: bool, ticket: &Ticket) -> Result<Option<Self>> {
        let place = |e: std::io::Error| ticket.check().err().unwrap_or_else(|| Error::from(e).at(path));
        let mut start = [0u8; 2];
        let mut known = 0;
        while known < start.len() {
            match file.read(&mut start[known..]).map_err(place)? {
                0 => break,
                read => known += read,
            }
        }
        let is_packed = start[..known] == PACKED;
        if !is_passing && !is_packed {
            return Ok(None);
        }
        ticket.stage("read the input", None, "kB");
        let all = std::io::Cursor::new(start).take(known as u64).chain(file);
        let mut copy = copy_file().map_err(no_room)?;
        if is_packed {
            pour(&mut Unpacked::new(all), &mut copy, ticket)
        } else {
            pour(&mut { all }, &mut copy, ticket)
        }
        .map_err(|e| e.at(path))?;
        Ok(Some(Self { named: path.to_path_buf(), copy }))
    }

    /// A copy of a text with an empty line between its rows, as data sets of WikiText hold them: a row is a line with its end,
    /// a blank one is empty.
    ///
    /// # Errors
    /// Where the text cannot be read, or the copy cannot be made.
    pub(super) fn joined(path: &Path, named: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::from(e).at(named))?;
        let mut lines = BufReader::new(file);
        let mut copy = copy_file().map_err(no_room)?;
        let (mut line, mut is_first) = (Vec::new(), true);
        loop {
            line.clear();
            if lines.read_until(b'\n', &mut line).map_err(|e| Error::from(e).at(named))? == 0 {
                break;
            }
            if !is_first {
                copy.write_all(b"\n\n").map_err(no_room)?;
            }
            is_first = false;
            if !line.trim_ascii().is_empty() {
                copy.write_all(&line).map_err(no_room)?;
            }
        }
        Ok(Self { named: named.to_path_buf(), copy })
    }

    /// The input with the copy in the place of what it names.
    pub(super) fn input(&self, named: &Input) -> Input {
        named.at(self.copy.path().to_path_buf())
    }

    /// An error about the copy as one about what was named.
    pub(super) fn explain(&self, error: Error) -> Error {
        error.moved(self.copy.path(), &self.named)
    }
}

/// What came in by standard input, from its first byte. It can be read once, and a command may open its input more than
/// once: the first opening keeps it in a file without a name, which goes with the process.
fn standard_input<'a>(kept: &'a mut Option<File>, ticket: &Ticket) -> Result<&'a mut File> {
    let file = match kept {
        Some(file) => file,
        None => {
            ticket.stage("read the input", None, "kB");
            let mut file = tempfile::tempfile().map_err(no_room)?;
            pour(&mut PassingReader::start(|| Ok(std::io::stdin()), ticket)?, &mut file, ticket)?;
            kept.insert(file)
        }
    };
    file.rewind()?;
    Ok(file)
}

fn pour(from: &mut impl Read, to: &mut impl Write, ticket: &Ticket) -> Result<()> {
    let mut piece = vec![0u8; PIECE];
    loop {
        let read = match from.read(&mut piece) {
            Ok(0) => return to.flush().map_err(no_room),
            Ok(read) => read,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            // Only what unpacks says so: a plain file just ends.
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                let error = Error::new("the compressed file ends too early").caused_by(e);
                return Err(error.hint("it was cut off: copy or download it again"));
            }
            Err(e) => return ticket.check().and(Err(e.into())),
        };
        to.write_all(piece.get(..read).unwrap_or(&[])).map_err(no_room)?;
        ticket.advance((read as u64).div_ceil(1000))?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(text).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn compressed_files_are_read_and_plain_ones_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        std::fs::write(&path, "plain").unwrap();
        let input = Input::Text(path.clone());
        assert!(Spool::of(&input, &Ticket::default()).unwrap().is_none());
        // Two members one after the other, as `cat a.gz b.gz` gives.
        let text = "a long story, ".repeat(100_000);
        std::fs::write(&path, [packed(text.as_bytes()), packed(b"the end")].concat()).unwrap();
        let spool = Spool::of(&input, &Ticket::default()).unwrap().unwrap();
        let Input::Text(copy) = spool.input(&input) else { panic!("another kind") };
        assert_eq!(copy, spool.path());
        assert_eq!(std::fs::read_to_string(&copy).unwrap(), format!("{text}the end"));
        let error = spool.explain(Error::new("no").at(&copy)).to_string();
        assert!(error.ends_with("a.txt"), "{error}");
        drop(spool);
        assert!(!copy.exists());
        // Cut short.
        let whole = packed(text.as_bytes());
        std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        let said = Spool::of(&input, &Ticket::default()).unwrap_err().to_string();
        assert!(said.contains("a.txt") && said.contains("cut off: copy or download it again"), "{said}");
    }

    #[test]
    fn rows_are_joined_as_data_sets_of_wikitext_hold_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wiki.txt");
        std::fs::write(&path, " \n = Title = \n \n one two \n").unwrap();
        let spool = Spool::joined(&path, &path).unwrap();
        let copy = std::fs::read_to_string(spool.input(&Input::Text(path)).path()).unwrap();
        // "\n\n".join(["", " = Title = \n", "", " one two \n"])
        assert_eq!(copy, "\n\n = Title = \n\n\n\n\n one two \n");
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let text = "line of text\n".repeat(40_000);
        let (wanted, to) = (text.clone(), path.clone());
        let writer = std::thread::spawn(move || std::fs::write(to, text).unwrap());
        let input = Input::Text(path);
        // It is not waited for where it would have to be read again.
        assert!(Spool::again(&input, &Ticket::default()).unwrap_err().to_string().contains("save the text to a file"));
        let spool = Spool::of(&input, &Ticket::default()).unwrap().unwrap();
        writer.join().unwrap();
        assert_eq!(std::fs::read_to_string(spool.input(&input).path()).unwrap(), wanted);
    }
    #[cfg(unix)]
    #[test]
    fn a_stop_is_heard_while_a_pipe_is_silent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        // Nobody writes; then somebody does and falls silent.
        for says in [None, Some("half a line")] {
            let ticket = Ticket::default();
            let (input, asked) = (Input::Text(path.clone()), ticket.clone());
            let (send, receive) = std::sync::mpsc::channel();
            std::thread::spawn(move || send.send(Spool::of(&input, &asked).map(drop)));
            let silent = says.map(|text| {
                let mut writer = File::options().write(true).open(&path).unwrap();
                writer.write_all(text.as_bytes()).unwrap();
                writer
            });
            std::thread::sleep(std::time::Duration::from_millis(150));
            ticket.cancel_token().cancel();
            let end = receive.recv_timeout(std::time::Duration::from_secs(20)).expect("the stop was not heard");
            assert!(end.is_err_and(|error| error.is_cancelled()));
            // Lets the thread that was left behind go.
            drop(silent.unwrap_or_else(|| File::options().write(true).open(&path).unwrap()));
        }
    }
}
