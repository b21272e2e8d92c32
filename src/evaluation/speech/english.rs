//! Texts as error rates compare them: `EnglishTextNormalizer` of Whisper, or small letters alone.

use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use tokenizers::NormalizedString;
use unicode_general_category::{GeneralCategory, get_general_category};

use super::numbers::{pattern, with_digits};
use crate::checkpoint::read_file;
use crate::error::{Error, Result};

/// What is done to a transcript and to what was said before they are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TranscriptNormalizer {
    /// Whisper's for English: contractions and numbers written out, no punctuation, American spelling where the model's
    /// `normalizer.json` maps to it.
    English {
        /// British spellings and their American ones.
        spelling: HashMap<String, String>,
    },
    /// Turns capitals into small letters and leaves words as they are.
    LowerCase,
}

/// Letters that no decomposition takes apart.
const LETTERS: [(char, &str); 16] = [
    ('œ', "oe"),
    ('Œ', "OE"),
    ('ø', "o"),
    ('Ø', "O"),
    ('æ', "ae"),
    ('Æ', "AE"),
    ('ß', "ss"),
    ('ẞ', "SS"),
    ('đ', "d"),
    ('Đ', "D"),
    ('ð', "d"),
    ('Ð', "D"),
    ('þ', "th"),
    ('Þ', "th"),
    ('ł', "l"),
    ('Ł', "L"),
];
/// Symbols that belong to numbers.
const KEPT: &str = ".%$¢€£";

const REPLACED: [(&str, &str); 53] = [
    (r"[<\[][^>\]]*[>\]]", ""),
    (r"\(([^)]+?)\)", ""),
    (r"\b(hmm|mm|mhm|mmm|uh|um)\b", ""),
    (r"\s+'", "'"),
    (r"\bwon't\b", "will not"),
    (r"\bcan't\b", "can not"),
    (r"\blet's\b", "let us"),
    (r"\bain't\b", "aint"),
    (r"\by'all\b", "you all"),
    (r"\bwanna\b", "want to"),
    (r"\bgotta\b", "got to"),
    (r"\bgonna\b", "going to"),
    (r"\bi'ma\b", "i am going to"),
    (r"\bimma\b", "i am going to"),
    (r"\bwoulda\b", "would have"),
    (r"\bcoulda\b", "could have"),
    (r"\bshoulda\b", "should have"),
    (r"\bma'am\b", "madam"),
    (r"\bmr\b", "mister "),
    (r"\bmrs\b", "missus "),
    (r"\bst\b", "saint "),
    (r"\bdr\b", "doctor "),
    (r"\bprof\b", "professor "),
    (r"\bcapt\b", "captain "),
    (r"\bgov\b", "governor "),
    (r"\bald\b", "alderman "),
    (r"\bgen\b", "general "),
    (r"\bsen\b", "senator "),
    (r"\brep\b", "representative "),
    (r"\bpres\b", "president "),
    (r"\brev\b", "reverend "),
    (r"\bhon\b", "honorable "),
    (r"\basst\b", "assistant "),
    (r"\bassoc\b", "associate "),
    (r"\blt\b", "lieutenant "),
    (r"\bcol\b", "colonel "),
    (r"\bjr\b", "junior "),
    (r"\bsr\b", "senior "),
    (r"\besq\b", "esquire "),
    (r"'d been\b", " had been"),
    (r"'s been\b", " has been"),
    (r"'d gone\b", " had gone"),
    (r"'s gone\b", " has gone"),
    (r"'d done\b", " had done"),
    (r"'s got\b", " has got"),
    (r"n't\b", " not"),
    (r"'re\b", " are"),
    (r"'s\b", " is"),
    (r"'d\b", " would"),
    (r"'ll\b", " will"),
    (r"'t\b", " not"),
    (r"'ve\b", " have"),
    (r"'m\b", " am"),
];

static REPLACERS: LazyLock<Vec<(Regex, &str)>> =
    LazyLock::new(|| REPLACED.iter().map(|(from, to)| (pattern(from), *to)).collect());
static COMMA: LazyLock<Regex> = LazyLock::new(|| pattern(r"(\d),(\d)"));
static PERIOD: LazyLock<Regex> = LazyLock::new(|| pattern(r"\.([^0-9]|$)"));
static LONELY_PREFIX: LazyLock<Regex> = LazyLock::new(|| pattern(r"[.$¢€£]([^0-9])"));
static LONELY_SUFFIX: LazyLock<Regex> = LazyLock::new(|| pattern(r"([^0-9])%"));

impl TranscriptNormalizer {
    /// That for texts in `language`, a code; spellings are those of the model in `folder`.
    ///
    /// # Errors
    /// Where its `normalizer.json` is no table of words.
    pub fn of(language: Option<&str>, folder: &Path) -> Result<Self> {
        if language != Some("en") {
            return Ok(Self::LowerCase);
        }
        let path = folder.join("normalizer.json");
        if !path.is_file() {
            return Ok(Self::English { spelling: HashMap::new() });
        }
        let bytes = read_file(&path).map_err(|e| Error::from(e).at(&path))?;
        Ok(Self::English { spelling: serde_json::from_slice(&bytes).map_err(|e| Error::from(e).at(&path))? })
    }

    /// What it does, for the convention of a number.
    pub fn name(&self) -> &'static str {
        match self {
            Self::English { spelling } if spelling.is_empty() => {
                "Whisper's English normalizer, spellings left as they are for want of a normalizer.json"
            }
            Self::English { .. } => "Whisper's English normalizer",
            Self::LowerCase => "lower-casing",
        }
    }

    /// A text as it is compared.
    pub fn apply(&self, text: &str) -> String {
        match self {
            Self::English { spelling } => english(text, spelling),
            Self::LowerCase => text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" "),
        }
    }
}

fn english(text: &str, spelling: &HashMap<String, String>) -> String {
    let mut text = text.to_lowercase();
    for (from, to) in REPLACERS.iter() {
        text = from.replace_all(&text, *to).into_owned();
    }
    let text = COMMA.replace_all(&text, "${1}${2}");
    let text = PERIOD.replace_all(&text, " ${1}");
    let text = with_digits(&plain(&text));
    let words: Vec<&str> =
        text.split_whitespace().map(|word| spelling.get(word).map_or(word, String::as_str)).collect();
    let text = words.join(" ");
    let text = LONELY_PREFIX.replace_all(&text, " ${1}");
    let text = LONELY_SUFFIX.replace_all(&text, "${1} ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Letters without accents; blanks in the place of symbols and punctuation, but for those of numbers.
fn plain(text: &str) -> String {
    use GeneralCategory as G;
    let mut decomposed = NormalizedString::from(text);
    decomposed.nfkd();
    let mut clean = String::with_capacity(text.len());
    for letter in decomposed.get().chars() {
        if let Some((_, plain)) = LETTERS.iter().find(|(own, _)| *own == letter) {
            clean.push_str(plain);
            continue;
        }
        match get_general_category(letter) {
            _ if KEPT.contains(letter) => clean.push(letter),
            G::NonspacingMark => {}
            G::SpacingMark
            | G::EnclosingMark
            | G::MathSymbol
            | G::CurrencySymbol
            | G::ModifierSymbol
            | G::OtherSymbol
            | G::ConnectorPunctuation
            | G::DashPunctuation
            | G::OpenPunctuation
            | G::ClosePunctuation
            | G::InitialPunctuation
            | G::FinalPunctuation
            | G::OtherPunctuation => clean.push(' '),
            _ => clean.push(letter),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_normalized_as_transformers_does() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/speech/references.json");
        let references: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let spelling = serde_json::from_value(references["spelling"].clone()).unwrap();
        let normalizer = TranscriptNormalizer::English { spelling };
        let cases: Vec<[String; 2]> = serde_json::from_value(references["normalized"].clone()).unwrap();
        assert!(cases.len() >= 60, "{}", cases.len());
        let wrong: Vec<_> = cases.iter().filter(|[text, want]| normalizer.apply(text) != *want).collect();
        let found: Vec<_> = wrong.iter().map(|[text, want]| (text, want, normalizer.apply(text))).collect();
        assert!(found.is_empty(), "{found:#?}");
    }
}
