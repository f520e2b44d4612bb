//! Metadata of every file with a header, which any player shows: the program, and that the speech
//! was generated.

/// Program that made the file.
pub(super) const PROGRAM: &str = "csm-fleet";
/// Description of the content.
pub(super) const NOTE: &str = "AI-generated speech, inaudibly watermarked";

/// Returns a Vorbis comment without framing bit, as FLAC and Opus carry it: the encoder's name and
/// the two texts.
pub(super) fn vorbis_comment(vendor: &str) -> Vec<u8> {
    let entries = [format!("ENCODER={PROGRAM}"), format!("DESCRIPTION={NOTE}")];
    let mut comment = Vec::new();
    push_text(&mut comment, vendor);
    push_length(&mut comment, entries.len());
    for entry in &entries {
        push_text(&mut comment, entry);
    }
    comment
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    push_length(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

/// Appends a length. The field cannot hold more than 4 GiB; no text here is near that.
fn push_length(bytes: &mut Vec<u8>, length: usize) {
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}
