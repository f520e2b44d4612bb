//! Every attack of the siege, by name.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use csm_testing::raw_http::RawConnection;
use futures::future::BoxFuture;

use super::attacks::payloads::Payloads;
use super::attacks::{bodies, browsers, connections, jobs, sockets, uploads};

/// One thing that callers do to a gateway.
pub struct Attack {
    /// Name on the command line.
    pub name: &'static str,
    /// Description for the report.
    pub what: &'static str,
    /// Attackers at once.
    pub attackers: usize,
    /// What the attack needs of its gateway.
    pub(super) needs: Needs,
    /// One round of one attacker, which is repeated until the end of the attack.
    pub(super) act: Act,
}

/// What an attack needs of its gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing beyond the usual.
    Nothing,
    /// A job with a long answer, running or finished.
    LongJob,
    /// The same job, finished.
    LongAnswer,
    /// A soft limit of [`FEW_DESCRIPTORS`] file descriptors.
    FewDescriptors,
}

/// File descriptors of a gateway that has few.
pub(super) const FEW_DESCRIPTORS: u32 = 1_024;

/// Round of an attacker; the text says how it ended, such as the status of the answer.
pub(super) type Act = fn(Attacker) -> BoxFuture<'static, io::Result<String>>;

/// One attacker of an attack.
#[derive(Clone)]
pub(super) struct Attacker {
    /// Address of the public API.
    pub(super) public: SocketAddr,
    /// Address of health, readiness and metrics.
    pub(super) admin: SocketAddr,
    /// Number of this round, over all attackers.
    pub(super) round: usize,
    /// Bytes that attackers send.
    pub(super) payloads: Arc<Payloads>,
    /// Outcomes of all rounds.
    pub(super) tally: Arc<Tally>,
    /// Path of a job with a long answer.
    pub(super) long_job: Option<Arc<str>>,
    /// Address from which the attacker connects.
    pub(super) source: IpAddr,
}

impl Attacker {
    /// Opens a connection.
    pub(super) async fn connect(&self, address: SocketAddr) -> io::Result<RawConnection> {
        RawConnection::open_from(self.source, address, None).await
    }

    /// Opens a connection to the public API, on which the system takes only a few kilobytes that
    /// nobody reads.
    pub(super) async fn connect_narrow(&self) -> io::Result<RawConnection> {
        const BUFFER_BYTES: u32 = 4_096;
        RawConnection::open_from(self.source, self.public, Some(BUFFER_BYTES)).await
    }
}

/// Address of the honest caller, and of attackers that share it.
pub(super) const HONEST_SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Addresses of the attackers.
const ATTACKING_SOURCES: u8 = 8;

/// Returns the address of an attacker. All addresses are of this machine.
pub(super) fn attacking_source(number: usize) -> IpAddr {
    let [a, b, c, d] = Ipv4Addr::LOCALHOST.octets();
    Ipv4Addr::new(a, b, c, d + 1 + (number % usize::from(ATTACKING_SOURCES)) as u8).into()
}

/// Outcomes of an attack's rounds.
#[derive(Debug, Default)]
pub(super) struct Tally {
    outcomes: Mutex<BTreeMap<String, usize>>,
    breaches: Mutex<BTreeSet<String>>,
}

impl Tally {
    /// Counts one round.
    pub(super) fn count(&self, outcome: String) {
        *self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).entry(outcome).or_default() += 1;
    }

    /// Records that the gateway did what it must refuse.
    pub(super) fn breach(&self, what: &str) {
        self.breaches.lock().unwrap_or_else(PoisonError::into_inner).insert(what.to_owned());
    }

    /// Returns the number of rounds by outcome.
    pub(super) fn outcomes(&self) -> BTreeMap<String, usize> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns what the gateway did and must refuse.
    pub(super) fn breaches(&self) -> Vec<String> {
        self.breaches.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

const fn attack(name: &'static str, attackers: usize, act: Act, what: &'static str) -> Attack {
    Attack { name, what, attackers, needs: Needs::Nothing, act }
}

/// All attacks, in the order in which they run.
pub static ATTACKS: [Attack; 26] = [
    attack("json-tree", 4, |a| Box::pin(bodies::json_tree(a)), "bodies of 24 MiB of [0],[0],..."),
    attack("flac-constant", 48, |a| Box::pin(bodies::flac_constant(a)), "8 KB of FLAC that last 600 s"),
    attack("base64-greatest", 8, |a| Box::pin(bodies::base64_greatest(a)), "24 MiB that hold a WAV of 393 s"),
    attack("chunked-endless", 48, |a| Box::pin(uploads::chunked_endless(a)), "chunked bodies without an end"),
    attack("send-and-leave", 8, |a| Box::pin(bodies::send_and_leave(a)), "24 MiB, sent, and no wait for the answer"),
    attack("silent", 8_192, |a| Box::pin(connections::silent(a.public, a)), "connections that send nothing"),
    attack("half-header", 2_000, |a| Box::pin(connections::half_header(a.public, a)), "connections with half a header"),
    attack("admin-silent", 2_000, |a| Box::pin(connections::silent(a.admin, a)), "silent connections, admin port"),
    attack("admin-half-header", 2_000, |a| Box::pin(connections::half_header(a.admin, a)), "half headers, admin port"),
    Attack {
        name: "descriptors",
        what: "silent connections beyond a soft limit of 1,024 file descriptors",
        attackers: 2_000,
        needs: Needs::FewDescriptors,
        act: |a| Box::pin(connections::silent(a.public, a)),
    },
    attack("idle-upload-22", 22, |a| Box::pin(uploads::idle(a)), "24 MiB announced and nothing sent"),
    attack("idle-upload-2000", 2_000, |a| Box::pin(uploads::idle(a)), "24 MiB announced and nothing sent"),
    attack("slow-upload-22", 22, |a| Box::pin(uploads::slow(a)), "24 MiB announced and a byte a second"),
    attack("slow-upload-2000", 2_000, |a| Box::pin(uploads::slow(a)), "24 MiB announced and a byte a second"),
    attack("socket-unfinished-46", 46, |a| Box::pin(sockets::unfinished(a)), "WebSockets, 23 MiB unfinished, pongs"),
    attack("socket-unfinished-500", 500, |a| Box::pin(sockets::unfinished(a)), "WebSockets, 23 MiB unfinished, pongs"),
    attack(
        "socket-contexts-6",
        6,
        |a| Box::pin(sockets::contexts(a)),
        "WebSockets, 10,000 contexts with long texts, unread",
    ),
    attack("detect-constant", 48, |a| Box::pin(bodies::detect_constant(a)), "marks looked for in 600 s of 8 KB"),
    attack("create-cancel", 16, |a| Box::pin(jobs::create_and_cancel(a)), "jobs that are cancelled at once"),
    Attack {
        name: "followers-3000",
        what: "followers of one running job who do not read",
        attackers: 3_000,
        needs: Needs::LongJob,
        act: |a| Box::pin(connections::unread(a, "events")),
    },
    unread("unread-answer-40", 40),
    unread("unread-answer-400", 400),
    attack("foreign-job", 1, |a| Box::pin(jobs::foreign_job(a)), "a job of another tenant, read and cancelled"),
    attack("foreign-origin", 1, |a| Box::pin(browsers::foreign_origin(a)), "a WebSocket from a foreign page"),
    attack("foreign-host", 1, |a| Box::pin(browsers::foreign_host(a)), "a job under a foreign host name"),
    attack("form-post", 1, |a| Box::pin(browsers::form_post(a)), "a job as text/plain, as a form sends it"),
];

const fn unread(name: &'static str, attackers: usize) -> Attack {
    Attack {
        name,
        what: "readers of a 23 MB answer who do not read",
        attackers,
        needs: Needs::LongAnswer,
        act: |a| Box::pin(connections::unread(a, "audio")),
    }
}
