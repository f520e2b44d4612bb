//! Rules for addresses of the network, paths, files, versions and names in code.

use super::codes::{figures, spelled_code};
use super::{Rule, RuleMatch};
use crate::text::numbers::{digits, number, whole};

/// Longest path and query of a link that is read, in bytes.
const MOST_PATH: usize = 60;
/// Most changes between letters and digits in a part of a path that is read; a part with more is a
/// key that tells nothing.
const MOST_CHANGES: usize = 3;

/// Ends of hosts. Endings that are words, such as `it` and `me`, count only in links.
const DOMAINS: &str = "com org net edu gov mil int info biz io dev ai app co tv eu uk de fr es nl ru cn jp kr br au \
    ca ch se dk fi pl cz hu ro gr pt ie il tr ua nz mx ar cl za ng ke sg hk tw th vn pk ir ae lu lt lv ee sk si hr \
    bg ly gg fm cc tech xyz";
/// Ends of hosts that are words. They count behind a word that leads to an address.
const WORD_DOMAINS: &str =
    "us me it is in be to at no so my am as agency blog cloud museum online page shop store wiki";
/// Ends of hosts of a local network, which are words too. Such a host has a digit or several parts.
const LOCAL_DOMAINS: &str = "internal lan local localdomain test example intranet corp home";
/// Ends of the names of files.
const FILES: &str = "txt md rst pdf doc docx xls xlsx ppt pptx odt csv tsv json jsonl xml yaml yml toml ini cfg conf \
    config log lock env html htm css scss js jsx mjs ts tsx vue py ipynb rb rs go java kt swift c h cpp cc hpp cs \
    php pl lua sql sh bash zsh bat ps1 exe dll dmg iso deb rpm apk zip tar gz tgz bz2 xz 7z rar jpg jpeg png gif \
    svg bmp webp tiff ico psd mp3 mp4 wav flac ogg opus aac mkv avi mov webm ttf otf woff woff2 pem key crt db \
    sqlite bak tmp parquet onnx safetensors srt epub net";
/// Files and endings whose name begins with a dot.
const DOTTED: &str = "bashrc zshrc profile bash_profile vimrc gitignore gitattributes gitconfig dockerignore \
    editorconfig env npmrc htaccess ssh config local cache github vscode NET";

/// Pattern of the path and the query behind a host; a mark that ends the sentence is no part of it.
macro_rules! tail {
    () => {
        r"((?:/(?:[\w\-.~:/?#@!$&*+;=%,]*[\w/=~+])?|[?#][\w\-.~:/?#@!$&*+;=%,]*[\w/=~+])?)"
    };
}

/// Rules for addresses, paths and files. Each word that they make is without signs.
pub(super) const RULES: &[Rule] = &[
    (
        concat!(r"\b(?:([a-zA-Z][a-zA-Z0-9+]{1,9})://(?:www\.)?|www\.)([A-Za-z0-9_.\[\]:@-]*[A-Za-z0-9\]])", tail!()),
        link,
    ),
    (r"\bfile:///[\w./~%-]*\w", |found| Some(spelled(found.get(0)))),
    (
        r"(?x)\b(?:mailto:)?([A-Za-z0-9._%+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}
        (?::[A-Za-z0-9_-]+/[A-Za-z0-9_./-]*[A-Za-z0-9])?)\b",
        |found| Some(spelled(found.get(1))),
    ),
    (
        concat!(r"\b((?:[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?\.)+([A-Za-z]{2,8})(?::[0-9]{2,5})?)\b", tail!()),
        bare_host,
    ),
    (r"\blocalhost:([0-9]{2,5})\b((?:/(?:[\w\-.~:/?#&=%]*[\w/=])?)?)", |found| {
        Some(format!("localhost colon {}{}", figures(found.get(1)), path(found.get(2))))
    }),
    // Paths and files.
    (r"\b[A-Za-z]:\\(?:Program Files(?: \(x86\))?)?[^\s<>|?*,;()\x22']*", |found| Some(spelled_to_end(found.get(0)))),
    (r"\\\\[A-Za-z0-9._-]+(?:\\[A-Za-z0-9._$-]+)+", |found| Some(spelled(found.get(0)))),
    (r"(?:~|\.{1,2})?/(?:[A-Za-z0-9_.@+~-]+/?)*", unix_path),
    (r"\b[A-Za-z0-9_.-]+/[A-Za-z0-9_./-]*[A-Za-z0-9_]\b", relative_path),
    (r"\b[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_-])?\.([A-Za-z][A-Za-z0-9]{0,10})\b", file),
    (r"\.([A-Za-z][A-Za-z0-9_]{0,12})\b", dotted),
    // Versions and numbers of machines.
    (r"\b[vV]([0-9]+(?:\.[0-9]+)+)(?:-([a-z]+)[.-]?([0-9]*))?\b", |found| {
        let parts: Vec<_> = found.get(1).split('.').map(whole).collect();
        let stage = format!(" {} {}", found.get(2), whole_or_nothing(found.get(3)));
        Some(format!("version {} {}", parts.join(" point "), stage.trim()).trim_end().to_owned())
    }),
    (r"\b([0-9]+(?:\.[0-9]+)+)-(alpha|beta|rc|dev|pre|preview|nightly|snapshot|SNAPSHOT)[.-]?([0-9]*)\b", |found| {
        let parts: Vec<_> = found.get(1).split('.').map(whole).collect();
        let stage = format!("{} {}", found.get(2), whole_or_nothing(found.get(3)));
        (!found.before().is_some_and(|before| ".-$".contains(before)))
            .then(|| format!("{} {}", parts.join(" point "), stage.trim()))
    }),
    (r"\b([0-9]{1,3}(?:\.[0-9]{1,3}){3})((?::[0-9]{1,5})?(?:/[0-9]{1,2})?)\b", machine),
    (r"(?i)(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{1,4}\b", long_machine),
    // Names of people and subjects.
    (r"@([A-Za-z_](?:[A-Za-z0-9_./-]*[A-Za-z0-9_])?)", |found| {
        let apart = !found.before().is_some_and(|before| before.is_alphanumeric() || before == '@');
        apart.then(|| format!("at {}", spelled(found.get(1))))
    }),
    (r"#([0-9A-Fa-f]{6})\b", |found| {
        let colour = found.get(1).bytes().any(|byte| byte.is_ascii_digit())
            && found.get(1).bytes().any(|byte| byte.is_ascii_alphabetic());
        (colour && !found.before().is_some_and(char::is_alphanumeric))
            .then(|| format!("hash {}", spelled_code(found.get(1))))
    }),
    (r"#([A-Za-z][A-Za-z0-9_]*|[0-9]+[A-Za-z]{3,}[A-Za-z0-9_]*)", hashtag),
    // Calls in code, and pointers.
    (r"\b([A-Za-z_][A-Za-z0-9_]*)\.([A-Za-z_][A-Za-z0-9_]*)\(", |found| {
        Some(format!("{} dot {}(", found.get(1), found.get(2)))
    }),
    (
        r"(?x)\b([Ii]mport|module|package|class|function|method|namespace|attribute)
        \ ([a-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)+)\b",
        |found| Some(format!("{} {}", found.get(1), found.get(2).replace('.', " dot "))),
    ),
    (r"\(\)", |found| found.before().is_some_and(char::is_alphanumeric).then(String::new)),
    (r"\b[A-Za-z_][A-Za-z0-9_]*(?:::[A-Za-z_][A-Za-z0-9_]*)+", |found| {
        Some(found.get(0).replace("::", " colon colon "))
    }),
    // Options of a command.
    (r"(^| )(--?)([a-z][a-z0-9]*(?:-[a-z0-9]+)*)\b", option),
];

fn listed(table: &str, name: &str) -> bool {
    table.split_whitespace().any(|listed| listed == name)
}

/// Spells an address: `name@example.com` as `name at example dot com`.
pub(super) fn spelled(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let kind = |other: char| match first {
            first if first.is_ascii_digit() => other.is_ascii_digit(),
            first if first.is_alphabetic() => other.is_alphabetic(),
            _ => false,
        };
        let run = rest.find(|other| !kind(other)).unwrap_or(rest.len()).max(first.len_utf8());
        let (word, tail) = rest.split_at(run);
        rest = tail;
        match sign(first) {
            _ if first.is_ascii_digit() => words.push(figures(word)),
            _ if first.is_alphabetic() => words.push(word.to_owned()),
            Some(name) => words.push(name.to_owned()),
            None => {}
        }
    }
    words.join(" ")
}

/// Spells a path, without a period that ends the sentence.
fn spelled_to_end(text: &str) -> String {
    let bare = text.trim_end_matches(['.', ',', ':', '!']);
    format!("{}{}", spelled(bare), &text[bare.len()..])
}

const fn sign(sign: char) -> Option<&'static str> {
    Some(match sign {
        '.' => "dot",
        '@' => "at",
        '_' => "underscore",
        '-' => "dash",
        '/' => "slash",
        '\\' => "backslash",
        ':' => "colon",
        '~' => "tilde",
        '?' => "question mark",
        '=' => "equals",
        '&' => "and",
        '#' => "hash",
        '%' => "percent",
        '+' => "plus",
        '*' => "star",
        ',' => "comma",
        ';' => "semicolon",
        '!' => "exclamation mark",
        '$' => "dollar",
        _ => return None,
    })
}

/// Reads the path and the query behind a host, up to a part that is a key or makes them long.
fn path(text: &str) -> String {
    let text = text.strip_suffix('/').unwrap_or(text);
    let key = |part: &str| {
        let changes = |pair: &&[u8]| {
            pair.iter().all(u8::is_ascii_alphanumeric) && pair[0].is_ascii_digit() != pair[1].is_ascii_digit()
        };
        part.as_bytes().windows(2).filter(changes).count() > MOST_CHANGES
    };
    let ends = text.match_indices(['/', '?', '#']).map(|(at, _)| at).chain([text.len()]);
    let read = |end: usize| end <= MOST_PATH && !text[..end].split(['/', '?', '=', '&', '#']).any(key);
    let text = &text[..ends.take_while(|&end| read(end)).last().unwrap_or_default()];
    if text.is_empty() {
        return String::new();
    }
    let year = |part: &str| part.len() == 4 && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<_> = text.split('/').map(|part| if year(part) { number(part) } else { spelled(part) }).collect();
    format!(" {}", parts.join(" slash ").trim())
}

/// Reads a link. The protocol of pages is not spoken.
fn link(found: &RuleMatch<'_>) -> Option<String> {
    let protocol = match found.get(1).to_lowercase().as_str() {
        "" | "http" | "https" => String::new(),
        other => format!("{other} colon slash slash "),
    };
    Some(format!("{protocol}{}{}", spelled(found.get(2)), path(found.get(3))))
}

/// Reads a host without a protocol. `end.Then` is none.
fn bare_host(found: &RuleMatch<'_>) -> Option<String> {
    let (end, name) = (found.get(2), found.get(1));
    let lower = end.to_lowercase();
    let labels = name.split(&format!(".{end}")).next().unwrap_or_default();
    let joined = found.before().is_some_and(|before| "@/\\_.-".contains(before)) || found.after() == Some('@');
    let lettered = labels.bytes().any(|byte| byte.is_ascii_alphabetic());
    let initials = labels.split('.').all(|part| part.len() < 2) && end.len() < 3 && end != "co";
    if joined || !lettered || initials || (end != lower && end != end.to_uppercase()) {
        return None;
    }
    let led = ["on", "at", "visit", "via", "see", "from", "to", "try", "go"]
        .contains(&found.word_before().to_lowercase().as_str());
    let several = labels.bytes().any(|byte| b".-0123456789".contains(&byte));
    let known = listed(DOMAINS, &lower)
        || (listed(WORD_DOMAINS, end) && (found.get(3).len() > 1 || (led && labels.len() > 3) || several))
        || (listed(LOCAL_DOMAINS, end) && several)
        || (found.get(3).len() > 1 && end.len() <= 4);
    known.then(|| format!("{}{}", spelled(name), path(found.get(3))))
}

/// Reads a path from the root, from home or from a folder. `/word/` is a stress, unless it is a
/// folder of every system.
fn unix_path(found: &RuleMatch<'_>) -> Option<String> {
    const FOLDERS: &str = "bin boot dev etc home lib lib64 media mnt opt proc root run sbin srv sys tmp usr var";
    let path = found.get(0);
    let free = found.before().is_none_or(|before| before.is_whitespace() || "\"'([=:,`".contains(before));
    let (prefix, name) = path.split_once('/')?;
    let first = name.split('/').next().unwrap_or_default();
    let named = first.trim_start_matches(['.', '_']).starts_with(|letter: char| letter.is_ascii_alphabetic());
    let stress = prefix.is_empty() && name.strip_suffix('/') == Some(first) && !listed(FOLDERS, first);
    let whole = !found.after().is_some_and(char::is_alphanumeric);
    (free && whole && (named || (name.is_empty() && prefix == "~")) && !stress).then(|| spelled_to_end(path))
}

/// Reads a path such as `src/main.rs`, which names a file. `and/or` and `3/4` name none.
fn relative_path(found: &RuleMatch<'_>) -> Option<String> {
    let path = found.get(0);
    let last = path.rsplit('/').next().unwrap_or_default();
    let (name, end) = last.rsplit_once('.')?;
    let file = listed(FILES, end) || listed(DOMAINS, end) || (name.is_empty() && listed(DOTTED, end));
    let free = !found.before().is_some_and(|before| "/@.\\:".contains(before));
    (file && free).then(|| spelled(path))
}

fn file(found: &RuleMatch<'_>) -> Option<String> {
    let end = found.get(1);
    let lower = end.to_lowercase();
    let alike = end == lower || end == end.to_uppercase();
    let name = found.get(0);
    // `m.p.h.` has initials.
    let stem = &name[..name.len() - end.len() - 1];
    let named = end.len() > 1 && (stem.len() > 1 || end.len() > 2) || stem.len() > 1 && !stem.contains('.');
    let library = lower == "so" && stem.starts_with("lib");
    let joined = found.before().is_some_and(|before| "@/\\.-".contains(before)) || found.after() == Some('@');
    let word = end.len() < 3 && stem.bytes().all(|byte| byte.is_ascii_digit());
    ((listed(FILES, &lower) || library) && alike && named && !joined && !word).then(|| spelled(name))
}

/// Reads a name that begins with a dot: `.NET`, `.gitignore`, `.pdf`.
fn dotted(found: &RuleMatch<'_>) -> Option<String> {
    let name = found.get(1);
    let free = found.before().is_none_or(|before| before.is_whitespace() || "\"'(/".contains(before));
    let known = listed(DOTTED, name) || listed(FILES, name) && name.len() > 1 && name != "go" && name != "so";
    (free && known).then(|| format!("dot {}", spelled(name)))
}

/// Reads the number of a machine in a network, digit by digit. Behind `version` it is none.
fn machine(found: &RuleMatch<'_>) -> Option<String> {
    let bytes = found.get(1).split('.').all(|part| part.parse::<u16>().is_ok_and(|value| value < 256));
    let version = found.word_before().to_lowercase().starts_with("ver");
    let part = found.before().is_some_and(|before| ".,/-$€£".contains(before))
        || found.rest.starts_with(".") && found.rest[1..].starts_with(|digit: char| digit.is_ascii_digit());
    if !bytes || version || part {
        return None;
    }
    let parts: Vec<_> = found.get(1).split('.').map(digits).collect();
    let tail = spelled(found.get(2));
    Some(format!("{}{}{tail}", parts.join(" dot "), if tail.is_empty() { "" } else { " " }))
}

/// Reads the long number of a machine, `fe80::1` or `00:1a:2b:3c:4d:5e`, sign by sign. Times have
/// fewer colons.
fn long_machine(found: &RuleMatch<'_>) -> Option<String> {
    let text = found.get(0);
    let free = !found.before().is_some_and(|before| before.is_alphanumeric() || before == ':');
    let sure =
        text.matches(':').count() >= 5 || (text.contains("::") && text.bytes().any(|byte| byte.is_ascii_digit()));
    let words: Vec<_> = text
        .chars()
        .map(|sign| if sign.is_ascii_digit() { digits(&sign.to_string()) } else { spelled(&sign.to_string()) })
        .collect();
    (free && sure).then(|| words.join(" "))
}

/// Reads a subject, and parts its words: `#ThrowbackThursday`.
fn hashtag(found: &RuleMatch<'_>) -> Option<String> {
    let name = found.get(1);
    let attached = found.before().is_some_and(|before| before.is_alphanumeric() || "&#/".contains(before));
    let code = found.rest.starts_with('-') && found.rest[1..].starts_with(|next: char| next.is_ascii_alphanumeric());
    if attached || code {
        return None;
    }
    let mut words = String::new();
    let mut before = ' ';
    for letter in name.chars() {
        if before.is_lowercase() && letter.is_uppercase() {
            words.push('_');
        }
        words.push(letter);
        before = letter;
    }
    let words: Vec<_> = words.split('_').filter(|word| !word.is_empty()).map(spelled).collect();
    let mark = if ["include", "define", "undef", "if", "ifdef", "ifndef", "else", "elif", "endif", "error", "pragma"]
        .contains(&name)
    {
        "hash"
    } else {
        "hashtag"
    };
    Some(format!("{mark} {}", words.join(" ")))
}

/// Reads an option of a command behind a word that tells of one.
fn option(found: &RuleMatch<'_>) -> Option<String> {
    const BEFORE: &str = "the a use with add pass flag option switch set run using";
    const AFTER: [&str; 4] = ["flag", "option", "switch", "argument"];
    let word = found.word_before();
    let told = (listed(BEFORE, word) && found.get(2) == "--") || AFTER.contains(&found.word_after());
    let hyphens = "dash ".repeat(found.get(2).len());
    told.then(|| format!("{}{hyphens}{}", found.get(1), spelled(found.get(3))))
}

fn whole_or_nothing(digits: &str) -> String {
    if digits.is_empty() { String::new() } else { whole(digits) }
}
