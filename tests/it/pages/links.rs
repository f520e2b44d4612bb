//! Links between pages.

use std::path::Path;

use super::markdown::{anchors, prose};
use crate::source_tree::{read, root};

/// Returns the links of a page that lead nowhere, each with its line. Links to other sites are not
/// followed.
pub(super) fn broken(path: &str, page: &str) -> Vec<String> {
    let mut broken = Vec::new();
    for line in prose(page) {
        for link in targets(line.text).filter(|link| !link.contains("://")) {
            if let Err(why) = check(path, page, link) {
                broken.push(format!("{path}:{}: the link {link} leads nowhere: {why}", line.number));
            }
        }
    }
    broken
}

/// Returns the targets of the links in a line.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

fn check(path: &str, page: &str, link: &str) -> Result<(), String> {
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
    let target = Path::new(path).parent().unwrap_or(Path::new("")).join(file);
    let target = target.to_string_lossy();
    if !root().join(&*target).exists() {
        return Err(format!("there is no {target}"));
    }
    let Some(anchor) = anchor else { return Ok(()) };
    let known = if file.is_empty() { anchors(page) } else { anchors(&read(&target)) };
    if known.iter().any(|known| known == anchor) { Ok(()) } else { Err(format!("there is no heading #{anchor}")) }
}
