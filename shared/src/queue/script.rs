//! The Lua transitions, each a file under `lua/`, each called with the same keys.

use redis::Script;

/// One script per transition.
pub(super) struct Scripts {
    pub(super) enqueue: Script,
    pub(super) claim: Script,
    pub(super) beat: Script,
    pub(super) finish: Script,
    pub(super) retry: Script,
    pub(super) release: Script,
    pub(super) cancel: Script,
    pub(super) reap: Script,
    pub(super) promote: Script,
    pub(super) ahead: Script,
}

macro_rules! script {
    ($file:literal) => {
        Script::new(concat!(include_str!("lua/prelude.lua"), include_str!(concat!("lua/", $file))))
    };
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            enqueue: script!("enqueue.lua"),
            claim: script!("claim.lua"),
            beat: script!("beat.lua"),
            finish: script!("finish.lua"),
            retry: script!("retry.lua"),
            release: script!("release.lua"),
            cancel: script!("cancel.lua"),
            reap: script!("reap.lua"),
            promote: script!("promote.lua"),
            ahead: script!("ahead.lua"),
        }
    }
}
