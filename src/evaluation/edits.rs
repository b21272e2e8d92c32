//! What has to be changed in one text to make it another.

/// What has to be changed in a transcript, of how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Words put in, left out or put in the place of others.
    pub words: u64,
    /// Words of what was said.
    pub words_said: u64,
    /// Characters, blanks between words among them.
    pub characters: u64,
    pub characters_said: u64,
}

impl Edits {
    /// From the model's transcript to what was said, both normalized.
    pub(super) fn between(transcript: &str, said: &str) -> Self {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let (own, right) = (words(transcript), words(said));
        let letters = |words: &[String]| words.join(" ").chars().collect::<Vec<char>>();
        let (letters_own, letters_right) = (letters(&own), letters(&right));
        Self {
            words: distance(&own, &right),
            words_said: right.len() as u64,
            characters: distance(&letters_own, &letters_right),
            characters_said: letters_right.len() as u64,
        }
    }
}

/// Fewest insertions, deletions and substitutions from one sequence to another.
fn distance<T: PartialEq>(from: &[T], to: &[T]) -> u64 {
    let mut row: Vec<u64> = (0..=to.len() as u64).collect();
    for x in from {
        let mut diagonal = row[0];
        row[0] += 1;
        for (at, y) in to.iter().enumerate() {
            let replaced = diagonal + u64::from(x != y);
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}
