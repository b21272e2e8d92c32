//! Tokenizers that mark the language of a text, as those of mBART, M2M100 and NLLB do.

use super::settings::Input;
use super::tokenizer::TextTokenizer;
use crate::error::{Error, Result};

/// Languages that a refusal names at most.
const SHOWN: usize = 12;

/// The language that a token stands for: `de_DE`, `deu_Latn`, `de` of `__de__`.
fn language(token: &str) -> Option<&str> {
    let bare = token.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"));
    let code = bare.unwrap_or(token);
    let (name, place) = code.split_once('_').unwrap_or((code, ""));
    let is_one = (2..=3).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase())
        && place.bytes().all(|b| b.is_ascii_alphabetic());
    (is_one && (bare.is_some() || !place.is_empty())).then_some(code)
}

impl TextTokenizer {
    /// The tokenizer of texts that a model writes for `input`: in the language of its targets, where that is named.
    ///
    /// # Errors
    /// As [`TextTokenizer::writing`].
    pub fn writing_for(self, input: &Input) -> Result<Self> {
        match input {
            Input::Pairs { language, .. } => Ok(self.writing(language.as_deref())?.unwrap_or(self)),
            _ => Ok(self),
        }
    }

    /// The tokenizer of texts that a model writes in the language `wanted`: the mark of a language around a text is that of
    /// this one. Nothing where no language is wanted.
    ///
    /// # Errors
    /// Where the tokenizer marks no language, or does not know this one.
    pub fn writing(&self, wanted: Option<&str>) -> Result<Option<Self>> {
        let Some(wanted) = wanted else { return Ok(None) };
        let is_mark = |id: &u32| self.token(*id).is_some_and(|token| language(&token).is_some());
        let mut marks = self.prefix().iter().chain(self.suffix()).filter(|id| is_mark(id));
        let Some(mark) = marks.next().copied() else {
            return Err(Error::usage("the model's tokenizer marks no language").hint("leave out --target-language"));
        };
        let known: Vec<(u32, String)> =
            self.special().iter().filter(|id| is_mark(id)).filter_map(|id| Some((*id, self.token(*id)?))).collect();
        let is_it =
            |token: &str| token == wanted || language(token).is_some_and(|code| code.eq_ignore_ascii_case(wanted));
        let Some((id, _)) = known.iter().find(|(_, token)| is_it(token)) else {
            let codes: Vec<&str> = known.iter().filter_map(|(_, token)| language(token)).take(SHOWN).collect();
            let more = if known.len() > SHOWN { ", .." } else { "" };
            return Err(Error::usage(format!("the model's tokenizer knows no language '{wanted}'"))
                .hint(format!("choose from {}{more}", codes.join(", "))));
        };
        let marked = |ids: &[u32]| ids.iter().map(|other| if *other == mark { *id } else { *other }).collect();
        Ok(Some(self.around(marked(self.prefix()), marked(self.suffix()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_languages_are_known() {
        for (token, code) in [
            ("de_DE", Some("de_DE")),
            ("deu_Latn", Some("deu_Latn")),
            ("__de__", Some("de")),
            ("__ast__", Some("ast")),
            ("de", None),
            ("</s>", None),
            ("<mask>", None),
            ("__", None),
            ("____", None),
            ("a_b", None),
        ] {
            assert_eq!(language(token), code, "{token}");
        }
    }
}
