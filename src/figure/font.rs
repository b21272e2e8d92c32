//! The fonts of exported figures: compiled in, so that widths and pixels are the same on every machine.

use std::sync::{Arc, LazyLock};

use resvg::usvg::fontdb;
use skrifa::charmap::Charmap;
use skrifa::instance::{LocationRef, Size};
use skrifa::metrics::GlyphMetrics;
use skrifa::{FontRef, MetadataProvider};

/// Inter, regular weight (SIL Open Font License 1.1).
pub static REGULAR: &[u8] = include_bytes!("../../assets/fonts/Inter-Regular.otf");
pub static SEMI_BOLD: &[u8] = include_bytes!("../../assets/fonts/Inter-SemiBold.otf");
/// DejaVu Sans, for characters that Inter lacks (Bitstream Vera license).
pub static FALLBACK: &[u8] = include_bytes!("../../assets/fonts/DejaVuSans.ttf");

/// What the SVG asks for: ours first, then what most machines have.
pub(super) const FAMILIES: &str = "Inter, 'DejaVu Sans', 'Helvetica Neue', Arial, sans-serif";

/// Size of labels in units of a scene.
pub(super) const LABEL: f64 = 11.0;
/// Size of the smallest words, in the same units.
pub(super) const SMALL: f64 = 9.5;

/// Height of a capital letter as a share of the font size (Inter).
pub(super) const CAP_HEIGHT: f64 = 0.727;

/// How heavy the strokes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Weight {
    #[default]
    Regular,
    SemiBold,
}

struct Face {
    charmap: Charmap<'static>,
    metrics: GlyphMetrics<'static>,
}

impl Face {
    fn open(bytes: &'static [u8]) -> Option<Self> {
        let font = FontRef::new(bytes).ok()?;
        Some(Self {
            charmap: font.charmap(),
            // Advances for a font size of 1.
            metrics: font.glyph_metrics(Size::new(1.0), LocationRef::default()),
        })
    }

    fn advance(&self, c: char) -> Option<f64> {
        self.metrics.advance_width(self.charmap.map(c)?).map(f64::from)
    }
}

static FACES: LazyLock<[Option<Face>; 3]> = LazyLock::new(|| [REGULAR, SEMI_BOLD, FALLBACK].map(Face::open));

/// The three fonts and nothing of the machine's own.
pub(super) static DATABASE: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut database = fontdb::Database::new();
    for bytes in [REGULAR, SEMI_BOLD, FALLBACK] {
        database.load_font_data(bytes.to_vec());
    }
    database.set_sans_serif_family("Inter");
    Arc::new(database)
});

/// Width of one line of text, in the unit of `size`; kerning is left out.
pub fn width(text: &str, size: f64, weight: Weight) -> f64 {
    let [regular, semi_bold, fallback] = &*FACES;
    let first = if weight == Weight::SemiBold { semi_bold } else { regular };
    let advance = |c| {
        let own = first.as_ref().and_then(|face| face.advance(c));
        own.or_else(|| fallback.as_ref().and_then(|face| face.advance(c))).unwrap_or(0.6)
    };
    text.chars().map(advance).sum::<f64>() * size
}

/// True where the bundled fonts can draw `c`.
pub fn covers(c: char) -> bool {
    let [regular, _, fallback] = &*FACES;
    [regular, fallback].into_iter().flatten().any(|face| face.charmap.map(c).is_some())
}

/// Text as it can be drawn: control characters and those without a glyph are escaped as in Rust, the
/// word marks of tokenizers stay.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| put(&mut out, c));
    out
}

/// A token as pictures and the window write it beside a matrix: a point for the mark of a space before a word, the rest as
/// [`printable`] has it. What goes beyond `most` characters is left out for an ellipsis; no escape is cut in two.
pub fn token(text: &str, most: usize) -> String {
    let (mut out, mut length) = (String::with_capacity(text.len()), 0);
    for c in text.chars() {
        let before = out.len();
        match c {
            // Byte-level vocabularies write a leading space so, sentence pieces so.
            'Ġ' | '▁' => out.push('·'),
            'Ċ' => out.push_str("\\n"),
            c => put(&mut out, c),
        }
        length += out.get(before..).map_or(0, |more| more.chars().count());
        if length > most && before > 0 {
            out.truncate(before);
            out.push('…');
            break;
        }
    }
    out
}

/// Adds a character as it can be drawn.
fn put(out: &mut String, c: char) {
    // The window asks for every token in every frame, and most are plain.
    if c.is_ascii_graphic() || c == ' ' || (!c.is_control() && covers(c)) {
        out.push(c);
    } else {
        out.extend(c.escape_default());
    }
}

/// The text, or as much of its beginning as fits into `limit` with an ellipsis.
pub fn shortened(text: &str, limit: f64, size: f64, weight: Weight) -> String {
    if width(text, size, weight) <= limit {
        return text.to_owned();
    }
    let mut kept: String = text.to_owned();
    while kept.pop().is_some() {
        let candidate = format!("{}…", kept.trim_end());
        if width(&candidate, size, weight) <= limit {
            return candidate;
        }
    }
    "…".to_owned()
}

/// The text broken at spaces into lines of at most `limit`; a longer word stands alone.
pub fn wrapped(text: &str, limit: f64, size: f64, weight: Weight) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line, size, weight) + width(&format!(" {word}"), size, weight) <= limit => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fonts_open_under_the_names_the_svg_asks_for() {
        assert!(FACES.iter().all(Option::is_some));
        let names: Vec<_> = DATABASE.faces().map(|f| (f.families[0].0.clone(), f.weight.0)).collect();
        assert_eq!(names, [("Inter".to_owned(), 400), ("Inter".to_owned(), 600), ("DejaVu Sans".to_owned(), 400)]);
    }

    #[test]
    fn widths_are_the_fonts_own() {
        // Advances in the fonts' hmtx tables: Inter 4.0b7 has 2816 units per em, DejaVu Sans 2048.
        let digit = width("0", 1.0, Weight::Regular);
        assert!((0.5..0.75).contains(&digit), "{digit}");
        assert!((width("000", 10.0, Weight::Regular) - 30.0 * digit).abs() < 1e-6);
        assert!(width("Heads", 10.0, Weight::SemiBold) > width("Heads", 10.0, Weight::Regular));
        assert!(width("il", 10.0, Weight::Regular) < width("MW", 10.0, Weight::Regular));
    }

    #[test]
    fn tokens_become_printable() {
        assert_eq!(printable("Ġthe ▁der ##ing é Ω Ж"), "Ġthe ▁der ##ing é Ω Ж");
        assert_eq!(printable("a\nb\t"), "a\\nb\\t");
        assert_eq!(printable("中🙂"), "\\u{4e2d}\\u{1f642}");
    }

    #[test]
    fn tokens_beside_a_matrix_keep_every_letter_that_a_font_has() {
        for text in ["“", "”", "‘s", "—", "…", "≤", "##λ", "с", "שלום", "naïve", "«", "°"] {
            assert_eq!(token(text, 11), text);
        }
        assert_eq!(["Ġthe", "▁naïve", "Ċ", "\n"].map(|text| token(text, 11)), ["·the", "·naïve", "\\n", "\\n"]);
        assert_eq!([token("漢", 11), token("漢漢", 11)], ["\\u{6f22}", "\\u{6f22}…"]);
        assert_eq!(token("abcdefghijklmnop", 11), "abcdefghijk…");
        assert_eq!(token("abcdefghijklmnop", usize::MAX), "abcdefghijklmnop");
    }

    #[test]
    fn long_text_is_cut_or_wrapped() {
        let text = "Every layer groups its own heads";
        let limit = width("Every layer groups", 11.0, Weight::Regular);
        let short = shortened(text, limit, 11.0, Weight::Regular);
        assert!(short.ends_with('…') && width(&short, 11.0, Weight::Regular) <= limit, "{short}");
        assert_eq!(shortened("ok", limit, 11.0, Weight::Regular), "ok");
        assert_eq!(wrapped(text, limit, 11.0, Weight::Regular), ["Every layer groups", "its own heads"]);
    }
}
