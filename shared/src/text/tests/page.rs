//! The page on texts, `docs/text.md`, whose table of readings must be true.

use crate::text::normalise;

const PAGE: &str = include_str!("../../../../docs/text.md");

#[test]
fn the_page_tells_what_becomes_words() {
    let (_, rest) = PAGE.split_once("| written | said |\n|---|---|\n").expect("the table of readings");
    let rows: Vec<_> = rest.lines().take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 10, "{} rows", rows.len());
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [written, said] = cells[..] else { panic!("{row}") };
        assert_eq!(normalise(written), said, "{row}");
    }
}
