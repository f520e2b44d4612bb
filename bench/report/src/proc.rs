//! Numbers in lines of text under `/proc`.

/// Reads the bytes of a line `Name:   123 kB`.
#[must_use]
pub fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_line_is_read_in_bytes() {
        let text = "MemTotal:       24 kB\nMemAvailable:   16 kB\n";
        assert_eq!(kilobytes(text, "MemAvailable:"), Some(16 * 1024));
        assert_eq!(kilobytes(text, "SwapFree:"), None);
    }
}
