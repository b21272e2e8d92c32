//! Tokenizers of folders without `tokenizer.json`, built from the files that such folders have.
//!
//! What is built is what transformers 4.57.6 builds, whose `tokenizer.json` files most published models carry. (Its release
//! 5.24 reads some of these files otherwise: without `<s>` before texts of Llama, without the characters' rules of mBART.)
//! Of classes that run sentencepiece itself (Marian, M2M-100, SigLIP) ids are those of sentencepiece but in corners: a mark
//! that combines with a character that the rules rewrite is lost, equally likely pieces come in another order, and after a
//! special token in the midst of a text SigLIP's pieces begin a word.
//!
//! | module | job |
//! | --- | --- |
//! | `added` | tokens that are found in text first, and the files that name them |
//! | `builder` | a class with what a folder says of it; special tokens around texts |
//! | `rules` | the classes of tokenizers, a row each |
//! | `words`, `bytes` | `vocab.txt`; `vocab.json` with `merges.txt` |
//! | `subwords`, `pieces` | the model file of sentencepiece; its pieces as a vocabulary |
//! | `numbered` | pieces that a list of its own numbers |

mod added;
mod builder;
mod bytes;
mod numbered;
mod pieces;
mod rules;
mod subwords;
mod words;

use std::path::Path;

use serde_json::Value;
use tokenizers::{AddedToken, Tokenizer};

use crate::error::Result;

pub(super) use added::{SPECIAL, add_all, added_texts, content, described, optional};
use added::{add, is_added};
use builder::switched;
pub(super) use builder::{ANOTHER_WAY, TokenizerBuilder, TokenizerSettings, heed_switches};
pub(super) use numbered::{BuiltTokenizer, NumberedPieces};
use rules::{TextFrame, TokenMatch, VocabularySource};
pub(super) use subwords::check_rules;

/// Files that a tokenizer can be built from, each alone or the first of two.
const FILES: [&str; 8] = [
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "spm.model",
    "sentencepiece.model",
    "source.spm",
];

/// Whether `folder` holds a file that a tokenizer can be built from.
pub(super) fn has_files(folder: &Path) -> bool {
    FILES.iter().any(|name| folder.join(name).is_file())
}

/// The tokenizer without its added and special tokens, but those of the vocabulary.
///
/// # Errors
/// Where a file is missing or broken.
pub(super) fn build(builder: &TokenizerBuilder<'_>) -> Result<BuiltTokenizer> {
    let alone = |tokenizer| BuiltTokenizer { tokenizer, numbered: None, target: None };
    match builder.rule.source {
        VocabularySource::WordPieces => words::word_pieces(builder).map(alone),
        VocabularySource::Residues => words::residues(builder).map(alone),
        VocabularySource::BytePairs(split) => bytes::byte_pairs(builder, split).map(alone),
        VocabularySource::Subwords(scheme) => pieces::subwords(builder, scheme).map(alone),
        VocabularySource::BareSubwords => numbered::bare(builder),
        VocabularySource::NumberedSubwords => numbered::numbered(builder),
        VocabularySource::TwoModels => numbered::two_models(builder),
    }
}

/// Adds the special tokens of the class, and puts those around a text that belong there.
pub(super) fn finish(builder: &TokenizerBuilder<'_>, tokenizer: &mut Tokenizer) -> Result<()> {
    for key in SPECIAL {
        let Some(rule) = builder.rule.tokens.iter().find(|rule| rule.0 == key) else { continue };
        if let Some(token) = builder.token(rule) {
            // What files say under an id is as they say; plain tokens are as the vocabulary has them.
            let is_plain = rule.2 == TokenMatch::Exact && !builder.named(key).is_some_and(Value::is_object);
            if !((is_plain || builder.has_id(&token.content)) && is_added(tokenizer, &token.content)) {
                add(tokenizer, token)?;
            }
        }
    }
    for text in more_tokens(builder) {
        if !is_added(tokenizer, &text) {
            add(tokenizer, AddedToken::from(text, true))?;
        }
    }
    let (single, pair) = match builder.rule.around {
        TextFrame::Nothing => return Ok(()),
        TextFrame::Always { single, pair } => (single.to_owned(), pair.to_owned()),
        TextFrame::Begins if builder.flag("add_bos_token", false) => ("bos $A".to_owned(), "bos $A $B:1".to_owned()),
        TextFrame::Begins => return Ok(()),
        TextFrame::Switches { begins } => {
            switched(builder.flag("add_bos_token", begins), builder.flag("add_eos_token", false))
        }
    };
    builder.surround(tokenizer, &single, &pair)
}

/// Tokens that the class adds to its vocabulary as special ones.
fn more_tokens(builder: &TokenizerBuilder<'_>) -> Vec<String> {
    match builder.rule.source {
        VocabularySource::Subwords(scheme) => pieces::more_tokens(builder, scheme),
        VocabularySource::NumberedSubwords => numbered::language_tokens(builder),
        _ => Vec::new(),
    }
}
