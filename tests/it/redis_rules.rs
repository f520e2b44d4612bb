//! The rules of Redis' users in `k8s/components/redis-secure`: they permit each command of the
//! sources, and docs/redis.md gives the reason of each.

use std::collections::{BTreeMap, BTreeSet};

use crate::source_tree::{files, read};

const RULES: &str = "k8s/components/redis-secure/users.acl";
const USERS: [&str; 3] = ["gateway", "worker", "operator"];
/// Head of the table of docs/redis.md.
const HEAD: &str = "| commands | users | reason |";
/// Commands of the sources that a single server gets from nobody: docs/redis.md names them for
/// clusters.
const OF_CLUSTERS: [&str; 2] = ["asking", "cluster"];
/// Commands with subcommands, which rules name one by one.
const CONTAINERS: [&str; 6] = ["client", "cluster", "command", "config", "xgroup", "xinfo"];

/// Returns the commands that the rules permit to each user.
fn permitted() -> BTreeMap<String, BTreeSet<String>> {
    let rules = read(RULES);
    let mut found = BTreeMap::<String, BTreeSet<String>>::new();
    let mut user = String::new();
    for line in rules.lines().filter(|line| !line.trim_start().starts_with("# ")) {
        let words: Vec<_> = line.split_whitespace().collect();
        if let ["user", name, ..] = words.as_slice() {
            user = name.trim_start_matches("csm-").to_owned();
        }
        let commands = words.iter().filter_map(|word| word.strip_prefix('+')).map(str::to_owned);
        found.entry(user.clone()).or_default().extend(commands);
    }
    found.retain(|user, _| USERS.contains(&user.as_str()));
    found
}

/// Returns the commands in a source: of Lua's `redis.call('NAME'` and `{ 'NAME'`, and of Rust's
/// `cmd("NAME")`.
fn commands_in(source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (before, quote) in [("call('", '\''), ("{ '", '\''), ("cmd(\"", '"')] {
        for rest in source.split(before).skip(1) {
            let Some((name, rest)) = rest.split_once(quote) else { continue };
            if name.len() < 3 || !name.bytes().all(|byte| byte.is_ascii_uppercase()) {
                continue;
            }
            let name = name.to_lowercase();
            let sub = rest.strip_prefix(", '").and_then(|rest| rest.split_once('\''));
            match sub.filter(|_| CONTAINERS.contains(&name.as_str())) {
                Some((sub, _)) => found.insert(format!("{name}|{}", sub.to_lowercase())),
                None => found.insert(name),
            };
        }
    }
    found
}

#[test]
fn the_rules_of_redis_permit_each_command_of_the_sources() {
    let permitted: BTreeSet<_> = permitted().into_values().flatten().collect();
    let has = |name: &str| permitted.iter().any(|rule| rule == name || rule.split('|').next() == Some(name));
    let is_test = |file: &str| file.contains("/tests") || file.contains("/local_redis");
    let sources = ["lua", "rs"].into_iter().flat_map(|kind| files("shared/queue/src", kind));
    let used: BTreeSet<_> = sources.filter(|file| !is_test(file)).flat_map(|file| commands_in(&read(&file))).collect();
    assert!(used.len() > 50, "{used:?}");
    for name in used.iter().filter(|name| !OF_CLUSTERS.contains(&name.as_str())) {
        assert!(has(name), "{RULES} permits {name} to nobody");
    }
}

/// Redis replays its append-only file as this user, and drops what the user may not do.
#[test]
fn nobody_is_the_default_user_which_keeps_all_rights() {
    assert!(read(RULES).contains("\nuser default off ~* &* +@all\n"));
}

#[test]
fn the_page_gives_the_reason_of_each_permitted_command() {
    let page = read("docs/redis.md");
    let (_, table) = page.split_once(HEAD).unwrap();
    let mut explained = BTreeMap::<String, BTreeSet<String>>::new();
    for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let ["", commands, users, reason, ""] = cells.as_slice() else { panic!("{row}") };
        assert!(!reason.is_empty(), "{row}");
        for user in users.split(", ") {
            let names = commands.split('`').skip(1).step_by(2).map(|name| name.replace(' ', "|"));
            let known = explained.entry(user.to_owned()).or_default();
            for name in names {
                assert!(known.insert(name.clone()), "{name} is explained twice to the {user}");
            }
        }
    }
    assert_eq!(explained, permitted());
}
