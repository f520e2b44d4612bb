//! Reads recordings as the gateway reads them, for a comparison with other software.
//!
//! Takes a file with a path on each line. Writes the samples of each recording beside it as
//! `<path>.s16` (24 kHz, mono, 16 bit, lowest byte first), and a line of JSON to standard output:
//! the number of samples and the warnings, or the error.

use std::fs;
use std::path::PathBuf;

use csm_shared::audio;
use csm_shared::outln;

fn main() -> std::io::Result<()> {
    let list = std::env::args().nth(1).map(PathBuf::from);
    let list = list.ok_or_else(|| std::io::Error::other("usage: read_audio LIST"))?;
    for path in fs::read_to_string(list)?.lines() {
        let line = match audio::read(&fs::read(path)?) {
            Ok(recording) => {
                let bytes: Vec<u8> = recording.clip.samples().iter().flat_map(|sample| sample.to_le_bytes()).collect();
                fs::write(format!("{path}.s16"), bytes)?;
                let samples = recording.clip.samples().len();
                serde_json::json!({ "path": path, "samples": samples, "warnings": recording.warnings })
            }
            Err(error) => serde_json::json!({ "path": path, "error": error.to_string() }),
        };
        outln!("{line}");
    }
    Ok(())
}
