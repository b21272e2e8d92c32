//! Plain text: packed for decoder-only models, line by line for the others.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::example::Example;
use super::intake::{Intake, TokenLimits};
use super::origin::{Examples, Origin, Total};
use super::reader::{LineBlocks, TextReader};
use super::settings::{CorpusSettings, PerplexityPreset, TextPacking};
use super::stream::{TokenStream, WindowSizes};
use super::tokenizer::TextTokenizer;
use crate::error::{Error, Result};
use crate::words::counted;

/// Length of sequences where neither the user nor the model sets a shorter one.
const USUAL_LENGTH: usize = 512;

/// The length that text is packed or cut to; an error where it does not fit the model or leaves no room for text.
pub(super) fn sequence_length(settings: &CorpusSettings, intake: &Intake, tokenizer: &TextTokenizer) -> Result<usize> {
    usual_length(settings, intake, tokenizer, UsualLength::OfText)
}

/// The length where none is asked for; never more than the model reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UsualLength {
    /// That of text; less where the tokenizer's configuration says so.
    OfText,
    /// That of a convention; less where the tokenizer's configuration says so.
    AtMost(usize),
    /// What the model's own files say of such texts, whatever the tokenizer's do, as in sentence-transformers.
    Named(usize),
}

/// What a person should know of the length of `longest` tokens: that the tokenizer's configuration sets it, where the model
/// has more positions and nothing was asked for.
pub(super) fn length_note(
    settings: &CorpusSettings,
    intake: &Intake,
    tokenizer: &TextTokenizer,
    longest: usize,
) -> Option<String> {
    let own = tokenizer.longest().filter(|own| *own == longest && *own < USUAL_LENGTH)?;
    let positions = intake.source_tokens().ok()?.max_length;
    let is_usual = settings.seq_len.is_none() && settings.preset.is_none();
    (is_usual && positions.is_none_or(|positions| own < positions)).then(|| {
        let more = positions.map(|positions| format!(", fewer than the model's {positions} positions"));
        format!(
            "sequences have up to {own} tokens, the model_max_length of tokenizer_config.json{} (--seq-len sets another)",
            more.unwrap_or_default()
        )
    })
}

/// [`sequence_length`], which is the `usual` one where nothing else is asked for.
pub(super) fn usual_length(
    settings: &CorpusSettings,
    intake: &Intake,
    tokenizer: &TextTokenizer,
    usual: UsualLength,
) -> Result<usize> {
    let limits = intake.source_tokens()?;
    check_ids(&tokenizer.wrap(&[]), limits)?;
    let source = limits.max_length;
    let target = intake.target.as_ref().and_then(|t| t.max_length);
    let longest = source.into_iter().chain(target).min();
    let wanted = settings.seq_len.or(settings.preset.map(PerplexityPreset::length));
    let length = match (wanted, longest) {
        (Some(wanted), Some(longest)) if wanted > longest => {
            let what = format!(
                "sequences of {} do not fit the model's {}",
                counted(wanted, "tokens"),
                counted(longest, "positions")
            );
            return Err(Error::usage(what).hint(format!("use --seq-len {longest} or less")));
        }
        (Some(wanted), _) => wanted,
        (None, longest) => {
            let usual = match usual {
                UsualLength::OfText => USUAL_LENGTH.min(tokenizer.longest().unwrap_or(USUAL_LENGTH)),
                UsualLength::AtMost(most) => most.min(tokenizer.longest().unwrap_or(most)),
                UsualLength::Named(length) => length,
            };
            longest.unwrap_or(usual).min(usual)
        }
    };
    let least = tokenizer.added() + 2;
    if length < least {
        let what = format!("sequences of {} leave no room for text", counted(length, "tokens"));
        return Err(Error::usage(what).hint(format!("use --seq-len {least} or more")));
    }
    Ok(length)
}

/// Refuses ids that the model does not know.
pub(super) fn check_ids(ids: &[u32], limits: &TokenLimits) -> Result<()> {
    match ids.iter().find(|id| **id as usize >= limits.vocabulary) {
        None => Ok(()),
        Some(id) => {
            let what = format!("the tokenizer gives id {id}, but the model's vocabulary has {}", limits.vocabulary);
            Err(Error::new(what).hint("tokenizer.json belongs to another model"))
        }
    }
}

/// What text needs to become sequences.
#[derive(Clone)]
pub(super) struct TextSource {
    pub path: PathBuf,
    pub tokenizer: Arc<TextTokenizer>,
    pub intake: Intake,
    pub length: usize,
    pub packing: TextPacking,
    /// Whether sequences are filled from running text.
    pub fills: bool,
    /// Whether a last sequence that is shorter is left out.
    pub whole: bool,
}

/// One file of text.
pub(super) struct TextFile {
    source: TextSource,
    sequences: Total,
}

impl TextFile {
    /// Reads the beginning of the file, to see that it can be tokenised and to guess how much there is.
    pub(super) fn open(
        path: &Path,
        tokenizer: Arc<TextTokenizer>,
        intake: &Intake,
        settings: &CorpusSettings,
    ) -> Result<Self> {
        let length = sequence_length(settings, intake, &tokenizer)?;
        let (packing, fills) = (settings.packing, intake.decoder_only || settings.pack);
        let source = TextSource {
            path: path.to_path_buf(),
            tokenizer,
            intake: intake.clone(),
            length,
            packing,
            fills,
            whole: settings.preset.is_some(),
        };
        let bytes = std::fs::metadata(path).map_err(|e| Error::from(e).at(path))?.len();
        let (mut read, mut sample) = (false, String::new());
        let mut reader = TextReader::open(path)?;
        while sample.len() < (1 << 17) {
            read = reader.read(&mut sample)?;
            if !read {
                break;
            }
        }
        if sample.trim().is_empty() && !read {
            return Err(Error::new("the input holds no text").at(path));
        }
        // A cut last character or word changes a guess by nothing that matters.
        let found = source.count(&sample).map_err(|e| e.at(path))?;
        let sequences = if read { Total::Estimate(found * bytes / reader.consumed()) } else { Total::Exact(found) };
        Ok(Self { source, sequences })
    }
}

impl Origin for TextFile {
    fn examples(&self) -> Result<Examples> {
        let source = self.source.clone();
        if source.fills { Ok(Box::new(Packed::open(source)?)) } else { Ok(Box::new(TextLines::open(source)?)) }
    }

    fn sequences(&self) -> Option<Total> {
        Some(self.sequences)
    }

    fn longest(&self) -> usize {
        self.source.length
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.source.path.clone()]
    }

    fn describe(&self) -> String {
        let TextSource { intake, length, packing, fills, .. } = &self.source;
        if *fills && !intake.decoder_only {
            format!("packed to {length} tokens, special tokens around each sequence")
        } else if intake.target.is_some() {
            format!("each line, of up to {length} tokens, read by the encoder and, moved by one, by the decoder")
        } else if intake.decoder_only {
            let special = if *packing == TextPacking::Sequences { ", special tokens before each sequence" } else { "" };
            format!("packed to {length} tokens{special}")
        } else {
            format!("by line, up to {length} tokens")
        }
    }
}

impl TextSource {
    /// Special tokens before and behind every sequence of packed text. A decoder's stream has them around the whole.
    fn around(&self) -> (&[u32], &[u32]) {
        match self.packing {
            _ if !self.intake.decoder_only => (self.tokenizer.prefix(), self.tokenizer.suffix()),
            TextPacking::Sequences => (self.tokenizer.prefix(), &[]),
            TextPacking::Stream => (&[], &[]),
        }
    }

    /// Whether special tokens stand around the whole text, which is then cut.
    fn is_stream(&self) -> bool {
        self.intake.decoder_only && self.packing == TextPacking::Stream
    }

    /// Ids that a sequence of packed text has room for.
    fn room(&self) -> usize {
        let (front, back) = self.around();
        // Room for an end token that the tokenizer may not add.
        let end = usize::from(self.intake.target.is_some() && self.intake.end.is_some());
        self.length - (front.len() + back.len() + end)
    }

    /// Sequences that `text` gives.
    fn count(&self, text: &str) -> Result<u64> {
        if self.fills && !self.intake.decoder_only {
            return Ok(self.tokenizer.encode(text)?.len().div_ceil(self.room()) as u64);
        }
        if self.intake.decoder_only {
            let added = self.tokenizer.added();
            let ids = self.tokenizer.encode(text)?.len();
            let front = self.tokenizer.prefix().len();
            // A last sequence of one token predicts nothing and is left out.
            let sequences = match self.packing {
                _ if self.whole => (ids + added) / self.length,
                TextPacking::Sequences if front > 0 => ids.div_ceil(self.length - front),
                TextPacking::Sequences => ids.saturating_sub(1).div_ceil(self.length),
                TextPacking::Stream => (ids + added).saturating_sub(1).div_ceil(self.length),
            };
            return Ok(sequences as u64);
        }
        let lines: Vec<&str> = text.lines().collect();
        Ok(self.sequences(&lines)?.len() as u64)
    }

    /// The sequences of whole lines.
    fn sequences(&self, lines: &[&str]) -> Result<Vec<Example>> {
        let limits = self.intake.source_tokens()?;
        let mut examples = Vec::with_capacity(lines.len());
        let lines: Vec<&str> = lines.iter().copied().filter(|line| !line.trim().is_empty()).collect();
        for ids in self.tokenizer.encode_all(&lines)? {
            check_ids(&ids, limits)?;
            // Room for an end token that the tokenizer may not add.
            let room = self.length - usize::from(self.intake.target.is_some() && self.intake.end.is_some());
            for piece in self.tokenizer.wrap_pieces(&ids, room) {
                examples.push(Example::of_text(piece, &self.intake));
            }
        }
        Ok(examples)
    }
}

/// Ids of the whole text, cut in sequences of one length; the last is shorter.
struct Packed {
    source: TextSource,
    stream: Option<TokenStream>,
    ids: Vec<u32>,
    /// First id that is not out.
    next: usize,
    any: bool,
}

impl Packed {
    fn open(source: TextSource) -> Result<Self> {
        let reader = TextReader::open(&source.path)?;
        let stream = TokenStream::new(reader, Arc::clone(&source.tokenizer), WindowSizes::default());
        let ids = if source.is_stream() { source.tokenizer.prefix().to_vec() } else { Vec::new() };
        Ok(Self { stream: Some(stream), ids, next: 0, any: false, source })
    }

    fn read(&mut self) -> Result<Option<Example>> {
        let (front, back) = self.source.around();
        let room = self.source.room();
        while self.ids.len() - self.next < room {
            let Some(stream) = &mut self.stream else { break };
            let Some(more) = stream.read()? else {
                self.stream = None;
                if self.source.is_stream() {
                    self.ids.extend_from_slice(self.source.tokenizer.suffix());
                }
                break;
            };
            check_ids(&more, self.source.intake.source_tokens()?)?;
            self.ids.drain(..self.next);
            self.next = 0;
            self.ids.extend(more);
        }
        let rest = self.ids.get(self.next..).unwrap_or(&[]);
        let taken = rest.get(..room.min(rest.len())).unwrap_or(rest);
        if self.source.whole && taken.len() < room {
            let too_short = || Error::new(format!("the text has fewer than {room} tokens, which make a window"));
            return if self.any { Ok(None) } else { Err(too_short().hint("give a smaller --seq-len")) };
        }
        if taken.is_empty() || (taken.len() + front.len() < 2 && self.any) {
            return Ok(None);
        }
        let ids = [front, taken, back].concat();
        let example = Example::of_text(ids, &self.source.intake);
        self.next += taken.len();
        self.any = true;
        Ok(Some(example))
    }
}

impl Iterator for Packed {
    type Item = Result<Example>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().map_err(|e| e.at(&self.source.path)).transpose()
    }
}

/// Each line that is not blank.
struct TextLines {
    source: TextSource,
    blocks: LineBlocks,
    ready: std::vec::IntoIter<Example>,
}

impl TextLines {
    fn open(source: TextSource) -> Result<Self> {
        Ok(Self { blocks: LineBlocks::open(&source.path)?, ready: Vec::new().into_iter(), source })
    }

    fn read(&mut self) -> Result<Option<Example>> {
        loop {
            if let Some(example) = self.ready.next() {
                return Ok(Some(example));
            }
            let Some(block) = self.blocks.read()? else { return Ok(None) };
            let lines: Vec<&str> = block.iter().map(|(_, line)| line.as_str()).collect();
            self.ready = self.source.sequences(&lines)?.into_iter();
        }
    }
}

impl Iterator for TextLines {
    type Item = Result<Example>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().map_err(|e| e.at(&self.source.path)).transpose()
    }
}
