//! Requests of the pages, sent to a real gateway.

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::Value;

use super::markdown::code;
use crate::test_system::TestSystem;

/// Address of the gateway in the pages.
const GATEWAY: &str = "localhost:8080";
/// Placeholders for the id of a job.
const JOB_IDS: [&str; 2] = ["01a2...", "ID"];
/// Media type of a body for which `curl` is given none.
const CURL_MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

/// Request that a `curl` command describes.
pub(super) struct Request {
    method: Method,
    path: String,
    headers: Vec<String>,
    body: Option<String>,
    /// Name of the field of a form that is a file.
    form_file: Option<String>,
}

/// A job that has succeeded, for the placeholders of the pages.
pub(super) struct FinishedJob {
    pub(super) id: String,
    pub(super) audio: Vec<u8>,
}

impl Request {
    /// Reads the arguments of `curl`.
    pub(super) fn of(words: &[String]) -> Result<Self, String> {
        let (mut method, mut url, mut body, mut form_file, mut headers) = (None, None, None, None, Vec::new());
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().cloned().ok_or_else(|| format!("{word} lacks its value"));
            match word.as_str() {
                "-X" | "--request" => method = Some(value()?),
                "-d" | "--data" | "--data-binary" => body = Some(value()?),
                "-F" | "--form" => {
                    let part = value()?;
                    let (name, _) = part.split_once("=@").ok_or_else(|| format!("{part} is no file of a form"))?;
                    form_file = Some(name.to_owned());
                }
                "-H" | "--header" => headers.push(value()?),
                "-o" | "--output" => drop(value()?),
                "-f" | "-i" | "-s" | "-L" | "-N" => {}
                option if option.starts_with('-') => return Err(format!("{option} is an option that this test lacks")),
                _ => url = Some(word.clone()),
            }
        }
        let url = url.ok_or("there is no URL")?;
        let path = url.trim_start_matches("http://").strip_prefix(GATEWAY);
        let path = path.ok_or_else(|| format!("{url} is not on {GATEWAY}"))?.to_owned();
        let method = match method {
            Some(name) => Method::from_bytes(name.as_bytes()).map_err(|error| format!("{name}: {error}"))?,
            None if body.is_some() || form_file.is_some() => Method::POST,
            None => Method::GET,
        };
        Ok(Self { method, path, headers, body, form_file })
    }

    /// Sends the request; any status but success is an error.
    pub(super) async fn send(self, system: &TestSystem, job: &FinishedJob) -> Result<(), String> {
        let path = JOB_IDS.iter().fold(self.path, |path, name| path.replace(name, &job.id));
        let url = format!("http://{}{path}", system.client.address);
        let mut request = reqwest::Client::new().request(self.method.clone(), url);
        for header in &self.headers {
            let (name, value) = header.split_once(':').ok_or_else(|| format!("{header} is no header"))?;
            request = request.header(name, value.trim());
        }
        if let Some(body) = self.body {
            if !self.headers.iter().any(|header| header.to_lowercase().starts_with("content-type:")) {
                request = request.header("content-type", CURL_MEDIA_TYPE);
            }
            // A file of the page is a recording.
            request = request.body(if body.starts_with('@') { job.audio.clone() } else { body.into_bytes() });
        }
        if let Some(name) = self.form_file {
            request = request.multipart(Form::new().part(name, Part::bytes(job.audio.clone()).file_name("speech")));
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        Err(format!("{} {path} is answered {status}: {}", self.method, answer.text().await.unwrap_or_default()))
    }
}

/// Path that OpenAI's client puts behind its `base_url` to speak.
const SPEECH: &str = "/audio/speech";

/// Returns the paths on the gateway that clients in other languages call, each with its line.
pub(super) fn paths(page: &str, language: &str) -> Vec<(usize, String)> {
    let url = format!("\"http://{GATEWAY}/");
    let mut paths = Vec::new();
    for line in code(page, language) {
        let rests = line.text.split(url.as_str()).skip(1);
        let behind = if line.text.contains("base_url=") { SPEECH } else { "" };
        let found = rests.filter_map(|rest| rest.split_once('"'));
        paths.extend(found.map(|(path, _)| (line.number, format!("/{path}{behind}"))));
    }
    paths
}

/// Checks that a path is a route of the gateway, whatever its method.
pub(super) async fn is_route(system: &TestSystem, path: &str) -> Result<(), String> {
    let answer = system.client.get(path).await;
    let text = answer.text().await.unwrap_or_default();
    let problem: Value = serde_json::from_str(&text).unwrap_or_default();
    if problem["code"] == "not_found" { Err(format!("{path} is no route")) } else { Ok(()) }
}
