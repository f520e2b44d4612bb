//! Pages of other sites in the browser of a visitor: they can use no gateway on this machine.

use futures::SinkExt as _;
use reqwest::Method;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::app::{TestApp, TestResponse};
use crate::sockets::next;
use crate::speech::{OLD_REQUEST, say};
use crate::worker::{TestWorker, wav};

const FOREIGN: &str = "https://evil.example";

/// Sends a request with one more header, of a body that a page may send without a question.
async fn send(app: &TestApp, method: Method, path: &str, header: (&str, &str)) -> TestResponse {
    let request = app.request(method, path).header("content-type", "text/plain").header(header.0, header.1);
    app.send(request.body(say("of a page"))).await
}

/// Opens a WebSocket from a page of `origin`; returns the status of the answer.
async fn open(app: &TestApp, origin: &str) -> u16 {
    let mut upgrade = format!("ws://{}/ws", app.address).into_client_request().unwrap();
    upgrade.headers_mut().insert("origin", origin.parse().unwrap());
    match connect_async(upgrade).await {
        Ok((_, answer)) => answer.status().as_u16(),
        Err(Error::Http(answer)) => answer.status().as_u16(),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn pages_of_other_sites_can_use_no_gateway() {
    let app = TestApp::start().await;
    let job = app.submit(&say("mine")).await;
    for origin in [FOREIGN, "null", "http://localhost:1"] {
        assert_eq!(open(&app, origin).await, 403, "{origin}");
        for (method, path) in [
            (Method::POST, "/generate".to_owned()),
            (Method::POST, "/v1/jobs".to_owned()),
            (Method::PUT, format!("/v1/jobs/{job}")),
            (Method::GET, format!("/v1/jobs/{job}")),
            (Method::DELETE, format!("/v1/jobs/{job}")),
            (Method::OPTIONS, "/v1/jobs".to_owned()),
            (Method::POST, "/v1/watermark/detect".to_owned()),
            (Method::GET, "/nowhere".to_owned()),
        ] {
            let answer = send(&app, method.clone(), &path, ("origin", origin)).await;
            assert_eq!((answer.status.as_u16(), answer.text("code")), (403, "foreign_origin"), "{method} {path}");
            assert!(answer.text("detail").contains("CSM_ALLOWED_ORIGINS"), "{}", answer.body);
        }
    }
    assert_eq!(app.depth().await, 1);
}

#[tokio::test]
async fn a_gateway_on_loopback_has_no_foreign_names() {
    let app = TestApp::start().await;
    for (method, path) in [(Method::POST, "/generate"), (Method::POST, "/v1/jobs"), (Method::GET, "/problems")] {
        let answer = send(&app, method, path, ("host", "evil.example:8080")).await;
        assert_eq!((answer.status.as_u16(), answer.text("code")), (421, "foreign_host"), "{path}");
        assert!(answer.text("detail").contains("CSM_ALLOWED_HOSTS"), "{}", answer.body);
    }
    for name in ["localhost", "localhost:8080", "127.0.0.1", "[::1]:8080"] {
        assert_eq!(send(&app, Method::GET, "/problems", ("host", name)).await.status, 200, "{name}");
    }
    assert_eq!(app.depth().await, 0);
}

#[tokio::test]
async fn a_public_gateway_has_every_name_and_its_own_origin() {
    let app = TestApp::start_with(|args| args.listen = "0.0.0.0:0".parse().unwrap()).await;
    let request =
        |origin: &str| app.request(Method::GET, "/problems").header("host", "tts.example").header("origin", origin);
    assert_eq!(app.send(request("https://tts.example")).await.status, 200);
    assert_eq!(app.send(request(FOREIGN)).await.status, 403);
}

#[tokio::test]
async fn an_operator_can_allow_names_and_origins() {
    let (app, worker) = (
        TestApp::start_with(|args| {
            args.allowed_hosts = vec!["tts.example".to_owned()];
            args.allowed_origins = vec!["https://app.example".to_owned()];
        })
        .await,
        TestWorker::new(),
    );
    assert_eq!(send(&app, Method::GET, "/problems", ("host", "tts.example")).await.status, 200);
    assert_eq!(send(&app, Method::GET, "/problems", ("host", "evil.example")).await.status, 421);
    assert_eq!(open(&app, FOREIGN).await, 403);

    let mut upgrade = format!("ws://{}/ws", app.address).into_client_request().unwrap();
    upgrade.headers_mut().insert("origin", "https://app.example".parse().unwrap());
    let (mut socket, answer) = connect_async(upgrade).await.unwrap();
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    socket.send(OLD_REQUEST.into()).await.unwrap();
    worker.work(&app, 1).await;
    assert_eq!(next(&mut socket).await.into_data(), wav("Hello from Sesame TTS!"));
}

#[tokio::test]
async fn native_routes_take_json_alone_and_the_compatible_one_whatever_comes() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    for path in ["/v1/jobs", "/v1/jobs/6f1c0a52-9d0b-4c53-8f0e-2d5f2f6f9a11"] {
        let method = if path == "/v1/jobs" { Method::POST } else { Method::PUT };
        for (kind, shown) in [
            (Some("text/plain"), "text/plain"),
            (Some("application/x-www-form-urlencoded"), "application/x-www-form-urlencoded"),
            (Some("application/jsonp"), "application/jsonp"),
            (None, "(missing)"),
        ] {
            let request = app.request(method.clone(), path).body(say("typed"));
            let request = match kind {
                Some(kind) => request.header("content-type", kind),
                None => request,
            };
            let answer = app.send(request).await;
            assert_eq!((answer.status.as_u16(), answer.text("field")), (415, "Content-Type"), "{}", answer.body);
            assert_eq!((answer.text("value"), answer.text("limit")), (shown, "application/json"));
        }
        let request = app.request(method, path).header("content-type", "Application/JSON; charset=utf-8");
        assert_eq!(app.send(request.body(say("typed"))).await.status, 202);
    }
    worker.work(&app, 2).await;
    let untyped = app.request(Method::POST, "/generate").header("content-type", "text/plain").body(OLD_REQUEST);
    let (answer, ()) = tokio::join!(app.send(untyped), worker.work(&app, 1));
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test]
async fn no_browser_guesses_the_kind_of_an_answer() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let job = app.submit(&say("mine")).await;
    worker.work(&app, 1).await;
    for path in ["/nowhere", "/problems", "/problems/not_found", "/v1/jobs", "/ws"] {
        assert_eq!(app.get(path).await.header("x-content-type-options"), "nosniff", "{path}");
    }
    for path in [format!("/v1/jobs/{job}"), format!("/v1/jobs/{job}/audio"), format!("/v1/jobs/{job}/events")] {
        assert_eq!(app.get(&path).await.header("x-content-type-options"), "nosniff", "{path}");
    }
    assert_eq!(app.post("/v1/jobs", "{").await.header("x-content-type-options"), "nosniff");
    let refused = send(&app, Method::POST, "/generate", ("origin", FOREIGN)).await;
    assert_eq!(refused.header("x-content-type-options"), "nosniff");
}
