//! Text from encoder-decoder models, and how good it is: greedy and beam search, BLEU, ROUGE.

mod bleu;
mod decode;
mod rouge;
mod translate;

pub use bleu::{Bleu, bleu, tokenize_13a};
pub use decode::{Found, Search, decode};
pub use rouge::{Rouge, mean_rouge, rouge};
pub use translate::{Translation, TranslationScore, Translations, translate};
