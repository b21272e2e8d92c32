//! Tokenizers, whole and built from the files that older folders have.

use std::fs;
use std::path::Path;

use pillars::corpus::TextTokenizer;

use super::{MODERATE_BYTES, copied, fuzz, sample};
use crate::common::test_data;

/// Damages one file of a folder; what loads also encodes.
fn fuzz_tokenizer(target: &str, source: &Path, name: &str) {
    let folder = copied(source);
    let path = folder.path().join(name);
    let seed = fs::read(&path).unwrap();
    fuzz(target, &[seed], &path, MODERATE_BYTES, || {
        TextTokenizer::load(folder.path())?.encode("It is a truth universally acknowledged \u{1f600} 42.").map(drop)
    });
}

#[test]
fn whole_tokenizers() {
    fuzz_tokenizer("tokenizer.json", &sample(), "tokenizer.json");
    fuzz_tokenizer("tokenizer_config.json", &sample(), "tokenizer_config.json");
}

#[test]
fn built_tokenizers() {
    for (kind, name) in [
        ("bert", "vocab.txt"),
        ("esm", "vocab.txt"),
        ("gpt2", "vocab.json"),
        ("gpt2", "merges.txt"),
        ("clip", "merges.txt"),
        ("albert", "spiece.model"),
        ("llama", "tokenizer.model"),
        ("xlm-roberta", "sentencepiece.bpe.model"),
        ("marian", "source.spm"),
        ("marian", "vocab.json"),
        ("m2m_100", "sentencepiece.bpe.model"),
        ("nllb", "tokenizer_config.json"),
    ] {
        fuzz_tokenizer(&format!("{name} of {kind}"), &test_data().join("tokenizers/kinds").join(kind), name);
    }
}
