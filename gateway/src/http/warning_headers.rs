//! Headers with the warnings about a request's input, on answers whose body is audio.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use csm_shared::job::InputWarnings;

/// Header with one warning, as `field: message`; repeated for each further warning.
const INPUT_WARNING: HeaderName = HeaderName::from_static("x-input-warning");
/// Most of these headers on one answer. Proxies bound the headers of an answer together.
const HEADERS_MAX: usize = 8;

/// Adds the first warnings to the headers of an answer. A character that no header can hold becomes `?`.
pub(crate) fn append_warnings(headers: &mut HeaderMap, warnings: &InputWarnings) {
    for warning in warnings.as_slice().iter().take(HEADERS_MAX) {
        let text = format!("{}: {}", warning.field, warning.message);
        let text: String = text.chars().map(|char| if matches!(char, ' '..='~') { char } else { '?' }).collect();
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.append(INPUT_WARNING, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_warning_is_a_header_of_its_own_up_to_a_limit() {
        let mut warnings = InputWarnings::default();
        warnings.add("context_segments[0].audio", vec!["it ends 6001 bytes early; ü".to_owned(); 20]);
        let mut headers = HeaderMap::new();
        append_warnings(&mut headers, &warnings);
        let values: Vec<_> = headers.get_all("x-input-warning").iter().collect();
        assert_eq!(values, vec!["context_segments[0].audio: it ends 6001 bytes early; ?"; HEADERS_MAX]);
    }
}
