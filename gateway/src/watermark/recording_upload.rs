//! A recording that a request brings: as its body, as the file of a form, or as base64 in JSON.

use axum::body::{Body, Bytes};
use axum::extract::multipart::Field;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use csm_shared::audio::{self, Clip, ClipError, FORMATS};
use csm_shared::job::{AudioFormat, InputWarnings, Invalid, Reason};
use futures::FutureExt as _;

use crate::fields::{JsonObject, UnknownFields, audio_file, parse_json};
use crate::http::Problem;
use crate::http::form::{damaged_form, open_form};
use crate::http::problem::echoed;

/// HTTP status of a file of no known format.
const UNKNOWN_STATUS: u16 = 415;
/// HTTP status of a file that is too large or lasts too long.
const TOO_LARGE_STATUS: u16 = 413;
/// Bytes at the start of an unknown file that its refusal shows.
const SHOWN_BYTES: usize = 8;
/// Name of a body in refusals.
const BODY: &str = "(body)";
/// Field of a JSON body.
const AUDIO: &str = "audio";

/// Form of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UploadForm {
    /// The file itself; its content tells the format.
    File,
    /// Bare samples, which have no header.
    Samples,
    /// JSON object with the file as base64.
    Json,
    /// Form with one file, and its media type with the boundary.
    Multipart(HeaderValue),
}

/// File of an upload.
struct UploadedFile {
    /// Name of the field that holds the file.
    field: String,
    bytes: Bytes,
    /// True for bare samples.
    is_bare: bool,
}

impl UploadForm {
    /// Tells the form of a body by its media type. Other types, or none, mean the file itself; and so does
    /// JSON that is no object, because some clients call every body JSON.
    pub(super) fn of(media_type: Option<&HeaderValue>, body: &[u8]) -> Self {
        let Some(value) = media_type else { return Self::File };
        if is_bare(value.as_bytes()) {
            return Self::Samples;
        }
        let essence = value.as_bytes().split(|&byte| byte == b';').next().unwrap_or_default();
        match essence.trim_ascii().to_ascii_lowercase().as_slice() {
            b"application/json" if body.trim_ascii_start().starts_with(b"{") => Self::Json,
            essence if essence.starts_with(b"multipart/") => Self::Multipart(value.clone()),
            _ => Self::File,
        }
    }

    /// Returns how many copies of the body exist at most while the file is taken out: the body, the
    /// string of the JSON or the buffer of the form's reader, and the file.
    pub(super) const fn copies(&self) -> usize {
        match self {
            Self::File | Self::Samples => 1,
            Self::Json | Self::Multipart(_) => 3,
        }
    }

    /// Decodes the recording, with warnings about its file. Takes long for a large one, and is called on
    /// a blocking thread.
    pub(super) fn recording(self, body: Bytes) -> Result<(Clip, InputWarnings), Problem> {
        let UploadedFile { field, bytes, is_bare } = self.file(body)?;
        let mut warnings = InputWarnings::default();
        let read = match is_bare {
            true => Clip::from_pcm(&bytes),
            false => audio::read(&bytes).map(|read| {
                warnings.add(&field, read.warnings);
                read.clip
            }),
        };
        Ok((read.map_err(|error| refusal(&field, &bytes, &error))?, warnings))
    }

    fn file(self, body: Bytes) -> Result<UploadedFile, Problem> {
        match self {
            Self::File => Ok(UploadedFile { field: BODY.to_owned(), bytes: body, is_bare: false }),
            Self::Samples => Ok(UploadedFile { field: BODY.to_owned(), bytes: body, is_bare: true }),
            Self::Json => {
                let mut object = JsonObject::of_request(parse_json(&body)?, UnknownFields::Refuse)?;
                let base64 = object.string(AUDIO)?;
                object.finish()?;
                let bytes = audio_file(AUDIO, base64.as_deref())?.into();
                Ok(UploadedFile { field: AUDIO.to_owned(), bytes, is_bare: false })
            }
            Self::Multipart(media_type) => {
                // All of the body is there, so the reader has nothing to wait for.
                let read = file_of_form(media_type, body).now_or_never();
                read.unwrap_or_else(|| Err(Problem::broken_body()))
            }
        }
    }
}

/// Returns whether a media type, blanks aside, is that of bare samples.
fn is_bare(kind: &[u8]) -> bool {
    let kind = kind.iter().filter(|byte| !byte.is_ascii_whitespace()).map(u8::to_ascii_lowercase);
    kind.eq(AudioFormat::Pcm.media_type().bytes())
}

/// Reads the one file of a form, whatever its name.
async fn file_of_form(media_type: HeaderValue, body: Bytes) -> Result<UploadedFile, Problem> {
    let mut request = Request::new(Body::from(body));
    request.headers_mut().insert(CONTENT_TYPE, media_type);
    // The body was read under a limit of its own.
    DefaultBodyLimit::disable().apply(&mut request);
    let mut form = open_form(request).await?;
    let mut found: Option<UploadedFile> = None;
    while let Some(part) = form.next_field().await.map_err(|error| damaged_form(&error))? {
        let field = part.name().map_or_else(|| BODY.to_owned(), |name| echoed(name).into_owned());
        if !is_file(&part) {
            let expected = "absent: the form holds one file alone, and a job is named by ?job=ID";
            return Err(Invalid::malformed(&field, "(no file)", expected).into());
        }
        if let Some(first) = &found {
            let expected = format!("absent: the form holds one file, and {} is one", first.field);
            return Err(Invalid::malformed(&field, "(a second file)", expected).into());
        }
        let is_bare = part.content_type().is_some_and(|kind| is_bare(kind.as_bytes()));
        let bytes = part.bytes().await.map_err(|error| damaged_form(&error))?;
        found = Some(UploadedFile { field, bytes, is_bare });
    }
    found.ok_or_else(|| Invalid::malformed(BODY, "(a form without a file)", "a form with one file").into())
}

/// Returns whether a part of a form is a file: it has a file's name, or the media type of something other
/// than text.
fn is_file(part: &Field<'_>) -> bool {
    part.file_name().is_some() || part.content_type().is_some_and(|kind| !kind.starts_with("text/"))
}

/// Describes why a file is no recording.
fn refusal(field: &str, bytes: &Bytes, error: &ClipError) -> Invalid {
    let size = format!("{} bytes", bytes.len());
    let limit = format!("{FORMATS} ({error})");
    match error {
        ClipError::UnknownFormat => {
            let start = bytes[..bytes.len().min(SHOWN_BYTES)].escape_ascii();
            let invalid = Invalid::malformed(field, format!("{size} that begin with \"{start}\""), FORMATS);
            Invalid { status: UNKNOWN_STATUS, ..invalid }
        }
        ClipError::Foreign { .. } | ClipError::NoAudio { .. } => {
            Invalid { status: UNKNOWN_STATUS, ..Invalid::malformed(field, size, limit) }
        }
        error if error.is_too_large() => {
            Invalid { status: TOO_LARGE_STATUS, reason: Reason::TooLarge, ..Invalid::malformed(field, size, limit) }
        }
        _ => Invalid::malformed(field, size, limit),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn form(media_type: &str, body: &str) -> UploadForm {
        UploadForm::of(Some(&media_type.parse().unwrap()), body.as_bytes())
    }

    #[test]
    fn the_media_type_decides_the_form() {
        assert_eq!(UploadForm::of(None, b"{}"), UploadForm::File);
        for kind in ["audio/wav", "application/octet-stream", "application/x-www-form-urlencoded", "", "json"] {
            assert_eq!(form(kind, "{}"), UploadForm::File, "{kind}");
        }
        for kind in ["application/json", "Application/JSON; charset=utf-8"] {
            assert_eq!(form(kind, "\r\n {}"), UploadForm::Json, "{kind}");
            assert_eq!(form(kind, "RIFF"), UploadForm::File, "{kind}");
            assert_eq!(form(kind, ""), UploadForm::File, "{kind}");
        }
        assert_eq!(form(AudioFormat::Pcm.media_type(), "{}"), UploadForm::Samples);
        assert_eq!(form("audio/PCM; rate=24000; encoding=signed-int; bits=16", ""), UploadForm::Samples);
        for kind in ["multipart/form-data; boundary=x", "Multipart/Form-Data;boundary=x", "multipart/mixed"] {
            assert_eq!(form(kind, "{}"), UploadForm::Multipart(kind.parse().unwrap()), "{kind}");
        }
    }
}
