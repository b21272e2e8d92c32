//! What is said in recordings, and how a model says it.

/// How a model says what it hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpeechHead {
    /// A decoder writes it.
    Writer(TranscriptRules),
    /// A letter at every frame.
    Letters(Letters),
}

/// Transcripts of recordings, and how a model's are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpokenTexts {
    /// What is said in each recording.
    pub texts: Vec<String>,
    /// The recording that each sequence is a window of, in the order of the input.
    pub recordings: Vec<usize>,
    /// How the model says it.
    pub head: SpeechHead,
    /// The language, where it is known.
    pub language: Option<String>,
}

/// How a transcript is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TranscriptRules {
    /// What the decoder reads first: the start, then language and task where the model knows some, and no times.
    pub prompt: Vec<u32>,
    /// The id that ends a transcript.
    pub end: u32,
    /// Ids that are never written.
    pub suppressed: Vec<u32>,
    /// Ids that are not written first.
    pub suppressed_first: Vec<u32>,
    /// Most ids that the decoder reads.
    pub longest: usize,
}

/// Letters by their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letters {
    /// What each number stands for: a letter, a blank between words, or nothing.
    pub(super) letters: Vec<String>,
    /// The number that says that there is none.
    pub(super) none: u32,
}

impl Letters {
    /// The text of the likeliest number at every frame: repeats and what stands for nothing left out.
    pub fn text(&self, likeliest: &[u32]) -> String {
        let mut text = String::new();
        let mut before = None;
        for number in likeliest {
            if before != Some(number) && *number != self.none {
                text.push_str(self.letters.get(*number as usize).map_or("", String::as_str));
            }
            before = Some(number);
        }
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}
