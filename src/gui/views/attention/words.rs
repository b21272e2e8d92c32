//! Tokens as they are written beside a matrix.

/// Characters of a token before it is shortened.
const LONGEST: usize = 11;

/// A token that any font can draw, shortened where it is long.
pub(super) fn shown(token: &str) -> String {
    let mut text = String::new();
    for (place, c) in token.chars().enumerate() {
        if place == LONGEST {
            text.push('…');
            break;
        }
        match c {
            // Byte-level vocabularies write a leading space so, sentence pieces so.
            'Ġ' | '▁' => text.push('·'),
            'Ċ' => text.push_str("\\n"),
            c if c.is_ascii_graphic() || (c.is_alphabetic() && (c as u32) < 0x250) || c == ' ' => text.push(c),
            c => text.push_str(&format!("\\u{:x}", c as u32)),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_no_font_has_are_escaped() {
        assert_eq!(shown("Ġthe"), "·the");
        assert_eq!(shown("▁naïve"), "·naïve");
        assert_eq!(shown("漢"), "\\u6f22");
        assert_eq!(shown("abcdefghijklmnop"), "abcdefghijk…");
    }
}
