//! `/problems`: the pages behind the `type` of every refusal.

use std::collections::BTreeSet;

use reqwest::Method;

use crate::app::{TestApp, TestResponse};
use crate::speech::say;

/// Reads an HTML page.
async fn page(app: &TestApp, path: &str) -> String {
    let response = app.request(Method::GET, path).send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8", "{path}");
    response.text().await.unwrap()
}

/// Row of the table of problems in docs/api.md, without its marks of code.
struct DocumentedProblem {
    code: String,
    statuses: Vec<String>,
    meaning: String,
    remedy: String,
}

/// Reads the table of problems in docs/api.md.
fn documented_problems() -> Vec<DocumentedProblem> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| <a id=\"")?.split_once("\"></a>"));
    let row = |(code, rest): (&str, &str)| {
        let rest = rest.replace('`', "");
        let cells: Vec<_> = rest.trim_end_matches('|').split('|').map(str::trim).collect();
        DocumentedProblem {
            code: code.to_owned(),
            statuses: cells[1].split(", ").map(str::to_owned).collect(),
            meaning: cells[cells.len() - 2].to_owned(),
            remedy: cells[cells.len() - 1].to_owned(),
        }
    };
    rows.map(row).collect()
}

#[tokio::test]
async fn every_documented_problem_has_a_page_with_title_meaning_and_remedy() {
    let app = TestApp::start().await;
    let documented = documented_problems();
    assert!(documented.len() > 30, "{}", documented.len());
    for DocumentedProblem { code, statuses, meaning, remedy } in &documented {
        let page = page(&app, &format!("/problems/{code}")).await;
        assert!(page.contains("<h1>") && page.contains(&format!("<code>{code}</code>")), "{page}");
        assert!(statuses.iter().all(|status| page.contains(status.as_str())), "{page}");
        assert!(page.contains(meaning.as_str()), "{meaning}: {page}");
        // A link of docs/api.md is no link of the page.
        assert!(remedy.contains("](") || page.contains(remedy.as_str()), "{remedy}: {page}");
        assert!(!page.contains("<script"), "{page}");
    }
    let list = page(&app, "/problems").await;
    let links = list.split("href=\"/problems/").skip(1);
    let listed: BTreeSet<&str> = links.filter_map(|rest| rest.split('"').next()).collect();
    let codes: BTreeSet<&str> = documented.iter().map(|problem| problem.code.as_str()).collect();
    assert_eq!(listed, codes);
}

/// Answers with problems of many kinds.
async fn refusals(app: &TestApp) -> Vec<TestResponse> {
    let job = app.submit(&say("waits")).await;
    let mut answers = Vec::new();
    for path in ["/nowhere", "/v1/jobs", "/v1/jobs/%ff", "/v1/jobs/nonsense", "/ws", "/problems/nonsense"] {
        answers.push(app.get(path).await);
    }
    answers.push(app.get(&format!("/v1/jobs/{job}/audio")).await);
    for body in ["", r#"{"text": ""}"#, r#"{"text": "a", "topk": "fifty"}"#, r#"{"text": "a", "tempo": 2}"#] {
        answers.push(app.post("/v1/jobs", body).await);
    }
    answers.push(app.post("/v1/watermark/detect", "no recording").await);
    app.delete(&format!("/v1/jobs/{job}")).await;
    answers.push(app.get(&format!("/v1/jobs/{job}/audio")).await);
    app.queue.close(true).await.unwrap();
    answers.push(app.post("/generate", say("too late")).await);
    answers
}

#[tokio::test]
async fn the_type_of_every_refusal_can_be_fetched() {
    let app = TestApp::start().await;
    let answers = refusals(&app).await;
    for answer in &answers {
        assert!(answer.status.is_client_error() || answer.status.is_server_error(), "{}", answer.body);
        assert_eq!(answer.text("type"), format!("/problems/{}", answer.text("code")));
        let page = page(&app, answer.text("type")).await;
        assert!(page.contains(&format!("<h1>{}</h1>", answer.text("title"))), "{page}");
        assert!(page.contains(answer.status.as_str()), "{}: {page}", answer.status);
    }
    let codes: BTreeSet<_> = answers.iter().map(|answer| answer.text("code")).collect();
    assert!(codes.len() >= 9, "{codes:?}");
}

#[tokio::test]
async fn an_unknown_code_is_an_ordinary_404() {
    let app = TestApp::start().await;
    let answer = app.get("/problems/nonsense").await;
    assert_eq!((answer.status.as_u16(), answer.text("code")), (404, "not_found"));
    assert_eq!(answer.text("detail"), "There is nothing at /problems/nonsense.");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(app.post("/problems", "").await.text("code"), "method_not_allowed");
}
