//! The load: persistent callers of the public API. Each repeats its request until it is accepted
//! and follows its job to the end by long polls. Then the caller downloads the result, through any
//! gateway that answers.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::census::{bytes_seen, receipt_of};
use super::observer::SharedWatch;
use super::plan::{Arrival, EntryPoint, SoakUtterance};
use super::soak_evidence::{Account, Sighting};

/// Longest time that a poll asks the gateway to wait, in seconds.
const WAIT_SECONDS: u64 = 20;
/// Longest time for the answer to a request, on top of the wait that it asks for.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Longest time to connect.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// First pause after a request without a useful answer; each further pause is twice as long.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest pause after a request without a useful answer.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Callers that follow their jobs at a time. A gateway reads a followed job four times a second, so
/// thousands of followers would slow the fleet down. Requests that create jobs are not limited.
const FOLLOWERS_MAX: usize = 200;

/// Records of all callers.
#[derive(Default)]
pub(super) struct Accounts {
    pub(super) all: RefCell<Vec<Account>>,
    pub(super) accepted: Cell<usize>,
    pub(super) ended: Cell<usize>,
    /// Requests without an answer, or with 429 or 5xx, by result.
    pub(super) troubles: RefCell<std::collections::BTreeMap<String, usize>>,
}

/// Callers of a fleet; cheap to clone.
#[derive(Clone)]
pub(super) struct Callers {
    http: reqwest::Client,
    gateways: Rc<[SocketAddr]>,
    pub(super) accounts: Rc<Accounts>,
    watch: SharedWatch,
    following: Rc<Semaphore>,
}

/// Result of a request.
enum CreateAnswer {
    /// Answer with a wanted status.
    Given(Response),
    /// Refusal that a repeated request cannot change.
    Refused(String),
}

impl Callers {
    pub(super) fn new(gateways: &[SocketAddr], watch: SharedWatch) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().connect_timeout(CONNECT_LIMIT).build()?;
        Ok(Self {
            http,
            gateways: gateways.into(),
            accounts: Rc::default(),
            watch,
            following: Rc::new(Semaphore::new(FOLLOWERS_MAX)),
        })
    }

    /// Runs one caller from its first request to its last byte, and keeps its account up to date.
    pub(super) async fn call(self, arrival: Arrival, utterance: SoakUtterance, undisturbed: bool) {
        let caller = {
            let mut all = self.accounts.all.borrow_mut();
            let key = arrival.key.to_string();
            let (tenant, utterance) = (arrival.tenant, arrival.utterance);
            all.push(Account { key, tenant, utterance, undisturbed, ..Account::default() });
            all.len() - 1
        };
        let Some(id) = self.create(caller, &arrival, &utterance).await else { return };
        self.accounts.accepted.update(|n| n + 1);
        if arrival.repeats {
            self.create(caller, &arrival, &utterance).await;
        }
        if let Some(after) = arrival.cancel_after {
            sleep(after).await;
            self.note(caller, |account| account.cancel_asked = true);
            let cancel = |gateway| self.about(caller, Method::DELETE, gateway, &id, "").timeout(ANSWER_LIMIT);
            // 409: the job had ended before.
            self.patiently(caller, &[StatusCode::OK, StatusCode::CONFLICT], cancel).await;
        }
        let Ok(_place) = self.following.acquire().await else { return };
        let Some(end) = self.follow(caller, &id).await else { return };
        if end.state == "succeeded" {
            self.download(caller, &id).await;
        }
        self.accounts.ended.update(|n| n + 1);
        self.watch.borrow_mut().ended.push(id);
    }

    /// Reads every job once more, through another gateway than the last time.
    pub(super) async fn look_again(&self, caller: usize) {
        let ids = self.accounts.all.borrow()[caller].ids.clone();
        for id in ids {
            let look = |gateway| self.about(caller, Method::GET, gateway, &id, "").timeout(ANSWER_LIMIT);
            if let Some(seen) = self.record(caller, caller + 1, look).await {
                self.note(caller, |account| account.ends.push(seen));
            }
        }
    }

    /// Sends the request until it is accepted, and keeps the id.
    async fn create(&self, caller: usize, arrival: &Arrival, utterance: &SoakUtterance) -> Option<String> {
        let SoakUtterance { text, seed, max_audio_length_ms } = utterance;
        let body = json!({
            "text": text, "seed": seed, "max_audio_length_ms": max_audio_length_ms, "lane": arrival.lane
        });
        let ask = |gateway: SocketAddr| {
            let request = match arrival.entry_point {
                EntryPoint::Key => self
                    .http
                    .request(Method::POST, format!("http://{gateway}/v1/jobs"))
                    .header("idempotency-key", arrival.key.to_string()),
                EntryPoint::Id => self.http.request(Method::PUT, job_url(gateway, &arrival.key.to_string())),
            };
            request.header("x-tenant", arrival.tenant).json(&body).timeout(ANSWER_LIMIT)
        };
        loop {
            let accepted = [StatusCode::OK, StatusCode::CREATED, StatusCode::ACCEPTED];
            let id = match self.patiently_from(caller, caller, &accepted, ask).await {
                CreateAnswer::Refused(why) => {
                    self.note(caller, |account| account.refused = Some(why));
                    return None;
                }
                // An answer that breaks off counts as none.
                CreateAnswer::Given(answer) => answer.json::<Value>().await.ok(),
            };
            if let Some(id) = id.as_ref().and_then(|accepted| accepted["id"].as_str()) {
                self.note(caller, |account| {
                    account.ids.insert(id.to_owned());
                    if arrival.entry_point == EntryPoint::Id {
                        account.ids.insert(account.key.clone());
                    }
                });
                return Some(id.to_owned());
            }
        }
    }

    /// Waits for the job's end.
    async fn follow(&self, caller: usize, id: &str) -> Option<Sighting> {
        let limit = ANSWER_LIMIT + Duration::from_secs(WAIT_SECONDS);
        let look =
            |gateway| self.about(caller, Method::GET, gateway, id, &format!("?wait={WAIT_SECONDS}")).timeout(limit);
        for turn in caller.. {
            let seen = self.record(caller, turn, look).await?;
            if seen.is_final() {
                self.note(caller, |account| account.ends.push(seen.clone()));
                return Some(seen);
            }
        }
        None
    }

    /// Returns the job's record; `None` if the gateway answered that there is none.
    async fn record(
        &self,
        caller: usize,
        turn: usize,
        look: impl Fn(SocketAddr) -> RequestBuilder,
    ) -> Option<Sighting> {
        loop {
            let answer = match self.patiently_from(caller, turn, &[StatusCode::OK], &look).await {
                CreateAnswer::Given(answer) => answer,
                CreateAnswer::Refused(_) => {
                    self.note(caller, |account| account.told_missing = true);
                    return None;
                }
            };
            let Ok(record) = answer.json::<Value>().await else { continue };
            let (Some(state), Some(attempt)) = (record["status"].as_str(), record["attempt"].as_u64()) else {
                continue;
            };
            return Some(Sighting { state: state.to_owned(), attempt, receipt: receipt_of(&record["receipt"]) });
        }
    }

    async fn download(&self, caller: usize, id: &str) {
        let get = |gateway| self.about(caller, Method::GET, gateway, id, "/audio").timeout(ANSWER_LIMIT);
        while let CreateAnswer::Given(answer) = self.patiently_from(caller, caller, &[StatusCode::OK], get).await {
            let declared = answer.content_length();
            // A body that breaks off is downloaded again.
            if let Ok(wav) = answer.bytes().await
                && declared.is_none_or(|length| length == wav.len() as u64)
            {
                return self.note(caller, |account| account.audio = Some(bytes_seen(&wav)));
            }
        }
    }

    /// Makes a request about a job of the caller, whose tenant alone may ask for it.
    fn about(&self, caller: usize, method: Method, gateway: SocketAddr, id: &str, rest: &str) -> RequestBuilder {
        let tenant = self.accounts.all.borrow()[caller].tenant;
        self.http.request(method, format!("{}{rest}", job_url(gateway, id))).header("x-tenant", tenant)
    }

    async fn patiently(&self, caller: usize, wanted: &[StatusCode], request: impl Fn(SocketAddr) -> RequestBuilder) {
        self.patiently_from(caller, caller, wanted, request).await;
    }

    /// Asks one gateway after the other, from `turn` on, until one answers with a wanted status or
    /// refuses for good.
    async fn patiently_from(
        &self,
        caller: usize,
        turn: usize,
        wanted: &[StatusCode],
        request: impl Fn(SocketAddr) -> RequestBuilder,
    ) -> CreateAnswer {
        let mut pause = PAUSE;
        for turn in turn.. {
            let gateway = self.gateways[turn % self.gateways.len()];
            let (trouble, after) = match request(gateway).send().await {
                Err(error) => (kind_of(&error).to_owned(), None),
                Ok(answer) if wanted.contains(&answer.status()) => return CreateAnswer::Given(answer),
                Ok(answer) if is_passing(answer.status()) => {
                    (answer.status().as_u16().to_string(), retry_after(&answer))
                }
                Ok(answer) => {
                    let status = answer.status();
                    let body = answer.text().await.unwrap_or_default();
                    return CreateAnswer::Refused(format!("{status} {body}"));
                }
            };
            *self.accounts.troubles.borrow_mut().entry(trouble).or_default() += 1;
            // Jitter keeps callers that failed together from returning together.
            let jitter = 1.0 + (caller % 16) as f64 / 16.0;
            sleep(after.unwrap_or(pause).mul_f64(jitter)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        CreateAnswer::Refused("nobody is left to ask".to_owned())
    }

    fn note(&self, caller: usize, change: impl FnOnce(&mut Account)) {
        if let Some(account) = self.accounts.all.borrow_mut().get_mut(caller) {
            change(account);
        }
    }
}

/// Returns true if the same request may get another answer later.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
}

fn retry_after(answer: &Response) -> Option<Duration> {
    let seconds = answer.headers().get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn kind_of(error: &reqwest::Error) -> &'static str {
    match error {
        error if error.is_timeout() => "no answer in time",
        error if error.is_connect() => "no connection",
        _ => "broken connection",
    }
}

fn job_url(gateway: SocketAddr, id: &str) -> String {
    format!("http://{gateway}/v1/jobs/{id}")
}
