//! Identity of a build: a hash of what decides the bits of speech, and of nothing else.
//!
//! A worker continues the codes of another worker only if both builds have one identity. So the
//! hash covers the kernels, the engine, the joining of sentences, the live watermark, and the
//! packages that compute with them. A log line, a metric, a Lua script or a limit of the gateway
//! leaves the identity as it is. Two builds that cut a text differently need no entry here, because
//! the plan of a job is part of the origin of its codes.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Files and folders that decide the bits, from the root of the workspace.
pub(crate) const SOURCES: [&str; 16] = [
    "shared/src/audio",
    "shared/src/audio.rs",
    "shared/src/prompt",
    "shared/src/prompt.rs",
    "shared/src/watermark.rs",
    "shared/src/watermark/embed.rs",
    "shared/src/watermark/watermark_key.rs",
    "worker/engine/src",
    "worker/kernels/src",
    "worker/src/marks.rs",
    "worker/src/marks/marked.rs",
    "worker/src/speak.rs",
    "worker/src/speak/context_window.rs",
    "worker/src/speak/join.rs",
    "worker/src/speak/sentence_stream.rs",
    "worker/src/speak/take_check.rs",
];

/// File of the exact versions of all packages.
pub(crate) const LOCK: &str = "Cargo.lock";

/// Packages that compute with samples, codes or weights. Their dependencies count too.
const PACKAGES: [&str; 10] = [
    "audioadapter-buffers",
    "candle-core",
    "candle-nn",
    "candle-transformers",
    "half",
    "realfft",
    "rubato",
    "safetensors",
    "symphonia",
    "opus",
];

/// Computes the identity of the sources below the root of the workspace. `facts` are the features and
/// the target of the build.
///
/// # Errors
/// A source cannot be read.
pub(crate) fn identity(root: &Path, facts: &[String]) -> io::Result<u32> {
    let mut hasher = DefaultHasher::new();
    for source in SOURCES {
        for file in files(&root.join(source))? {
            let text = String::from_utf8_lossy(&fs::read(&file)?).into_owned();
            file.strip_prefix(root).unwrap_or(&file).to_string_lossy().hash(&mut hasher);
            code_lines(&text).for_each(|line| line.hash(&mut hasher));
        }
    }
    packages(&fs::read_to_string(root.join(LOCK))?).hash(&mut hasher);
    facts.hash(&mut hasher);
    Ok(hasher.finish() as u32)
}

/// Returns the lines of a source that are code: without blank lines, comments, log events and
/// metrics. An event or a metric is a statement that begins a line and ends with `);`, as rustfmt
/// writes it.
fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut skips = false;
    text.lines().map(str::trim).filter(move |line| {
        let begins = line.starts_with("tracing::") || line.starts_with("metrics::");
        let skipped = skips || begins;
        skips = skipped && !line.ends_with(");");
        !skipped && !line.is_empty() && !line.starts_with("//")
    })
}

/// Returns a file, or all files below a folder in the order of their names, without tests.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if path.file_stem().is_some_and(|stem| stem == "tests") {
        return Ok(Vec::new());
    }
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    Ok(entries.iter().map(|entry| files(entry)).collect::<io::Result<Vec<_>>>()?.concat())
}

/// Returns the entries of the lock file that [`PACKAGES`] reach, in the order of their names.
fn packages(lock: &str) -> Vec<&str> {
    let mut entries: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entry in lock.split("[[package]]").skip(1) {
        entries.entry(quoted(entry, "name = ").unwrap_or_default()).or_default().push(entry.trim());
    }
    let (mut reached, mut next) = (BTreeSet::new(), PACKAGES.to_vec());
    while let Some(name) = next.pop() {
        if reached.insert(name) {
            next.extend(entries.get(name).into_iter().flatten().flat_map(|entry| dependencies(entry)));
        }
    }
    reached.iter().filter_map(|name| entries.get(name)).flatten().copied().collect()
}

/// Returns the names in the list of dependencies of one entry.
fn dependencies(entry: &str) -> impl Iterator<Item = &str> {
    let list = entry.split_once("dependencies = [").map_or("", |(_, list)| list);
    list.lines().filter_map(|line| quoted(line, "")).filter_map(|text| text.split(' ').next())
}

/// Returns the first text in quotes after a prefix.
fn quoted<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("{prefix}\""))?;
    rest.split_once('"').map(|(inside, _)| inside)
}
