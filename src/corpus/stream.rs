//! Ids of a whole text of any length, equal to tokenising it at once.
//!
//! The text is tokenised in windows that overlap. What a tokenizer does at the two ends of a text (a blank put in
//! front, runs of blanks split in another way, half a word) differs only near the ends of a window, so two windows
//! are joined in their overlap where several tokens in a row agree in id and place. A border between lines
//! would not do: some tokenizers join a full stop with the line ends behind it, others split those from the next word.

use std::collections::VecDeque;
use std::sync::Arc;

use rayon::prelude::*;

use super::reader::TextReader;
use super::tokenizer::{Piece, TextTokenizer};
use crate::error::Result;

/// Sizes in bytes; tests use small ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowSizes {
    /// Text that each window adds.
    pub core: usize,
    /// Text that it shares with the one before.
    pub overlap: usize,
    /// Windows tokenised at a time, on all cores.
    pub group: usize,
    /// A text without a place to join may grow to this before it is cut all the same.
    pub longest: usize,
}

impl Default for WindowSizes {
    fn default() -> Self {
        Self { core: 1 << 17, overlap: 1 << 12, group: 8, longest: 1 << 21 }
    }
}

/// Tokens that must agree before and behind the place where windows are joined.
const AGREE: usize = 8;

struct Window {
    /// Bytes of the text before this window.
    start: usize,
    text: String,
    pieces: Vec<Piece>,
}

/// The ids of a text, in runs.
pub(super) struct TokenStream {
    reader: TextReader,
    tokenizer: Arc<TextTokenizer>,
    sizes: WindowSizes,
    /// Text read but not yet in a window, with the overlap before it.
    buffer: String,
    /// Bytes of the text before `buffer`.
    base: usize,
    ended: bool,
    ready: VecDeque<Window>,
    /// The window being handed out, and its first piece that is not yet out.
    current: Option<(Window, usize)>,
}

impl TokenStream {
    pub(super) fn new(reader: TextReader, tokenizer: Arc<TextTokenizer>, sizes: WindowSizes) -> Self {
        let (buffer, ready) = (String::new(), VecDeque::new());
        Self { reader, tokenizer, sizes, buffer, base: 0, ended: false, ready, current: None }
    }

    /// The next run of ids; `None` at the end of the text.
    pub(super) fn read(&mut self) -> Result<Option<Vec<u32>>> {
        loop {
            if self.ready.is_empty() {
                self.fill()?;
            }
            let Some(next) = self.ready.pop_front() else {
                let last = self.current.take();
                return Ok(last.map(|(window, from)| ids(&window, from, window.pieces.len())));
            };
            let Some((window, from)) = self.current.take() else {
                self.current = Some((next, 0));
                continue;
            };
            if from >= window.pieces.len() {
                // Nothing but blanks, of which some tokenizers make no token.
                let out = window.pieces.last().map_or(0, |p| p.end);
                let from = next.pieces.partition_point(|p| p.start < out);
                self.current = Some((next, from));
                continue;
            }
            if let Some((i, j)) = join(&window.pieces, from, &next.pieces) {
                let run = ids(&window, from, i);
                self.current = Some((next, j));
                return Ok(Some(run));
            }
            let whole =
                [&window.text, next.text.get(window.start + window.text.len() - next.start..).unwrap_or("")].concat();
            if whole.len() <= self.sizes.longest {
                self.current = Some(self.retokenise(&window, from, whole)?);
                continue;
            }
            // Nowhere do the windows agree: cut where a token ends, without loss of text.
            let middle = next.start + (window.start + window.text.len() - next.start) / 2;
            let cut = window.pieces.partition_point(|p| p.end <= middle).max(from);
            let end = cut.checked_sub(1).and_then(|i| window.pieces.get(i)).map_or(window.start, |p| p.end);
            let run = ids(&window, from, cut);
            let text = whole.get(end - window.start..).unwrap_or("").to_owned();
            let pieces = self.tokenizer.pieces(&text, end)?;
            self.current = Some((Window { start: end, text, pieces }, 0));
            return Ok(Some(run));
        }
    }

    /// `window` with more text; the place behind the pieces that are out is found again.
    fn retokenise(&self, window: &Window, from: usize, text: String) -> Result<(Window, usize)> {
        let pieces = self.tokenizer.pieces(&text, window.start)?;
        let same = pieces.get(..from) == window.pieces.get(..from);
        let out = from.checked_sub(1).and_then(|i| window.pieces.get(i)).map_or(0, |p| p.end);
        let from = if same { from } else { pieces.partition_point(|p| p.start < out) };
        Ok((Window { start: window.start, text, pieces }, from))
    }

    /// Reads ahead and tokenises the next windows.
    fn fill(&mut self) -> Result<()> {
        let WindowSizes { core, overlap, group, .. } = self.sizes;
        while !self.ended && self.buffer.len() < overlap + core * group {
            self.ended = !self.reader.read(&mut self.buffer)?;
        }
        let mut texts = Vec::new();
        loop {
            // The first window of the text has nothing before it.
            let shared = if self.base == 0 { 0 } else { overlap };
            let left = self.buffer.len();
            let enough = left > shared + core || (self.ended && left > shared);
            if !enough || texts.len() == group {
                break;
            }
            let end = floor(&self.buffer, shared + core);
            let text = self.buffer.get(..end).unwrap_or("").to_owned();
            // Keep the last bytes of this window as the overlap of the next.
            let keep = if end == left && self.ended { left } else { floor(&self.buffer, end - overlap.min(end)) };
            texts.push((self.base, text));
            self.buffer.drain(..keep);
            self.base += keep;
        }
        let tokenizer = &self.tokenizer;
        let windows: Result<Vec<Window>> = texts
            .into_par_iter()
            .map(|(start, text)| Ok(Window { start, pieces: tokenizer.pieces(&text, start)?, text }))
            .collect();
        self.ready.extend(windows?);
        Ok(())
    }
}

/// The last border between characters at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at.min(text.len()))
}

fn ids(window: &Window, from: usize, to: usize) -> Vec<u32> {
    window.pieces.get(from..to).unwrap_or(&[]).iter().map(|p| p.id).collect()
}

/// Where two runs of pieces can be joined: `first[..i]` then `second[j..]`. Looks from the middle of what they share
/// to its end, then from its begin.
fn join(first: &[Piece], from: usize, second: &[Piece]) -> Option<(usize, usize)> {
    let begin = first.partition_point(|p| p.start < second.first().map_or(usize::MAX, |q| q.start)).max(from);
    let middle = begin + (first.len() - begin) / 2;
    (middle..first.len()).chain(begin..middle).find_map(|i| {
        let before = i.checked_sub(AGREE).filter(|a| *a >= from)?;
        let wanted = first.get(before..i + AGREE)?;
        let start = first.get(i)?.start;
        let j = second.partition_point(|p| p.start < start);
        // Several tokens may share one place (bytes of a character): line up with the first of them.
        let i_first = first.partition_point(|p| p.start < start);
        let given = second.get(j.checked_sub(AGREE)?..j + AGREE)?;
        (i_first == i && wanted == given).then_some((i, j))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tokenizers::models::bpe::{BPE, BpeTrainer};
    use tokenizers::models::unigram::Unigram;
    use tokenizers::models::wordpiece::{WordPiece, WordPieceTrainer};
    use tokenizers::models::{ModelWrapper, TrainerWrapper};
    use tokenizers::normalizers::{BertNormalizer, Prepend, Replace, Sequence};
    use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;
    use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
    use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
    use tokenizers::{NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer};

    use super::*;

    /// Prose with runs of blanks and line ends, full stops before line ends, and characters of several bytes.
    fn prose(words: usize) -> String {
        let vocabulary = [
            "the",
            "lighthouse",
            "keeper's",
            "señor",
            "naïve",
            "1234",
            "wavelength",
            "x",
            "灯台",
            "don't",
            "antidisestablish",
        ];
        let gaps = [" ", " ", " ", " ", ", ", ".\n", ".\n\n", "\n\n\n", "  ", "...\n \n", "\t"];
        let mut state = 12345u64;
        let mut next = |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % n
        };
        (0..words).flat_map(|_| [vocabulary[next(vocabulary.len())], gaps[next(gaps.len())]]).collect()
    }

    fn train(
        model: ModelWrapper,
        mut trainer: TrainerWrapper,
        set: impl FnOnce(&mut Tokenizer),
        text: &str,
    ) -> Tokenizer {
        let mut tokenizer = Tokenizer::new(model);
        set(&mut tokenizer);
        tokenizer.train(&mut trainer, text.lines()).unwrap();
        tokenizer
    }

    fn bpe(set: impl FnOnce(&mut Tokenizer), text: &str) -> Tokenizer {
        let trainer = BpeTrainer::builder()
            .vocab_size(400)
            .show_progress(false)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        train(BPE::default().into(), trainer.into(), set, text)
    }

    fn byte_level(tokenizer: &mut Tokenizer) {
        tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        tokenizer.with_decoder(Some(ByteLevel::default()));
    }

    /// Pieces of words by how often they occur. The trainer of the library reads words in an order that differs from run to
    /// run, and fails on some orders.
    fn unigram(text: &str) -> Unigram {
        let mut counts = BTreeMap::<String, usize>::new();
        for word in text.split(' ') {
            let word: Vec<char> = std::iter::once('▁').chain(word.chars()).collect();
            for piece in (1..=5).flat_map(|length| word.windows(length)) {
                *counts.entry(piece.iter().collect()).or_default() += 1;
            }
        }
        let mut pieces: Vec<(String, usize)> = counts.into_iter().collect();
        // Every character stays, and of longer pieces the frequent ones.
        pieces.sort_by_key(|(piece, count)| (piece.chars().count() > 1, std::cmp::Reverse(*count)));
        pieces.truncate(200);
        let total: usize = pieces.iter().map(|(_, count)| count).sum();
        let likely = pieces.into_iter().map(|(piece, count)| (piece, (count as f64 / total as f64).ln()));
        let vocabulary = std::iter::once(("<unk>".to_owned(), 0.0)).chain(likely).collect();
        Unigram::from(vocabulary, Some(0), false).unwrap()
    }

    /// The kinds of tokenizer that the supported families use.
    fn kinds(text: &str) -> Vec<(&'static str, Tokenizer)> {
        let gpt2 = bpe(byte_level, text);
        let llama3 = bpe(
            |t| {
                let pattern = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
                let split =
                    Split::new(SplitPattern::Regex(pattern.into()), SplitDelimiterBehavior::Isolated, false).unwrap();
                let both: Vec<PreTokenizerWrapper> = vec![split.into(), ByteLevel::new(false, true, false).into()];
                let both = tokenizers::pre_tokenizers::sequence::Sequence::new(both);
                t.with_pre_tokenizer(Some(both));
            },
            text,
        );
        // Llama 2: the text is one long word behind a blank that is put in front.
        let llama2 = bpe(
            |t| {
                let blanks: NormalizerWrapper = Replace::new(" ", "▁").unwrap().into();
                let parts = vec![Prepend::new("▁".to_owned()).into(), blanks];
                t.with_normalizer(Some(Sequence::new(parts))).unwrap();
            },
            text,
        );
        let bert_trainer = WordPieceTrainer::builder().vocab_size(300).show_progress(false).build();
        let bert = train(
            WordPiece::default().into(),
            bert_trainer.into(),
            |t| {
                t.with_normalizer(Some(BertNormalizer::default())).unwrap();
                t.with_pre_tokenizer(Some(BertPreTokenizer));
            },
            text,
        );
        let mut t5 = Tokenizer::new(unigram(text));
        t5.with_pre_tokenizer(Some(Metaspace::new('▁', PrependScheme::Always, true)));
        vec![("gpt2", gpt2), ("llama3", llama3), ("llama2", llama2), ("bert", bert), ("t5", t5)]
    }

    fn streamed(tokenizer: &Arc<TextTokenizer>, text: &str, sizes: WindowSizes) -> Vec<u32> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.txt");
        std::fs::write(&path, text).unwrap();
        let mut stream = TokenStream::new(TextReader::open(&path).unwrap(), Arc::clone(tokenizer), sizes);
        let mut ids = Vec::new();
        while let Some(run) = stream.read().unwrap() {
            ids.extend(run);
        }
        ids
    }

    #[test]
    fn windows_give_the_ids_of_the_whole_text() {
        let text = prose(4000);
        for (name, tokenizer) in kinds(&prose(600)) {
            let tokenizer = Arc::new(TextTokenizer::new(tokenizer, None).unwrap());
            let whole = tokenizer.encode(&text).unwrap();
            assert!(whole.len() > 2000, "{name}: {}", whole.len());
            for (core, overlap) in [(700, 300), (2048, 512), (5000, 1000), (1 << 20, 1 << 10)] {
                let sizes = WindowSizes { core, overlap, group: 3, longest: 1 << 20 };
                assert!(streamed(&tokenizer, &text, sizes) == whole, "{name}, windows of {core}");
            }
        }
    }

    #[test]
    fn a_text_without_a_place_to_join_is_kept_whole_or_cut_without_loss() {
        // A byte pair tokenizer merges a run of one letter from its begin: windows disagree until the run ends.
        let text = format!("{}{}", "a".repeat(5001), prose(300));
        let tokenizer = bpe(byte_level, &"aaaaaaaa aaaa\n".repeat(50));
        let tokenizer = Arc::new(TextTokenizer::new(tokenizer, None).unwrap());
        let whole = tokenizer.encode(&text).unwrap();
        let sizes = WindowSizes { core: 701, overlap: 300, group: 2, longest: 1 << 20 };
        assert_eq!(streamed(&tokenizer, &text, sizes), whole);
        let cut = streamed(&tokenizer, &text, WindowSizes { longest: 1500, ..sizes });
        assert_eq!(tokenizer.decode(&cut).unwrap(), text);
        let blanks = " ".repeat(10_000);
        let bert = Arc::new(TextTokenizer::new(kinds(&prose(100)).remove(3).1, None).unwrap());
        assert!(streamed(&bert, &blanks, sizes).is_empty());
        let words = format!("x{blanks}x{blanks}");
        assert_eq!(streamed(&bert, &words, sizes), bert.encode(&words).unwrap());
    }
}
