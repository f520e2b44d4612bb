//! Caller of a request, from its headers and path: the tenant, and the job that is asked for.
//!
//! [`own_record`] is the only way from a job's id to its record: it knows whose the job is.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use csm_queue::queue::{Queue, Ticket};
use csm_shared::job::limits::IDEMPOTENCY_KEY_CHARS;
use csm_shared::job::{Invalid, JobId, JobRecord, Tenant};
use csm_shared::process::digest::{DigestWriter, sha256_hex};
use serde_json::json;

use crate::app::App;
use crate::fields::RequestJson;
use crate::http::Problem;

/// Header that names the tenant.
const X_TENANT: HeaderName = HeaderName::from_static("x-tenant");
/// Header by which a repeated request is recognised.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Tenant of a request, and the job that it asks for.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Tenant of the job.
    pub(crate) tenant: Tenant,
    /// Id of the job: a new one, or the one that the caller named.
    pub(crate) job: JobId,
    /// True if the caller named the job: the same request may come again and mean the same job.
    pub(crate) repeats: bool,
}

impl Caller {
    /// Makes a caller for a new job, which no second request can name.
    pub(crate) fn new(tenant: Tenant) -> Self {
        Self { tenant, job: JobId::generate(), repeats: false }
    }

    /// Reads the caller of a request whose idempotency key, if it has one, names the job.
    pub(crate) async fn by_key(app: &App, headers: &HeaderMap) -> Result<Self, Problem> {
        let tenant = tenant(headers)?;
        let Some(key) = headers.get(IDEMPOTENCY_KEY).map(key).transpose()? else { return Ok(Self::new(tenant)) };
        let secret = app.id_secret().await?;
        Ok(Self { job: JobId::of_key(&secret, &tenant, key), tenant, repeats: true })
    }

    /// Reads the caller of a request that names the job by its id.
    pub(crate) fn by_id(headers: &HeaderMap, id: &str) -> Result<Self, Invalid> {
        Ok(Self { tenant: tenant(headers)?, job: id.parse()?, repeats: true })
    }

    /// Makes the ticket of a job that the request `body` asks for, on the default terms.
    pub(crate) fn ticket(&self, body: &RequestJson<'_>) -> Ticket {
        Ticket { fingerprint: self.fingerprint(body), tenant: self.tenant.clone(), ..Ticket::new(self.job) }
    }

    /// Returns a digest of tenant and body, by which requests for the same job are compared. Empty
    /// if no second request can name the job.
    fn fingerprint(&self, body: &RequestJson<'_>) -> String {
        if !self.repeats {
            return String::new();
        }
        // A digest of a digest saves a copy of the body, which may be large.
        let mut digest = DigestWriter::default();
        // Writing to a digest does not fail.
        let _ = body.write_sorted(&mut digest);
        sha256_hex(json!([self.tenant.as_str(), digest.finish()]).to_string().as_bytes())
    }
}

/// Reads the tenant.
pub(crate) fn tenant(headers: &HeaderMap) -> Result<Tenant, Invalid> {
    headers
        .get(X_TENANT)
        .map_or_else(|| Ok(Tenant::default()), |value| String::from_utf8_lossy(value.as_bytes()).parse())
}

/// Reads the record of a job for its own tenant. `None` if there is no record.
///
/// Every route that takes a job's id comes through here. The job of another tenant is answered like
/// one that does not exist, so that an id says nothing to others.
pub(crate) async fn own_record(queue: &Queue, headers: &HeaderMap, job: JobId) -> Result<Option<JobRecord>, Problem> {
    record_of(queue, &tenant(headers)?, job).await
}

/// Reads the record of a job for its tenant, as [`own_record`] does.
pub(crate) async fn record_of(queue: &Queue, tenant: &Tenant, job: JobId) -> Result<Option<JobRecord>, Problem> {
    match queue.record(&job).await? {
        Some(record) if record.tenant != *tenant => Err(Problem::no_job(&job.to_string())),
        record => Ok(record),
    }
}

/// Reads an idempotency key.
fn key(value: &HeaderValue) -> Result<&str, Invalid> {
    const NAME: &str = "Idempotency-Key";
    let (bytes, limit) = (value.as_bytes(), &IDEMPOTENCY_KEY_CHARS);
    if !limit.allows(bytes.len() as u64) {
        let shown = if bytes.is_empty() { "(empty)".into() } else { String::from_utf8_lossy(bytes) };
        return Err(Invalid::outside(NAME, shown, limit));
    }
    let text = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
    text.ok_or_else(|| {
        let shown = String::from_utf8_lossy(bytes);
        let malformed = Invalid::malformed(NAME, shown, format!("{} of visible ASCII", limit.describe()));
        Invalid { status: limit.status, ..malformed }
    })
}
