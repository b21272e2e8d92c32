//! How much memory may still be asked for.

/// Bytes that this process may still take, where the system tells: what is free on the machine, and what a limit on the
/// address space leaves (`ulimit -v`).
pub fn available_bytes() -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{name}")).ok();
    let free = read("meminfo").and_then(|text| kilobytes(&text, "MemAvailable:"));
    let limit = read("self/limits").and_then(|text| address_space(&text));
    let used = read("self/status").and_then(|text| kilobytes(&text, "VmSize:"));
    let left = limit.map(|limit| limit.saturating_sub(used.unwrap_or(0)));
    match (free, left) {
        (Some(free), Some(left)) => Some(free.min(left)),
        (free, left) => free.or(left),
    }
}

/// `MemAvailable:  1234 kB` in bytes.
fn kilobytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

/// The soft limit, where there is one.
fn address_space(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_s_own_tables_are_read() {
        assert_eq!(kilobytes("MemTotal: 9 kB\nMemAvailable:    12 kB\n", "MemAvailable:"), Some(12 << 10));
        let limits = "Limit   Soft Limit   Hard Limit   Units\nMax address space         8192000000           unlimited            bytes\n";
        assert_eq!(address_space(limits), Some(8_192_000_000));
        assert_eq!(address_space(&limits.replace("8192000000", "unlimited")), None);
        if cfg!(target_os = "linux") {
            assert!(available_bytes().is_some_and(|bytes| bytes > 1 << 20));
        }
    }
}
