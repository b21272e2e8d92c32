//! Languages by their codes.

use crate::corpus::tokenizer::TextTokenizer;
use crate::error::{Error, Result};

/// Languages that a refusal names at most.
const SHOWN: usize = 12;

/// Codes of two letters (ISO 639-1), with the older one that Whisper has for Javanese.
const CODES: &str = "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz \
    ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja \
    jv jw ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne \
    ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv \
    sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu";

fn unknown(what: &str, known: &[String]) -> Error {
    let shown = known.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if known.len() > SHOWN { ", .." } else { "" };
    Error::usage(what).hint(format!("name a language by its code: choose from {shown}{more}"))
}

/// The code `name` in small letters, where it is one: by it English is compared in another way than the others. Of the many
/// of three letters, which models know by names of their own, that of English alone is refused.
///
/// # Errors
/// Where it is no code.
pub(super) fn code(name: &str) -> Result<String> {
    let code = name.to_lowercase();
    let is_known = match code.len() {
        2 => CODES.split(' ').any(|known| known == code),
        3 => code != "eng" && code.bytes().all(|b| b.is_ascii_lowercase()),
        _ => false,
    };
    match is_known {
        true => Ok(code),
        false => {
            // The most spoken ones of Whisper's training first.
            const USUAL: &str = "en zh de es ru ko fr ja pt tr pl it";
            let known: Vec<String> = USUAL.split(' ').chain(CODES.split(' ')).map(str::to_owned).collect();
            Err(unknown(&format!("'{name}' is no code of a language"), &known))
        }
    }
}

/// The token by which a model is told the language `name`.
///
/// # Errors
/// Where it knows no such language.
pub(super) fn mark(tokenizer: Option<&TextTokenizer>, name: &str) -> Result<u32> {
    let found = tokenizer.and_then(|tokenizer| tokenizer.id(&format!("<|{name}|>")));
    // Other marks than those of languages look like them.
    let is_code = |code: &str| (2..=3).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_lowercase());
    found.filter(|_| is_code(name)).ok_or_else(|| {
        let marks = tokenizer.into_iter().flat_map(|own| own.special().iter().filter_map(|id| own.token(*id)));
        let inner = |token: String| Some(token.strip_prefix("<|")?.strip_suffix("|>")?.to_owned());
        let known: Vec<String> = marks.filter_map(inner).filter(|code| is_code(code)).collect();
        unknown(&format!("the model knows no language '{name}'"), &known)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_from_names() {
        for (name, want) in [("en", "en"), ("DE", "de"), ("haw", "haw"), ("jw", "jw")] {
            assert_eq!(code(name).unwrap(), want);
        }
        for name in ["zz", "english", "eng", "", "e", "e1n", "en-US"] {
            let error = code(name).unwrap_err().to_string();
            assert!(error.contains("no code of a language") && error.contains("en, zh, de, "), "{error}");
        }
        assert_eq!(CODES.split_whitespace().count(), CODES.split(' ').count());
    }
}
