//! BLEU (Papineni et al. 2002) as sacreBLEU computes it: 13a tokenisation, exponential smoothing, one reference.

use std::collections::HashMap;

const ORDER: usize = 4;

/// A corpus score with what it is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Bleu {
    /// The score, in `0..=100`.
    pub score: f64,
    /// Precision of 1- to 4-grams in `0..=100`, smoothed.
    pub precisions: [f64; ORDER],
    pub brevity_penalty: f64,
    /// Tokens of the system's text.
    pub system_length: usize,
    /// Tokens of the references.
    pub reference_length: usize,
}

/// BLEU of system texts against one reference each.
pub fn bleu<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Bleu {
    let (mut correct, mut total) = ([0usize; ORDER], [0usize; ORDER]);
    let (mut system_length, mut reference_length) = (0, 0);
    for (system, reference) in pairs {
        let (system, reference) = (tokenize_13a(system), tokenize_13a(reference));
        system_length += system.len();
        reference_length += reference.len();
        for n in 1..=ORDER {
            let known = ngrams(&reference, n);
            for (ngram, count) in ngrams(&system, n) {
                total[n - 1] += count;
                correct[n - 1] += count.min(known.get(ngram).copied().unwrap_or(0));
            }
        }
    }
    let brevity_penalty = if system_length >= reference_length {
        1.0
    } else if system_length == 0 {
        0.0
    } else {
        (1.0 - reference_length as f64 / system_length as f64).exp()
    };
    let mut precisions = [0.0; ORDER];
    let mut smoothing = 1.0;
    for n in 0..ORDER {
        if total[n] == 0 {
            break;
        }
        precisions[n] = if correct[n] == 0 {
            smoothing *= 2.0;
            100.0 / (smoothing * total[n] as f64)
        } else {
            100.0 * correct[n] as f64 / total[n] as f64
        };
    }
    // Without a single common word there is nothing to smooth.
    let is_nothing = correct.iter().all(|c| *c == 0) || precisions.contains(&0.0);
    let mean_log = precisions.iter().map(|p| p.ln()).sum::<f64>() / ORDER as f64;
    let score = if is_nothing { 0.0 } else { brevity_penalty * mean_log.exp() };
    Bleu { score, precisions, brevity_penalty, system_length, reference_length }
}

fn ngrams(tokens: &[String], n: usize) -> HashMap<&[String], usize> {
    let mut counts = HashMap::new();
    for ngram in tokens.windows(n) {
        *counts.entry(ngram).or_insert(0) += 1;
    }
    counts
}

/// Tokens of a text by the rules of mteval-v13a.
pub fn tokenize_13a(text: &str) -> Vec<String> {
    let mut text = text.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    if text.contains('&') {
        text = text.replace("&quot;", "\"").replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">");
    }
    let mut apart = String::with_capacity(text.len() * 2);
    for c in format!(" {text} ").chars() {
        if is_symbol(c) {
            apart.extend([' ', c, ' ']);
        } else {
            apart.push(c);
        }
    }
    let is_point = |c: char| c == '.' || c == ',';
    let is_digit = |c: char| c.is_ascii_digit();
    // Points and commas stand apart unless digits are on both sides, dashes where a digit is before them.
    let apart = split_pairs(&apart, |a, b| !is_digit(a) && is_point(b), |a, b, out| out.extend([a, ' ', b, ' ']));
    let apart = split_pairs(&apart, |a, b| is_point(a) && !is_digit(b), |a, b, out| out.extend([' ', a, ' ', b]));
    let apart = split_pairs(&apart, |a, b| is_digit(a) && b == '-', |a, b, out| out.extend([a, ' ', b, ' ']));
    apart.split_whitespace().map(str::to_owned).collect()
}

/// ASCII symbols that stand apart: all but letters, digits, apostrophe, comma, dash and full stop.
fn is_symbol(c: char) -> bool {
    matches!(c, '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/')
}

/// Rewrites pairs of neighbors from left to right; a character is part of one rewritten pair at most.
fn split_pairs(text: &str, wanted: impl Fn(char, char) -> bool, write: impl Fn(char, char, &mut String)) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text.chars().peekable();
    while let Some(a) = rest.next() {
        match rest.peek().copied() {
            Some(b) if wanted(a, b) => {
                rest.next();
                write(a, b, &mut out);
            }
            _ => out.push(a),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts and scores by sacrebleu 2.6.0, `corpus_bleu` with its default settings.
    const SYSTEM: [&str; 5] = [
        "The cat sat on the mat.",
        "It's 3.5 percent, i.e. 1,000-year-old &quot;trees&quot; (rare)!",
        "Hello world",
        "In the beginning God created the heaven and the earth.",
        "Él dijo: ¿qué, tal... bien?",
    ];
    const REFERENCE: [&str; 5] = [
        "The cat is on the mat.",
        "It is 3.5 percent: 1,000-year old \"trees\" (very rare)!",
        "Hello, big world",
        "In the beginning God made heaven and the earth, .",
        "Él dijo: \"¿qué tal? bien\"",
    ];

    #[test]
    fn corpus_scores_are_those_of_sacrebleu() {
        let found = bleu(SYSTEM.into_iter().zip(REFERENCE));
        assert!((found.score - 30.833658439194306).abs() < 1e-9, "{found:?}");
        for (got, want) in
            found.precisions.iter().zip([71.42857142857143, 43.18181818181818, 25.641025641025642, 11.428571428571429])
        {
            assert!((got - want).abs() < 1e-9);
        }
        assert_eq!((found.system_length, found.reference_length, found.brevity_penalty), (49, 48, 1.0));
    }

    #[test]
    fn single_sentences_are_smoothed_as_sacrebleu_does() {
        let scores = [48.892302243490086, 23.682079130839753, 0.0, 48.326978309062206, 17.242221289766626];
        for ((system, reference), want) in SYSTEM.iter().zip(REFERENCE).zip(scores) {
            let found = bleu([(*system, reference)]);
            assert!((found.score - want).abs() < 1e-9, "{system}: {found:?}");
        }
        // exp(1 - 4 / 2): two tokens against four.
        assert!((bleu([(SYSTEM[2], REFERENCE[2])]).brevity_penalty - (-1f64).exp()).abs() < 1e-12);
        assert_eq!(bleu([("", "a b c d e")]).score, 0.0);
        assert!((bleu([(SYSTEM[3], SYSTEM[3])]).score - 100.0).abs() < 1e-9);
    }

    #[test]
    fn tokens_are_those_of_13a() {
        for (text, tokens) in [
            (SYSTEM[1], "It's 3.5 percent , i . e . 1,000 - year-old \" trees \" ( rare ) !"),
            (
                "a,,b 1,2 x.5 5.x 3-4 a-b [x] ~{} don't a&amp;b &lt;x&gt; -- 12.",
                "a , , b 1,2 x . 5 5 . x 3 - 4 a-b [ x ] ~ { } don't a & b < x > -- 12 .",
            ),
            ("$5.00, 'quoted'.", "$ 5.00 , 'quoted' ."),
        ] {
            assert_eq!(tokenize_13a(text).join(" "), tokens);
        }
    }
}
