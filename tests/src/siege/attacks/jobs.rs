//! Jobs that are called off at once, and jobs of somebody else.

use std::io;

use csm_testing::raw_http::{RawAnswer, RawConnection};
use serde_json::Value;

use crate::siege::attack_table::Attacker;

/// Valid job, small to speak.
pub(super) const JOB: &str = r#"{"text": "Hello.", "max_audio_length_ms": 80}"#;

/// Enqueues a job and cancels it.
pub(in crate::siege) async fn create_and_cancel(attacker: Attacker) -> io::Result<String> {
    let mut connection = attacker.connect(attacker.public).await?;
    let created = ask(&mut connection, &attacker, "POST", "/v1/jobs", "", JOB).await?;
    let Some(id) = job_id(&created) else { return Ok(created.status.to_string()) };
    let cancelled = ask(&mut connection, &attacker, "DELETE", &format!("/v1/jobs/{id}"), "", "").await?;
    Ok(format!("{}, {}", created.status, cancelled.status))
}

/// Reads, follows and cancels a job of another tenant.
pub(in crate::siege) async fn foreign_job(attacker: Attacker) -> io::Result<String> {
    const OWNER: &str = "x-tenant: owner\r\n";
    const OTHER: &str = "x-tenant: other\r\n";
    let mut connection = attacker.connect(attacker.public).await?;
    let created = ask(&mut connection, &attacker, "POST", "/v1/jobs", OWNER, JOB).await?;
    let Some(id) = job_id(&created) else { return Ok(created.status.to_string()) };
    for (method, rest) in [("GET", ""), ("GET", "/audio"), ("GET", "/events"), ("DELETE", "")] {
        // A connection each: an answer without an end must not hide the next one.
        let mut connection = attacker.connect(attacker.public).await?;
        let answer = ask(&mut connection, &attacker, method, &format!("/v1/jobs/{id}{rest}"), OTHER, "").await?;
        if answer.status < 400 {
            attacker.tally.breach(&format!("{method} of a job{rest} answers another tenant"));
        }
    }
    Ok("asked".to_owned())
}

fn job_id(answer: &RawAnswer) -> Option<String> {
    let accepted: Value = serde_json::from_slice(&answer.body).ok()?;
    accepted["id"].as_str().filter(|_| answer.status == 202).map(str::to_owned)
}

/// Sends a request and reads its answer.
async fn ask(
    connection: &mut RawConnection,
    attacker: &Attacker,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> io::Result<RawAnswer> {
    let (host, length) = (attacker.public, body.len());
    let json = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{headers}{json}content-length: {length}\r\n\r\n{body}");
    connection.send(request.as_bytes()).await?;
    connection.answer().await
}
