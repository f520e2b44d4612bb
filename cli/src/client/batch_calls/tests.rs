#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;

use futures::TryStreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::super::BatchStatus;
use super::*;

/// Starts a gateway that gives one scripted answer, then closes the connection. Returns the request
/// received.
async fn gateway(status: u16, body: String) -> (GatewayClient, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let (mut request, mut part) = (String::new(), vec![0; 4096]);
        // A form ends with two hyphens and a line end.
        let end = |request: &str| if request.contains("multipart") { "--\r\n" } else { "\r\n\r\n" };
        while !request.ends_with(end(&request)) {
            let read = socket.read(&mut part).await.unwrap();
            assert!(read > 0, "{request}");
            request += &String::from_utf8_lossy(&part[..read]);
        }
        let head = format!("HTTP/1.1 {status} x\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n");
        socket.write_all((head + &body).as_bytes()).await.unwrap();
        request
    });
    (GatewayClient::new(&url).unwrap(), served)
}

fn batch(status: &str) -> String {
    format!(r#"{{"id":"batch_1","status":"{status}","created_at":1,"errors":null,"shards":0,"new_member":7}}"#)
}

#[tokio::test]
async fn events_are_batches_and_other_events_are_left_out() {
    let events = format!(
        "event: batch\ndata: {}\n\n: still here\n\nevent: other\ndata: 7\n\nevent: batch\ndata: {}\n\nevent: batch\ndata: {{\"cut",
        batch("in_progress"),
        batch("completed")
    );
    let (client, served) = gateway(200, events).await;
    let batches: Vec<Batch> = client.batch_events("batch_1").await.unwrap().try_collect().await.unwrap();
    let statuses: Vec<_> = batches.iter().map(|batch| batch.status).collect();
    assert_eq!(statuses, [BatchStatus::InProgress, BatchStatus::Completed]);
    assert!(served.await.unwrap().starts_with("GET /v1/batches/batch_1/events "));

    let (client, _) = gateway(200, "event: batch\ndata: {}\n\n".to_owned()).await;
    let broken = client.batch_events("batch_1").await.unwrap().try_collect::<Vec<_>>().await.unwrap_err();
    assert!(!broken.may_pass(), "{broken}");
}

#[tokio::test]
async fn a_shard_that_is_not_complete_is_no_error() {
    let (client, _) = gateway(404, String::new()).await;
    assert_eq!(client.batch_shard("batch_1", 3).await.unwrap(), None);
    let (client, served) = gateway(200, "\n".to_owned()).await;
    assert_eq!(client.batch_shard("batch_1", 3).await.unwrap(), Some(Vec::new()));
    assert!(served.await.unwrap().starts_with("GET /v1/batches/batch_1/shards/3 "));
    let (client, _) = gateway(503, String::new()).await;
    assert!(client.batch_shard("batch_1", 3).await.unwrap_err().may_pass());
}

#[tokio::test]
async fn an_input_is_sent_as_a_form_with_its_name() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"Hello.\n").unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let (client, served) = gateway(200, r#"{"id":"file-1"}"#.to_owned()).await;
    let id = client.upload("my \"book\".txt", 7, File::from_std(file)).await.unwrap();
    let request = served.await.unwrap();
    assert_eq!(id, "file-1");
    assert!(request.starts_with("POST /v1/files "), "{request}");
    assert!(request.contains("name=\"purpose\"\r\n\r\nbatch\r\n"), "{request}");
    assert!(request.contains(r#"name="file"; filename="my \"book\".txt""#), "{request}");
    assert!(request.contains("\r\n\r\nHello.\n\r\n"), "{request}");
}
