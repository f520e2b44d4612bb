//! Random interleavings of every script by several workers, operators and housekeepers, against the
//! model.

use super::history::search;

/// Histories of an ordinary run; `PROPTEST_CASES` asks for more.
const CASES: u32 = 64;

#[test]
fn every_history_goes_as_the_model_says() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    if let Some(found) = search(cases, 2_000, false, None) {
        panic!("{}", found.what);
    }
}
