//! The model file of sentencepiece (Kudo and Richardson 2018): a protocol buffer of which a few fields are read.

use std::path::Path;

use crate::checkpoint::read_file;
use crate::error::{Error, Result};

/// No model of sentencepiece comes near it.
const LARGEST: u64 = 1 << 28;

/// What a piece is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubwordUse {
    /// Stands for its text.
    Normal,
    /// Stands for what no piece stands for.
    Unknown,
    /// Never found in text.
    Control,
    /// Found in text whole, before all others.
    UserDefined,
    /// Stands in the file, and text never becomes it.
    Unused,
    /// Stands for a byte of a character that no piece stands for.
    Byte,
}

/// A piece of text with its score.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Subword {
    pub(super) text: String,
    pub(super) score: f32,
    pub(super) purpose: SubwordUse,
}

/// How a model of sentencepiece cuts text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segmentation {
    /// Into the most likely pieces (Kudo 2018).
    Unigram,
    /// By merging pairs in the order of their scores.
    Merges,
}

/// A model of sentencepiece.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SubwordModel {
    /// All pieces; their position is their id.
    pub(super) pieces: Vec<Subword>,
    pub(super) segmentation: Segmentation,
    pub(super) unknown: usize,
    pub(super) unknown_text: String,
    pub(super) byte_fallback: bool,
    /// Rules that rewrite characters, compiled; empty where there are none.
    pub(super) rules: Vec<u8>,
    pub(super) adds_prefix: bool,
    pub(super) squeezes_spaces: bool,
}

impl SubwordModel {
    /// Reads a model file.
    ///
    /// # Errors
    /// Where the file is none, is cut short, or says what is not supported.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let place = |e: std::io::Error| Error::from(e).at(path);
        if std::fs::metadata(path).map_err(place)?.len() > LARGEST {
            return Err(Error::new("the file is too large for a model of sentencepiece").at(path));
        }
        let bytes = read_file(path).map_err(place)?;
        Self::parse(&bytes).map_err(|e| {
            let hint = "fetch the file anew, or write a tokenizer.json with AutoTokenizer.from_pretrained(..).save_pretrained(..)";
            Error::new(format!("not a model of sentencepiece that can be read: {e}")).at(path).hint(hint)
        })
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut model = Self {
            pieces: Vec::new(),
            segmentation: Segmentation::Unigram,
            unknown: 0,
            unknown_text: "<unk>".to_owned(),
            byte_fallback: false,
            rules: Vec::new(),
            adds_prefix: true,
            squeezes_spaces: true,
        };
        let mut fields = ProtoFields(bytes);
        while let Some((number, field)) = fields.next()? {
            match (number, field) {
                (1, ProtoField::Bytes(piece)) => model.pieces.push(subword(piece)?),
                (2, ProtoField::Bytes(trainer)) => model.read_trainer(trainer)?,
                (3, ProtoField::Bytes(normalizer)) => model.read_normalizer(normalizer)?,
                _ => {}
            }
        }
        if model.pieces.is_empty() {
            return Err("it holds no pieces".to_owned());
        }
        if model.unknown >= model.pieces.len() {
            return Err(format!("its unknown piece is {} of {}", model.unknown, model.pieces.len()));
        }
        if !model.rules.is_empty() {
            check_rules(&model.rules)?;
        }
        Ok(model)
    }

    fn read_trainer(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut fields = ProtoFields(bytes);
        while let Some((number, field)) = fields.next()? {
            match (number, field) {
                (3, ProtoField::Number(kind)) => {
                    self.segmentation = match kind {
                        1 => Segmentation::Unigram,
                        2 => Segmentation::Merges,
                        3 => return Err("it cuts text into words, which is not supported".to_owned()),
                        4 => return Err("it cuts text into characters, which is not supported".to_owned()),
                        _ => return Err(format!("its kind {kind} is not known")),
                    }
                }
                (24, ProtoField::Number(suffix)) if suffix != 0 => {
                    return Err("it marks the ends of words, which is not supported".to_owned());
                }
                (35, ProtoField::Number(fallback)) => self.byte_fallback = fallback != 0,
                (40, ProtoField::Number(id)) => {
                    self.unknown = usize::try_from(id).map_err(|_| "it has no unknown piece".to_owned())?;
                }
                (45, ProtoField::Bytes(name)) => self.unknown_text = text(name)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_normalizer(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut fields = ProtoFields(bytes);
        while let Some((number, field)) = fields.next()? {
            match (number, field) {
                (2, ProtoField::Bytes(rules)) => self.rules = rules.to_vec(),
                (3, ProtoField::Number(adds)) => self.adds_prefix = adds != 0,
                (4, ProtoField::Number(squeezes)) => self.squeezes_spaces = squeezes != 0,
                (5, ProtoField::Number(0)) => {
                    return Err("it leaves spaces as they are, which is not supported".to_owned());
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn subword(bytes: &[u8]) -> Result<Subword, String> {
    let mut piece = Subword { text: String::new(), score: 0.0, purpose: SubwordUse::Normal };
    let mut fields = ProtoFields(bytes);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, ProtoField::Bytes(bytes)) => piece.text = text(bytes)?,
            (2, ProtoField::Fixed(bits)) => piece.score = f32::from_bits(bits),
            (3, ProtoField::Number(kind)) => {
                piece.purpose = match kind {
                    1 => SubwordUse::Normal,
                    2 => SubwordUse::Unknown,
                    3 => SubwordUse::Control,
                    4 => SubwordUse::UserDefined,
                    5 => SubwordUse::Unused,
                    6 => SubwordUse::Byte,
                    _ => return Err(format!("a piece is of kind {kind}, which is not known")),
                }
            }
            _ => {}
        }
    }
    if piece.score.is_finite() { Ok(piece) } else { Err("the score of a piece is no number".to_owned()) }
}

fn text(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "a piece is no text".to_owned())
}

/// A value of a protocol buffer.
enum ProtoField<'a> {
    Number(u64),
    Fixed(u32),
    Bytes(&'a [u8]),
    /// Eight bytes, which no field that is read has.
    Other,
}

/// The fields of a message, one after the other.
struct ProtoFields<'a>(&'a [u8]);

impl<'a> ProtoFields<'a> {
    fn next(&mut self) -> Result<Option<(u64, ProtoField<'a>)>, String> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.number()?;
        let field = match tag & 7 {
            0 => ProtoField::Number(self.number()?),
            1 => self.take(8).map(|_| ProtoField::Other)?,
            2 => {
                let length = usize::try_from(self.number()?).map_err(|_| cut())?;
                ProtoField::Bytes(self.take(length)?)
            }
            5 => {
                let bytes = self.take(4)?;
                ProtoField::Fixed(bytes.iter().rev().fold(0, |bits, byte| bits << 8 | u32::from(*byte)))
            }
            other => return Err(format!("a field is of kind {other}, which is not known")),
        };
        Ok(Some((tag >> 3, field)))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(cut)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u64, String> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or_else(cut)?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a number is too long".to_owned())
    }
}

fn cut() -> String {
    "it ends too early".to_owned()
}

/// Whether compiled rules lead nowhere outside themselves: their readers follow them unchecked.
///
/// They are the length of a double array, the array, and texts that end with a zero. A unit of the array leads to units
/// at its place, moved by its offset, and each byte of text in turn; one that ends a rule leads to the place of a text.
pub(in crate::corpus) fn check_rules(bytes: &[u8]) -> Result<(), String> {
    let broken = || "its rules for characters are broken".to_owned();
    let (length, rest) = bytes.split_at_checked(4).ok_or_else(broken)?;
    let length = length.iter().rev().fold(0usize, |n, byte| n << 8 | usize::from(*byte));
    let (array, texts) = rest.split_at_checked(length).ok_or_else(broken)?;
    let texts = std::str::from_utf8(texts).map_err(|_| broken())?;
    if length % 4 != 0 || length == 0 {
        return Err(broken());
    }
    let units: Vec<usize> =
        array.chunks_exact(4).map(|unit| unit.iter().rev().fold(0, |n, byte| n << 8 | usize::from(*byte))).collect();
    for (place, unit) in units.iter().enumerate() {
        if unit >> 31 == 1 {
            continue;
        }
        let next = place ^ ((unit >> 10) << ((unit & (1 << 9)) >> 6));
        let ends = unit >> 8 & 1 == 1;
        let leads_outside = next | 0xff >= units.len();
        if leads_outside || (ends && !texts.is_char_boundary(units[next] & ((1 << 31) - 1))) {
            return Err(broken());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str) -> Vec<u8> {
        let kinds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tokenizers/kinds");
        std::fs::read(kinds.join(name)).unwrap()
    }

    #[test]
    fn models_say_what_they_were_trained_to() {
        let llama = SubwordModel::parse(&model("llama/tokenizer.model")).unwrap();
        assert_eq!((llama.segmentation, llama.byte_fallback, llama.pieces.len()), (Segmentation::Merges, true, 1200));
        assert!(llama.rules.is_empty() && llama.adds_prefix);
        let purposes = [0, 1, 2, 3, 300].map(|id| llama.pieces[id].purpose);
        use SubwordUse::{Byte, Control, Normal, Unknown};
        assert_eq!(purposes, [Unknown, Control, Control, Byte, Normal]);
        let t5 = SubwordModel::parse(&model("t5/spiece.model")).unwrap();
        assert_eq!((t5.segmentation, t5.unknown, t5.unknown_text.as_str()), (Segmentation::Unigram, 2, "<unk>"));
        assert!(t5.rules.len() > 200_000 && t5.pieces[3].score < 0.0);
        let gemma = SubwordModel::parse(&model("gemma/tokenizer.model")).unwrap();
        assert!(!gemma.adds_prefix && !gemma.squeezes_spaces);
    }

    #[test]
    fn broken_models_are_errors() {
        let whole = model("xlm-roberta/sentencepiece.bpe.model");
        for cut in (0..whole.len()).step_by(97).filter(|cut| *cut > 0) {
            // A cut between two fields leaves a shorter model.
            let _ = SubwordModel::parse(&whole[..cut]);
        }
        assert!(SubwordModel::parse(&whole[..whole.len() - 1]).is_err());
        for place in 0..whole.len().min(20_000) {
            let mut broken = whole.clone();
            broken[place] ^= 0x55;
            let _ = SubwordModel::parse(&broken);
        }
        for bytes in [&b""[..], b"\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"IQ== 0\nIg== 1\n", b"\x0b"] {
            assert!(SubwordModel::parse(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn rules_that_lead_outside_are_broken() {
        let rules = SubwordModel::parse(&model("xlm-roberta/sentencepiece.bpe.model")).unwrap().rules;
        assert_eq!(check_rules(&rules), Ok(()));
        for rule in [&rules[..100], b"\xff\xff\xff\xff", b"\x04\0\0\0\0\0\0\0", b""] {
            assert!(check_rules(rule).is_err());
        }
        // A unit that leads behind the end of the array.
        let mut far = rules.clone();
        far[4..8].copy_from_slice(&0x7fff_fc00u32.to_le_bytes());
        assert!(check_rules(&far).is_err());
    }
}
