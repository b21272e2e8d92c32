//! Spelled-out numbers as digits: `EnglishNumberNormalizer` of Whisper, rule by rule.

use std::sync::LazyLock;

use regex::{Captures, Regex};

const ONES: [&str; 19] = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
/// Names and powers of ten.
const MULTIPLIERS: [(&str, u32); 12] = [
    ("hundred", 2),
    ("thousand", 3),
    ("million", 6),
    ("billion", 9),
    ("trillion", 12),
    ("quadrillion", 15),
    ("quintillion", 18),
    ("sextillion", 21),
    ("septillion", 24),
    ("octillion", 27),
    ("nonillion", 30),
    ("decillion", 33),
];
const PREFIXES: [char; 6] = ['-', '+', '£', '€', '$', '¢'];

/// What a word is to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NumberWord {
    Zero,
    One(i128),
    OneWith(i128, &'static str),
    Ten(i128),
    TenWith(i128, &'static str),
    Multiplier(i128),
    MultiplierWith(i128, &'static str),
    /// Before a number: a sign.
    Sign(&'static str),
    /// After a number: a currency, which is written before it.
    Currency(&'static str),
    Per,
    Percent,
    And,
    /// "double" and "triple": how often the next digit is said.
    Times(usize),
    Point,
}

use NumberWord as W;

fn number_word(word: &str) -> Option<NumberWord> {
    let place = |list: &[&str], name: &str| list.iter().position(|own| *own == name).map(|at| at as i128);
    let fixed = match word {
        "o" | "oh" | "zero" => W::Zero,
        "zeroth" => W::OneWith(0, "th"),
        "first" => W::OneWith(1, "st"),
        "second" => W::OneWith(2, "nd"),
        "third" => W::OneWith(3, "rd"),
        "fifth" => W::OneWith(5, "th"),
        "twelfth" => W::OneWith(12, "th"),
        "sixes" => W::OneWith(6, "s"),
        "minus" | "negative" => W::Sign("-"),
        "plus" | "positive" => W::Sign("+"),
        "pound" | "pounds" => W::Currency("£"),
        "euro" | "euros" => W::Currency("€"),
        "dollar" | "dollars" => W::Currency("$"),
        "cent" | "cents" => W::Currency("¢"),
        "per" => W::Per,
        "percent" => W::Percent,
        "and" => W::And,
        "double" => W::Times(2),
        "triple" => W::Times(3),
        "point" => W::Point,
        _ => {
            if let Some(at) = place(&ONES, word) {
                return Some(W::One(at + 1));
            }
            if let Some(at) = place(&TENS, word) {
                return Some(W::Ten(10 * (at + 2)));
            }
            let multiplier = |name: &str| MULTIPLIERS.iter().find(|(own, _)| *own == name).map(|(_, p)| 10i128.pow(*p));
            if let Some(value) = multiplier(word) {
                return Some(W::Multiplier(value));
            }
            for (ending, suffix) in [("s", "s"), ("th", "th"), ("h", "th")] {
                let Some(stem) = word.strip_suffix(ending) else { continue };
                let regular = |value: i128| match (ending, stem.ends_with('t')) {
                    ("s", _) => value != 6,
                    ("h", ends) => ends && value > 3,
                    (_, ends) => !ends && value > 3 && value != 5 && value != 12,
                };
                if let Some(value) = place(&ONES, stem).map(|at| at + 1).filter(|value| regular(*value)) {
                    return Some(W::OneWith(value, suffix));
                }
                if let Some(value) = multiplier(stem).filter(|_| ending != "h") {
                    return Some(W::MultiplierWith(value, suffix));
                }
            }
            for (ending, suffix) in [("ies", "s"), ("ieth", "th")] {
                let stem = word.strip_suffix(ending).map(|stem| format!("{stem}y"));
                if let Some(at) = stem.and_then(|stem| place(&TENS, &stem)) {
                    return Some(W::TenWith(10 * (at + 2), suffix));
                }
            }
            return None;
        }
    };
    Some(fixed)
}

/// A number under way: whole, or digits that are put one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
enum SpokenNumber {
    Whole(i128),
    Digits(String),
}

impl SpokenNumber {
    fn text(&self) -> String {
        match self {
            Self::Whole(n) => n.to_string(),
            Self::Digits(text) => text.clone(),
        }
    }

    /// Its product with a power of ten, where that is whole.
    fn times(&self, multiplier: i128) -> Option<i128> {
        let text = self.text();
        let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
        let digits = format!("{whole}{decimals}");
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let scale = 10i128.checked_pow(u32::try_from(decimals.len()).ok()?)?;
        let product = digits.parse::<i128>().ok()?.checked_mul(multiplier)?;
        (product % scale == 0).then_some(product / scale)
    }
}

/// Digits, perhaps with a fraction.
fn is_number(word: &str) -> bool {
    let all = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    word.split_once('.').map_or_else(|| all(word), |(whole, rest)| all(whole) && all(rest))
}

#[derive(Default)]
struct Writing {
    done: Vec<String>,
    prefix: Option<String>,
    value: Option<SpokenNumber>,
}

impl Writing {
    /// Writes a word with the prefix that waits for it.
    fn put(&mut self, text: &str) {
        self.done.push(format!("{}{text}", self.prefix.take().unwrap_or_default()));
        self.value = None;
    }

    fn finish(&mut self) {
        if let Some(value) = &self.value {
            let text = value.text();
            self.put(&text);
        }
    }

    /// The digits so far; none of a whole zero.
    fn digits(&self) -> String {
        match &self.value {
            None | Some(SpokenNumber::Whole(0)) => String::new(),
            Some(value) => value.text(),
        }
    }

    /// The value with `n` below ten, or one of eleven to nineteen, said behind it.
    fn with_one(&self, n: i128, before: Option<NumberWord>) -> SpokenNumber {
        let behind_one = matches!(before, Some(W::One(_)));
        match &self.value {
            None => SpokenNumber::Whole(n),
            Some(SpokenNumber::Digits(text)) if n < 10 && matches!(before, Some(W::Ten(_))) => {
                let mut text = text.clone();
                text.pop();
                SpokenNumber::Digits(format!("{text}{n}"))
            }
            Some(value @ SpokenNumber::Digits(_)) => SpokenNumber::Digits(format!("{}{n}", value.text())),
            Some(SpokenNumber::Whole(value)) if !behind_one && value % (if n < 10 { 10 } else { 100 }) == 0 => {
                SpokenNumber::Whole(value.saturating_add(n))
            }
            Some(value) => SpokenNumber::Digits(format!("{}{n}", value.text())),
        }
    }

    fn with_ten(&self, tens: i128) -> SpokenNumber {
        match &self.value {
            None => SpokenNumber::Whole(tens),
            Some(SpokenNumber::Whole(value)) if value % 100 == 0 => SpokenNumber::Whole(value.saturating_add(tens)),
            Some(value) => SpokenNumber::Digits(format!("{}{tens}", value.text())),
        }
    }
}

/// The hundreds, tens and ones of a value times a power of ten, what is above them as it is.
fn multiplied(value: i128, multiplier: i128) -> i128 {
    (value / 1000 * 1000).saturating_add(value % 1000 * multiplier)
}

fn process(words: &[&str]) -> Vec<String> {
    let mut own = Writing::default();
    let mut skip = false;
    for (at, current) in words.iter().copied().enumerate() {
        if std::mem::take(&mut skip) {
            continue;
        }
        let before = at.checked_sub(1).and_then(|at| words.get(at)).and_then(|word| number_word(word));
        let next = words.get(at + 1).copied();
        let next_word = next.and_then(number_word);
        let next_is_number = next.is_some_and(is_number);
        let bare = current.strip_prefix(PREFIXES);
        let plain = bare.unwrap_or(current);
        if is_number(plain) {
            match own.value.take() {
                Some(SpokenNumber::Digits(text)) if text.ends_with('.') => {
                    own.value = Some(SpokenNumber::Digits(format!("{text}{current}")));
                    continue;
                }
                value => {
                    own.value = value;
                    own.finish();
                }
            }
            if bare.is_some() {
                own.prefix = current.chars().next().map(String::from);
            }
            let digits = SpokenNumber::Digits(plain.to_owned());
            own.value = Some(digits.times(1).map_or(digits, SpokenNumber::Whole));
            continue;
        }
        let Some(word) = number_word(current) else {
            own.finish();
            own.put(current);
            continue;
        };
        match word {
            W::Zero => own.value = Some(SpokenNumber::Digits(format!("{}0", own.digits()))),
            W::One(n) => own.value = Some(own.with_one(n, before)),
            W::OneWith(n, suffix) => {
                let text = format!("{}{suffix}", own.with_one(n, before).text());
                own.put(&text);
            }
            W::Ten(tens) => own.value = Some(own.with_ten(tens)),
            W::TenWith(tens, suffix) => {
                let text = format!("{}{suffix}", own.with_ten(tens).text());
                own.put(&text);
            }
            W::Multiplier(multiplier) => match own.value.clone() {
                None => own.value = Some(SpokenNumber::Whole(multiplier)),
                Some(SpokenNumber::Whole(value)) if value != 0 => {
                    own.value = Some(SpokenNumber::Whole(multiplied(value, multiplier)));
                }
                Some(value) => match value.times(multiplier) {
                    Some(product) => own.value = Some(SpokenNumber::Whole(product)),
                    None => {
                        own.finish();
                        own.value = Some(SpokenNumber::Whole(multiplier));
                    }
                },
            },
            W::MultiplierWith(multiplier, suffix) => match own.value.clone() {
                None => own.put(&format!("{multiplier}{suffix}")),
                Some(SpokenNumber::Whole(value)) => {
                    own.put(&format!("{}{suffix}", multiplied(value, multiplier)));
                }
                Some(value) => match value.times(multiplier) {
                    Some(product) => own.put(&format!("{product}{suffix}")),
                    None => {
                        own.finish();
                        own.put(&format!("{multiplier}{suffix}"));
                    }
                },
            },
            W::Sign(sign) => {
                own.finish();
                if next_word.is_some() || next_is_number {
                    own.prefix = Some(sign.to_owned());
                } else {
                    own.put(current);
                }
            }
            W::Currency(sign) => {
                if own.value.is_some() {
                    own.prefix = Some(sign.to_owned());
                    own.finish();
                } else {
                    own.put(current);
                }
            }
            W::Per | W::Percent => match own.value.clone() {
                None => own.put(current),
                Some(value) if word == W::Percent || next == Some("cent") => {
                    own.put(&format!("{}%", value.text()));
                    skip = word == W::Per;
                }
                Some(_) => {
                    own.finish();
                    own.put(current);
                }
            },
            W::And | W::Times(_) | W::Point if next_word.is_none() && !next_is_number => {
                own.finish();
                own.put(current);
            }
            // Behind hundreds, thousands and so on it says nothing.
            W::And if matches!(before, Some(W::Multiplier(_))) => {}
            W::And => {
                own.finish();
                own.put(current);
            }
            W::Times(repeats) => match next_word {
                Some(W::One(_) | W::Zero) => {
                    let n = if let Some(W::One(n)) = next_word { n } else { 0 };
                    own.value =
                        Some(SpokenNumber::Digits(format!("{}{}", own.digits(), n.to_string().repeat(repeats))));
                    skip = true;
                }
                _ => {
                    own.finish();
                    own.put(current);
                }
            },
            W::Point => {
                if next_is_number || matches!(next_word, Some(W::One(_) | W::Ten(_) | W::Zero)) {
                    own.value = Some(SpokenNumber::Digits(format!("{}.", own.digits())));
                }
            }
        }
    }
    own.finish();
    own.done
}

/// A pattern of this file.
pub(super) fn pattern(text: &str) -> Regex {
    match Regex::new(text) {
        Ok(pattern) => pattern,
        Err(error) => unreachable!("patterns are fixed: {error}"),
    }
}

static AND_A_HALF: LazyLock<Regex> = LazyLock::new(|| pattern(r"\band\s+a\s+half\b"));
static LETTER_DIGIT: LazyLock<Regex> = LazyLock::new(|| pattern(r"([a-z])([0-9])"));
static DIGIT_LETTER: LazyLock<Regex> = LazyLock::new(|| pattern(r"([0-9])([a-z])"));
static SUFFIX: LazyLock<Regex> = LazyLock::new(|| pattern(r"([0-9])\s+(st|nd|rd|th|s)\b"));
static AND_CENTS: LazyLock<Regex> = LazyLock::new(|| pattern(r"([€£$])([0-9]+) (?:and )?¢([0-9]{1,2})\b"));
static CENTS: LazyLock<Regex> = LazyLock::new(|| pattern(r"[€£$]0.([0-9]{1,2})\b"));
static ONE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b1(s?)\b"));

/// `text`, in small letters, with its numbers as digits.
pub(super) fn with_digits(text: &str) -> String {
    let segments: Vec<&str> = AND_A_HALF.split(text).collect();
    let mut parts: Vec<&str> = Vec::new();
    for (at, segment) in segments.iter().enumerate() {
        let Some(last) = segment.split_whitespace().next_back() else { continue };
        parts.push(segment);
        if at + 1 < segments.len() {
            let is_number = matches!(number_word(last), Some(W::Zero | W::One(_) | W::Ten(_) | W::Multiplier(_)));
            parts.push(if is_number { "point five" } else { "and a half" });
        }
    }
    let text = parts.join(" ");
    // A blank where letters and digits meet, but none before what may be an ending.
    let text = LETTER_DIGIT.replace_all(&text, "${1} ${2}");
    let text = DIGIT_LETTER.replace_all(&text, "${1} ${2}");
    let text = SUFFIX.replace_all(&text, "${1}${2}");
    let text = process(&text.split_whitespace().collect::<Vec<_>>()).join(" ");
    let cents = |text: &str| text.parse::<u32>().unwrap_or(0);
    let text = AND_CENTS
        .replace_all(&text, |found: &Captures<'_>| format!("{}{}.{:02}", &found[1], &found[2], cents(&found[3])));
    let text = CENTS.replace_all(&text, |found: &Captures<'_>| format!("¢{}", cents(&found[1])));
    ONE.replace_all(&text, "one${1}").into_owned()
}
