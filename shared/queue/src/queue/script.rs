//! The Lua transitions. Each is a file under `lua/` and is called with the root of its shard's
//! keys.

use redis::{Script, ScriptInvocation};

use super::RedisKeys;

/// Scripts that know what jobs cost and how long one will wait.
const WITH_ADMISSION: [&str; 4] = ["enqueue", "claim", "finish", "waits"];

macro_rules! scripts {
    ($($name:ident),+ $(,)?) => {
        /// The scripts, one per transition.
        pub(super) struct Scripts {
            $(pub(super) $name: Script,)+
        }

        impl Scripts {
            /// Loads the scripts with their sources changed by `edit`, with which tests plant
            /// defects.
            pub(super) fn edited(edit: &dyn Fn(&str, &str) -> String) -> Self {
                let prelude = edit("prelude", include_str!("lua/prelude.lua"));
                let admission = edit("admission", include_str!("lua/admission.lua"));
                let whole = |name: &str, body: &str| {
                    let more = if WITH_ADMISSION.contains(&name) { admission.as_str() } else { "" };
                    Script::new(&format!("{prelude}\n{more}\n{}", edit(name, body)))
                };
                Self {
                    $($name: whole(stringify!($name), include_str!(concat!("lua/", stringify!($name), ".lua"))),)+
                }
            }
        }
    };
}

scripts! {
    enqueue, claim, beat, finish, retry, release, cancel, janitor, reap, promote, expire, reconcile, replay, purge, forget, report, tidy,
    mark, ahead, waits, agree
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self::edited(&|_, source| source.to_owned())
    }
}

/// Prepares a call of a script on one shard, to which arguments are added.
pub(super) fn call<'a>(script: &'a Script, keys: &RedisKeys) -> ScriptInvocation<'a> {
    script.key(keys.root())
}
