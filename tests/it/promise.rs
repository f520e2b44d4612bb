//! The table of docs/queue.md names tests that exist.

use crate::source_tree::{files, read};

#[test]
fn every_test_that_the_promise_names_exists() {
    let page = read("docs/queue.md");
    let table = page.split_once("| clause | the test that would fail |").unwrap().1;
    let rows: Vec<_> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() >= 8, "the table has its rows");
    let parts = ["shared", "gateway", "worker", "tests", "cli"];
    let code: String = parts.into_iter().flat_map(|part| files(part, "rs")).map(|file| read(&file)).collect();
    for row in rows {
        let cell = row.rsplit('|').nth(1).unwrap();
        let names: Vec<_> = cell.split('`').skip(1).step_by(2).filter(|name| !name.starts_with("make ")).collect();
        assert!(!names.is_empty(), "{row}");
        for name in names {
            // A function, or a line of a macro that makes one.
            let there = code.contains(&format!("fn {name}(")) || code.contains(&format!(" {name}: \""));
            assert!(there, "docs/queue.md names {name}, and no test is called so");
        }
    }
}
