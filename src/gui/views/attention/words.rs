//! Tokens as they are written beside a matrix.

use crate::figure::font;

/// Characters of a token before it is shortened.
const LONGEST: usize = 11;

/// A token as exported pictures have it, shortened where it is long.
pub(super) fn shown(token: &str) -> String {
    font::token(token, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_keep_their_letters() {
        assert_eq!(["“", "##λ", "с", "≤", "Ġ—"].map(shown), ["“", "##λ", "с", "≤", "·—"]);
        assert_eq!(shown("abcdefghijklmnop"), "abcdefghijk…");
    }
}
