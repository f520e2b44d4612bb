//! The table of docs/queue.md names tests that exist.

use std::fs;
use std::path::Path;

/// Appends every Rust source under a folder to `text`.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_test_that_the_promise_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(root.join("docs/queue.md")).unwrap();
    let table = page.split_once("| clause | the test that would fail |").unwrap().1;
    let rows: Vec<_> = table.lines().skip(2).take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() >= 8, "the table has its rows");
    let mut code = String::new();
    for part in ["shared", "gateway", "worker", "tests", "cli"] {
        sources(&root.join(part), &mut code);
    }
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
