//! Text to ids, as a model's own tokenizer does it.

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use tokenizers::{Encoding, PostProcessor, PreTokenizerWrapper, Token, Tokenizer};

use super::judged::TextWindow;
use super::tokenizer_files::{has_tokenizer, read};
use super::vocabulary::NumberedPieces;
use crate::checkpoint::lfs_pointer;
use crate::error::{Error, Result};

/// Names that mask tokens go by where `tokenizer_config.json` names none.
const MASK_NAMES: [&str; 2] = ["[MASK]", "<mask>"];

/// A tokenizer with its special tokens. Truncation and padding that the file may ask for are switched off.
#[derive(Clone, Debug)]
pub struct TextTokenizer {
    inner: Tokenizer,
    prefix: Vec<u32>,
    suffix: Vec<u32>,
    mask: Option<u32>,
    special: Vec<u32>,
    /// Where tokens have other ids than `inner` gives.
    numbered: Option<Arc<NumberedPieces>>,
    /// The tokenizer of texts to be written, where it is another.
    target: Option<Box<TextTokenizer>>,
    /// Most tokens of a sequence by its configuration.
    longest: Option<usize>,
}

/// A text, or two, with special tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TokenPair {
    pub(super) ids: Vec<u32>,
    /// 0 for the first text, 1 for the second.
    pub(super) types: Vec<u32>,
    pub(super) is_cut: bool,
}

/// A token of a text with the bytes that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub id: u32,
    pub start: usize,
    pub end: usize,
}

/// What two texts of these lengths are cut to, the longer one first: as the truncation `longest_first` of fast tokenizers.
fn longest_first([first, second]: [usize; 2], room: usize) -> [usize; 2] {
    if first + second <= room {
        return [first, second];
    }
    let short = first.min(second);
    let mut cut = [short, if short > room { short } else { short.max(room - short) }];
    if cut[0] + cut[1] > room {
        cut = [room / 2, room / 2 + room % 2];
    }
    if first > second { [cut[1], cut[0]] } else { cut }
}

impl TextTokenizer {
    /// The tokenizer of a model folder, as its files together say.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        let found = read(folder).map_err(|e| lfs_pointer(&path).map_or(e, |e| e.at(&path)))?;
        let numbered = found.numbered.map(Arc::new);
        let wrap = |tokenizer| Self::of(tokenizer, found.mask.as_deref(), numbered.clone()).map_err(|e| e.at(folder));
        let target = found.target.map(wrap).transpose()?.map(Box::new);
        Ok(Self { target, longest: found.longest, ..wrap(found.tokenizer)? })
    }

    /// The tokenizer of a model folder for work that needs none: nothing where there is none, or none that can be built.
    pub fn beside(folder: &Path) -> Result<Option<Self>> {
        if folder.join("tokenizer.json").is_file() { Self::load(folder).map(Some) } else { Ok(Self::load(folder).ok()) }
    }

    /// Whether a model folder holds a tokenizer, as far as the names of its files tell.
    pub fn is_in(folder: &Path) -> bool {
        has_tokenizer(folder)
    }

    /// Wraps a tokenizer; `mask` names its mask token.
    #[cfg(test)]
    pub(super) fn new(inner: Tokenizer, mask: Option<&str>) -> Result<Self> {
        Self::of(inner, mask, None)
    }

    fn of(mut inner: Tokenizer, mask: Option<&str>, numbered: Option<Arc<NumberedPieces>>) -> Result<Self> {
        inner.with_truncation(None).map_err(|e| Error::new(e.to_string()))?;
        inner.with_padding(None);
        // What surrounds a sequence is seen on a sequence of one token, so that no text needs to be chosen.
        let probe = Encoding::from_tokens(vec![Token::new(0, "a".to_owned(), (0, 1))], 0);
        let probe = inner.post_process(probe, None, true).map_err(|e| Error::new(e.to_string()))?;
        let at = probe.get_special_tokens_mask().iter().position(|special| *special == 0).unwrap_or(0);
        let ids = numbered.as_ref().map_or_else(|| probe.get_ids().to_vec(), |numbered| numbered.of(&probe));
        let special = numbered.as_ref().map_or_else(
            || {
                let added = inner.get_added_tokens_decoder().into_iter();
                let mut special: Vec<u32> = added.filter(|(_, token)| token.special).map(|(id, _)| id).collect();
                special.sort_unstable();
                special
            },
            |numbered| numbered.special().to_vec(),
        );
        let id = |name: &str| numbered.as_ref().map_or_else(|| inner.token_to_id(name), |numbered| numbered.id(name));
        Ok(Self {
            prefix: ids.get(..at).unwrap_or(&[]).to_vec(),
            suffix: ids.get(at + 1..).unwrap_or(&[]).to_vec(),
            mask: mask.into_iter().chain(MASK_NAMES).find_map(id),
            special,
            numbered,
            target: None,
            longest: None,
            inner,
        })
    }

    /// The same with other special tokens around a sequence.
    pub(super) fn around(&self, prefix: Vec<u32>, suffix: Vec<u32>) -> Self {
        Self { prefix, suffix, ..self.clone() }
    }

    /// The tokenizer of texts that the model writes: another one where the model has two.
    pub fn target(&self) -> &Self {
        self.target.as_deref().unwrap_or(self)
    }

    /// Most tokens of a sequence by its configuration, where that names a number.
    pub(super) fn longest(&self) -> Option<usize> {
        self.longest
    }

    /// The ids of an encoding.
    fn ids(&self, encoding: &Encoding) -> Vec<u32> {
        self.numbered.as_ref().map_or_else(|| encoding.get_ids().to_vec(), |numbered| numbered.of(encoding))
    }

    /// Ids put before every sequence.
    pub fn prefix(&self) -> &[u32] {
        &self.prefix
    }

    /// Ids put after every sequence.
    pub fn suffix(&self) -> &[u32] {
        &self.suffix
    }

    /// The token that hides another, where there is one.
    pub fn mask(&self) -> Option<u32> {
        self.mask
    }

    /// Ids of tokens that stand for no text, ascending.
    pub fn special(&self) -> &[u32] {
        &self.special
    }

    /// Number of tokens, those added to the model's own included.
    pub fn vocabulary(&self) -> usize {
        self.numbered.as_ref().map_or_else(|| self.inner.get_vocab_size(true), |numbered| numbered.len())
    }

    /// The id of a token by its spelling.
    pub(super) fn id(&self, token: &str) -> Option<u32> {
        self.numbered.as_ref().map_or_else(|| self.inner.token_to_id(token), |numbered| numbered.id(token))
    }

    /// The token with this id as the vocabulary spells it.
    pub fn token(&self, id: u32) -> Option<String> {
        match &self.numbered {
            Some(numbered) => numbered.token(id).map(str::to_owned),
            None => self.inner.id_to_token(id),
        }
    }

    /// Ids of tokens that were added to the model's own, ascending, and whether each is special.
    pub fn added_tokens(&self) -> Vec<(u32, bool)> {
        let added = self.inner.get_added_tokens_decoder();
        let mut added: Vec<_> = added.into_iter().map(|(id, token)| (id, token.special)).collect();
        added.sort_unstable();
        added
    }

    /// What a `tokenizer.json` of it says.
    ///
    /// # Errors
    /// Where its ids cannot be said there.
    pub fn json(&self) -> Result<serde_json::Value> {
        if self.numbered.is_some() {
            return Err(Error::new(
                "a list of its own numbers this tokenizer's pieces, which a tokenizer.json cannot say",
            ));
        }
        let text =
            self.inner.to_string(false).map_err(|e| Error::new(format!("cannot describe the tokenizer: {e}")))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Ids of `text` without the special tokens around it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let broken = |e: tokenizers::Error| Error::new(format!("cannot tokenise: {e}"));
        let Some(numbered) = &self.numbered else {
            return Ok(self.inner.encode_fast(text, false).map_err(broken)?.get_ids().to_vec());
        };
        let (language, text) = numbered.language(text);
        // The fast way gives no texts of tokens.
        let ids = numbered.of(&self.inner.encode(text, false).map_err(broken)?);
        Ok(language.into_iter().chain(ids).collect())
    }

    /// [`TextTokenizer::encode`] of several texts, on all cores.
    pub(super) fn encode_all(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>> {
        texts.par_iter().map(|text| self.encode(text)).collect()
    }

    /// Ids of `text` with the byte range of each, moved by `from`.
    pub(super) fn pieces(&self, text: &str, from: usize) -> Result<Vec<Piece>> {
        let encoding = self.inner.encode(text, false).map_err(|e| Error::new(format!("cannot tokenise: {e}")))?;
        let ids = self.ids(&encoding).into_iter().zip(encoding.get_offsets());
        Ok(ids.map(|(id, (start, end))| Piece { id, start: from + start, end: from + end }).collect())
    }

    /// A text, or two as one sequence, with special tokens, cut to `length` tokens: of two the longer one first.
    pub(super) fn pair(&self, first: &str, second: Option<&str>, length: usize) -> Result<TokenPair> {
        let broken = |e: tokenizers::Error| Error::new(format!("cannot tokenise: {e}"));
        let encode = |text: &str| self.inner.encode(text, false).map_err(broken);
        let (mut a, mut b) = (encode(first)?, second.map(encode).transpose()?);
        let added = self.inner.get_post_processor().map_or(0, |processor| processor.added_tokens(b.is_some()));
        let room = length.saturating_sub(added);
        let lengths = [a.len(), b.as_ref().map_or(0, Encoding::len)];
        let is_cut = lengths[0] + lengths[1] > room;
        let [left, right] = if b.is_some() { longest_first(lengths, room) } else { [lengths[0].min(room), 0] };
        a.truncate(left, 0, tokenizers::TruncationDirection::Right);
        if let Some(b) = &mut b {
            b.truncate(right, 0, tokenizers::TruncationDirection::Right);
        }
        let whole = self.inner.post_process(a, b, true).map_err(broken)?;
        Ok(TokenPair { ids: self.ids(&whole), types: whole.get_type_ids().to_vec(), is_cut })
    }

    /// Windows of `second` behind `first` with special tokens, each of at most `length` tokens; neighbors share `stride`
    /// tokens.
    ///
    /// # Errors
    /// Where `first` leaves no room.
    pub(super) fn text_windows(
        &self,
        first: &str,
        second: &str,
        length: usize,
        stride: usize,
    ) -> Result<Vec<TextWindow>> {
        let broken = |e: tokenizers::Error| Error::new(format!("cannot tokenise: {e}"));
        let encode = |text: &str| self.inner.encode(text, false).map_err(broken);
        let (first, mut second) = (encode(first)?, encode(second)?);
        let added = self.inner.get_post_processor().map_or(0, |processor| processor.added_tokens(true));
        let room = length.saturating_sub(added + first.len());
        if room <= stride {
            return Err(Error::new(format!("the question leaves {room} of {length} tokens to its text"))
                .hint("shorten it, or give a larger --seq-len"));
        }
        second.truncate(room, stride, tokenizers::TruncationDirection::Right);
        let rest = second.take_overflowing();
        let mut windows = Vec::with_capacity(1 + rest.len());
        for part in std::iter::once(second).chain(rest) {
            let whole = self.inner.post_process(first.clone(), Some(part), true).map_err(broken)?;
            let of_text = whole.get_sequence_ids().into_iter().map(|id| id == Some(1));
            let special = whole.get_special_tokens_mask().iter().map(|special| *special == 0);
            let places = whole.get_offsets().iter().zip(of_text.zip(special));
            windows.push(TextWindow {
                ids: self.ids(&whole),
                types: whole.get_type_ids().to_vec(),
                places: places.map(|(place, (of_text, plain))| (of_text && plain).then_some(*place)).collect(),
            });
        }
        Ok(windows)
    }

    /// Words as one sequence of at most `length` tokens with special tokens, and for each token the word that begins with it.
    pub(super) fn words(&self, words: &[&str], length: usize) -> Result<(Vec<u32>, Vec<Option<usize>>)> {
        let mut text = String::new();
        let mut begins = Vec::with_capacity(words.len());
        for word in words {
            // Byte-level tokenizers tell words by the blank before them.
            if !text.is_empty() || self.is_byte_level() {
                text.push(' ');
            }
            begins.push(text.len());
            text.push_str(word.trim());
        }
        let room = length.saturating_sub(self.added());
        let pieces = self.pieces(&text, 0)?;
        let (mut ids, mut firsts, mut next) = (self.prefix.clone(), vec![None; self.prefix.len()], 0);
        for piece in pieces.iter().take(room) {
            // A piece may begin with the blank before its word.
            let start = piece.start + text.get(piece.start..piece.end).map_or(0, |t| t.len() - t.trim_start().len());
            let mut first = None;
            while begins.get(next).is_some_and(|begin| *begin <= start && piece.end > piece.start) {
                first = Some(next);
                next += 1;
            }
            ids.push(piece.id);
            firsts.push(first);
        }
        ids.extend_from_slice(&self.suffix);
        firsts.resize(ids.len(), None);
        Ok((ids, firsts))
    }

    fn is_byte_level(&self) -> bool {
        matches!(self.inner.get_pre_tokenizer(), Some(PreTokenizerWrapper::ByteLevel(_)))
    }

    /// `ids` with the special tokens around them.
    pub fn wrap(&self, ids: &[u32]) -> Vec<u32> {
        [&self.prefix, ids, &self.suffix].concat()
    }

    /// `ids` cut in pieces of at most `length`, more than [`TextTokenizer::added`], with the special tokens around each.
    pub fn wrap_pieces(&self, ids: &[u32], length: usize) -> Vec<Vec<u32>> {
        ids.chunks(length - self.added()).map(|piece| self.wrap(piece)).collect()
    }

    /// Number of special tokens around a sequence.
    pub fn added(&self) -> usize {
        self.prefix.len() + self.suffix.len()
    }

    /// Text of ids, special tokens left out.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        if let Some(numbered) = &self.numbered {
            return Ok(numbered.text(ids));
        }
        self.inner.decode(ids, true).map_err(|e| Error::new(format!("cannot turn ids into text: {e}")))
    }
}
