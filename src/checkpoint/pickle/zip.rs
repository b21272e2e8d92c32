//! The directory of a zip archive: where each entry lies, held against the length of the file.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use crate::error::{Error, Result};

/// Bytes of the record that ends an archive, without the comment behind it.
const END: usize = 22;
const COMMENT: u64 = 65_535;
/// Bytes of an entry in the directory before its name.
const ENTRY: usize = 46;
/// Bytes before the name of an entry where it lies.
const LOCAL: usize = 30;
/// Largest directory that is read.
const LARGEST: u64 = 1 << 28;

/// An entry that is stored as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ZipEntry {
    pub name: String,
    /// First byte, from the start of the file.
    pub begin: u64,
    pub bytes: u64,
}

/// The entries of the archive in `file`.
///
/// # Errors
/// Where it is no archive, an entry does not lie within the file, or one is compressed or encrypted.
pub(super) fn entries(file: &mut File) -> Result<Vec<ZipEntry>> {
    let length = file.metadata()?.len();
    let (begin, size, count) = directory(file, length)?;
    if begin.checked_add(size).is_none_or(|end| end > length) || size > LARGEST {
        return Err(broken(&format!("its directory claims {size} bytes at {begin} of {length}")));
    }
    file.seek(SeekFrom::Start(begin))?;
    let mut directory = vec![0u8; usize::try_from(size).unwrap_or(0)];
    file.read_exact(&mut directory)?;
    let mut entries = Vec::new();
    let mut rest = directory.as_slice();
    for _ in 0..count {
        let (entry, behind) = one(rest)?;
        rest = behind;
        entries.push(placed(file, length, entry)?);
    }
    Ok(entries)
}

fn broken(why: &str) -> Error {
    Error::new(format!("not a readable zip archive ({why})")).hint("download it again")
}

/// A little-endian number of `N` bytes at `at`.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Result<u64> {
    let part = bytes.get(at..at + N).ok_or_else(|| broken("it ends inside a record"))?;
    Ok(part.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

/// Begin, bytes and number of entries of the directory.
fn directory(file: &mut File, length: u64) -> Result<(u64, u64, u64)> {
    let window = length.min(END as u64 + COMMENT);
    file.seek(SeekFrom::Start(length - window))?;
    let mut tail = vec![0u8; usize::try_from(window).unwrap_or(0)];
    file.read_exact(&mut tail)?;
    let at = (0..=tail.len().saturating_sub(END)).rev().find(|at| tail[*at..].starts_with(b"PK\x05\x06"));
    let at = at.ok_or_else(|| broken("it has no directory"))?;
    let end = &tail[at..];
    let (count, size, begin) = (number::<2>(end, 10)?, number::<4>(end, 12)?, number::<4>(end, 16)?);
    if count != 0xFFFF && size != 0xFFFF_FFFF && begin != 0xFFFF_FFFF {
        return Ok((begin, size, count));
    }
    // Larger archives have a longer record, and where it is just before this one.
    let locator = at.checked_sub(20).and_then(|from| tail.get(from..at)).filter(|l| l.starts_with(b"PK\x06\x07"));
    let Some(locator) = locator else { return Ok((begin, size, count)) };
    let place = number::<8>(locator, 8)?;
    if place.checked_add(56).is_none_or(|end| end > length) {
        return Err(broken("its directory lies outside"));
    }
    file.seek(SeekFrom::Start(place))?;
    let mut record = [0u8; 56];
    file.read_exact(&mut record)?;
    if !record.starts_with(b"PK\x06\x06") {
        return Err(broken("its directory is not where it says"));
    }
    Ok((number::<8>(&record, 48)?, number::<8>(&record, 40)?, number::<8>(&record, 32)?))
}

/// An entry of the directory whose `begin` is that of its header, and what follows in the directory.
fn one(bytes: &[u8]) -> Result<(ZipEntry, &[u8])> {
    if !bytes.starts_with(b"PK\x01\x02") {
        return Err(broken("its directory ends early"));
    }
    let (flags, method) = (number::<2>(bytes, 8)?, number::<2>(bytes, 10)?);
    let (mut packed, mut size, mut begin) = (number::<4>(bytes, 20)?, number::<4>(bytes, 24)?, number::<4>(bytes, 42)?);
    let [name, extra, comment] = [28, 30, 32].map(|at| number::<2>(bytes, at).map(|n| n as usize));
    let (name, extra, comment) = (name?, extra?, comment?);
    let short = || broken("its directory ends early");
    let text = bytes.get(ENTRY..ENTRY + name).ok_or_else(short)?;
    let text = String::from_utf8_lossy(text).into_owned();
    let mut fields = bytes.get(ENTRY + name..ENTRY + name + extra).ok_or_else(short)?;
    while fields.len() >= 4 {
        let (kind, length) = (number::<2>(fields, 0)?, number::<2>(fields, 2)? as usize);
        let body = fields.get(4..4 + length).ok_or_else(short)?;
        if kind == 1 {
            // Numbers that do not fit in 32 bits, in this order, where they are needed.
            let mut at = 0;
            for slot in [&mut size, &mut packed, &mut begin] {
                if *slot == 0xFFFF_FFFF {
                    *slot = number::<8>(body, at)?;
                    at += 8;
                }
            }
        }
        fields = &fields[4 + length..];
    }
    if flags & 1 != 0 {
        return Err(Error::new(format!("the entry '{text}' is encrypted")));
    }
    if method != 0 || packed != size {
        let hint = "save the model again with torch.save, which compresses nothing";
        return Err(Error::new(format!("the entry '{text}' is compressed")).hint(hint));
    }
    let behind = bytes.get(ENTRY + name + extra + comment..).ok_or_else(short)?;
    Ok((ZipEntry { name: text, begin, bytes: size }, behind))
}

/// An entry with the place of its bytes, behind its own header.
fn placed(file: &mut File, length: u64, entry: ZipEntry) -> Result<ZipEntry> {
    let outside = || broken(&format!("the entry '{}' claims {} bytes of {length}", entry.name, entry.bytes));
    if entry.begin.checked_add(LOCAL as u64).is_none_or(|end| end > length) {
        return Err(outside());
    }
    file.seek(SeekFrom::Start(entry.begin))?;
    let mut header = [0u8; LOCAL];
    file.read_exact(&mut header)?;
    if !header.starts_with(b"PK\x03\x04") {
        return Err(broken(&format!("the entry '{}' is not where the directory says", entry.name)));
    }
    let begin = entry.begin + LOCAL as u64 + number::<2>(&header, 26)? + number::<2>(&header, 28)?;
    if begin.checked_add(entry.bytes).is_none_or(|end| end > length) {
        return Err(outside());
    }
    Ok(ZipEntry { begin, ..entry })
}
