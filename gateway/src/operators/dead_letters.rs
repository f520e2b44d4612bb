//! `/v1/admin/dead-letters`: reads dead letters in groups, and retries or purges them.
//!
//! A group is all letters of one class of failure, for operators of one class and message. A dry run
//! counts what an operation would touch, and answers the time of the newest letter of these. With that time
//! the operation touches no letter that came later.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Request, State};
use csm_queue::queue::{DeadLetter, LetterFilter, Queue, QueueError};
use csm_shared::job::{Invalid, JobId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::access::{Access, Operator};
use crate::app::App;
use crate::http::Problem;
use crate::http::media_type::require_json;

/// Newest letters that the list is made of.
const LETTERS_READ_MAX: usize = 500;
/// Letters of a group that the list names, newest first.
const LETTERS_OF_GROUP_MAX: usize = 20;
/// Letters that one call retries or purges. The answer says how many are left for the next call.
const LETTERS_PER_CALL_MAX: usize = 1_000;

/// Dead letters in groups, the largest group first.
#[derive(Debug, Serialize)]
pub(super) struct LettersDocument {
    /// Number of all dead letters.
    total: u64,
    /// Number of the newest letters that the groups are made of.
    grouped: usize,
    groups: Vec<GroupDocument>,
}

#[derive(Debug, Serialize)]
struct GroupDocument {
    class: String,
    /// Message of the failures, for operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    count: usize,
    oldest: Timestamp,
    newest: Timestamp,
    /// Letters of the group, for operators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    letters: Option<Vec<DeadLetter>>,
}

/// Answers with the newest dead letters in groups.
pub(super) async fn list(access: Access, State(app): State<App>) -> Result<Json<LettersDocument>, Problem> {
    let letters = app.status_queue.newest_dead_letters(LETTERS_READ_MAX).await?;
    let grouped = letters.len();
    let groups = groups(letters, access.is_operator());
    Ok(Json(LettersDocument { total: app.status_queue.dead_letter_count().await?, grouped, groups }))
}

/// Groups letters that come newest first.
fn groups(letters: Vec<DeadLetter>, named: bool) -> Vec<GroupDocument> {
    let mut groups: BTreeMap<(String, Option<String>), GroupDocument> = BTreeMap::new();
    for letter in letters {
        let error = named.then(|| letter.error.clone());
        let group = groups.entry((letter.class.clone(), error.clone())).or_insert_with(|| GroupDocument {
            class: letter.class.clone(),
            error,
            count: 0,
            oldest: letter.at,
            newest: letter.at,
            letters: named.then(Vec::new),
        });
        group.count += 1;
        group.oldest = letter.at;
        if let Some(letters) = group.letters.as_mut().filter(|letters| letters.len() < LETTERS_OF_GROUP_MAX) {
            letters.push(letter);
        }
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}

/// Choice of letters: one job, or a class with or without a message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LetterOrder {
    id: Option<String>,
    class: Option<String>,
    error: Option<String>,
    until: Option<Timestamp>,
    #[serde(default)]
    dry_run: bool,
}

/// Operation on dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LetterAction {
    Retry,
    Purge,
}

impl LetterAction {
    /// Carries the action out on the letter of a job. Returns the new job of a retry, and the same job
    /// of a purge; `None` if the letter is gone.
    async fn on(self, queue: &Queue, id: &JobId) -> Result<Option<JobId>, QueueError> {
        match self {
            Self::Retry => queue.replay(id).await,
            Self::Purge => Ok(queue.purge(id).await?.then_some(*id)),
        }
    }
}

/// Outcome of an operation, or of its dry run.
#[derive(Debug, Default, Serialize)]
pub(super) struct OutcomeDocument {
    dry_run: bool,
    /// Letters of the choice.
    matched: usize,
    /// Letters that were retried or purged.
    done: usize,
    /// Letters of the choice that are left for the next call.
    left: usize,
    /// Time of the newest letter of the choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    /// For a letter that was chosen by its id: the new job of a retry, or the job that was purged.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
}

/// Makes dead letters into new jobs of the same requests.
pub(super) async fn retry(
    operator: Operator,
    State(app): State<App>,
    request: Request,
) -> Result<Json<OutcomeDocument>, Problem> {
    operate(&operator, &app, request, LetterAction::Retry).await
}

/// Deletes dead letters with their requests.
pub(super) async fn purge(
    operator: Operator,
    State(app): State<App>,
    request: Request,
) -> Result<Json<OutcomeDocument>, Problem> {
    operate(&operator, &app, request, LetterAction::Purge).await
}

async fn operate(
    operator: &Operator,
    app: &App,
    request: Request,
    action: LetterAction,
) -> Result<Json<OutcomeDocument>, Problem> {
    let json = require_json(request.headers());
    let mut body = app.bodies.read(request).await?;
    json?;
    let order = read(body.text_object().await?)?;
    let outcome = match &order.id {
        Some(id) => on_one(&app.queue, id, order.dry_run, action).await?,
        None => on_group(&app.queue, &order, action).await?,
    };
    if !order.dry_run {
        let (Operator { peer, request }, LetterOrder { id, class, .. }) = (operator, &order);
        let OutcomeDocument { matched, done, left, .. } = outcome;
        tracing::info!(%peer, request, ?action, job = id, class, matched, done, left, "operator acted on dead letters");
    }
    Ok(Json(outcome))
}

/// Reads the choice of a request.
fn read(body: serde_json::Value) -> Result<LetterOrder, Problem> {
    let malformed = |shown: String| Invalid::malformed("(body)", shown, "an id, or a class with or without an error");
    let order: LetterOrder = serde_json::from_value(body).map_err(|error| malformed(error.to_string()))?;
    let one = order.id.is_some() && order.class.is_none() && order.error.is_none() && order.until.is_none();
    let group = order.id.is_none() && order.class.is_some();
    if one || group { Ok(order) } else { Err(malformed("another combination".to_owned()).into()) }
}

async fn on_one(queue: &Queue, id: &str, dry_run: bool, action: LetterAction) -> Result<OutcomeDocument, Problem> {
    let job: JobId = id.parse()?;
    if dry_run {
        let letter = queue.dead_letter(&job).await?.ok_or_else(|| Problem::no_dead_letter(id))?;
        return Ok(OutcomeDocument { dry_run, matched: 1, until: Some(letter.at), ..OutcomeDocument::default() });
    }
    let job = action.on(queue, &job).await?.ok_or_else(|| Problem::no_dead_letter(id))?;
    Ok(OutcomeDocument { matched: 1, done: 1, job: Some(job.to_string()), ..OutcomeDocument::default() })
}

/// Acts on the letters of a group that are there now. A retried job that soon is dead again is not among them.
async fn on_group(queue: &Queue, order: &LetterOrder, action: LetterAction) -> Result<OutcomeDocument, Problem> {
    let filter = LetterFilter { class: order.class.clone(), error: order.error.clone(), until: order.until };
    let found = queue.dead_letter_jobs(&filter).await?;
    let (matched, dry_run, until) = (found.len(), order.dry_run, found.last().map(|(at, _)| *at));
    if dry_run {
        return Ok(OutcomeDocument { dry_run, matched, until, ..OutcomeDocument::default() });
    }
    let mut done = 0;
    for (_, id) in found.iter().take(LETTERS_PER_CALL_MAX) {
        done += usize::from(action.on(queue, id).await?.is_some());
    }
    let left = matched.saturating_sub(LETTERS_PER_CALL_MAX);
    Ok(OutcomeDocument { matched, done, left, until, ..OutcomeDocument::default() })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::json;

    use super::*;

    fn letter(second: i64, class: &str, error: &str) -> DeadLetter {
        DeadLetter {
            id: format!("job-{second}"),
            at: Timestamp::from_second(second).unwrap(),
            class: class.into(),
            error: error.into(),
            lane: "bulk".into(),
            tenant: "acme".into(),
            attempt: 3,
            failures: 3,
            crashes: 0,
            worker: "w".into(),
            build: "b".into(),
        }
    }

    #[test]
    fn groups_name_jobs_and_messages_to_operators_alone() {
        let letters: Vec<_> =
            (0..60).rev().map(|n| letter(n, "resource", if n < 40 { "memory" } else { "nan" })).collect();
        let shown = groups(letters.clone(), true);
        assert_eq!(shown.iter().map(|group| group.count).collect::<Vec<_>>(), [40, 20]);
        assert_eq!(shown[0].error.as_deref(), Some("memory"));
        assert_eq!((shown[0].oldest.as_second(), shown[0].newest.as_second()), (0, 39));
        let named = shown[0].letters.as_ref().unwrap();
        assert_eq!((named.len(), named[0].id.as_str()), (LETTERS_OF_GROUP_MAX, "job-39"));
        let shown = serde_json::to_string(&groups(letters, false)).unwrap();
        assert!(shown.contains("\"count\":60") && shown.contains("resource"), "{shown}");
        for hidden in ["acme", "job-", "memory", "nan"] {
            assert!(!shown.contains(hidden), "{hidden}: {shown}");
        }
    }

    #[test]
    fn an_order_names_one_letter_or_a_group() {
        for good in [json!({"id": "x"}), json!({"class": "resource", "error": "e", "dry_run": true})] {
            assert!(read(good).is_ok());
        }
        for bad in [
            json!({}),
            json!({"error": "e"}),
            json!({"id": "x", "class": "resource"}),
            json!({"class": "resource", "all": true}),
            json!({"class": "resource", "until": "soon"}),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
