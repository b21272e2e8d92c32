//! A corpus read in pieces by several processes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// One of `of` pieces of a corpus: every `of`-th of the batches that take part, from number `index`. Pieces of one corpus
/// share no sequence, and together they are the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    index: u64,
    of: u64,
}

impl Shard {
    /// Piece `index`, counted from 0, of `of`; `None` where there is no such piece.
    pub fn new(index: u64, of: u64) -> Option<Self> {
        (index < of).then_some(Self { index, of })
    }

    /// Which piece, counted from 0.
    pub fn index(self) -> u64 {
        self.index
    }

    /// How many pieces there are.
    pub fn of(self) -> u64 {
        self.of
    }

    /// Whether no block is in both pieces, however many blocks there are.
    pub(super) fn is_apart(self, other: Self) -> bool {
        let (mut common, mut rest) = (self.of, other.of);
        while rest > 0 {
            (common, rest) = (rest, common % rest);
        }
        // By the Chinese remainder theorem; `of` is never 0.
        self.index % common != other.index % common
    }

    /// Whether a block is in this piece that comes after `before` others which take part.
    pub(super) fn has(self, before: u64) -> bool {
        before % self.of == self.index
    }

    /// The number, among all that take part, of the block that comes after `before` others of this piece.
    pub fn number(self, before: u64) -> u64 {
        before * self.of + self.index
    }

    /// How many of `blocks` blocks that take part are in this piece.
    pub(super) fn count(self, blocks: u64) -> u64 {
        (blocks + self.of - 1 - self.index) / self.of
    }
}

/// As the command line takes it, counted from 1: `2/8`.
impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.of)
    }
}

impl FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let numbers = text.split_once('/').and_then(|(a, b)| Some((a.parse::<u64>().ok()?, b.parse::<u64>().ok()?)));
        let shard = numbers.and_then(|(number, of)| Self::new(number.checked_sub(1)?, of));
        shard.ok_or_else(|| {
            Error::usage(format!("'{text}' is no part of a corpus")).hint("give I/N with I from 1 to N, as in 2/8")
        })
    }
}

impl TryFrom<String> for Shard {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::super::CorpusPart;
    use super::*;

    #[test]
    fn pieces_share_no_block_and_together_are_all() {
        let parts = [CorpusPart::All, CorpusPart::Training { every: 3 }, CorpusPart::HeldOut { every: 3 }];
        for part in parts {
            for (of, blocks) in [(1, 10), (3, 10), (4, 31), (7, 3)] {
                let mut pieces = vec![0; blocks];
                for index in 0..of {
                    let shard = Shard::new(index, of).unwrap();
                    let mine: Vec<_> =
                        (0..blocks as u64).filter(|b| part.has(*b) && shard.has(part.count(*b))).collect();
                    assert_eq!(mine.len() as u64, shard.count(part.count(blocks as u64)), "{part:?} {shard} {blocks}");
                    let numbers: Vec<_> = mine.iter().map(|block| part.count(*block)).collect();
                    assert_eq!(numbers, (0..mine.len() as u64).map(|n| shard.number(n)).collect::<Vec<_>>());
                    mine.iter().for_each(|block| pieces[*block as usize] += 1);
                }
                assert!((0..blocks as u64).all(|b| pieces[b as usize] == u64::from(part.has(b))), "{part:?} {of}");
            }
        }
    }

    #[test]
    fn pieces_are_apart_where_no_block_is_in_both() {
        let pieces = || (1..=6).flat_map(|of| (0..of).filter_map(move |index| Shard::new(index, of)));
        for a in pieces() {
            for b in pieces() {
                assert_eq!(a.is_apart(b), (0..60).all(|block| !(a.has(block) && b.has(block))), "{a} {b}");
            }
        }
    }

    #[test]
    fn they_are_written_as_they_are_read() {
        let shard: Shard = "2/8".parse().unwrap();
        assert_eq!((shard.index(), shard.of(), shard.to_string()), (1, 8, "2/8".to_owned()));
        assert_eq!(serde_json::to_string(&shard).unwrap(), "\"2/8\"");
        for text in ["", "2", "0/3", "4/3", "1/0", "-1/2", "1/2/3", "a/b"] {
            assert!(text.parse::<Shard>().unwrap_err().to_string().contains("as in 2/8"), "{text}");
        }
    }
}
