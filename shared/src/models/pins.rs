//! Repositories that this project names itself, pinned to one commit and to the digests of their
//! weights.
//!
//! The operator names the model, so `CSM_MODEL` is pinned by the operator (`owner/name@COMMIT`).

/// Commit of a repository, and the SHA-256 of files in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// Repository as `owner/name`.
    pub repo: &'static str,
    /// Commit that is taken if the caller names no other revision.
    pub commit: &'static str,
    /// Paths with their SHA-256 in lower-case hex.
    pub files: &'static [(&'static str, &'static str)],
}

/// Pins of the codec and of SilentCipher.
pub const PINS: &[Pin] = &[
    Pin {
        repo: "kyutai/mimi",
        commit: "89091b3e466eb6a9d11e537bf26b144f194978f7",
        files: &[("model.safetensors", "bac7e85083dcded655d24eaadde7e6eea34c0da1b35fa2d284e641bd2b942a5e")],
    },
    Pin {
        repo: "sony/silentcipher",
        commit: "a1c4d021905e0dc5b24be5f68db5fc4dba410ee1",
        files: &[
            ("44_1_khz/73999_iteration/enc_c.ckpt", "ff64f80d2391fdfc888e4103c499be4a2c958e59626587a1eab6db93204814c7"),
            ("44_1_khz/73999_iteration/dec_c.ckpt", "c23b57635172b2fbd3a8531d15ba76b5885a10d0fe902ccb823c521c56041b33"),
            (
                "44_1_khz/73999_iteration/dec_m_0.ckpt",
                "829540c058270d29788f05294894d45bf436e44add0e1099422242ebb94b7088",
            ),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{SILENTCIPHER, SILENTCIPHER_FOLDER, codec_id};

    #[test]
    fn codec_and_marks_are_pinned_by_commit_and_hash() {
        let hex = |text: &str, digits| {
            text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        for pin in PINS {
            assert!(hex(pin.commit, 40) && !pin.files.is_empty(), "{pin:?}");
            assert!(pin.files.iter().all(|(_, digest)| hex(digest, 64)), "{pin:?}");
        }
        let repos: Vec<_> = PINS.iter().map(|pin| pin.repo.to_owned()).collect();
        assert_eq!(repos, [codec_id().repo(), SILENTCIPHER.to_owned()]);
        assert!(PINS[1].files.iter().all(|(path, _)| path.starts_with(SILENTCIPHER_FOLDER)));
    }
}
