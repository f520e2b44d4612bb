//! The tables of docs/queue.md and docs/security.md name tests that exist.

use crate::source_tree::{files, read};

/// Heads of the tables, by their last column.
const HEADS: [&str; 2] = ["| clause | the test that would fail |", "| promise | the test that would fail |"];

/// Returns the rows of all such tables of a page.
fn rows<'a>(page: &'a str, head: &str) -> Vec<&'a str> {
    let tables = page.split(head).skip(1);
    tables.flat_map(|table| table.lines().skip(2).take_while(|line| line.starts_with('|'))).collect()
}

#[test]
fn every_test_that_the_promise_names_exists() {
    let parts = ["shared", "gateway", "worker", "tests", "cli"];
    let code: String = parts.into_iter().flat_map(|part| files(part, "rs")).map(|file| read(&file)).collect();
    for (path, head, least) in [("docs/queue.md", HEADS[0], 8), ("docs/security.md", HEADS[1], 40)] {
        let page = read(path);
        let rows = rows(&page, head);
        assert!(rows.len() >= least, "{path} has {} rows", rows.len());
        for row in rows {
            let cell = row.rsplit('|').nth(1).unwrap();
            let names: Vec<_> = cell.split('`').skip(1).step_by(2).filter(|name| !name.starts_with("make ")).collect();
            assert!(!names.is_empty(), "{row}");
            for name in names {
                // A function, or a line of a macro that makes one.
                let there = code.contains(&format!("fn {name}(")) || code.contains(&format!(" {name}: \""));
                assert!(there, "{path} names {name}, and no test is called so");
            }
        }
    }
}
