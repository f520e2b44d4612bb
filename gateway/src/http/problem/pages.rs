//! `GET /problems` and `GET /problems/{code}`: the pages behind the `type` of problem documents.
//!
//! The pages are made from the catalogue alone. Each is one HTML file without scripts.

use axum::extract::Path;
use axum::http::Uri;
use axum::response::Html;

use super::Problem;
use super::catalogue::{CATALOGUE, ProblemKind};

/// Style of both pages.
const STYLE: &str = "body{max-width:42rem;margin:3rem auto;padding:0 1rem;font:1rem/1.5 system-ui,sans-serif}\
    dt{margin-top:1rem;font-weight:600}dd{margin:0}";

/// Answers the list of all kinds of problems.
pub(crate) async fn problem_list() -> Html<String> {
    let item = |kind: &ProblemKind| {
        let (path, code, title, statuses) = (kind.path(), kind.code, kind.title, statuses(kind));
        format!("<dt><a href=\"{path}\"><code>{code}</code></a></dt>\n<dd>{title} (status {statuses})</dd>\n")
    };
    let items: String = CATALOGUE.iter().map(item).collect();
    Html(page("Problems", &format!("<p>Problems that this API answers with.</p>\n<dl>\n{items}</dl>\n")))
}

/// Answers the page of one kind of problem.
pub(crate) async fn problem_page(Path(code): Path<String>, uri: Uri) -> Result<Html<String>, Problem> {
    let kind = CATALOGUE.iter().find(|kind| kind.code == code).ok_or_else(|| Problem::no_route(uri.path()))?;
    let ProblemKind { code, title, meaning, remedy, .. } = kind;
    let statuses = statuses(kind);
    let body = format!(
        "<dl>\n<dt>Code</dt>\n<dd><code>{code}</code></dd>\n<dt>Status</dt>\n<dd>{statuses}</dd>\n\
        <dt>Meaning</dt>\n<dd>{meaning}</dd>\n<dt>Remedy</dt>\n<dd>{remedy}</dd>\n</dl>\n\
        <p><a href=\"/problems\">All problems</a></p>\n"
    );
    Ok(Html(page(title, &body)))
}

/// Returns the statuses of a kind as a reader sees them, such as `422, 400 or 415`.
fn statuses(kind: &ProblemKind) -> String {
    let statuses: Vec<_> = kind.statuses.iter().map(u16::to_string).collect();
    match statuses.split_last() {
        Some((last, others @ [_, ..])) => format!("{} or {last}", others.join(", ")),
        _ => statuses.concat(),
    }
}

/// Returns a whole HTML page. The catalogue's texts need no escaping, which its tests ensure.
fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
        <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
        <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n\
        <body>\n<h1>{title}</h1>\n{body}</body>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_page_of_every_kind_carries_title_statuses_meaning_and_remedy() {
        let Html(list) = problem_list().await;
        for kind in CATALOGUE {
            let uri: Uri = kind.path().parse().unwrap_or_default();
            let Ok(Html(page)) = problem_page(Path(kind.code.to_owned()), uri).await else {
                panic!("{} has no page", kind.code)
            };
            assert!(page.contains(&format!("<h1>{}</h1>", kind.title)), "{page}");
            for text in [statuses(kind).as_str(), kind.meaning, kind.remedy] {
                assert!(page.contains(&format!("<dd>{text}</dd>")), "{page}");
            }
            assert!(list.contains(&format!("<a href=\"{}\">", kind.path())), "{list}");
        }
    }

    #[test]
    fn several_statuses_are_a_list_with_or() {
        let statuses = |statuses: &'static [u16]| {
            super::statuses(&ProblemKind { code: "", title: "", statuses, meaning: "", remedy: "" })
        };
        assert_eq!(statuses(&[404]), "404");
        assert_eq!(statuses(&[422, 400]), "422 or 400");
        assert_eq!(statuses(&[422, 400, 415]), "422, 400 or 415");
    }
}
