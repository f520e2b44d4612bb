//! Documents of files and of pages, in OpenAI's shape.

use csm_queue::batches::{FileRecord, PAGE_MAX};
use csm_shared::job::Invalid;
use csm_shared::job::limits::Limit;
use serde::Deserialize;
use serde_json::{Value, json};

/// Records of a page.
const PAGE: Limit = Limit { min: 1, max: PAGE_MAX as u64, unit: "records", status: 422 };
/// Records of a page that names no number.
const PAGE_DEFAULT: u64 = 20;

/// Query of a list.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct PageQuery {
    /// Id behind which the page begins.
    pub(crate) after: Option<String>,
    limit: Option<String>,
    /// Purpose of the files that are wanted.
    pub(crate) purpose: Option<String>,
}

impl PageQuery {
    /// Returns the records of the page. More than are given at a time count as that many.
    pub(crate) fn limit(&self) -> Result<usize, Invalid> {
        let Some(text) = &self.limit else { return Ok(PAGE_DEFAULT as usize) };
        let number = text.parse::<u64>().ok().filter(|&number| number >= PAGE.min);
        let number = number.ok_or_else(|| Invalid::outside("limit", text, &PAGE))?;
        Ok(number.min(PAGE.max) as usize)
    }
}

/// Returns the document of a file.
pub(super) fn document(file: &FileRecord) -> Value {
    json!({
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": file.created_at,
        "expires_at": file.expires_at,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": null,
    })
}

/// Returns the document of a page.
pub(crate) fn list(data: &[Value], has_more: bool) -> Value {
    let id = |document: Option<&Value>| document.map_or(Value::Null, |document| document["id"].clone());
    json!({
        "object": "list",
        "first_id": id(data.first()),
        "last_id": id(data.last()),
        "has_more": has_more,
        "data": data,
    })
}
