//! Word and character error rates.

use crate::evaluation::answers::Answer;
use crate::evaluation::edits::Edits;

fn rate(answers: &[&Answer], draw: &[usize], of: impl Fn(&Edits) -> (u64, u64)) -> f64 {
    let edits = draw.iter().filter_map(|i| match answers.get(*i)? {
        Answer::Transcript(edits) => Some(of(edits)),
        _ => None,
    });
    let (wrong, said) = edits.fold((0, 0), |(wrong, said), (w, s)| (wrong + w, said + s));
    wrong as f64 / said as f64
}

/// Wrong words of all recordings together for each word that was said.
pub(in crate::evaluation) fn word_error_rate(answers: &[&Answer], draw: &[usize]) -> f64 {
    rate(answers, draw, |edits| (edits.words, edits.words_said))
}

/// The same of characters.
pub(in crate::evaluation) fn character_error_rate(answers: &[&Answer], draw: &[usize]) -> f64 {
    rate(answers, draw, |edits| (edits.characters, edits.characters_said))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn rates_are_those_of_jiwer() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/speech/references.json");
        let references: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let cases = references["rates"].as_array().unwrap();
        assert!(cases.len() >= 6);
        for case in cases {
            let texts = |key: &str| -> Vec<String> { serde_json::from_value(case[key].clone()).unwrap() };
            let answers: Vec<Answer> = texts("transcripts")
                .iter()
                .zip(&texts("said"))
                .map(|(own, said)| Answer::Transcript(Edits::between(own, said)))
                .collect();
            let (answers, all): (Vec<&Answer>, Vec<usize>) = (answers.iter().collect(), (0..answers.len()).collect());
            for (name, got) in [("wer", word_error_rate(&answers, &all)), ("cer", character_error_rate(&answers, &all))]
            {
                let want = case[name].as_f64().unwrap();
                assert!((got - want).abs() < 1e-12, "{name} of {case}: {got}");
            }
        }
    }
}
