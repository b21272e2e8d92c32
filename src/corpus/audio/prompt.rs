//! What Whisper's decoder reads before it writes a transcript, and what it may not write.

use std::path::Path;

use serde_json::Map;

use super::codes;
use crate::checkpoint::Config;
use crate::corpus::intake::Intake;
use crate::corpus::spoken::TranscriptRules;
use crate::corpus::tokenizer::TextTokenizer;
use crate::error::{Error, Result};
use crate::model::DecoderStart;

/// Vocabularies of so many tokens and more know languages, as Whisper's own code has it.
const MULTILINGUAL: usize = 51_865;
/// What is taken for the language where nothing is said.
const USUAL_LANGUAGE: &str = "en";

/// What was found in a model's files.
pub(super) struct Prompting {
    pub(super) rules: TranscriptRules,
    /// The language, where it is known.
    pub(super) language: Option<String>,
    pub(super) note: Option<String>,
}

impl Prompting {
    /// That of the model in `folder`, which transcribes `language` where one is named.
    ///
    /// # Errors
    /// Where the model does not know the language.
    pub(super) fn read(
        folder: &Path,
        intake: &Intake,
        tokenizer: Option<&TextTokenizer>,
        language: Option<&str>,
    ) -> Result<Self> {
        let path = folder.join("generation_config.json");
        let config = if path.is_file() { Config::read(&path)? } else { Config::new(&path, Map::new()) };
        let limits = intake.target.as_ref().ok_or_else(|| Error::usage("this model writes no transcripts"))?;
        let end = intake.end.ok_or_else(|| Error::new("the model's configuration names no eos_token_id"))?;
        let start = match intake.decoder_start {
            Some(DecoderStart::Id(id)) => id,
            Some(DecoderStart::LastLabel) | None => intake.pad,
        };
        let mut prompt = vec![start];
        let id = |name: &str| tokenizer.and_then(|tokenizer| tokenizer.id(name));
        let knows_languages = match config.get("is_multilingual").and_then(|v| v.as_bool()) {
            Some(yes) => yes,
            None => limits.vocabulary >= MULTILINGUAL,
        };
        let (mut spoken, mut note) = (Some(USUAL_LANGUAGE.to_owned()), None);
        if knows_languages {
            let own = config.text_opt("language")?.map(|name| name.trim_matches(['<', '|', '>']).to_owned());
            if language.is_none() && own.is_none() {
                note = Some(format!("no language is named, so '{USUAL_LANGUAGE}' is taken (--language)"));
            }
            let name = language.map(str::to_lowercase).or(own).unwrap_or_else(|| USUAL_LANGUAGE.to_owned());
            prompt.push(codes::mark(tokenizer, &name)?);
            prompt.extend(id("<|transcribe|>"));
            spoken = Some(name);
        } else if language.is_some_and(|name| name.to_lowercase() != USUAL_LANGUAGE)
            && limits.vocabulary >= MULTILINGUAL - 1
        {
            return Err(Error::usage("the model transcribes English alone"));
        } else if let Some(name) = language {
            spoken = Some(codes::code(name)?);
        }
        prompt.extend(config.token_opt("no_timestamps_token_id").or_else(|| id("<|notimestamps|>")));
        let ids = |key: &str| -> Vec<u32> {
            let list = config.get(key).and_then(|v| v.as_array());
            list.into_iter().flatten().filter_map(|v| v.as_u64().and_then(|n| u32::try_from(n).ok())).collect()
        };
        if let Some(outside) = prompt.iter().find(|id| **id as usize >= limits.vocabulary) {
            return Err(Error::new(format!(
                "id {outside} of the prompt is outside the vocabulary of {}",
                limits.vocabulary
            ))
            .at(&path));
        }
        let longest = limits.max_length.unwrap_or(usize::MAX).min(config.size_opt("max_length")?.unwrap_or(usize::MAX));
        if longest <= prompt.len() {
            return Err(Error::new("the decoder has no room for a transcript"));
        }
        let rules = TranscriptRules {
            prompt,
            end,
            suppressed: ids("suppress_tokens"),
            suppressed_first: ids("begin_suppress_tokens"),
            longest,
        };
        Ok(Self { rules, language: spoken, note })
    }
}
