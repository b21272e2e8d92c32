//! What gzip packed, as far as a text can have been packed.

use std::io::{Error, ErrorKind, Read, Result};

use flate2::read::MultiGzDecoder;

/// Bytes that any file may unpack to, and how many times its size a larger one may: texts are packed to a third or a tenth,
/// zeros to a thousandth.
const UNSUSPECTED: u64 = 1 << 30;
const MOST_TIMES: u64 = 100;

struct Counted<R> {
    from: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, to: &mut [u8]) -> Result<usize> {
        let read = self.from.read(to)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

/// Unpacks all members of a gzip file.
pub(super) struct Unpacked<R: Read> {
    from: MultiGzDecoder<Counted<R>>,
    bytes: u64,
    unsuspected: u64,
}

impl<R: Read> Unpacked<R> {
    pub(super) fn new(from: R) -> Self {
        Self::beyond(UNSUSPECTED, from)
    }

    fn beyond(unsuspected: u64, from: R) -> Self {
        Self { from: MultiGzDecoder::new(Counted { from, bytes: 0 }), bytes: 0, unsuspected }
    }
}

impl<R: Read> Read for Unpacked<R> {
    /// # Errors
    /// Where the file is broken, or unpacks to more than a text does.
    fn read(&mut self, to: &mut [u8]) -> Result<usize> {
        let read = self.from.read(to)?;
        self.bytes += read as u64;
        let packed = self.from.get_ref().bytes;
        if self.bytes > self.unsuspected && self.bytes / packed.max(1) >= MOST_TIMES {
            let what = format!("it unpacks to more than {MOST_TIMES} times its size, as no text does; unpack it first");
            return Err(Error::new(ErrorKind::InvalidData, what));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_bomb_ends_early_and_a_text_does_not() {
        let packed = |bytes: &[u8]| {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            packer.write_all(bytes).unwrap();
            packer.finish().unwrap()
        };
        let unpacked = |packed: &[u8]| {
            let mut all = Vec::new();
            let end = Unpacked::beyond(1 << 20, packed).read_to_end(&mut all);
            (all.len(), end.map_err(|e| e.to_string()))
        };
        let bomb = packed(&vec![0; 16 << 20]);
        let (length, end) = unpacked(&bomb);
        assert!(length < 3 << 20, "{length}");
        assert!(end.unwrap_err().contains("more than 100 times its size"));
        // Members one after the other do not hide it.
        assert!(unpacked(&packed(&vec![0; 1 << 19]).repeat(8)).1.is_err());
        let text: String = (0..300_000).map(|n| format!("{n} is a number, ")).collect();
        assert_eq!(unpacked(&packed(text.as_bytes())), (text.len(), Ok(text.len())));
        assert_eq!(unpacked(&packed(&vec![0; 1 << 19])).0, 1 << 19);
    }
}
