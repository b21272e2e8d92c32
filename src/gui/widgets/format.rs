//! Numbers as people read them.

/// A count in thousands, millions or billions, three digits.
pub fn count(n: u64) -> String {
    scaled(n as f64, &["", " k", " M", " G", " T"], 1000.0)
}

/// Bytes in powers of 1024.
pub fn bytes(n: u64) -> String {
    scaled(n as f64, &[" B", " KiB", " MiB", " GiB", " TiB"], 1024.0)
}

fn scaled(mut value: f64, units: &[&str], step: f64) -> String {
    let mut unit = 0;
    // 999.5 would print as 1000.
    while value >= step - 0.5 && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    let decimals = if unit == 0 || value >= 99.95 { 0 } else { 1 + usize::from(value < 9.995) };
    format!("{value:.decimals$}{}", units.get(unit).copied().unwrap_or(""))
}

/// A share as per cent with one decimal.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        let counts = [0, 999, 1000, 1_234, 12_345, 109_482_240, 999_999];
        assert_eq!(counts.map(count), ["0", "999", "1.00 k", "1.23 k", "12.3 k", "109 M", "1.00 M"]);
        assert_eq!([512, 1536, 26_725_276].map(bytes), ["512 B", "1.50 KiB", "25.5 MiB"]);
        assert_eq!(percent(0.2567), "25.7 %");
    }
}
