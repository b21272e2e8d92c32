//! Recordings of speech, made into what a model reads by its `preprocessor_config.json`.
//!
//! | module | job |
//! | --- | --- |
//! | `list` | which recordings there are, and what is said in them |
//! | `decode` | WAV, FLAC and MP3 to samples of one channel at one rate |
//! | `extractor`, `log_mel` | samples to normalized samples or log-mel spectrograms |
//! | `prompt`, `letters` | how a decoder writes a transcript, and how a CTC head spells it |
//! | `codes` | languages by their codes |

mod codes;
mod decode;
mod extractor;
mod letters;
mod list;
mod log_mel;
mod prompt;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use self::extractor::Extractor;
use self::letters::read_letters;
pub(in crate::corpus) use self::list::{Recording, recordings};
use self::prompt::Prompting;
use super::example::{Example, TokenRow};
use super::intake::{Intake, SourceKind};
use super::origin::{Examples, Origin, Total};
use super::settings::Purpose;
use super::spoken::{SpeechHead, SpokenTexts};
use super::text::check_ids;
use super::tokenizer::TextTokenizer;
use crate::checkpoint::Config;
use crate::error::{Error, Result};
use crate::network::{Objective, ProblemType};
use crate::task::Ticket;
use crate::words::counted;

/// Windows that are made together, on all cores, unless one recording has more.
const GROUP: usize = 16;

/// Recordings; every one was decoded once.
pub(super) struct Recordings {
    files: Arc<Vec<Recording>>,
    /// How many windows each file is cut into.
    windows: Arc<Vec<usize>>,
    extractor: Arc<Extractor>,
    targets: Arc<Targets>,
    spoken: Option<SpokenTexts>,
    /// Samples of the longest window, where the model reads samples.
    longest: usize,
    reads_alone: bool,
    notes: Vec<String>,
}

/// What is predicted of recordings.
enum Targets {
    Nothing,
    /// A class of each.
    Classes(Vec<u32>),
    /// What the decoder reads first, and the transcript of each, which ends with the end token.
    Transcripts {
        prompt: Vec<u32>,
        ids: Vec<Option<Vec<u32>>>,
    },
}

/// Where transcripts of recordings stand.
const TABLE: &str = "a table of path, tab, text (.tsv)";

impl Recordings {
    /// Finds the recordings and decodes each, so that a fault in the last one is found before the work begins.
    ///
    /// # Errors
    /// Where a recording cannot be read, or does not suit the model in `folder`.
    pub(super) fn open(
        (path, named): (&Path, &Path),
        language: Option<&str>,
        folder: &Path,
        tokenizer: Option<&TextTokenizer>,
        (intake, purpose): (&Intake, Purpose),
        ticket: &Ticket,
    ) -> Result<Self> {
        let writes = intake.task.is_none() && (intake.target.is_some() || intake.objective == Some(Objective::Ctc));
        if !writes && language.is_some() {
            return Err(Error::usage("a language is that of transcripts, which this model does not write")
                .hint("leave out --language"));
        }
        let extractor = Extractor::read(folder, intake)?;
        let files = recordings(path, named)?;
        let (counts, silent): (Vec<usize>, Vec<bool>) = counts(&files, &extractor, ticket)?.into_iter().unzip();
        let cut = if intake.task.is_some() {
            counts.iter().filter(|samples| **samples > extractor.window).count()
        } else {
            0
        };
        let windows: Vec<usize> = match cut {
            // The mean over a window stands for the whole.
            _ if intake.task.is_some() => vec![1; files.len()],
            _ => counts.iter().map(|samples| samples.div_ceil(extractor.window)).collect(),
        };
        let seconds = extractor.window as f64 / f64::from(extractor.rate);
        let mut notes: Vec<String> = list::beside_recordings(path)?.into_iter().collect();
        if extractor.is_default {
            notes.push(
                "the model has no preprocessor_config.json: samples are taken as its family usually does".to_owned(),
            );
        }
        let first = files.iter().zip(&silent).find_map(|(recording, silent)| silent.then_some(&recording.file));
        if let Some(first) = first {
            let silent = counted(silent.iter().filter(|silent| **silent).count(), "recordings");
            notes.push(format!("{silent} silent, from the first sample to the last: {}", first.display()));
        }
        if cut > 0 {
            notes.push(format!("{} cut to {seconds} seconds", counted(cut, "recordings")));
        }
        let split = windows.iter().filter(|windows| **windows > 1).count();
        if split > 0 {
            notes.push(format!(
                "{} cut into windows of {seconds} seconds that do not overlap",
                counted(split, "recordings")
            ));
        }
        let mut own = Self {
            longest: counts.iter().max().map_or(0, |most| (*most).min(extractor.window)),
            files: Arc::new(files),
            windows: Arc::new(windows),
            extractor: Arc::new(extractor),
            targets: Arc::new(Targets::Nothing),
            spoken: None,
            reads_alone: matches!(intake.source, SourceKind::Samples { over_time: true, .. }),
            notes,
        };
        if own.reads_alone {
            own.notes.push("the model normalizes over time, so that recordings are read one by one".to_owned());
        }
        if intake.task.is_some() {
            own.set_classes(intake)?;
        } else if intake.target.is_some() {
            own.set_transcripts(folder, language, tokenizer, intake)?;
            if own.spoken.is_none() && purpose == Purpose::Score {
                let what = "there are no transcripts beside the recordings, so nothing can be scored";
                return Err(Error::new(what).at(named).hint(format!("give {TABLE}")));
            }
        } else if intake.objective == Some(Objective::Ctc) {
            own.set_letters(folder, language, intake)?;
            if own.spoken.is_none() && purpose == Purpose::Score {
                own.notes.push(format!("there are no transcripts ({TABLE}), so no errors are counted"));
            }
        }
        Ok(own)
    }

    /// The class of each recording by the name in the table, or of its folder.
    fn set_classes(&mut self, intake: &Intake) -> Result<()> {
        let Some(task) = intake.task.as_ref().filter(|task| task.problem == ProblemType::SingleLabel) else {
            self.notes.push("labels of recordings are single classes, which this model does not say".to_owned());
            return Ok(());
        };
        let name = |file: &Recording| file.text.clone().or_else(|| file.class.clone());
        if self.files.iter().all(|file| file.text.is_none())
            && !self.files.iter().any(|file| file.class.as_ref().is_some_and(|class| task.class(class).is_ok()))
        {
            self.notes.push("no folder is named after a class of the model, so nothing is scored".to_owned());
            return Ok(());
        }
        let class = |file: &Recording| {
            let name =
                name(file).ok_or_else(|| Error::new("the recording lies in no folder of a class").at(&file.file))?;
            task.class(&name).map_err(|e| e.at(&file.file))
        };
        self.targets = Arc::new(Targets::Classes(self.files.iter().map(class).collect::<Result<_>>()?));
        Ok(())
    }

    fn transcripts(&self) -> Option<Vec<String>> {
        self.files.iter().map(|file| file.text.clone()).collect()
    }

    /// The recording of every window.
    fn owners(&self) -> Vec<usize> {
        self.windows.iter().enumerate().flat_map(|(file, windows)| std::iter::repeat_n(file, *windows)).collect()
    }

    fn set_transcripts(
        &mut self,
        folder: &Path,
        language: Option<&str>,
        tokenizer: Option<&TextTokenizer>,
        intake: &Intake,
    ) -> Result<()> {
        let Prompting { rules, language, note } = Prompting::read(folder, intake, tokenizer, language)?;
        self.notes.extend(note);
        let texts = self.transcripts();
        let room = rules.longest - rules.prompt.len();
        let mut ids = vec![None; self.files.len()];
        if let Some(texts) = &texts {
            let tokenizer = tokenizer.ok_or_else(|| {
                Error::new("the model folder has no tokenizer.json, so transcripts cannot be read").at(folder)
            })?;
            let limits = intake.target.as_ref().ok_or_else(|| Error::new("the model has no decoder"))?;
            let mut left = 0;
            for ((text, windows), ids) in texts.iter().zip(&*self.windows).zip(&mut ids) {
                // As Whisper's own data has it: a blank before the first word.
                let mut own = tokenizer.encode(&format!(" {}", text.trim()))?;
                check_ids(&own, limits)?;
                own.push(rules.end);
                // The decoder does not read the end that it is to write.
                if *windows > 1 || own.len() > room + 1 {
                    left += 1;
                } else {
                    *ids = Some(own);
                }
            }
            if left == texts.len() {
                let what = "every recording is longer than the model reads, or its transcript than it writes, at once";
                return Err(Error::new(what).hint("give some that are shorter, such as sentences"));
            }
            if left > 0 {
                self.notes.push(format!(
                    "{} longer than the model reads or writes at once: their loss is not measured",
                    counted(left, "recordings")
                ));
            }
        } else {
            self.notes.push(
                "there are no transcripts, so the decoder reads no more than what every one begins with".to_owned(),
            );
        }
        self.targets = Arc::new(Targets::Transcripts { prompt: rules.prompt.clone(), ids });
        let recordings = self.owners();
        self.spoken = texts.map(|texts| SpokenTexts { texts, recordings, head: SpeechHead::Writer(rules), language });
        Ok(())
    }

    fn set_letters(&mut self, folder: &Path, language: Option<&str>, intake: &Intake) -> Result<()> {
        let language = language.map(codes::code).transpose()?;
        let Some(texts) = self.transcripts() else {
            self.notes.extend(language.map(|_| "there are no transcripts, so the language is not used".to_owned()));
            return Ok(());
        };
        let config = Config::read(&folder.join("config.json"))?;
        let letters = read_letters(folder, &config, intake.classes)?;
        self.spoken =
            Some(SpokenTexts { texts, recordings: self.owners(), head: SpeechHead::Letters(letters), language });
        Ok(())
    }
}

/// Samples of every recording, and whether all of them are zero.
fn counts(files: &[Recording], extractor: &Extractor, ticket: &Ticket) -> Result<Vec<(usize, bool)>> {
    ticket.stage("check recordings", Some(files.len() as u64), "recordings");
    let count = |recording: &Recording| -> Result<(usize, bool)> {
        ticket.check()?;
        let wave = decode::decode(&recording.file, extractor.rate)?;
        let (samples, is_silent) = (wave.len(), wave.iter().all(|sample| *sample == 0.0));
        if samples < extractor.fewest {
            let what = format!("{samples} samples are too few for a frame, which takes {}", extractor.fewest);
            return Err(Error::new(what).at(&recording.file));
        }
        ticket.advance(1)?;
        Ok((samples, is_silent))
    };
    files.par_iter().map(count).collect()
}

/// Every window of the recording at `place`.
fn examples(
    recording: &Recording,
    place: usize,
    windows: usize,
    extractor: &Extractor,
    targets: &Targets,
) -> Result<Vec<Example>> {
    let samples = decode::decode(&recording.file, extractor.rate)?;
    let mut made = Vec::with_capacity(windows);
    for window in samples.chunks(extractor.window).take(windows) {
        // The last window may be shorter than the model can read.
        let mut content = extractor.content(window);
        if content.is_err() && windows > 1 {
            let mut filled = window.to_vec();
            filled.resize(extractor.fewest, 0.0);
            content = extractor.content(&filled);
        }
        let example = Example::new(content.map_err(|e| e.at(&recording.file))?);
        made.push(targets.of(place, example));
    }
    Ok(made)
}

impl Targets {
    fn of(&self, place: usize, mut example: Example) -> Example {
        match self {
            Self::Nothing => {}
            Self::Classes(classes) => example.labels = classes.get(place).map(|class| vec![Some(*class)]),
            Self::Transcripts { prompt, ids } => {
                let text = ids.get(place).and_then(Option::as_deref).unwrap_or(&[]);
                let before = text.len().saturating_sub(1);
                let read: Vec<u32> = prompt.iter().chain(text.iter().take(before)).copied().collect();
                // What the prompt says of itself is not scored.
                let unscored = read.len() - text.len();
                let labels = std::iter::repeat_n(None, unscored).chain(text.iter().copied().map(Some));
                example.labels = Some(labels.collect());
                example.target = Some(TokenRow::full(read));
            }
        }
        example
    }
}

impl Origin for Recordings {
    fn examples(&self) -> Result<Examples> {
        let (files, windows) = (Arc::clone(&self.files), Arc::clone(&self.windows));
        let (extractor, targets) = (Arc::clone(&self.extractor), Arc::clone(&self.targets));
        let mut groups: Vec<std::ops::Range<usize>> = Vec::new();
        let mut held = GROUP;
        for (place, count) in windows.iter().enumerate() {
            match groups.last_mut().filter(|_| held + count <= GROUP) {
                Some(group) => group.end = place + 1,
                None => {
                    groups.push(place..place + 1);
                    held = 0;
                }
            }
            held += count;
        }
        let all = groups.into_iter().flat_map(move |group| {
            let made: Vec<Result<Vec<Example>>> = group
                .into_par_iter()
                .map(|place| match files.get(place).zip(windows.get(place)) {
                    Some((recording, windows)) => examples(recording, place, *windows, &extractor, &targets),
                    None => Ok(Vec::new()),
                })
                .collect();
            made.into_iter().flat_map(|made| match made {
                Ok(made) => made.into_iter().map(Ok).collect::<Vec<_>>(),
                Err(error) => vec![Err(error)],
            })
        });
        Ok(Box::new(all))
    }

    fn sequences(&self) -> Option<Total> {
        Some(Total::Exact(self.windows.iter().sum::<usize>() as u64))
    }

    fn longest(&self) -> usize {
        self.longest
    }

    fn reads_alone(&self) -> bool {
        self.reads_alone
    }

    fn spoken(&self) -> Option<&SpokenTexts> {
        self.spoken.as_ref()
    }

    fn files(&self) -> Vec<PathBuf> {
        self.files.iter().map(|recording| recording.file.clone()).collect()
    }

    fn describe(&self) -> String {
        let Extractor { rate, .. } = *self.extractor;
        let said = match (&self.spoken, &*self.targets) {
            (Some(_), _) => ", with transcripts",
            (None, Targets::Classes(_)) => ", with classes",
            _ => "",
        };
        format!("{} at {rate} Hz{said}", counted(self.files.len(), "recordings"))
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}
