//! Damage to the bytes of a file, by a seeded generator.

use rand::Rng;
use rand::rngs::StdRng;

/// Values that careless readers trip over, as text and as little-endian bytes.
pub(crate) const TEXTS: [&str; 14] = [
    "-1",
    "0",
    "1",
    "null",
    "18446744073709551615",
    "9223372036854775807",
    "1e400",
    "-0.0",
    "NaN",
    "\"\"",
    "[]",
    "{}",
    "1e-320",
    "4294967296",
];
const NUMBERS: [u64; 8] = [0, 1, 0x7f, 0xff, 0x7fff_ffff, 0xffff_ffff, 1 << 40, u64::MAX];

/// One damage to one of `seeds`, or up to four: what is damaged once is read further.
pub(crate) fn damaged(seeds: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let mut bytes = seeds[random.gen_range(0..seeds.len())].clone();
    let damages = if random.r#gen() { 1 } else { random.gen_range(2..=4) };
    for _ in 0..damages {
        if bytes.is_empty() {
            break;
        }
        // Beginnings hold what the rest is read by.
        let reach = if random.gen_bool(0.5) { bytes.len() } else { bytes.len().min(256) };
        let at = random.gen_range(0..reach);
        let length = random.gen_range(1..=(bytes.len() - at).min(32));
        match random.gen_range(0..9) {
            0 => bytes[at] ^= 1 << random.gen_range(0..8),
            1 => bytes[at] = random.r#gen(),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..at + length)),
            4 => {
                let piece = bytes[at..at + length].to_vec();
                bytes.splice(at..at, piece);
            }
            5 => {
                let other = &seeds[random.gen_range(0..seeds.len())];
                let from = random.gen_range(0..other.len());
                let piece = other[from..other.len().min(from + 64)].to_vec();
                bytes.splice(at..at, piece);
            }
            6 => {
                let number = NUMBERS[random.gen_range(0..NUMBERS.len())].to_le_bytes();
                let width = [1, 2, 4, 8][random.gen_range(0..4)].min(bytes.len() - at);
                bytes[at..at + width].copy_from_slice(&number[..width]);
            }
            // The next number or word of a text.
            _ => {
                let word = |b: &u8| b.is_ascii_alphanumeric() || b"-.+".contains(b);
                let begin = at + bytes[at..].iter().position(word).unwrap_or(0);
                let end = begin + bytes[begin..].iter().position(|b| !word(b)).unwrap_or(0);
                let text = TEXTS[random.gen_range(0..TEXTS.len())];
                bytes.splice(begin..end, text.bytes());
            }
        }
    }
    bytes
}
