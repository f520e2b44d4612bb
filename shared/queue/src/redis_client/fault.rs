//! Faults of Redis, and what to do about them. The table for operators is in `docs/redis.md`.

use redis::{ErrorKind, RedisError};

use super::connection_pool::PoolError;

/// Settings that decide which certificates are accepted.
const CA_ADVICE: &str =
    "CSM_REDIS_CA names the file with the authority of Redis' certificate, CSM_REDIS_CERT the client's own certificate";

/// A request that Redis did not carry out.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RedisFault {
    /// Redis is out of reach, loading, failing over, full, or too slow; worth another try later.
    #[error("Redis is unavailable: {0}")]
    Unavailable(String),
    /// Redis was reached and refused: a wrong setting, or a defect of this program.
    #[error("Redis refused: {0}")]
    Refused(#[source] RedisError),
    /// The server cannot do it with its present settings. Nothing was written.
    #[error("this Redis cannot do that: {0}")]
    Unsupported(String),
    /// A setting of this process is wrong.
    #[error("{0}")]
    Setting(String),
    /// The two ends do not accept each other's certificates.
    #[error("TLS to Redis failed: {0}. {advice}", advice = CA_ADVICE)]
    Untrusted(String),
}

impl RedisFault {
    /// Returns true if the same call may succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// Returns true if Redis refuses this process, whatever job it works on: its certificate, its
    /// login or its rights.
    #[must_use]
    pub fn is_about_access(&self) -> bool {
        match self {
            Self::Untrusted(_) => true,
            Self::Refused(error) => {
                let code = error.code().is_some_and(|code| ACCESS.contains(&code));
                code || error.kind() == ErrorKind::AuthenticationFailed
            }
            Self::Unavailable(_) | Self::Unsupported(_) | Self::Setting(_) => false,
        }
    }
}

/// Scope of a fault, in order of severity: this moment, this server, this call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FaultScope {
    /// The right server cannot do it at the moment: try again there.
    Moment,
    /// The server may no longer be the right one, or the connection is dead: drop it, and look up
    /// the server again.
    Server,
    /// The call is at fault: another try gets the same answer.
    Call,
}

/// Answers with which the right server says "not now".
const MOMENT: [&str; 5] = ["ASK", "BUSY", "MISCONF", "OOM", "TRYAGAIN"];
/// Answers of a server that is no longer in charge, is about to lose that role, or has just
/// started.
const SERVER: [&str; 7] = ["CLUSTERDOWN", "LOADING", "MASTERDOWN", "MOVED", "NOREPLICAS", "READONLY", "UNBLOCKED"];

/// Answers to a process that may not do something, or that did not log in.
const ACCESS: [&str; 3] = ["NOAUTH", "NOPERM", "WRONGPASS"];
/// Texts of rustls' errors: this end refused a certificate, or the other end refused this one's.
const UNTRUSTED: [&str; 5] = [
    "invalid peer certificate",
    "fatal alert: BadCertificate",
    "fatal alert: Certificate",
    "fatal alert: UnknownCA",
    "fatal alert: UnsupportedCertificate",
];

/// Judges an error. The most severe error of a pipeline counts: a call at fault is not worth
/// another try.
pub(super) fn scope_of(error: &RedisError) -> FaultScope {
    if let Some(answers) = error.clone().into_server_errors() {
        let scopes =
            answers.iter().map(|(_, error)| scope_of_answer(error.code(), error.details().unwrap_or_default()));
        return scopes.max().unwrap_or(FaultScope::Call);
    }
    if is_untrusted(error) {
        return FaultScope::Call;
    }
    let lost = error.is_timeout() || is_lost(error);
    // Sentinels know the name but no healthy master: a failover is under way.
    let leaderless = error.kind() == ErrorKind::MasterNameNotFoundBySentinel;
    if lost || leaderless { FaultScope::Server } else { FaultScope::Call }
}

/// Returns whether the connection is gone.
pub(super) fn is_lost(error: &RedisError) -> bool {
    error.is_io_error() && !error.is_timeout() && !is_untrusted(error) || error.is_connection_dropped()
}

/// Returns whether one end did not accept the other's certificate. Another try gets the same answer.
fn is_untrusted(error: &RedisError) -> bool {
    error.is_io_error() && UNTRUSTED.iter().any(|text| error.to_string().contains(text))
}

fn scope_of_answer(code: &str, details: &str) -> FaultScope {
    // Redis before 7 wraps the error that a script met: "ERR Error running script ...: -READONLY
    // You can't write ...".
    let inner = (code == "ERR").then(|| details.split_whitespace().find_map(|word| word.strip_prefix('-'))).flatten();
    match inner.unwrap_or(code) {
        code if MOMENT.contains(&code) => FaultScope::Moment,
        code if SERVER.contains(&code) => FaultScope::Server,
        "ERR" if details.contains("max number of clients") => FaultScope::Server,
        _ => FaultScope::Call,
    }
}

impl From<RedisError> for RedisFault {
    fn from(error: RedisError) -> Self {
        match scope_of(&error) {
            FaultScope::Call if is_untrusted(&error) => Self::Untrusted(error.to_string()),
            FaultScope::Call => Self::Refused(error),
            FaultScope::Moment | FaultScope::Server => Self::Unavailable(error.to_string()),
        }
    }
}

/// Converts the pool's own errors to Redis errors, so that [`scope_of`] judges them all.
pub(super) fn of_pool(error: PoolError) -> RedisError {
    match error {
        PoolError::Backend(error) => error,
        other => RedisError::from((ErrorKind::Io, "no connection", other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use redis::make_extension_error;

    use super::*;

    fn answer(code: &str, details: &str) -> RedisError {
        make_extension_error(code.to_owned(), Some(details.to_owned()))
    }

    #[test]
    fn certificates_and_logins_are_no_faults_of_the_moment_or_of_a_job() {
        let tls = |text: &str| RedisError::from(std::io::Error::other(text.to_owned()));
        for (error, untrusted) in [
            (tls("invalid peer certificate: UnknownIssuer"), true),
            (tls("received fatal alert: CertificateRequired"), true),
            (answer("NOAUTH", "Authentication required."), false),
            (answer("NOPERM", "this user has no permissions to run the 'keys' command"), false),
        ] {
            let fault = RedisFault::from(error);
            assert!(fault.is_about_access() && !fault.is_transient(), "{fault:?}");
            assert_eq!(matches!(fault, RedisFault::Untrusted(_)), untrusted, "{fault:?}");
        }
        for error in [tls("received fatal alert: InternalError"), tls("Connection reset by peer")] {
            let fault = RedisFault::from(error);
            assert!(fault.is_transient() && !fault.is_about_access(), "{fault:?}");
        }
        assert!(!RedisFault::from(answer("WRONGTYPE", "Operation against a key")).is_about_access());
    }

    #[test]
    fn each_answer_is_judged_by_what_helps() {
        for (code, details, expected) in [
            ("OOM", "command not allowed when used memory > 'maxmemory'.", FaultScope::Moment),
            ("BUSY", "Redis is busy running a script.", FaultScope::Moment),
            ("TRYAGAIN", "Multiple keys request during rehashing of slot", FaultScope::Moment),
            ("READONLY", "You can't write against a read only replica.", FaultScope::Server),
            ("MASTERDOWN", "Link with MASTER is down", FaultScope::Server),
            ("CLUSTERDOWN", "The cluster is down", FaultScope::Server),
            ("LOADING", "Redis is loading the dataset in memory", FaultScope::Server),
            ("ERR", "max number of clients reached", FaultScope::Server),
            (
                "ERR",
                "Error running script (call to f_1): @user_script:1: -READONLY You can't write",
                FaultScope::Server,
            ),
            ("ERR", "Error running script (call to f_1): @user_script:1: -OOM command not allowed", FaultScope::Moment),
            ("ERR", "unknown command 'XNACK'", FaultScope::Call),
            ("NOAUTH", "Authentication required.", FaultScope::Call),
            ("WRONGTYPE", "Operation against a key holding the wrong kind of value", FaultScope::Call),
        ] {
            let error = answer(code, details);
            assert_eq!(scope_of(&error), expected, "{code} {details}");
            assert_eq!(RedisFault::from(error).is_transient(), expected != FaultScope::Call, "{code} {details}");
        }
    }
}
