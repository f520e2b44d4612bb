//! Imports run one way, between crates and between the top modules of each crate, as
//! ARCHITECTURE.md lists them.

use std::collections::{BTreeMap, BTreeSet};

use crate::source_tree::{files, read};

/// Imports: for each importer, the imported.
type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Folders of the crates, from the root of the workspace.
const CRATES: [&str; 17] = [
    "shared",
    "shared/formats",
    "shared/queue",
    "gateway",
    "worker",
    "worker/kernels",
    "worker/engine",
    "worker/silentcipher",
    "cli",
    "cli/tiny",
    "bench/report",
    "bench/engine",
    "bench/queue",
    "bench/gateway",
    "bench/attack",
    "tests",
    "tests/testing",
];

/// The name of the crate in a folder.
fn crate_name(folder: &str) -> String {
    let manifest = read(&format!("{folder}/Cargo.toml"));
    let name = manifest.lines().find_map(|line| line.strip_prefix("name = \"")).unwrap();
    name.trim_end_matches('"').to_owned()
}

/// The crates of the workspace that a crate needs, outside of its tests.
fn needs(folder: &str) -> BTreeSet<String> {
    let manifest = read(&format!("{folder}/Cargo.toml"));
    let tables = manifest.split("\n[").filter(|table| table.starts_with("dependencies]"));
    let names = tables.flat_map(str::lines).filter_map(|line| line.split(['.', ' ', '=']).next());
    names.filter(|name| name.starts_with("csm-")).map(str::to_owned).collect()
}

/// The source files of a crate, without tests.
fn sources(src: &str) -> Vec<String> {
    let is_test = |path: &str| path[src.len()..].split('/').any(|part| part.trim_end_matches(".rs") == "tests");
    files(src, "rs").into_iter().filter(|path| !is_test(path)).collect()
}

/// Code of a file without comments and without the tests at its end.
fn code(path: &str) -> String {
    let text = read(path);
    let before_tests = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
    before_tests.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Imports between the top modules of a crate, by paths that begin with `crate::`.
fn module_arrows(folder: &str) -> Arrows {
    let src = format!("{folder}/src/");
    let (sources, mut arrows) = (sources(&src), Arrows::new());
    let top = |file: &str| file[src.len()..].split('/').next().unwrap().trim_end_matches(".rs").to_owned();
    let modules: BTreeSet<_> = sources.iter().map(|file| top(file)).collect();
    for file in &sources {
        let from = top(file);
        if ["lib", "main", "bin"].contains(&from.as_str()) {
            continue;
        }
        for path in code(file).split("crate::").skip(1) {
            let to: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if to != from && modules.contains(&to) {
                arrows.entry(from.clone()).or_default().insert(to);
            }
        }
    }
    arrows
}

/// A circle in the arrows, if there is one: the names along it.
fn circle(arrows: &Arrows) -> Option<Vec<String>> {
    fn visit(at: &str, arrows: &Arrows, path: &mut Vec<String>, done: &mut BTreeSet<String>) -> Option<Vec<String>> {
        if let Some(start) = path.iter().position(|name| name == at) {
            return Some(path[start..].to_vec());
        }
        if !done.insert(at.to_owned()) {
            return None;
        }
        path.push(at.to_owned());
        let found = arrows.get(at).into_iter().flatten().find_map(|next| visit(next, arrows, path, done));
        path.pop();
        found
    }
    let mut done = BTreeSet::new();
    arrows.keys().find_map(|name| visit(name, arrows, &mut Vec::new(), &mut done))
}

/// The lists of ARCHITECTURE.md by name. A list is `name: from -> to, to; from -> to`, wrapped with
/// indented lines.
fn listed() -> BTreeMap<String, Arrows> {
    let page = read("ARCHITECTURE.md");
    let block = page.split("```arrows\n").nth(1).expect("a block of arrows").split("```").next().unwrap();
    let lists = block.trim().replace("\n  ", " ");
    let list = |line: &str| {
        let (name, arrows) = line.split_once(": ").unwrap_or_else(|| panic!("no list: {line}"));
        let arrow = |arrow: &str| {
            let (from, to) = arrow.split_once(" -> ").unwrap_or_else(|| panic!("no arrow: {arrow}"));
            (from.to_owned(), to.split(", ").map(str::to_owned).collect())
        };
        (name.to_owned(), arrows.split("; ").map(arrow).collect())
    };
    lists.lines().map(list).collect()
}

/// The lists as ARCHITECTURE.md writes them, unwrapped.
fn written(lists: &BTreeMap<String, Arrows>) -> String {
    let arrow = |(from, to): (&String, &BTreeSet<String>)| {
        format!("{from} -> {}", to.iter().cloned().collect::<Vec<_>>().join(", "))
    };
    let list = |(name, arrows): (&String, &Arrows)| {
        let arrows: Vec<_> = arrows.iter().filter(|(_, to)| !to.is_empty()).map(arrow).collect();
        format!("{name}: {}\n", arrows.join("; "))
    };
    lists.iter().map(list).collect()
}

#[test]
fn crates_and_modules_import_as_architecture_lists() {
    let lists = listed();
    let mut found: BTreeMap<String, Arrows> = CRATES.iter().map(|f| (crate_name(f), module_arrows(f))).collect();
    found.retain(|_, arrows| !arrows.is_empty());
    found.insert("crates".to_owned(), CRATES.iter().map(|folder| (crate_name(folder), needs(folder))).collect());
    assert_eq!(written(&found), written(&lists), "left: the code; right: ARCHITECTURE.md");
}

#[test]
fn no_imports_run_in_a_circle() {
    assert_eq!(circle(&CRATES.iter().map(|folder| (crate_name(folder), needs(folder))).collect()), None);
    for folder in CRATES {
        assert_eq!(circle(&module_arrows(folder)), None, "{folder}");
    }
    let planted = [("a", "b"), ("b", "c"), ("c", "a")].map(|(from, to)| (from.to_owned(), [to.to_owned()].into()));
    assert_eq!(circle(&planted.into()).map(|names| names.len()), Some(3));
}
