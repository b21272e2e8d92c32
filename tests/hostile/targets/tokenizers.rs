//! Tokenizers, whole and built from the files that older folders have.

use std::fs;
use std::path::PathBuf;

use pillars::corpus::TextTokenizer;

use super::{Named, Target, copied, sample};
use crate::common::test_data;

/// A folder of which one file is damaged; what loads also encodes.
fn tokenizer(target: impl Into<String>, source: PathBuf, name: &'static str) -> Named {
    Named::new(target, move || {
        let folder = copied(&source);
        let place = folder.path().to_path_buf();
        let seed = fs::read(source.join(name)).unwrap();
        Target::at(folder, name, vec![seed], move || {
            TextTokenizer::load(&place)?.encode("It is a truth universally acknowledged \u{1f600} 42.").map(drop)
        })
    })
}

pub(crate) fn whole_tokenizers() -> Vec<Named> {
    ["tokenizer.json", "tokenizer_config.json"].map(|name| tokenizer(name, sample(), name)).into()
}

pub(crate) fn built_tokenizers() -> Vec<Named> {
    let kinds = [
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
    ];
    let of = |(kind, name): (&str, &'static str)| {
        tokenizer(format!("{name} of {kind}"), test_data().join("tokenizers/kinds").join(kind), name)
    };
    kinds.map(of).into()
}
