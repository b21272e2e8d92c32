//! An input with its settings.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

use super::asked::AskedQuestion;
use super::audio::Recordings;
use super::images::Images;
use super::inputs::NamedTensors;
use super::intake::{Intake, SourceKind};
use super::judged::{Relevance, TextQuestion};
use super::labeled::DataFile;
use super::masking::Hiding;
use super::origin::{Origin, Total};
use super::pairs::PairFile;
use super::prompts::{SentencePrompts, embeds};
use super::retrieval::RetrievalFolder;
use super::settings::{BatchOrder, CorpusPart, CorpusSettings, DataColumns, Input, Purpose};
use super::spoken::SpokenTexts;
use super::spool::{Spool, enough};
use super::text::{TextFile, UsualLength, length_note, usual_length};
use super::tokenizer::TextTokenizer;
use super::tokens::TokenLines;
use crate::checkpoint::open_file;
use crate::error::{Error, Result};
use crate::network::{Extent, NetworkSpec};
use crate::task::Ticket;
use crate::words::hexadecimal;

/// An input with its settings: it hands out batches, any number of times.
#[derive(Clone)]
pub struct Corpus {
    pub(super) origin: Arc<dyn Origin>,
    pub(super) intake: Arc<Intake>,
    pub(super) settings: CorpusSettings,
    pub(super) hiding: Arc<Hiding>,
    input: Input,
    /// A copy that is read instead of the input, where that is a pipe or compressed.
    pub(super) spool: Option<Arc<Spool>>,
    /// Sequences counted by a pass that reached the end, plus one; 0 before that.
    pub(super) counted: Arc<AtomicU64>,
    fingerprint: Arc<OnceLock<String>>,
    /// What to say of the length of its sequences.
    length_note: Option<String>,
}

impl fmt::Debug for Corpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Corpus").field("input", &self.input).field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Corpus {
    /// Opens `input` for the model in `folder`, which says how to tokenise. Token lists and pairs are checked whole,
    /// so that a fault in the last line is found before the work begins.
    pub fn open(
        input: &Input,
        folder: &Path,
        intake: &Intake,
        settings: &CorpusSettings,
        ticket: &Ticket,
    ) -> Result<Self> {
        let text = matches!(input, Input::Text(_) | Input::Pairs { .. } | Input::Data { .. });
        let tokenizer = if text {
            Some(TextTokenizer::load(folder)?)
        } else if intake.is_masked() || (matches!(input, Input::Audio { .. }) && intake.target.is_some()) {
            // Token lists need a tokenizer only to know which token is the mask, recordings only for transcripts.
            TextTokenizer::beside(folder)?
        } else {
            None
        };
        let tokenizer = tokenizer.map(Arc::new);
        Self::with_tokenizer(input, folder, tokenizer, intake, settings, ticket)
    }

    /// [`Corpus::open`] with a tokenizer that need not be in the folder.
    pub fn with_tokenizer(
        input: &Input,
        folder: &Path,
        tokenizer: Option<Arc<TextTokenizer>>,
        intake: &Intake,
        settings: &CorpusSettings,
        ticket: &Ticket,
    ) -> Result<Self> {
        if settings.batch_size == 0 {
            return Err(Error::usage("a batch needs at least one sequence"));
        }
        if !(0.0..=1.0).contains(&settings.masking.share) {
            return Err(Error::usage(format!("a share of {} masked tokens is not in 0 to 1", settings.masking.share)));
        }
        let mut spool = Spool::of(input, enough(input, settings, intake), ticket)?.map(Arc::new);
        let named = input;
        if settings.preset.is_some() {
            let Input::Text(_) = input else {
                return Err(Error::usage("a preset is a way to read text").hint("give --text"));
            };
            if !intake.decoder_only || intake.task.is_some() {
                return Err(Error::usage("the preset is for models that predict the next token"));
            }
            let path = spool.as_ref().map_or_else(|| input.clone(), |spool| spool.input(input));
            spool = Some(Arc::new(Spool::joined(path.path(), named.path())?));
        }
        let input = &spool.as_ref().map_or_else(|| input.clone(), |spool| spool.input(input));
        let explain = |error: Error| spool.as_ref().map_or_else(|| error.clone(), |spool| spool.explain(error.clone()));
        let hiding = Hiding::new(tokenizer.as_deref(), intake.source_tokens().map_or(0, |l| l.vocabulary));
        let text = || tokenizer.clone().ok_or_else(|| Error::new("text needs a tokenizer").at(folder));
        let origin: Arc<dyn Origin> = match input {
            Input::Tokens(path) => Arc::new(TokenLines::open(path, intake, ticket).map_err(explain)?),
            Input::Inputs(path) => Arc::new(NamedTensors::open(path, intake, ticket).map_err(explain)?),
            Input::Text(path) => Arc::new(TextFile::open(path, text()?, intake, settings).map_err(explain)?),
            Input::Pairs { path, columns, language } => {
                let told = (*columns, language.as_deref());
                Arc::new(PairFile::open(path, told, text()?, intake, settings, ticket).map_err(explain)?)
            }
            Input::Data { path, columns } => {
                let sentences = embeds(folder).then(|| SentencePrompts::read(folder)).transpose()?;
                let paths = (path.as_path(), named.path());
                if path.is_dir() {
                    if *columns != DataColumns::default() {
                        return Err(Error::usage("a folder of retrieval has no columns to choose")
                            .at(path)
                            .hint("leave them out"));
                    }
                    let sentences = sentences.unwrap_or_default();
                    let usual = sentences.length.map_or(UsualLength::OfText, UsualLength::Named);
                    let length = usual_length(settings, intake, &*text()?, usual)?;
                    Arc::new(RetrievalFolder::open(path, text()?, &sentences, intake, length, ticket)?)
                } else {
                    let file = DataFile::open(paths, columns, text()?, intake, sentences.as_ref(), settings, ticket);
                    Arc::new(file.map_err(explain)?)
                }
            }
            Input::Audio { path, language } => {
                let paths = (path.as_path(), named.path());
                let language = language.as_deref();
                let recordings =
                    Recordings::open(paths, language, folder, tokenizer.as_deref(), (intake, settings.purpose), ticket);
                Arc::new(recordings.map_err(explain)?)
            }
            Input::Images(images) => Arc::new(Images::open(images, folder, intake, ticket)?),
        };
        let reads_text = matches!(input, Input::Text(_) | Input::Pairs { .. } | Input::Data { .. });
        let said = tokenizer.as_deref().filter(|_| reads_text);
        let length_note = said.and_then(|own| length_note(settings, intake, own, origin.longest()));
        let mut intake = intake.clone();
        if let (SourceKind::Pixels { shape, .. }, Some(image)) = (&mut intake.source, origin.image()) {
            *shape = image;
        }
        let mut settings = settings.clone();
        if origin.reads_alone() {
            settings.batch_size = 1;
        }
        Ok(Self {
            origin,
            intake: Arc::new(intake),
            settings,
            input: named.clone(),
            spool,
            hiding: Arc::new(hiding),
            counted: Arc::default(),
            fingerprint: Arc::default(),
            length_note,
        })
    }

    /// What a person should know before trusting numbers from these batches; some of it is known once a pass has ended.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.origin.notes();
        notes.extend(self.length_note.clone());
        if self.intake.is_masked() && self.settings.purpose == Purpose::Score && self.hiding.mask.is_none() {
            notes.push("no mask token is known: tokens without labels are scored where they stand".to_owned());
        }
        if self.intake.decoder_only && self.settings.pack && matches!(self.input, Input::Text(_)) {
            notes.push("to pack has no effect here: what a decoder reads is running text anyway".to_owned());
        }
        if self.intake.target.is_some() && matches!(self.input, Input::Text(_)) {
            notes.push("the decoder reads the same lines as the encoder; give --pairs for a real task".to_owned());
        }
        if let CorpusPart::Training { every } = self.settings.part
            && self.split(every).1.with(|s| (s.batches, s.shard) = (None, None)).total() == Some(Total::Exact(0))
        {
            notes.push(format!(
                "nothing is held out: the input has fewer than {every} batches; hold out more often, or make smaller batches"
            ));
        }
        notes
    }

    /// What a repair should be fitted on: the input as it stands, or, for a masked-language model, with the tokens masked
    /// that it is scored at. What heads put out there is unlike what they put out anywhere else.
    pub fn fitted_on(&self) -> Self {
        let purpose = if self.intake.is_masked() { Purpose::Score } else { self.settings.purpose };
        self.with(|settings| settings.purpose = purpose)
    }

    /// The file or folder that was opened.
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// What the model takes in.
    pub fn intake(&self) -> &Intake {
        &self.intake
    }

    /// How sequences become batches.
    pub fn settings(&self) -> &CorpusSettings {
        &self.settings
    }

    /// The same input under other settings; `seq_len`, `packing` and `pack` stay as they were when the input was opened.
    #[must_use]
    pub fn with(&self, change: impl FnOnce(&mut CorpusSettings)) -> Self {
        let mut other = self.clone();
        change(&mut other.settings);
        other.settings.seq_len = self.settings.seq_len;
        other.settings.packing = self.settings.packing;
        other.settings.pack = self.settings.pack;
        if self.origin.reads_alone() {
            other.settings.batch_size = 1;
        }
        other
    }

    /// Splits off every `every`-th block of one batch: (training part, held-out part).
    pub fn split(&self, every: u64) -> (Self, Self) {
        (self.with(|s| s.part = CorpusPart::Training { every }), self.with(|s| s.part = CorpusPart::HeldOut { every }))
    }

    /// The questions of this part of the input with all of their endings, where it is one of questions.
    pub fn questions(&self, ticket: &Ticket) -> Result<Option<Vec<AskedQuestion>>> {
        let Some(all) = self.origin.questions()? else { return Ok(None) };
        let size = self.settings.batch_size as u64;
        let most =
            self.settings.batches.map_or(usize::MAX, |batches| usize::try_from(batches * size).unwrap_or(usize::MAX));
        let mut found = Vec::new();
        for (index, question) in (0u64..).zip(all) {
            ticket.check()?;
            if self.settings.has(index / size) && found.len() < most {
                found.push(question?);
            }
        }
        Ok(Some(found))
    }

    /// Transcripts of the recordings that are read, where there are some.
    pub fn spoken(&self) -> Option<&SpokenTexts> {
        self.origin.spoken()
    }

    /// Questions that a text answers, with all of their windows in the order of the input.
    pub fn text_questions(&self) -> Result<Option<Vec<TextQuestion>>> {
        self.origin.text_questions()?.map(Iterator::collect).transpose()
    }

    /// How alike people find the two texts of every pair, where sequences are such texts in turns.
    pub fn likenesses(&self) -> Option<&[f64]> {
        self.origin.likenesses()
    }

    /// Which documents answer which queries, where sequences are the documents, then the queries.
    pub fn relevance(&self) -> Option<&Relevance> {
        self.origin.relevance()
    }

    /// Number of batches in a pass, known or estimated; absent where not even a guess can be made.
    pub fn total(&self) -> Option<Total> {
        let sequences = match self.counted.load(Ordering::Relaxed) {
            0 => self.origin.sequences()?,
            counted => Total::Exact(counted - 1),
        };
        let settings = &self.settings;
        let all = sequences.map(|n| settings.count(n.div_ceil(settings.batch_size as u64)));
        let limit = settings.batches.unwrap_or(u64::MAX);
        Some(all.map(|n| n.min(limit)))
    }

    /// Tokens that no sequence has more of; what was longer was cut.
    pub fn longest(&self) -> usize {
        self.origin.longest()
    }

    /// The largest batch that may come, for a network of `spec`.
    pub fn largest(&self, spec: &NetworkSpec) -> Extent {
        let longest = self.origin.longest();
        let source = match &self.intake.source {
            SourceKind::Tokens(_) => longest,
            SourceKind::Pixels { shape: [_, height, width], .. } => Extent::positions(spec, (*height, *width)),
            SourceKind::Frames { .. } => Extent::positions(spec, (0, 0)),
            SourceKind::Samples { .. } => Extent::positions(spec, (1, longest)),
        };
        let target = if self.intake.target.is_some() { longest } else { 0 };
        Extent { sequences: self.settings.batch_size * self.origin.choices(), source, target }
    }

    /// What is read, for a person and for provenance: `text emma.txt, packed to 128 tokens`.
    pub fn describe(&self) -> String {
        let name = match self.input.is_standard_input() {
            true => std::ffi::OsStr::new("from standard input"),
            false => self.input.path().file_name().unwrap_or(self.input.path().as_os_str()),
        };
        let order = match self.settings.order {
            BatchOrder::AsRead => "",
            BatchOrder::ByLength => ", like lengths together",
            BatchOrder::Shuffled => ", shuffled",
        };
        let part = match self.settings.part {
            CorpusPart::All => String::new(),
            CorpusPart::Training { every } => format!(", without one batch in {every}"),
            CorpusPart::HeldOut { every } => format!(", one batch in {every} alone"),
        };
        let shard = self.settings.shard.map_or_else(String::new, |s| format!(", part {} of {}", s.index() + 1, s.of()));
        format!("{} {}, {}{order}{part}{shard}", self.input.kind(), name.to_string_lossy(), self.origin.describe())
    }

    /// SHA-256 (hexadecimal) over the bytes of every file read, in order; computed once.
    pub fn fingerprint(&self, ticket: &Ticket) -> Result<String> {
        if let Some(known) = self.fingerprint.get() {
            return Ok(known.clone());
        }
        let text = fingerprint_of(&self.origin.files(), ticket)?;
        Ok(self.fingerprint.get_or_init(|| text).clone())
    }
}

/// SHA-256 (hexadecimal) over the bytes of `files`, in order, with the names of several.
pub(crate) fn fingerprint_of<P: AsRef<Path>>(files: &[P], ticket: &Ticket) -> Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0u8; 1 << 20];
    for path in files.iter().map(AsRef::as_ref) {
        let mut file = open_file(path).map_err(|e| Error::from(e).at(path))?;
        if files.len() > 1 {
            hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        }
        loop {
            ticket.check()?;
            match std::io::Read::read(&mut file, &mut buffer).map_err(|e| Error::from(e).at(path))? {
                0 => break,
                n => hash.update(buffer.get(..n).unwrap_or(&[])),
            }
        }
    }
    Ok(hexadecimal(&hash.finalize()))
}
