//! `Range` header (RFC 9110, section 14): one range of bytes of a file of known length.

use std::ops::Range;

/// Part of a file that a `Range` header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Requested {
    /// Whole file: a header that is not understood, or names several ranges, may be ignored.
    Whole,
    /// Range of bytes; never empty, never beyond the end.
    Part(Range<u64>),
    /// Range behind the end of the file.
    Unsatisfiable,
}

/// Reads the value of the header for a file of `length` bytes.
pub(crate) fn requested(value: &str, length: u64) -> Requested {
    let Some(spec) = value.trim().strip_prefix("bytes=") else { return Requested::Whole };
    let Some((first, last)) = spec.trim().split_once('-') else { return Requested::Whole };
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Some(first), None) if last.is_empty() => first..length,
        (None, Some(suffix)) if first.is_empty() => length.saturating_sub(suffix)..length,
        _ => return Requested::Whole,
    };
    if range.is_empty() { Requested::Unsatisfiable } else { Requested::Part(range) }
}

/// Reads a number of digits only, without sign or space.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_of_bytes_is_understood() {
        for (value, expected) in [
            ("bytes=0-0", 0..1),
            ("bytes=10-19", 10..20),
            ("bytes=90-1000", 90..100),
            ("bytes=90-", 90..100),
            ("bytes=-30", 70..100),
            ("bytes=-1000", 0..100),
            ("bytes=0-18446744073709551615", 0..100),
        ] {
            assert_eq!(requested(value, 100), Requested::Part(expected), "{value}");
        }
    }

    #[test]
    fn what_lies_behind_the_end_is_unsatisfiable() {
        for value in ["bytes=100-", "bytes=100-200", "bytes=-0"] {
            assert_eq!(requested(value, 100), Requested::Unsatisfiable, "{value}");
        }
        assert_eq!(requested("bytes=0-", 0), Requested::Unsatisfiable);
    }

    #[test]
    fn everything_else_is_passed_over() {
        for value in
            ["", "bytes", "bytes=", "bytes=-", "bytes=5-4", "bytes=0-1,5-6", "bytes=+1-2", "bytes=a-b", "lines=0-1"]
        {
            assert_eq!(requested(value, 100), Requested::Whole, "{value}");
        }
    }
}
