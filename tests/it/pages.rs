//! Every command of every page is checked, or is listed with what CI lacks for it.

mod links;
mod markdown;
mod programs;
mod requests;
mod shell;

use std::collections::BTreeSet;

use crate::source_tree::{files, read};
use crate::test_system::TestSystem;
use requests::{FinishedJob, Request};
use shell::Call;

/// Pages whose commands are not checked, by the beginning of their paths, and the reasons.
const UNCHECKED_PAGES: [(&str, &str); 5] = [
    ("CHANGELOG.md", "each entry names commands of its time"),
    ("bench/peers/queue/README.md", "the peers need node and packages of PyPI"),
    ("docs/benchmarks/20", "each report names the command of its date"),
    ("tests/golden/README.md", "the commands need PyTorch"),
    ("tests/golden/silentcipher/README.md", "the commands need PyTorch and Python 3.12 or earlier"),
];
/// Languages of code blocks in which nothing is to be run.
const NO_COMMANDS: [&str; 4] = ["", "arrows", "json", "nginx"];
/// Languages of clients, and what CI lacks to run them. Their URLs are checked.
const CLIENTS: [(&str, &str); 2] = [("python", "the package openai"), ("js", "Node 18 or later")];

/// Returns the pages whose commands are checked, as paths and texts.
fn pages() -> Vec<(String, String)> {
    let unchecked = |path: &String| UNCHECKED_PAGES.iter().any(|(beginning, _)| path.starts_with(beginning));
    files("", "md").into_iter().filter(|path| !unchecked(path)).map(|path| (path.clone(), read(&path))).collect()
}

/// Returns the calls of a page, and what the shell has to say about the others.
fn calls(path: &str, page: &str) -> Result<Vec<Call>, String> {
    shell::calls(path, page, &programs::known())
}

/// Returns what is wrong with the commands of a page. Requests are not sent.
fn wrong_commands(path: &str, page: &str) -> Vec<String> {
    let calls = match calls(path, page) {
        Ok(calls) => calls,
        Err(complaints) => return vec![complaints],
    };
    let mut wrong = Vec::new();
    for call in calls {
        let checked = programs::check(path, &call)
            .and_then(|()| if programs::is_request(&call) { Request::of(&call.words).map(drop) } else { Ok(()) });
        if let Err(why) = checked {
            wrong.push(format!("{path}:{}: {} {}: {why}", call.line, call.program, call.words.join(" ")));
        }
    }
    let settings = programs::unknown_settings(page);
    wrong.extend(settings.into_iter().map(|name| format!("{path}: no source reads {name}")));
    wrong
}

/// Fails with everything that is wrong, one on a line.
fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_page_and_every_language_is_checked_or_listed() {
    let (paths, mut wrong) = (files("", "md"), Vec::new());
    for (beginning, reason) in UNCHECKED_PAGES {
        if !paths.iter().any(|path| path.starts_with(beginning)) {
            wrong.push(format!("{beginning} ({reason}) is listed, and there is no such page"));
        }
    }
    let clients = CLIENTS.map(|(language, _)| language);
    for (path, page) in pages() {
        let languages: BTreeSet<_> = markdown::lines(&page).iter().filter_map(|line| line.language).collect();
        let unknown = languages
            .into_iter()
            .filter(|name| *name != "sh" && !NO_COMMANDS.contains(name) && !clients.contains(name));
        wrong.extend(unknown.map(|name| format!("{path}: nothing checks code blocks of the language {name:?}")));
    }
    assert_none(&wrong);
}

#[test]
fn every_command_of_the_pages_exists_with_its_arguments() {
    let wrong: Vec<_> = pages().iter().flat_map(|(path, page)| wrong_commands(path, page)).collect();
    assert_none(&wrong);
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let wrong: Vec<_> = files("", "md").iter().flat_map(|path| links::broken(path, &read(path))).collect();
    assert_none(&wrong);
}

#[tokio::test]
async fn every_request_of_the_pages_succeeds() {
    let system = TestSystem::start(1, 5).await;
    let id = system.client.submit(1, 40).await;
    let audio = system.client.audio(&system.client.finished(&id).await).await;
    let (job, mut sent, mut wrong) = (FinishedJob { id, audio }, 0, Vec::new());
    for (path, page) in pages() {
        // A complaint of the shell is the matter of another test.
        for call in calls(&path, &page).unwrap_or_default().iter().filter(|call| programs::is_request(call)) {
            let Ok(request) = Request::of(&call.words) else { continue };
            sent += 1;
            if let Err(why) = request.send(&system, &job).await {
                wrong.push(format!("{path}:{}: {why}", call.line));
            }
        }
        for (language, lacking) in CLIENTS {
            for (line, route) in requests::paths(&page, language) {
                println!("{path}:{line}: the client is not run, since it needs {lacking}");
                if let Err(why) = requests::is_route(&system, &route).await {
                    wrong.push(format!("{path}:{line}: {why}"));
                }
            }
        }
    }
    assert_none(&wrong);
    assert!(sent >= 3, "{sent} requests were found in all pages");
}

/// Page with one mistake of each kind.
const PLANTED: &str = "# Planted

[a link](docs/nowhere.md) and [an anchor](#planted-too), `make nothing`.

```sh
csm say --no-such-flag
cargo nextest run -p csm-nothing
CSM_NOTHING=1 curl localhost:9999/v1/jobs
```
";

#[test]
fn planted_mistakes_are_found() {
    let (commands, links) = (wrong_commands("planted.md", PLANTED).join("\n"), links::broken("planted.md", PLANTED));
    for mistake in
        ["planted.md:3: make", "planted.md:6: csm", "planted.md:7: cargo", "planted.md:8: curl", "reads CSM_NOTHING"]
    {
        assert!(commands.contains(mistake), "{mistake} is not in: {commands}");
    }
    assert_eq!(links.len(), 2, "{links:?}");
    let unknown = wrong_commands("planted.md", "```sh\nno-such-program\n```\n").join("\n");
    assert!(unknown.contains("no-such-program"), "{unknown}");
}
