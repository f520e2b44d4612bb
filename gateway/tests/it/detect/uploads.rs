//! Recordings for the detector as the file of a form, and as base64 in JSON.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::multipart::{Form, Part};

use super::*;

/// Returns a part of a form that is a file.
fn file(bytes: impl Into<Vec<u8>>) -> Part {
    Part::bytes(bytes.into()).file_name("a recording")
}

async fn send_form(app: &TestApp, form: Form) -> TestResponse {
    app.send(app.request(Method::POST, PATH).multipart(form)).await
}

async fn send_audio(app: &TestApp, audio: &str) -> TestResponse {
    app.post(PATH, json!({ "audio": audio }).to_string()).await
}

#[tokio::test]
async fn forms_and_json_are_answered_like_the_bare_file() {
    let app = TestApp::start().await;
    let (wav, mp3) = (marked().to_wav(), std::fs::read(data("marked.mp3")).unwrap());
    for bytes in [wav, mp3, plain().to_wav()] {
        let bare = detect(&app, bytes.clone()).await;
        assert_eq!(bare.status, 200, "{}", bare.body);
        for name in ["file", "audio", "my recording"] {
            let answer = send_form(&app, Form::new().part(name, file(bytes.clone()))).await;
            assert_eq!((answer.status, &answer.body), (bare.status, &bare.body), "{name}");
        }
        // Without a name of a file, the media type tells that the part is one.
        let unnamed = Part::bytes(bytes.clone()).mime_str("audio/wav").unwrap();
        assert_eq!(send_form(&app, Form::new().part("audio", unnamed)).await.body, bare.body);
        let base64 = STANDARD.encode(&bytes);
        for audio in [base64.clone(), format!("data:audio/wav;base64,{base64}\n"), URL_SAFE_NO_PAD.encode(&bytes)] {
            let answer = send_audio(&app, &audio).await;
            assert_eq!((answer.status, &answer.body), (bare.status, &bare.body));
        }
    }
}

#[tokio::test]
async fn bare_samples_in_a_form_need_their_media_type() {
    let app = TestApp::start().await;
    let pcm: Vec<u8> = marked().samples().iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let part = |bytes: Vec<u8>| Form::new().part("audio", file(bytes).mime_str(AudioFormat::Pcm.media_type()).unwrap());
    assert_eq!(verdict(&send_form(&app, part(pcm)).await), "detected");
    let answer = send_form(&app, Form::new().part("audio", file([1; 9_600]))).await;
    assert_eq!((answer.status.as_u16(), answer.text("field")), (415, "audio"), "{}", answer.body);
}

#[tokio::test]
async fn a_form_may_be_as_large_as_a_body() {
    let app = TestApp::start().await;
    let minute = Clip::from_samples(plain().samples().repeat(20)).to_wav();
    assert!(minute.len() > 2_800_000, "more than the limit that forms have by default");
    assert_eq!(verdict(&send_form(&app, Form::new().part("file", file(minute))).await), "not_detected");
    let answer = send_form(&app, Form::new().part("file", file(vec![0; 25 * 1024 * 1024]))).await;
    assert_eq!((answer.status.as_u16(), answer.text("code")), (413, "too_large"), "{}", answer.body);
    assert_eq!((answer.text("field"), answer.text("limit")), ("(body)", "0 to 25165824 bytes"));
}

#[tokio::test]
async fn a_form_has_one_file_and_nothing_else() {
    let app = TestApp::start().await;
    let wav = || file(plain().to_wav());
    for (form, field, value) in [
        (Form::new().part("a", wav()).part("b", wav()), "b", "(a second file)"),
        (Form::new().part("file", wav()).part("file", wav()), "file", "(a second file)"),
        (Form::new().part("file", wav()).text("job", JobId::generate().to_string()), "job", "(no file)"),
        (Form::new().text("audio", "RIFF"), "audio", "(no file)"),
    ] {
        let answer = send_form(&app, form).await;
        assert_eq!((answer.status.as_u16(), answer.text("code")), (422, "malformed"), "{}", answer.body);
        assert_eq!((answer.text("field"), answer.text("value")), (field, value), "{}", answer.body);
        assert!(answer.text("limit").contains("one file"), "{}", answer.body);
    }
    let long = "n".repeat(100_000);
    let answer = send_form(&app, Form::new().text(long, "RIFF")).await;
    assert!(answer.status == 422 && answer.text("field").len() < 200, "{}", answer.status);
}

#[tokio::test]
async fn damaged_forms_and_json_are_refused_by_field() {
    let app = TestApp::start().await;
    let whole = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nRIFF";
    for (media_type, body, status, field) in [
        ("multipart/form-data; boundary=x", whole, 400, "(body)"),
        ("multipart/form-data; boundary=x", "", 400, "(body)"),
        ("multipart/form-data; boundary=x", "--x--\r\n", 422, "(body)"),
        ("multipart/form-data", whole, 415, "Content-Type"),
        ("multipart/mixed; boundary=x", whole, 415, "Content-Type"),
        // A body that is no object is the file itself, whatever its type says.
        ("application/json", "[]", 415, "(body)"),
        ("application/json", "{", 400, "(body)"),
        ("application/json", "{}", 422, "audio"),
        ("application/json", r#"{"audio": 7}"#, 422, "audio"),
        ("application/json", r#"{"audio": "UklG!"}"#, 422, "audio"),
        ("application/json", r#"{"audio": "https://example.org/a.wav"}"#, 422, "audio"),
        ("application/json", r#"{"audio": "aGVsbG8="}"#, 415, "audio"),
        ("application/json", r#"{"audio": "UklGRg==", "job": "x"}"#, 422, "job"),
    ] {
        let request = app.request(Method::POST, PATH).header("content-type", media_type).body(body);
        let answer = app.send(request).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text("field")),
            (status, field),
            "{media_type} {body}: {}",
            answer.body
        );
        assert!(!answer.text("value").is_empty() && !answer.text("limit").is_empty(), "{}", answer.body);
    }
    let answer = send_form(&app, Form::new().part("take", file(*b"hello"))).await;
    assert_eq!((answer.status.as_u16(), answer.text("field")), (415, "take"), "{}", answer.body);
    let answer = send_audio(&app, &STANDARD.encode(too_long())).await;
    assert_eq!((answer.status.as_u16(), answer.text("field")), (413, "audio"), "{}", answer.body);
}

#[tokio::test]
async fn the_query_names_the_job_of_every_upload() {
    let app = TestApp::start().await;
    let job = app.submit(r#"{"text": "a"}"#).await;
    let path = format!("{PATH}?job={job}");
    let form = || Form::new().part("file", file(plain().to_wav()));
    assert_eq!(verdict(&app.send(app.request(Method::POST, &path).multipart(form())).await), "not_detected");
    let others = app.request(Method::POST, &path).header("x-tenant", "other").multipart(form());
    assert_eq!(app.send(others).await.status, 404);
}
