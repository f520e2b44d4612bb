//! Bad input: each is an error event with field, value and limit. Events leave the connection open;
//! bytes that are no events end it, because nobody knows where the next event begins.

use std::time::Duration;

use tokio::net::TcpSocket;

use super::*;
use crate::nonsense::CASES_MIN;

/// Events that are refused on an open connection: type, data, and the beginning of the refusal.
fn bad_events() -> Vec<(&'static str, Value, &'static str)> {
    let voice = |voice: Value| json!({"text": "Hi.", "voice": voice});
    let long = "a".repeat(5_000);
    let never = "type: synthesize-chunk is not allowed before synthesize-start";
    vec![
        ("synthesize", json!({}), "text: (missing) is not a string"),
        ("synthesize", json!({"text": null}), "text: (missing) is not a string"),
        ("synthesize", json!({"text": 5}), "text: 5 is not a string"),
        ("synthesize", json!({"text": false}), "text: false is not a string"),
        ("synthesize", json!({"text": ["Hi."]}), "text: [\"Hi.\"] is not a string"),
        ("synthesize", json!({"text": {"ssml": "Hi."}}), "text: {\"ssml\":\"Hi.\"} is not a string"),
        ("synthesize", json!({"Text": "Hi."}), "text: (missing) is not a string"),
        ("synthesize", json!({"text": long}), "text: aaaa"),
        ("synthesize", voice(json!("nova")), "voice: \"nova\" is not an object"),
        ("synthesize", voice(json!(7)), "voice: 7 is not an object"),
        ("synthesize", voice(json!(["nova"])), "voice: [\"nova\"] is not an object"),
        ("synthesize", voice(json!({"name": 7})), "voice.name: 7 is not a string"),
        ("synthesize", voice(json!({"name": ["nova"]})), "voice.name: [\"nova\"] is not a string"),
        ("synthesize", voice(json!({"name": ""})), "voice.name: (empty) is not one of alloy, ash"),
        ("synthesize", voice(json!({"name": "nobody"})), "voice.name: nobody is not one of alloy, ash"),
        ("synthesize", voice(json!({"name": "n".repeat(500)})), "voice.name: nnnn"),
        ("synthesize-start", json!({"voice": "nova"}), "voice: \"nova\" is not an object"),
        ("synthesize-start", json!({"voice": {"name": 7}}), "voice.name: 7 is not a string"),
        ("synthesize-start", json!({"voice": {"name": "nobody"}}), "voice.name: nobody is not one of alloy"),
        ("synthesize-chunk", json!({"text": "Hi."}), never),
        ("synthesize-chunk", json!({}), never),
        ("synthesize-stop", json!({}), "type: synthesize-stop is not allowed without synthesize-start"),
        ("ping", json!({"text": 5}), "text: 5 is not a string"),
        ("ping", json!({"text": {}}), "text: {} is not a string"),
    ]
}

/// Events that are refused while a text comes in pieces.
fn bad_pieces() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("synthesize-start", json!({}), "type: synthesize-start is not allowed before synthesize-stopped"),
        ("synthesize-chunk", json!({}), "text: (missing) is not a string"),
        ("synthesize-chunk", json!({"text": null}), "text: (missing) is not a string"),
        ("synthesize-chunk", json!({"text": 5}), "text: 5 is not a string"),
        ("synthesize-chunk", json!({"text": ["Hi."]}), "text: [\"Hi.\"] is not a string"),
        ("synthesize-chunk", json!({"text": "a".repeat(5_000)}), "text: a sentence of 5000 characters is not allowed"),
    ]
}

/// Bytes that end the connection, and the beginning of the refusal.
fn bad_bytes() -> Vec<(Vec<u8>, &'static str)> {
    let line = |line: &str, refusal| (format!("{line}\n").into_bytes(), refusal);
    let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    vec![
        line("", "(line): (empty) is not a JSON object"),
        line("Hello there.", "(line): Hello there. is not a JSON object"),
        line("GET / HTTP/1.1\r", "(line): GET / HTTP/1.1 is not a JSON object"),
        line("<speak>Hi.</speak>", "(line): <speak>Hi.</speak> is not a JSON object"),
        line("{", "(line): { is not a JSON object"),
        line("{'type': 'ping'}", "(line): {'type': 'ping'} is not a JSON object"),
        line(r#"{"type": "ping",}"#, "(line): "),
        line(r#"{"type": "ping"} {}"#, "(line): "),
        line(r#"{"type": NaN}"#, "(line): "),
        line(r#"{"type": "\ud83d"}"#, "(line): "),
        line(&format!("{{\"type\": {deep}}}"), "(line): "),
        line("[]", "(line): [] is not a JSON object"),
        line("7", "(line): 7 is not a JSON object"),
        line("null", "(line): null is not a JSON object"),
        line("\"ping\"", "(line): \"ping\" is not a JSON object"),
        line("{}", "type: (missing) is not a string"),
        line(r#"{"type": null}"#, "type: (missing) is not a string"),
        line(r#"{"type": 5}"#, "type: 5 is not a string"),
        line(r#"{"type": ["ping"]}"#, "type: [\"ping\"] is not a string"),
        line(r#"{"type": "ping", "data": []}"#, "data: [] is not an object"),
        line(r#"{"type": "ping", "data": "text"}"#, "data: \"text\" is not an object"),
        line(r#"{"type": "ping", "data": 5}"#, "data: 5 is not an object"),
        line(r#"{"type": "ping", "data_length": -1}"#, "data_length: -1 is not a whole number from 0 to 262144"),
        line(r#"{"type": "ping", "data_length": 1.5}"#, "data_length: 1.5 is not a whole number"),
        line(r#"{"type": "ping", "data_length": "7"}"#, "data_length: 7 is not a whole number"),
        line(r#"{"type": "ping", "data_length": [7]}"#, "data_length: [7] is not a whole number"),
        line(r#"{"type": "ping", "data_length": 262145}"#, "data_length: 262145 is not a whole number"),
        line(r#"{"type": "ping", "data_length": 18446744073709551615}"#, "data_length: 18446744073709551615 is not"),
        line(r#"{"type": "ping", "payload_length": -1}"#, "payload_length: -1 is not a whole number"),
        line(r#"{"type": "ping", "payload_length": 1e12}"#, "payload_length: 1000000000000.0 is not a whole number"),
        line(r#"{"type": "ping", "payload_length": true}"#, "payload_length: true is not a whole number"),
        line(r#"{"type": "ping", "payload_length": 262145}"#, "payload_length: 262145 is not a whole number"),
        line("{\"type\": \"ping\", \"data_length\": 1}\n{", "(data): { is not a JSON object"),
        line("{\"type\": \"ping\", \"data_length\": 2}\n[]", "(data): [] is not a JSON object"),
        (b"{\"type\": \"ping\", \"data_length\": 1}\n\xc3".to_vec(), "(data): \u{fffd} is not a JSON object"),
        (b"{\"type\": \"ping\", \"data_length\": 9}\n{}".to_vec(), "data_length: 9 is not the 2 bytes that came"),
        (b"{\"type\": \"ping\", \"payload_length\": 9}\nab".to_vec(), "payload_length: 9 is not the 2 bytes that came"),
        (b"{\"type\": \"ping\xc3\"}\n".to_vec(), "(line): "),
        (b"{\"type\": \"ping\"}".to_vec(), "(line): 16 bytes without an end is not a line of at most 65536 bytes"),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(), "(line): 11 bytes without an end is not a line"),
        (vec![0; 70_000], "(line): 65536 bytes without an end is not a line"),
        (vec![b'{'; 1 << 20], "(line): 65536 bytes without an end is not a line"),
    ]
}

/// Reads an error, and returns its text and its code.
async fn refusal(client: &mut Client, what: &str) -> (String, String) {
    let error = client.next().await.unwrap_or_else(|| panic!("no answer to {what:.200}")).0;
    assert_eq!(error["type"], "error", "{what:.200}: {error}");
    let member = |name: &str| error["data"][name].as_str().unwrap().to_owned();
    let (text, code) = (member("text"), member("code"));
    assert!(text.contains(" is not ") && text.ends_with('.') && text.chars().count() < 400, "{what:.200}: {text}");
    (text, code)
}

/// Speaks a text on a connection.
async fn assert_speaks(app: &TestApp, client: &mut Client) {
    client.send("synthesize", json!({"text": "Still here."})).await;
    let worker = async {
        let job = TestWorker::new().claim(app).await;
        assert_eq!(job.spec.text.as_str(), "Still here.");
        speak(app, job, 2).await;
    };
    let ((), audio) = tokio::join!(worker, client.audio());
    assert_eq!(audio, bytes(&tone(2 * FRAME_SAMPLES)));
}

#[tokio::test]
async fn bad_events_are_errors_that_name_the_field_and_nothing_is_lost() {
    let app = TestApp::start().await;
    let all = bad_events().len() + bad_pieces().len() + bad_bytes().len();
    assert!(all >= CASES_MIN, "{all} cases");
    let mut client = Client::connect(&app).await;
    for (kind, data, expected) in bad_events() {
        client.send(kind, data.clone()).await;
        let (text, code) = refusal(&mut client, &data.to_string()).await;
        assert!(text.starts_with(expected), "{kind} {data:.200}: {text}");
        assert!(["malformed", "out_of_range"].contains(&code.as_str()), "{code}");
    }
    assert_speaks(&app, &mut client).await;

    client.send("synthesize-start", json!({"voice": {"name": "ash"}})).await;
    client.send("synthesize-chunk", json!({"text": "The text "})).await;
    for (kind, data, expected) in bad_pieces() {
        let is_long = data["text"].as_str().is_some_and(|text| text.len() > 4_000);
        client.send(kind, data.clone()).await;
        let text = refusal(&mut client, &data.to_string()).await.0;
        assert!(is_long || text.starts_with(expected), "{kind} {data:.200}: {text}");
    }
    client.send("synthesize-chunk", json!({"text": "goes on"})).await;
    client.send("synthesize-stop", json!({})).await;
    for late in ["synthesize-chunk", "synthesize-stop", "synthesize-start"] {
        client.send(late, json!({"text": "Late."})).await;
        assert!(refusal(&mut client, late).await.0.starts_with(&format!("type: {late} is not allowed")));
    }
    let worker = async { speak(&app, TestWorker::new().claim(&app).await, 1).await };
    let ((), audio) = tokio::join!(worker, client.audio());
    assert_eq!(audio.len(), 2 * FRAME_SAMPLES);
    assert_eq!(client.next().await.unwrap().0["type"], "synthesize-stopped");
    client.send("sing", json!({"text": 5})).await;
    assert_speaks(&app, &mut client).await;
}

#[tokio::test]
async fn bytes_that_are_no_events_are_refused_and_end_the_connection() {
    let app = TestApp::start().await;
    for (bytes, expected) in bad_bytes() {
        let mut client = Client::connect(&app).await;
        // The gateway closes a connection without reading the rest of what is too long.
        let _ = client.0.get_mut().write_all(&bytes).await;
        let _ = client.0.get_mut().shutdown().await;
        let what = String::from_utf8_lossy(&bytes).into_owned();
        let (text, code) = refusal(&mut client, &what).await;
        assert!(text.starts_with(expected) && code == "malformed", "{what:.200}: {text}");
        assert_eq!(client.next().await, None, "{what:.200}");
    }
    assert_speaks(&app, &mut Client::connect(&app).await).await;
}

#[tokio::test]
async fn a_slow_reader_hears_everything() {
    let app = TestApp::start().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1_024).unwrap();
    let mut client = Client(BufReader::new(socket.connect(app.wyoming_address).await.unwrap()));
    client.send("synthesize", json!({"text": "Hello."})).await;
    let worker = async { speak(&app, TestWorker::new().claim(&app).await, 300).await };
    let reading = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        client.audio().await
    };
    let ((), audio) = tokio::join!(worker, reading);
    assert!(audio == bytes(&tone(300 * FRAME_SAMPLES)), "{} bytes", audio.len());
}
