//! Inputs that cannot be read twice, or not as they are: pipes and compressed files become files of their own first.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::Shard;
use super::intake::Intake;
use super::passing::PassingReader;
use super::reader::PACKED;
use super::settings::{CorpusPart, CorpusSettings, Input};
use super::unpacked::Unpacked;
use crate::checkpoint::{copy_file, free_bytes};
use crate::error::{Error, Result};
use crate::task::Ticket;
use crate::words::bytes_in_words;

/// What came in by standard input so far, and what still may.
struct Standard {
    /// A file without a name, which goes with the process.
    file: File,
    bytes: u64,
    rest: PassingReader,
    has_ended: bool,
}

static STANDARD_INPUT: Mutex<Option<Standard>> = Mutex::new(None);

/// Why an input cannot be copied.
fn no_room(error: std::io::Error) -> Error {
    let folder = std::env::temp_dir();
    let why = format!("the input is copied to {}: {error}", folder.display());
    Error::new(why).caused_by(error).hint("set TMPDIR to a folder with room for the input")
}

/// Bytes copied at a time.
const PIECE: usize = 1 << 18;
/// Bytes of a pipe that are read however few batches are wanted: held-out parts and second looks read more than the first.
const ALWAYS: u64 = 256 << 20;
/// Bytes that a token is allowed for, several times what tokens of any language take.
const BYTES_PER_TOKEN: u64 = 64;
/// Tokens of a sequence of text, or of rows, where nothing says how long they are.
const USUAL_LENGTH: usize = 512;
const LONG_ROW: usize = 8192;
/// Bytes from one look at the room on the disk to the next, and those that are left free there, or a tenth where that is less.
const LOOK_EVERY: u64 = 64 << 20;
const LEFT_FREE: u64 = 1 << 30;

/// Bytes of a pipe that hold as many batches as are wanted, with room to spare; `None` where it has to be read to its end.
pub(super) fn enough(input: &Input, settings: &CorpusSettings, intake: &Intake) -> Option<u64> {
    let length = match input {
        Input::Text(_) if settings.preset.is_none() => USUAL_LENGTH,
        Input::Tokens(_) | Input::Pairs { .. } => {
            intake.source_tokens().ok().and_then(|limits| limits.max_length).unwrap_or(LONG_ROW)
        }
        _ => return None,
    };
    let blocks = match settings.part {
        CorpusPart::All => 1,
        CorpusPart::Training { .. } => 2,
        CorpusPart::HeldOut { every } => every,
    };
    let parts = settings.shard.map_or(1, Shard::of);
    let length = settings.seq_len.unwrap_or(length) as u64;
    [blocks, parts, settings.batch_size as u64, length, BYTES_PER_TOKEN]
        .into_iter()
        .fold(settings.batches?, u64::saturating_mul)
        .checked_add(ALWAYS)
}

/// A copy of an input for as long as it is read.
#[derive(Debug)]
pub(crate) struct Spool {
    named: PathBuf,
    copy: tempfile::NamedTempFile,
    /// Whether a pipe was read no further than seemed enough.
    is_cut: bool,
}

impl Spool {
    /// A copy of what `input` names, where it is no regular file (a pipe is read once and then gone) or is compressed by
    /// gzip; folders and plain files are read where they are. Of a pipe no more than `most` bytes are read, where that is said.
    ///
    /// # Errors
    /// Where the copy cannot be made.
    pub(super) fn of(input: &Input, most: Option<u64>, ticket: &Ticket) -> Result<Option<Self>> {
        let path = input.path();
        let place = |e: std::io::Error| Error::from(e).at(path);
        if input.is_standard_input() {
            let mut kept = STANDARD_INPUT.lock().unwrap_or_else(PoisonError::into_inner);
            let file = standard_input(&mut kept, most, ticket).map_err(|e| e.within("standard input"))?;
            return Self::copied(file, path, Some(most), ticket);
        }
        let about = std::fs::metadata(path).map_err(place)?;
        if about.is_dir() {
            return Ok(None);
        }
        if about.is_file() {
            return Self::copied(&mut File::open(path).map_err(place)?, path, None, ticket);
        }
        let named = path.to_path_buf();
        let mut passing = PassingReader::start(move || File::open(named), ticket).map_err(place)?;
        Self::copied(&mut passing, path, Some(most), ticket)
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
        Self::of(input, None, ticket)
    }

    /// The copy.
    pub(crate) fn path(&self) -> &Path {
        self.copy.path()
    }

    /// Whether the pipe may have more than was read of it.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// A copy of what `file` holds, which `path` names: where that is `passing`, of which then no more is read than is said,
    /// or is compressed.
    fn copied(file: &mut dyn Read, path: &Path, passing: Option<Option<u64>>, ticket: &Ticket) -> Result<Option<Self>> {
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
        if passing.is_none() && !is_packed {
            return Ok(None);
        }
        ticket.stage("read the input", None, "kB");
        let all = std::io::Cursor::new(start).take(known as u64).chain(file);
        let mut copy = copy_file().map_err(no_room)?;
        let most = passing.flatten().unwrap_or(u64::MAX);
        let read = if is_packed {
            pour(&mut Unpacked::new(all).take(most), &mut copy, ticket)
        } else {
            pour(&mut all.take(most), &mut copy, ticket)
        };
        let is_cut = read.map_err(|e| e.at(path))? >= most;
        if is_cut {
            end_with_line(copy.as_file_mut()).map_err(no_room)?;
        }
        Ok(Some(Self { named: path.to_path_buf(), copy, is_cut }))
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
        Ok(Self { named: named.to_path_buf(), copy, is_cut: false })
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

/// What came in by standard input, from its first byte: the whole of it, or somewhat more than `most` bytes. It can be read
/// once, and a command may open its input more than once: what was read is kept.
fn standard_input<'a>(kept: &'a mut Option<Standard>, most: Option<u64>, ticket: &Ticket) -> Result<&'a mut File> {
    let standard = match kept {
        Some(standard) => standard,
        None => {
            let file = tempfile::tempfile().map_err(no_room)?;
            let rest = PassingReader::start(|| Ok(std::io::stdin()), ticket)?;
            kept.insert(Standard { file, bytes: 0, rest, has_ended: false })
        }
    };
    // What is packed may be a little longer than what it unpacks to.
    let most = most.map_or(u64::MAX, |most| most.saturating_add(most / 16));
    let wanted = most.saturating_sub(standard.bytes);
    if wanted > 0 && !standard.has_ended {
        ticket.stage("read the input", None, "kB");
        standard.rest.hear(ticket);
        standard.file.seek(SeekFrom::End(0))?;
        let read = pour(&mut standard.rest.by_ref().take(wanted), &mut standard.file, ticket)?;
        standard.bytes += read;
        standard.has_ended = read < wanted;
    }
    standard.file.rewind()?;
    Ok(&mut standard.file)
}

/// Leaves out what a file holds of a line, or else of a letter, that was cut.
fn end_with_line(file: &mut File) -> std::io::Result<()> {
    const SEEN: u64 = 1 << 20;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(SEEN);
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.read_to_end(&mut tail)?;
    let last = tail.iter().rposition(|b| *b == b'\n').or_else(|| tail.iter().rposition(u8::is_ascii));
    file.set_len(last.map_or(length, |last| from + last as u64 + 1))
}

/// Why no more is copied, where little room is left on the disk; `least` is how little.
fn room_left(least: Option<u64>) -> Result<()> {
    let folder = std::env::temp_dir();
    let Some(least) = least.filter(|least| free_bytes(&folder).is_some_and(|free| free < *least)) else {
        return Ok(());
    };
    let what =
        format!("the input is copied to {}, where only {} are left free", folder.display(), bytes_in_words(least));
    Err(Error::new(what).hint("set TMPDIR to a folder with room for the input, or name the number of batches"))
}

/// Copies to the end, and gives how many bytes that were.
fn pour(from: &mut impl Read, to: &mut impl Write, ticket: &Ticket) -> Result<u64> {
    let mut piece = vec![0u8; PIECE];
    let (mut copied, mut next_look, mut least) = (0, LOOK_EVERY, None);
    loop {
        let read = match from.read(&mut piece) {
            Ok(0) => return to.flush().map_err(no_room).map(|()| copied),
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
        copied += read as u64;
        if copied >= next_look {
            next_look += LOOK_EVERY;
            least = least.or_else(|| free_bytes(&std::env::temp_dir()).map(|free| LEFT_FREE.min(free / 10)));
            room_left(least)?;
        }
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
        assert!(Spool::of(&input, None, &Ticket::default()).unwrap().is_none());
        // Two members one after the other, as `cat a.gz b.gz` gives.
        let text = "a long story, ".repeat(100_000);
        std::fs::write(&path, [packed(text.as_bytes()), packed(b"the end")].concat()).unwrap();
        let spool = Spool::of(&input, None, &Ticket::default()).unwrap().unwrap();
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
        let said = Spool::of(&input, None, &Ticket::default()).unwrap_err().to_string();
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
        let spool = Spool::of(&input, None, &Ticket::default()).unwrap().unwrap();
        writer.join().unwrap();
        assert_eq!(std::fs::read_to_string(spool.input(&input).path()).unwrap(), wanted);
        assert!(!spool.is_cut());
    }

    #[test]
    fn an_endless_pipe_is_read_as_far_as_is_enough() {
        let copy = |most, text: &str| {
            let begin = std::io::repeat(b'x').take(100).chain(std::io::Cursor::new(text.to_owned()));
            let mut endless = begin.chain(std::io::repeat(b'y'));
            let spool = Spool::copied(&mut endless, Path::new("-"), Some(Some(most)), &Ticket::default());
            let spool = spool.unwrap().unwrap();
            (spool.is_cut(), std::fs::read_to_string(spool.path()).unwrap().len())
        };
        // Whole lines, else whole letters.
        assert_eq!(copy(1000, "\nend\n"), (true, 105));
        assert_eq!(copy(103, "éa"), (true, 103));
        assert_eq!(copy(101, "éa"), (true, 100));
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
            std::thread::spawn(move || send.send(Spool::of(&input, None, &asked).map(drop)));
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
