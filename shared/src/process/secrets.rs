//! Settings that are secrets: passed by a variable or by a file, and a warning if a flag shows them
//! to other users.
//!
//! A secret is an argument whose value `--help` hides ([`clap::Arg::hide_env_values`]). If its
//! variable is `NAME`, the variable `NAME_FILE` names a file that holds its value.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;

use clap::error::ErrorKind;
use clap::{Arg, Command, CommandFactory, Parser};

/// Longest file of a secret, in bytes.
const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;

/// Explanation at the end of `--help`.
const HELP: &str = "A variable NAME that holds a secret may be given as a file: NAME_FILE names it";

/// Parses the arguments and the environment of this process. Ends the process with status 2 if they
/// are wrong.
#[must_use]
pub fn parse<C: Parser>() -> C {
    let mut command = C::command().after_help(HELP);
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let arguments = with_files(&command, arguments, |name| std::env::var_os(name));
    let arguments = arguments.unwrap_or_else(|why| command.error(ErrorKind::ValueValidation, why).exit());
    let matches = command.clone().try_get_matches_from(arguments);
    let parsed = matches.and_then(|matches| C::from_arg_matches(&matches));
    parsed.unwrap_or_else(|error| error.format(&mut command).exit())
}

/// Logs a warning for each secret that was given as a flag, because other users see the arguments
/// of a process.
pub fn warn_of_visible<C: CommandFactory>() {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    for secret in visible(&C::command(), &arguments) {
        tracing::warn!("{}", secret.warning());
    }
}

/// Argument that holds a secret.
#[derive(Debug, PartialEq, Eq)]
struct Secret {
    flag: String,
    variable: String,
}

impl Secret {
    fn of(argument: &Arg) -> Option<Self> {
        let hidden = argument.is_hide_env_values_set();
        let (flag, variable) = (argument.get_long()?, argument.get_env()?.to_str()?);
        hidden.then(|| Self { flag: format!("--{flag}"), variable: variable.to_owned() })
    }

    fn file_variable(&self) -> String {
        format!("{}_FILE", self.variable)
    }

    fn warning(&self) -> String {
        format!(
            "{} shows a secret to all users of this machine, set {} or {}",
            self.flag,
            self.variable,
            self.file_variable()
        )
    }

    /// Returns the flag's value in the arguments, or `None` if the flag is not there.
    fn value<'a>(&self, arguments: &'a [OsString]) -> Option<&'a str> {
        let texts: Vec<_> = arguments.iter().map(|argument| argument.to_str().unwrap_or_default()).collect();
        let flags = texts.iter().take_while(|text| **text != "--").enumerate();
        flags.filter_map(|(place, text)| Some((place, text.strip_prefix(&self.flag)?))).find_map(|(place, rest)| {
            // Another rest belongs to a longer flag that begins like this one.
            let next = || texts.get(place + 1).copied().unwrap_or_default();
            rest.strip_prefix('=').or_else(|| rest.is_empty().then(next))
        })
    }
}

/// Returns the command that the arguments select, and the number of arguments up to its name.
fn selected<'a>(command: &'a Command, arguments: &[OsString]) -> (&'a Command, usize) {
    let (mut selected, mut names) = (command, 1);
    for argument in arguments.iter().skip(1) {
        let Some(inner) = argument.to_str().and_then(|name| selected.find_subcommand(name)) else { break };
        (selected, names) = (inner, names + 1);
    }
    (selected, names.min(arguments.len()))
}

fn secrets(command: &Command) -> impl Iterator<Item = Secret> {
    command.get_arguments().filter_map(Secret::of)
}

/// Returns true if a setting of the command has this variable.
fn is_setting(command: &Command, variable: &str) -> bool {
    command.get_arguments().any(|argument| argument.get_env().is_some_and(|name| name == variable))
}

/// Returns the secrets among the flags. A URL is one only if it holds a password.
fn visible(command: &Command, arguments: &[OsString]) -> Vec<Secret> {
    let (command, _) = selected(command, arguments);
    let is_secret = |value: &str| !value.is_empty() && (!value.contains("://") || value.contains('@'));
    secrets(command).filter(|secret| secret.value(arguments).is_some_and(is_secret)).collect()
}

/// Adds a flag for each secret that a file holds. The system shows the arguments as they were
/// before, so the value stays within this process.
fn with_files(
    command: &Command,
    mut arguments: Vec<OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<OsString>, String> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let (command, names) = selected(command, &arguments);
    for secret in secrets(command) {
        let name = secret.file_variable();
        // A setting that reads its file itself is left to it.
        let Some(file) = set(&name).filter(|_| !is_setting(command, &name)) else { continue };
        if secret.value(&arguments).is_some() {
            return Err(format!("{} and {name} are both given: choose one", secret.flag));
        }
        if set(&secret.variable).is_some() {
            return Err(format!("{} and {name} are both set: choose one", secret.variable));
        }
        let value = read(&file).map_err(|error| format!("{name}: {}: {error}", file.display()))?;
        arguments.insert(names, format!("{}={value}", secret.flag).into());
    }
    Ok(arguments)
}

/// Reads a secret without the line feed at its end.
fn read(file: &OsString) -> Result<String, String> {
    let mut text = String::new();
    let opened = File::open(file).and_then(|file| file.take(SECRET_FILE_BYTES_MAX + 1).read_to_string(&mut text));
    opened.map_err(|error| error.to_string())?;
    if text.len() as u64 > SECRET_FILE_BYTES_MAX {
        return Err(format!("more than {SECRET_FILE_BYTES_MAX} bytes"));
    }
    match text.trim_end_matches(['\n', '\r']) {
        "" => Err("the file is empty".to_owned()),
        value => Ok(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::path::Path;

    use clap::{Args, Subcommand};

    use super::*;

    #[derive(Args, Debug, PartialEq)]
    struct Settings {
        #[arg(long, env = "TEST_KEY", hide_env_values = true)]
        key: Option<String>,
        #[arg(long, env = "TEST_URL", hide_env_values = true)]
        url: Option<String>,
        #[arg(long)]
        key_prefix: Option<String>,
        text: Vec<String>,
    }

    #[derive(Subcommand, Debug, PartialEq)]
    enum Inner {
        Say(Settings),
    }

    #[derive(Parser, Debug)]
    struct TestCli {
        #[command(subcommand)]
        inner: Inner,
    }

    fn arguments(texts: &[&str]) -> Vec<OsString> {
        ["csm", "say"].iter().chain(texts).map(Into::into).collect()
    }

    fn with_key_file(file: &Path, texts: &[&str]) -> Result<Settings, String> {
        let variable = |name: &str| (name == "TEST_KEY_FILE").then(|| file.into());
        let arguments = with_files(&TestCli::command(), arguments(texts), variable)?;
        let Inner::Say(settings) = TestCli::try_parse_from(arguments).map_err(|error| error.to_string())?.inner;
        Ok(settings)
    }

    #[test]
    fn a_secret_is_read_from_the_file_that_its_variable_names() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "a passphrase = of some length\n").unwrap();
        let settings = with_key_file(&file, &["--", "--key"]).unwrap();
        assert_eq!(settings.key.as_deref(), Some("a passphrase = of some length"));
        assert_eq!((settings.url, settings.text), (None, vec!["--key".to_owned()]));

        let both = with_key_file(&file, &["--key=x"]).unwrap_err();
        assert_eq!(both, "--key and TEST_KEY_FILE are both given: choose one");
        std::fs::write(&file, "\n").unwrap();
        assert!(with_key_file(&file, &[]).unwrap_err().ends_with("key: the file is empty"));
        std::fs::write(&file, "x".repeat(70_000)).unwrap();
        assert!(with_key_file(&file, &[]).unwrap_err().ends_with("more than 65536 bytes"));
        let absent = with_key_file(&folder.path().join("none"), &[]).unwrap_err();
        assert!(absent.starts_with("TEST_KEY_FILE: ") && absent.contains("No such file"), "{absent}");
    }

    #[test]
    fn a_secret_in_the_arguments_is_noticed() {
        let seen = |texts: &[&str]| -> Vec<String> {
            let secrets = visible(&TestCli::command(), &arguments(texts));
            secrets.into_iter().map(|secret| secret.flag).collect()
        };
        assert_eq!(seen(&["--key", "hush", "--url", "redis://:pw@host/"]), ["--key", "--url"]);
        assert_eq!(seen(&["--key=hush"]), ["--key"]);
        assert_eq!(seen(&["--url=redis://host/", "--key-prefix", "csm", "--key", ""]), [""; 0]);
        assert_eq!(seen(&["--key-prefix=csm", "--key", "hush"]), ["--key"]);
        assert_eq!(seen(&["--", "--key", "words to say"]), [""; 0]);
    }
}
