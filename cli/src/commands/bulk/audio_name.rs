//! Names of the audio files: `<custom_id>.<format>`, if the id is safe as a file name.

use csm_shared::job::AudioFormat;

/// Longest id that becomes a file name, in bytes. File systems allow names of 255 bytes, and partial
/// files have longer names.
const ID_BYTES_MAX: usize = 200;

/// Returns the file name of a line's audio. An id that is no safe file name is replaced by the
/// number of the line.
pub(super) fn audio_name(custom_id: &str, line: u64, format: AudioFormat) -> String {
    if is_safe(custom_id) { format!("{custom_id}.{format}") } else { format!("line-{line}.{format}") }
}

/// Returns the name of an audio file while it is written. No audio file has this name, because safe
/// ids begin with no dot.
pub(super) fn partial_name(audio_name: &str) -> String {
    format!(".{audio_name}.partial")
}

/// Returns true if the id names a visible file of one folder on every system.
pub(super) fn is_safe(id: &str) -> bool {
    let is_allowed = |character: char| {
        let separates = matches!(character, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|');
        !separates
            && !character.is_control()
            && !matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    !id.is_empty() && id.len() <= ID_BYTES_MAX && !id.starts_with(['.', ' ']) && id.chars().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_ids_name_their_files() {
        for id in ["a", "line-1", "-1", "chapter 1, page 2", "ümläut", "a.b", "0001_x"] {
            assert_eq!(audio_name(id, 7, AudioFormat::Opus), format!("{id}.opus"));
        }
    }

    #[test]
    fn ids_that_could_leave_the_folder_or_hide_in_it_are_replaced() {
        let long = "x".repeat(ID_BYTES_MAX + 1);
        let unsafe_ids = [
            "",
            ".",
            "..",
            "../a",
            "a/b",
            "/etc/passwd",
            "a\\b",
            ".csm-bulk",
            "a\0b",
            "a\nb",
            "a\u{202e}b",
            "c:a",
            &long,
        ];
        for id in unsafe_ids {
            assert_eq!(audio_name(id, 7, AudioFormat::Wav), "line-7.wav", "{id:?}");
        }
        assert!(is_safe(&"x".repeat(ID_BYTES_MAX)));
    }

    #[test]
    fn no_audio_has_the_name_of_a_partial_file() {
        assert_eq!(partial_name("a.wav"), ".a.wav.partial");
        assert!(!is_safe(".a.wav"));
    }
}
