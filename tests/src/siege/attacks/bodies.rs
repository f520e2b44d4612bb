//! Whole bodies that cost the gateway more than their bytes.

use std::io;

use csm_testing::raw_http::RawConnection;

use super::{JOBS, post_head};
use crate::siege::attack_table::Attacker;

/// Sends millions of JSON values.
pub(in crate::siege) async fn json_tree(attacker: Attacker) -> io::Result<String> {
    let trees = &attacker.payloads.json_trees;
    post(&attacker, JOBS, &trees[attacker.round % trees.len()]).await
}

/// Sends a small FLAC file that decodes to minutes.
pub(in crate::siege) async fn flac_constant(attacker: Attacker) -> io::Result<String> {
    post(&attacker, JOBS, &attacker.payloads.flac_constant).await
}

/// Sends as much base64 as a body may hold.
pub(in crate::siege) async fn base64_greatest(attacker: Attacker) -> io::Result<String> {
    post(&attacker, JOBS, &attacker.payloads.base64_greatest).await
}

/// Sends a whole body and leaves while the gateway works on it.
pub(in crate::siege) async fn send_and_leave(attacker: Attacker) -> io::Result<String> {
    let payloads = &attacker.payloads;
    let bodies = [&payloads.json_trees[2], &payloads.base64_greatest];
    send(&attacker, JOBS, bodies[attacker.round % bodies.len()]).await?;
    Ok("left".to_owned())
}

/// Has the marks looked for in a small FLAC file that decodes to minutes.
pub(in crate::siege) async fn detect_constant(attacker: Attacker) -> io::Result<String> {
    post(&attacker, "/v1/watermark/detect", &attacker.payloads.flac_file).await
}

/// Posts a body and returns the status of the answer.
async fn post(attacker: &Attacker, path: &str, body: &[u8]) -> io::Result<String> {
    Ok(send(attacker, path, body).await?.answer().await?.status.to_string())
}

async fn send(attacker: &Attacker, path: &str, body: &[u8]) -> io::Result<RawConnection> {
    let mut connection = attacker.connect(attacker.public).await?;
    let head = post_head(attacker, path, &format!("content-length: {}", body.len()));
    connection.send(head.as_bytes()).await?;
    connection.send(body).await?;
    Ok(connection)
}
