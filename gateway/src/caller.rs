//! What a request says beside its body: whose it is, and which job it asks for.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use csm_queue::queue::fingerprint;
use csm_shared::job::limits::IDEMPOTENCY_KEY_CHARS;
use csm_shared::job::{Invalid, JobId, Tenant};
use serde_json::{Value, json};

/// The header that names the tenant.
const X_TENANT: HeaderName = HeaderName::from_static("x-tenant");
/// The header by which a repeated request is known.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Whose request it is, and which job it asks for.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Who pays.
    pub(crate) tenant: Tenant,
    /// The job: a new one, or the one that the caller named.
    pub(crate) job: JobId,
    /// The caller named the job, so the same request may come again and mean the same job.
    pub(crate) repeats: bool,
}

impl Caller {
    /// A caller for a new job, of which nobody can ask twice.
    pub(crate) fn new(tenant: Tenant) -> Self {
        Self { tenant, job: JobId::generate(), repeats: false }
    }

    /// The caller of a request whose idempotency key, if it has one, names the job.
    pub(crate) fn by_key(headers: &HeaderMap) -> Result<Self, Invalid> {
        let tenant = tenant(headers)?;
        let Some(key) = headers.get(IDEMPOTENCY_KEY).map(key).transpose()? else { return Ok(Self::new(tenant)) };
        Ok(Self { job: JobId::of_key(&tenant, key), tenant, repeats: true })
    }

    /// The caller of a request that names the job by its id.
    pub(crate) fn by_id(headers: &HeaderMap, id: &str) -> Result<Self, Invalid> {
        Ok(Self { tenant: tenant(headers)?, job: id.parse()?, repeats: true })
    }

    /// What tells this request from another one for the same job; empty where there can be no other.
    pub(super) fn fingerprint(&self, body: &Value) -> String {
        // Two digests rather than one of a copy: a body may be large.
        if self.repeats { fingerprint(&json!([self.tenant.as_str(), fingerprint(body)])) } else { String::new() }
    }
}

/// Whose request it is.
pub(crate) fn tenant(headers: &HeaderMap) -> Result<Tenant, Invalid> {
    headers
        .get(X_TENANT)
        .map_or_else(|| Ok(Tenant::default()), |value| String::from_utf8_lossy(value.as_bytes()).parse())
}

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
