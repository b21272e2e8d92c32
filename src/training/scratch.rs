//! What training from scratch needs before its first step: a configuration, and a tokenizer that fits it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{
    AddedToken, DecoderWrapper, Model, ModelWrapper, PostProcessorWrapper, PreTokenizerWrapper, Tokenizer,
};

use crate::checkpoint::{Config, open_file, write_atomically};
use crate::corpus::{Input, Spool, TextTokenizer};
use crate::error::{Error, Result};
use crate::pruning::copy_side_files;
use crate::task::Ticket;

/// Special tokens of a tokenizer that is trained here, in the order of their ids.
const SPECIAL: [(&str, &str); 3] = [("pad", "<pad>"), ("bos", "<s>"), ("eos", "</s>")];

/// Vocabulary where neither the user nor the configuration says one.
const USUAL_VOCABULARY: usize = 2048;

/// Puts `config.json` and the tokenizer of a run from scratch into `folder`, and gives the configuration.
///
/// `architecture` is a model folder (its weights are not looked at) or a configuration file. Where the folder brings no
/// tokenizer, byte-level BPE (Sennrich et al. 2016) is trained on the text of `input`, and the configuration's
/// vocabulary and special ids are set to it.
pub fn prepare(
    architecture: &Path,
    vocabulary: Option<usize>,
    input: &Input,
    folder: &Path,
    ticket: &Ticket,
) -> Result<Config> {
    let (source, side) = if architecture.is_dir() {
        (architecture.join("config.json"), Some(architecture))
    } else {
        (architecture.to_path_buf(), None)
    };
    let mut config = Config::read(&source)?.value().as_object().cloned().unwrap_or_default();
    let has_tokenizer = side.is_some_and(TextTokenizer::is_in);
    if let (Some(side), true) = (side, has_tokenizer && vocabulary.is_none()) {
        copy_side_files(side, folder)?;
    } else if let Some(columns) = text_columns(input) {
        let size = match vocabulary {
            Some(size) => size,
            None => Config::new(&source, config.clone()).size_or("vocab_size", USUAL_VOCABULARY)?,
        };
        let paired = matches!(input, Input::Pairs { .. });
        let unpacked = Spool::again(input, ticket)?;
        let text = unpacked.as_ref().map_or_else(|| input.path(), Spool::path);
        let tokenizer = train_tokenizer(text, columns, size, paired, ticket)?;
        adapt(&mut config, &tokenizer);
        write_tokenizer(&tokenizer, folder)?;
    }
    let text = format!("{}\n", serde_json::to_string_pretty(&config)?);
    let path = folder.join("config.json");
    write_atomically(&path, text.as_bytes())?;
    Ok(Config::new(path, config))
}

/// Which columns of a line a tokenizer learns from: all of a text, both sides of pairs; `None` where there is no text.
#[derive(Clone, Copy)]
enum Columns {
    Whole,
    Last(usize),
    Two(usize, usize),
}

fn text_columns(input: &Input) -> Option<Columns> {
    match input {
        Input::Text(_) => Some(Columns::Whole),
        Input::Pairs { columns: None, .. } => Some(Columns::Last(2)),
        Input::Pairs { columns: Some((source, target)), .. } => Some(Columns::Two(*source, *target)),
        _ => None,
    }
}

impl Columns {
    fn of(self, line: &str) -> Vec<String> {
        let cells: Vec<&str> = line.split('\t').collect();
        match self {
            Self::Whole => vec![line.to_owned()],
            Self::Last(n) => cells.iter().rev().take(n).map(|c| (*c).to_owned()).collect(),
            Self::Two(a, b) => {
                [a, b].iter().filter_map(|c| cells.get(c.checked_sub(1)?)).map(|c| (*c).to_owned()).collect()
            }
        }
    }
}

fn train_tokenizer(path: &Path, columns: Columns, size: usize, paired: bool, ticket: &Ticket) -> Result<Tokenizer> {
    let least = 256 + SPECIAL.len();
    if size < least {
        return Err(
            Error::usage(format!("a vocabulary of {size} cannot hold all bytes")).hint(format!("use {least} or more"))
        );
    }
    ticket.stage("train tokenizer", None, "lines");
    ticket.check()?;
    let fail = |e: tokenizers::Error| Error::new(format!("cannot train a tokenizer: {e}"));
    let mut tokenizer = Tokenizer::new(ModelWrapper::BPE(BPE::default()));
    tokenizer.with_pre_tokenizer(Some(PreTokenizerWrapper::ByteLevel(ByteLevel::default().add_prefix_space(false))));
    tokenizer.with_decoder(Some(DecoderWrapper::ByteLevel(ByteLevel::default())));
    let special = SPECIAL.map(|(_, name)| AddedToken::from(name, true));
    let trainer = BpeTrainerBuilder::new()
        .vocab_size(size)
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(special.to_vec())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect());
    let mut trainer = tokenizers::models::TrainerWrapper::BpeTrainer(trainer.build());
    let file = open_file(path).map_err(|e| Error::from(e).at(path))?;
    // A line that is no UTF-8 ends the text here; reading the corpus reports it.
    let lines = BufReader::new(file).lines().map_while(std::result::Result::ok);
    let texts = lines.flat_map(move |line| columns.of(&format!("{line}\n")));
    tokenizer.train(&mut trainer, texts).map_err(fail)?;
    if paired {
        let template = TemplateProcessing::builder()
            .try_single("$A </s>")
            .map_err(|e| Error::new(e.to_string()))?
            .special_tokens(vec![("</s>", 2)])
            .build()
            .map_err(|e| Error::new(e.to_string()))?;
        tokenizer.with_post_processor(Some(PostProcessorWrapper::Template(template)));
    }
    Ok(tokenizer)
}

/// Sets vocabulary and special ids of a configuration to a tokenizer that was trained here.
fn adapt(config: &mut Map<String, Value>, tokenizer: &Tokenizer) {
    let eos = config.get("eos_token_id").cloned();
    let starts_with_end = config.get("decoder_start_token_id").is_some_and(|start| Some(start) == eos.as_ref());
    config.insert("vocab_size".to_owned(), tokenizer.get_model().get_vocab_size().into());
    for (id, (name, _)) in SPECIAL.iter().enumerate() {
        config.insert(format!("{name}_token_id"), id.into());
    }
    if config.get("is_encoder_decoder").and_then(Value::as_bool) == Some(true) {
        config.insert("decoder_start_token_id".to_owned(), if starts_with_end { 2 } else { 0 }.into());
        config.insert("forced_eos_token_id".to_owned(), 2.into());
        if config.contains_key("decoder_vocab_size") {
            config.insert("decoder_vocab_size".to_owned(), tokenizer.get_model().get_vocab_size().into());
        }
    }
}

fn write_tokenizer(tokenizer: &Tokenizer, folder: &Path) -> Result<()> {
    let path: PathBuf = folder.join("tokenizer.json");
    let text = tokenizer.to_string(true).map_err(|e| Error::new(e.to_string()).at(&path))?;
    write_atomically(&path, text.as_bytes())?;
    let [(_, pad), (_, bos), (_, eos)] = SPECIAL;
    let about = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": pad,
        "bos_token": bos,
        "eos_token": eos,
        "clean_up_tokenization_spaces": false,
    });
    let text = format!("{}\n", serde_json::to_string_pretty(&about)?);
    write_atomically(&folder.join("tokenizer_config.json"), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::TextTokenizer;

    #[test]
    fn a_trained_tokenizer_loses_no_text_and_is_the_same_every_time() {
        let folder = tempfile::tempdir().unwrap();
        let text = "the cat sat on the mat, and the rat saw the cat.\nDon’t stop — naïve café!\n".repeat(40);
        let path = folder.path().join("text.txt");
        std::fs::write(&path, &text).unwrap();
        let architecture = folder.path().join("llama.json");
        std::fs::write(&architecture, r#"{"model_type": "llama", "vocab_size": 300, "eos_token_id": 77}"#).unwrap();
        let run = |name: &str| {
            let out = folder.path().join(name);
            std::fs::create_dir(&out).unwrap();
            let input = Input::Text(path.clone());
            let config = prepare(&architecture, None, &input, &out, &Ticket::default()).unwrap();
            let bytes = std::fs::read(out.join("tokenizer.json")).unwrap();
            (config, TextTokenizer::load(&out).unwrap(), bytes)
        };
        let (config, tokenizer, bytes) = run("a");
        assert_eq!(config.size("vocab_size").unwrap(), tokenizer.vocabulary());
        assert!(tokenizer.vocabulary() <= 300 && tokenizer.vocabulary() > 259);
        assert_eq!(config.token_opt("eos_token_id"), Some(2));
        let line = "Don’t the cat — 日本\n";
        let ids = tokenizer.encode(line).unwrap();
        assert_eq!(tokenizer.decode(&ids).unwrap(), line);
        assert!(tokenizer.encode("the cat").unwrap().len() <= 3);
        assert_eq!(bytes, run("b").2);
        // A text that is compressed says the same.
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packer, text.as_bytes()).unwrap();
        std::fs::write(&path, packer.finish().unwrap()).unwrap();
        assert_eq!(bytes, run("c").2);
        std::fs::write(&path, &text).unwrap();
        let small = prepare(&architecture, Some(100), &Input::Text(path.clone()), folder.path(), &Ticket::default());
        assert!(small.is_err());
    }

    #[test]
    fn pairs_teach_both_languages_and_end_their_sequences() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pairs.tsv");
        std::fs::write(&path, "1\tthe house\tla casa\n2\tthe houses\tlas casas\n".repeat(30)).unwrap();
        let architecture = folder.path().join("marian.json");
        let text =
            r#"{"model_type": "marian", "is_encoder_decoder": true, "vocab_size": 300, "decoder_start_token_id": 9}"#;
        std::fs::write(&architecture, text).unwrap();
        let out = folder.path().join("out");
        std::fs::create_dir(&out).unwrap();
        let input = Input::Pairs { path, columns: None, language: None };
        let config = prepare(&architecture, None, &input, &out, &Ticket::default()).unwrap();
        let tokenizer = TextTokenizer::load(&out).unwrap();
        assert_eq!(tokenizer.suffix(), [2]);
        assert_eq!(config.token_opt("decoder_start_token_id"), Some(0));
        assert_eq!(tokenizer.encode("las casas").unwrap().len(), 2);
        assert_eq!(tokenizer.encode("the house").unwrap().len(), 2);
    }
}
