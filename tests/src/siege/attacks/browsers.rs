//! Requests as a web page of another site makes them, through the browser of somebody on this
//! machine.

use std::io;

use csm_testing::raw_http::RawAnswer;

use super::jobs::JOB;
use super::sockets::UPGRADE;
use crate::siege::attack_table::Attacker;

/// Host of the page.
const FOREIGN: &str = "pages.example";
/// Header that every answer carries, so that no browser takes it for a page.
const NO_SNIFFING: (&str, &str) = ("x-content-type-options", "nosniff");

/// Opens a WebSocket from a foreign page.
pub(in crate::siege) async fn foreign_origin(attacker: Attacker) -> io::Result<String> {
    let host = attacker.public;
    let head = format!("GET /ws HTTP/1.1\r\nhost: {host}\r\norigin: http://{FOREIGN}\r\n{UPGRADE}\r\n");
    let answer = ask(&attacker, &head).await?;
    if answer.status == 101 {
        attacker.tally.breach("a WebSocket was opened for a foreign page");
    }
    Ok(answer.status.to_string())
}

/// Posts a job under a foreign host name, which a page's own name server may point to this machine.
pub(in crate::siege) async fn foreign_host(attacker: Attacker) -> io::Result<String> {
    let answer = post(&attacker, FOREIGN, "application/json").await?;
    if answer.status == 202 {
        attacker.tally.breach("a job was accepted under a foreign host name");
    }
    Ok(answer.status.to_string())
}

/// Posts a job as a form does, for which a browser asks no permission.
pub(in crate::siege) async fn form_post(attacker: Attacker) -> io::Result<String> {
    let host = attacker.public.to_string();
    let answer = post(&attacker, &host, "text/plain").await?;
    if answer.status == 202 {
        attacker.tally.breach("a job was accepted as text/plain");
    }
    if answer.header(NO_SNIFFING.0) != Some(NO_SNIFFING.1) {
        attacker.tally.breach("an answer lets browsers guess its type");
    }
    Ok(answer.status.to_string())
}

async fn post(attacker: &Attacker, host: &str, media_type: &str) -> io::Result<RawAnswer> {
    let length = JOB.len();
    let head = format!("POST /v1/jobs HTTP/1.1\r\nhost: {host}\r\ncontent-type: {media_type}\r\n");
    ask(attacker, &format!("{head}content-length: {length}\r\n\r\n{JOB}")).await
}

async fn ask(attacker: &Attacker, request: &str) -> io::Result<RawAnswer> {
    let mut connection = attacker.connect(attacker.public).await?;
    connection.send(request.as_bytes()).await?;
    connection.answer().await
}
