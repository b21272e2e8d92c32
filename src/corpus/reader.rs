//! Text files in blocks: UTF-8 checked, line ends made equal.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::settings::Input;
use crate::checkpoint::open_file;
use crate::error::{Error, Result};

/// Bytes read at a time.
const BLOCK: usize = 1 << 16;

/// Bytes of lines handed out at a time.
const LINES: usize = 1 << 18;

/// A line that is longer is cut at a blank, so that a file without line ends cannot fill the memory.
const LONGEST_LINE: usize = 1 << 20;

/// What files begin with that gzip compressed.
pub(super) const PACKED: [u8; 2] = [0x1f, 0x8b];

/// Reads a UTF-8 file block by block; a byte-order mark is dropped and `\r\n` becomes `\n`.
#[derive(Debug)]
pub(super) struct TextReader {
    path: PathBuf,
    file: File,
    /// Bytes of a character (or line end) that the next block completes.
    held: Vec<u8>,
    /// Bytes of the file before `held`.
    consumed: u64,
    ended: bool,
}

impl TextReader {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = open_file(path).map_err(|e| Error::from(e).at(path))?;
        Ok(Self { path: path.to_path_buf(), file, held: Vec::new(), consumed: 0, ended: false })
    }

    /// Bytes of the file that were handed out.
    pub(super) fn consumed(&self) -> u64 {
        self.consumed
    }

    /// Appends a block to `text`; false once the file has ended.
    pub(super) fn read(&mut self, text: &mut String) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let mut bytes = std::mem::take(&mut self.held);
        let read =
            (&mut self.file).take(BLOCK as u64).read_to_end(&mut bytes).map_err(|e| Error::from(e).at(&self.path))?;
        self.ended = read == 0;
        let mut valid = match std::str::from_utf8(&bytes) {
            Ok(all) => all,
            Err(error) => {
                let fault = error.error_len().is_some() || self.ended;
                if fault {
                    let at = self.consumed + error.valid_up_to() as u64;
                    return Err(not_utf8(&self.path, format!("byte {at} is not UTF-8")));
                }
                let good = bytes.get(..error.valid_up_to()).unwrap_or(&[]);
                std::str::from_utf8(good).unwrap_or_default()
            }
        };
        // The other half of a line end may come with the next block.
        if !self.ended
            && let Some(rest) = valid.strip_suffix('\r')
        {
            valid = rest;
        }
        let taken = valid.len();
        if self.consumed == 0 {
            // A file of numbers may be valid UTF-8 by chance, of many zeros above all.
            if let Some(at) = valid.find('\0') {
                return Err(not_text(&self.path, format!("byte {at} is NUL, which text does not hold")));
            }
            valid = valid.strip_prefix('\u{feff}').unwrap_or(valid);
        }
        if valid.contains('\r') {
            text.push_str(&valid.replace("\r\n", "\n"))
        } else {
            text.push_str(valid)
        }
        self.consumed += taken as u64;
        self.held = bytes.split_off(taken);
        Ok(!self.ended || taken > 0)
    }
}

impl Input {
    /// Why the file that is named cannot be read as text, by its beginning; nothing where it can, where it is not to be read as
    /// text, where it can be read but once (a pipe), and where it is compressed: what is in it is seen once it is unpacked.
    pub(crate) fn text_fault(&self) -> Option<Error> {
        let (Self::Text(path) | Self::Tokens(path) | Self::Pairs { path, .. }) = self else { return None };
        if self.is_standard_input() || !std::fs::metadata(path).is_ok_and(|about| about.is_file()) {
            return None;
        }
        is_text(path).err()
    }
}

/// Fails where the file at `path` does not begin as text does.
fn is_text(path: &Path) -> Result<()> {
    if beginning(path, PACKED.len()) == PACKED {
        return Ok(());
    }
    let (mut reader, mut text) = (TextReader::open(path)?, String::new());
    while text.len() < BLOCK && reader.read(&mut text)? {}
    Ok(())
}

/// The first bytes of a file, `most` at most; none of one that cannot be read.
fn beginning(path: &Path, most: usize) -> Vec<u8> {
    let mut first = Vec::new();
    let _ = open_file(path).and_then(|file| file.take(most as u64).read_to_end(&mut first));
    first
}

/// The error of a file that is no UTF-8 text: what it is, where its first bytes tell, else `what`.
pub(super) fn not_utf8(path: &Path, what: String) -> Error {
    if [b"\xff\xfe", b"\xfe\xff"].iter().any(|mark| beginning(path, 2).starts_with(*mark)) {
        let what = "this is text in UTF-16, not in UTF-8";
        return Error::new(what).hint("convert it, e.g. with iconv -f utf-16 -t utf-8").at(path);
    }
    match kind_of(path) {
        Some(_) => not_text(path, what),
        None => Error::new(what).hint("convert it, e.g. with iconv -t utf-8").at(path),
    }
}

/// The error of a file that is no text in any encoding: what it is, where its first bytes tell, else `what`.
fn not_text(path: &Path, what: String) -> Error {
    let what = kind_of(path).map_or(what, |kind| format!("this is {kind}, not text"));
    Error::new(what).hint("name a text file").at(path)
}

/// What a file that is no text is, by its first bytes, where these are known.
fn kind_of(path: &Path) -> Option<&'static str> {
    let first = beginning(path, 512);
    let is = |mark: &[u8]| first.starts_with(mark);
    // WAV and WebP are both RIFF.
    let form = if is(b"RIFF") { first.get(8..12) } else { None };
    Some(match form {
        Some(b"WAVE") => "a WAV recording",
        Some(b"WEBP") => "a WebP image",
        _ if is(b"\x89PNG") => "a PNG image",
        _ if is(b"\xff\xd8\xff") => "a JPEG image",
        _ if is(b"GIF8") => "a GIF image",
        _ if is(b"%PDF") => "a PDF document",
        _ if is(b"PK\x03\x04") => "a ZIP archive, as Word and PyTorch files are too",
        _ if is(b"PAR1") => "a Parquet table, which --data reads",
        _ if is(b"BZh") => "compressed by bzip2",
        _ if is(b"\x28\xb5\x2f\xfd") => "compressed by zstd",
        _ if is(b"\xfd7zXZ") => "compressed by xz",
        _ if is(b"fLaC") => "a FLAC recording",
        _ if is(b"ID3") || is(b"\xff\xfb") => "an MP3 recording",
        _ if is(b"GGUF") => "a GGUF model",
        _ if is(b"\x7fELF") || is(b"MZ") => "a program",
        _ => return None,
    })
}

/// Blocks of whole lines with their numbers, counted from 1.
#[derive(Debug)]
pub(super) struct LineBlocks {
    reader: TextReader,
    rest: String,
    number: u64,
    ended: bool,
}

impl LineBlocks {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self { reader: TextReader::open(path)?, rest: String::new(), number: 1, ended: false })
    }

    /// The next block; `None` at the end of the file. Lines come without their ends.
    pub(super) fn read(&mut self) -> Result<Option<Vec<(u64, String)>>> {
        loop {
            while !self.ended && self.rest.len() < LINES {
                self.ended = !self.reader.read(&mut self.rest)?;
            }
            if self.rest.is_empty() {
                return Ok(None);
            }
            let (cut, line_ends) = match self.rest.rfind('\n') {
                _ if self.ended => (self.rest.len(), true),
                Some(at) => (at + 1, true),
                None if self.rest.len() >= LONGEST_LINE => (last_blank(&self.rest), false),
                None => {
                    self.ended = !self.reader.read(&mut self.rest)?;
                    continue;
                }
            };
            let rest = self.rest.split_off(cut);
            let block = std::mem::replace(&mut self.rest, rest);
            let lines: Vec<(u64, String)> =
                block.lines().zip(self.number..).map(|(line, number)| (number, line.to_owned())).collect();
            // A line that was cut goes on under its own number.
            self.number += lines.len() as u64 - u64::from(!line_ends);
            return Ok(Some(lines));
        }
    }
}

/// Where to cut a text without line ends: behind its last blank, else at its end.
fn last_blank(text: &str) -> usize {
    text.char_indices().rev().find(|(_, c)| c.is_whitespace()).map_or(text.len(), |(at, c)| at + c.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> Result<String> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("text.txt");
        std::fs::write(&path, bytes)?;
        let (mut reader, mut text) = (TextReader::open(&path)?, String::new());
        while reader.read(&mut text)? {}
        Ok(text)
    }

    #[test]
    fn blocks_join_without_loss() {
        // Characters of two bytes and line ends of two bytes straddle every border of a block.
        let text: String = (0..BLOCK).map(|i| if i % 7 == 0 { "\r\n" } else { "é" }).collect();
        for shift in ["", "a"] {
            let text = format!("{shift}{text}");
            assert_eq!(whole(text.as_bytes()).unwrap(), text.replace("\r\n", "\n"));
        }
        assert_eq!(whole("\u{feff}a\rb\r".as_bytes()).unwrap(), "a\rb\r");
        assert_eq!(whole(b"").unwrap(), "");
    }

    #[test]
    fn what_is_not_utf8_is_named_by_its_byte() {
        let error = whole(b"abc\xff\xfe").unwrap_err().to_string();
        assert!(error.contains("byte 3 is not UTF-8") && error.contains("text.txt"), "{error}");
        let png = whole(b"\x89PNG\r\n\x1a\n").unwrap_err().to_string();
        assert!(png.contains("this is a PNG image, not text: ") && !png.contains("iconv"), "{png}");
        assert!(whole(b"PK\x03\x04\xff\xff").unwrap_err().to_string().contains("a ZIP archive"));
        let zeros = whole(b"ab\0\0").unwrap_err().to_string();
        assert!(zeros.contains("byte 2 is NUL") && zeros.contains("text.txt") && !zeros.contains("iconv"), "{zeros}");
        let mut cut = vec![b'a'; BLOCK];
        cut.extend_from_slice(&"é".as_bytes()[..1]);
        assert!(whole(&cut).unwrap_err().to_string().contains(&format!("byte {BLOCK} ")));
    }

    #[test]
    fn what_is_no_text_is_told_by_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        let fault = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            Input::Text(path.clone()).text_fault().map(|error| error.to_string())
        };
        assert_eq!(fault("Zoë wrote.\r\n".as_bytes()), None);
        assert_eq!(fault(b""), None, "what is empty is told by who reads it");
        assert_eq!(fault(b"\x1f\x8b\x08\x00"), None, "compressed");
        // The end of a file may cut a character off.
        for (bytes, why) in [(&b"Zo\xc3"[..], "byte 2 is not UTF-8"), (b"Z\0o\0", "byte 1 is NUL")] {
            let told = fault(bytes).unwrap();
            assert!(told.contains(why) && told.contains("a.txt"), "{told}");
        }
        assert!(Input::Inputs(path.clone()).text_fault().is_none(), "it is not to be read as text");
        assert!(Input::Text(folder.path().to_path_buf()).text_fault().is_none());
    }

    #[test]
    fn lines_keep_their_numbers_across_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines.txt");
        let lines: Vec<String> = (0..60_000).map(|i| format!("line {i}{}", "x".repeat(i % 13))).collect();
        std::fs::write(&path, lines.join("\n")).unwrap();
        let mut blocks = LineBlocks::open(&path).unwrap();
        let (mut read, mut count) = (Vec::new(), 0);
        while let Some(block) = blocks.read().unwrap() {
            read.extend(block);
            count += 1;
        }
        assert!(count > 1);
        let expected: Vec<(u64, String)> = (1..).zip(lines).collect();
        assert!(read == expected);
    }

    #[test]
    fn one_endless_line_is_cut_at_a_blank() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("line.txt");
        let text = format!("{}\nend", "word ".repeat(LONGEST_LINE / 2));
        std::fs::write(&path, &text).unwrap();
        let mut blocks = LineBlocks::open(&path).unwrap();
        let (mut joined, mut numbers) = (String::new(), Vec::new());
        while let Some(block) = blocks.read().unwrap() {
            for (number, line) in block {
                assert!(line.len() < 2 * LONGEST_LINE && (line.ends_with(' ') || line == "end"));
                joined.push_str(&line);
                numbers.push(number);
            }
        }
        assert_eq!(joined.len(), text.len() - 1);
        assert_eq!((numbers.first(), numbers.last(), numbers.len()), (Some(&1), Some(&2), 4));
    }
}
