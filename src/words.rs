//! Numbers and what they count, in words that agree.

use serde_json::Value;

/// `noun`, given as for many, as it is written behind `count`: `batches`, but 1 `batch`.
pub fn noun(count: impl TryInto<u64>, noun: &str) -> String {
    if number(count) != 1 {
        return noun.to_owned();
    }
    // The last word carries the ending: "attention layers", "key/value heads".
    match noun.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None if ["ches", "shes", "sses", "xes"].iter().any(|end| noun.ends_with(end)) => {
            noun.strip_suffix("es").unwrap_or(noun).to_owned()
        }
        None => noun.strip_suffix('s').unwrap_or(noun).to_owned(),
    }
}

/// A number and what it counts: `3 batches`, `1 batch`, `0 batches`.
pub fn counted(count: impl TryInto<u64>, many: &str) -> String {
    let count = number(count);
    format!("{count} {}", noun(count, many))
}

/// The text of numbers as people read them: with the minus sign of print, which is as wide as a plus, and without a sign where what
/// is written is zero, whatever was rounded to it. JSON and CSV, which programs read, have the hyphen.
pub fn printed(number: String) -> String {
    if !number.contains(['-', '+']) {
        return number;
    }
    let (mut text, mut before) = (String::with_capacity(number.len()), ' ');
    for (at, c) in number.char_indices() {
        // The sign of an exponent stands behind a letter.
        let is_first = !before.is_alphanumeric();
        match c {
            '-' | '+' if is_first && is_zero(number.get(at + 1..).unwrap_or_default()) => {}
            '-' => text.push('−'),
            _ => text.push(c),
        }
        before = c;
    }
    text
}

/// `text` with every percent sign held to its number, for where lines are broken. Files and terminals have a plain space.
pub fn unbroken(text: &str) -> String {
    let (mut out, mut before) = (String::with_capacity(text.len()), ' ');
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        let is_held = c == ' ' && before.is_ascii_digit() && letters.peek() == Some(&'%');
        out.push(if is_held { '\u{a0}' } else { c });
        before = c;
    }
    out
}

/// Whether the number with which `text` begins is written by zeros alone.
fn is_zero(text: &str) -> bool {
    let digits = text.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default();
    digits.contains('0') && digits.chars().all(|c| matches!(c, '0' | '.'))
}

/// How many of `all` things, and which where it is not all of them: `4 of 4 layers`, `2 of 4 layers (decoder.0, decoder.3)`.
pub fn some_of<T: std::fmt::Display>(some: &[T], all: usize, many: &str) -> String {
    let count = format!("{} of {}", some.len(), counted(all, many));
    if some.len() == all {
        return count;
    }
    let names: Vec<String> = some.iter().map(T::to_string).collect();
    format!("{count} ({})", names.join(", "))
}

/// The first setting in which two records differ, by its place in them: `settings.rate 0.001 instead of 0.0005`.
pub fn first_difference(before: &Value, now: &Value) -> Option<String> {
    fn find(place: &str, before: &Value, now: &Value) -> Option<String> {
        let (Value::Object(ours), Value::Object(theirs)) = (before, now) else {
            return (before != now).then(|| format!("{place} {before} instead of {now}"));
        };
        let keys = ours.keys().chain(theirs.keys().filter(|key| !ours.contains_key(*key)));
        keys.filter(|key| ours.get(*key) != theirs.get(*key)).find_map(|key| {
            let inner = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
            find(&inner, ours.get(key).unwrap_or(&Value::Null), theirs.get(key).unwrap_or(&Value::Null))
        })
    }
    find("", before, now)
}

/// Bytes of a digest in hexadecimal digits, two for each.
pub fn hexadecimal<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> String {
    bytes.into_iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An amount of memory or disk: `72.5 GB`.
pub fn bytes_in_words(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut units = ["bytes", "kB", "MB", "GB", "TB", "PB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for next in units {
        if value < 1000.0 {
            break;
        }
        (value, unit) = (value / 1000.0, next);
    }
    if unit == "bytes" {
        counted(bytes, unit)
    } else {
        format!("{value:.*} {unit}", 2 - (value.log10() as usize).min(2))
    }
}

/// How long something took or will take: `0.4 s`, `34 s`, `12 min 05 s`, `2 h 02 min`.
pub fn duration_in_words(secs: f64) -> String {
    let secs = secs.max(0.0);
    match secs.round() as u64 {
        _ if secs < 0.95 => format!("{secs:.1} s"),
        whole @ ..60 => format!("{whole} s"),
        whole @ 60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        whole => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

fn number(count: impl TryInto<u64>) -> u64 {
    count.try_into().unwrap_or(u64::MAX)
}

/// `text` with a capital first letter.
pub fn sentence_case(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(char::to_uppercase).into_iter().flatten().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_three_digits() {
        let amounts = [1, 999, 1000, 72_480_000_000, 999_000_000_000_000, u64::MAX].map(bytes_in_words);
        assert_eq!(amounts, ["1 byte", "999 bytes", "1.00 kB", "72.5 GB", "999 TB", "18447 PB"]);
    }

    #[test]
    fn durations_are_told_in_one_form() {
        let told = [0.0, 0.44, 0.96, 9.4, 59.4, 59.6, 95.0, 725.0, 7322.0].map(duration_in_words);
        let expected =
            ["0.0 s", "0.4 s", "1 s", "9 s", "59 s", "1 min 00 s", "1 min 35 s", "12 min 05 s", "2 h 02 min"];
        assert_eq!(told, expected);
    }

    #[test]
    fn numbers_are_printed_with_one_sign() {
        assert_eq!(printed(format!("{:+.1}", -2.0)), "−2.0");
        assert_eq!(printed(format!("{:.1e}", -2e-7)), "−2.0e−7");
        // What is rounded to nothing has no sign, on either side, alone or among others.
        assert_eq!([-4.8e-7, 0.0, 3e-9].map(|x| printed(format!("{x:+.4}"))), ["0.0000"; 3]);
        assert_eq!(printed(format!("{:.4} ({:.4} to {:+.1})", -0.5, -1e-9, 0.05001)), "−0.5000 (0.0000 to +0.1)");
    }

    #[test]
    fn percent_signs_stay_with_their_numbers() {
        assert_eq!(unbroken("+0.62 %; 1.00 % of"), "+0.62\u{a0}%; 1.00\u{a0}% of");
        assert_eq!(unbroken("a % sign, 3 heads"), "a % sign, 3 heads");
    }

    #[test]
    fn some_are_named_and_all_are_counted() {
        assert_eq!(some_of(&["a", "c"], 3, "layers"), "2 of 3 layers (a, c)");
        assert_eq!(some_of(&["a"], 1, "layers"), "1 of 1 layer");
    }

    #[test]
    fn one_is_no_plural() {
        let ones = ["batches", "votes", "queries", "losses", "boxes", "attention layers", "pieces", "passes"];
        let one = ones.map(|many| counted(1, many));
        assert_eq!(one, ["1 batch", "1 vote", "1 query", "1 loss", "1 box", "1 attention layer", "1 piece", "1 pass"]);
        assert_eq!([0, 2].map(|n| counted(n, "batches")), ["0 batches", "2 batches"]);
    }
}
