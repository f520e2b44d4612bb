//! Standard output and standard error that are closed, full, or shared with the audio; secrets among
//! the arguments.

use std::fs::{self, File};
use std::io::{Read as _, Write as _, pipe};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use csm_shared::audio::format_chunk;

use crate::fleet::Dev;
use crate::{assert_status, csm, run, stderr, stdout};

/// Returns the writing end of a pipe whose reader has gone.
fn closed() -> Stdio {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_reader_that_has_gone_makes_no_command_panic() {
    let folder = tempfile::tempdir().unwrap();
    let doctor = || {
        let mut command = csm(folder.path());
        command.args(["doctor", "--json", "--model", "noise", "--listen", "127.0.0.1:0"]);
        command
    };
    let status = run(&mut doctor()).status.code();
    let (mut all, writer) = pipe().unwrap();
    let mut child = doctor().stdout(closed()).stderr(writer).spawn().unwrap();
    let mut told = String::new();
    all.read_to_string(&mut told).unwrap();
    assert_eq!((child.wait().unwrap().code(), told.as_str()), (status, ""), "as with a reader");

    let mut nothing = csm(folder.path());
    let refused = nothing.args(["say", "Hello.", "-o", "a.wav", "--url", "http://127.0.0.1:9"]).stderr(closed());
    assert_eq!(refused.stdout(closed()).status().unwrap().code(), Some(1), "no reader of the error");
}

#[test]
fn a_result_that_cannot_be_written_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = csm(folder.path()).args(["model", "make-noise", "noise"]).stdout(full).output().unwrap();
    assert_status(&output, 1);
    assert!(stderr(&output).starts_with("error: cannot write standard output: No space left"), "{}", stderr(&output));
}

#[test]
fn say_writes_through_what_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start_with(folder.path(), Stdio::inherit());
    let say = |place: &str| {
        let mut command = csm(folder.path());
        command.args(["say", "Hello.", "--max-audio-length-ms", "400", "--url", &dev.url, "-o", place]);
        command
    };
    for place in ["-", "/dev/stdout"] {
        let output = run(&mut say(place));
        assert_status(&output, 0);
        assert_eq!(output.stdout[12..36], format_chunk(), "{place}: the audio alone");
        assert!(stderr(&output).contains("sha256"), "the receipt: {}", stderr(&output));
    }
    assert!(fs::symlink_metadata("/dev/stdout").unwrap().is_symlink());

    let (link, target) = (folder.path().join("link.wav"), folder.path().join("target.wav"));
    std::os::unix::fs::symlink(&target, &link).unwrap();
    assert_status(&run(&mut say("link.wav")), 0);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(&target).unwrap()[12..36], format_chunk());

    let pipe = folder.path().join("pipe.wav");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = std::thread::spawn(move || fs::read(pipe).unwrap());
    assert_status(&run(&mut say("pipe.wav")), 0);
    assert_eq!(reader.join().unwrap()[12..36], format_chunk());

    let folder_of_that_name = run(&mut say("."));
    assert_status(&folder_of_that_name, 1);
    assert_eq!(stderr(&folder_of_that_name), "error: . is a folder\n");
    dev.stop();
}

#[test]
fn a_hostile_server_writes_no_control_characters_to_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", server.local_addr().unwrap());
    let answers = std::thread::spawn(move || {
        let job = "{\"id\":\"x\",\"text\":\"\u{9b}2J\u{7f}\"}";
        let title = "{\"title\":\"\\u001b]0;owned\\u0007\"}";
        for (status, body) in [("200 OK", job), ("400 Bad Request", title)] {
            let (mut caller, _) = server.accept().unwrap();
            let mut request = [0; 4096];
            assert!(caller.read(&mut request).unwrap() > 0);
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            caller.write_all((head + body).as_bytes()).unwrap();
        }
    });
    let job = run(csm(folder.path()).args(["jobs", "get", "x", "--url", &url]));
    assert_status(&job, 0);
    let shown: serde_json::Value = serde_json::from_slice(&job.stdout).unwrap();
    assert_eq!(shown["text"], "\u{9b}2J\u{7f}", "the same value");
    let refused = run(csm(folder.path()).args(["jobs", "get", "x", "--url", &url]));
    assert_status(&refused, 1);
    answers.join().unwrap();
    for text in [stdout(&job), stderr(&refused)] {
        assert!(!text.chars().any(|character| character.is_control() && character != '\n'), "{text:?}");
    }
    assert!(stderr(&refused).contains("]0;owned"), "{}", stderr(&refused));
}

#[test]
fn secrets_come_from_files_and_a_secret_in_the_arguments_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("key"), "a passphrase of some length\n").unwrap();
    let doctor = || {
        let mut command = csm(folder.path());
        command.args(["doctor", "--json", "--model", "noise", "--listen", "127.0.0.1:0"]);
        command
    };
    let by_flag = run(doctor().args(["--watermark-key", "a passphrase of some length"]));
    let by_file = run(doctor().env("CSM_WATERMARK_KEY_FILE", "key"));
    let key = |output: &std::process::Output| {
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = report["checks"].as_array().unwrap().clone();
        checks.into_iter().find(|check| check["check"] == "mark's key").unwrap()["what"].clone()
    };
    assert_eq!(key(&by_file), key(&by_flag));
    assert_ne!(key(&run(&mut doctor())), key(&by_file));

    let both = run(doctor().env("CSM_WATERMARK_KEY_FILE", "key").env("CSM_WATERMARK_KEY", "another"));
    assert_status(&both, 2);
    assert!(stderr(&both).contains("CSM_WATERMARK_KEY and CSM_WATERMARK_KEY_FILE are both set"), "{}", stderr(&both));
    // The address is nowhere on this machine, so the command ends at once.
    let dev = ["dev", "--model", "noise", "--listen", "192.0.2.1:1", "--watermark-key", "a passphrase of some length"];
    let told = run(csm(folder.path()).args(dev));
    assert_status(&told, 1);
    assert!(stderr(&told).contains("--watermark-key shows a secret to all users"), "{}", stderr(&told));
    assert!(!stderr(&told).contains("passphrase"), "{}", stderr(&told));
}

/// Puts a program in the place of `aplay` that keeps what it is given.
fn player(folder: &std::path::Path) -> std::ffi::OsString {
    use std::os::unix::fs::PermissionsExt as _;
    let bin = folder.join("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("pw-play"), format!("#!/bin/sh\ncat > {}\n", folder.join("heard.pcm").display())).unwrap();
    fs::set_permissions(bin.join("pw-play"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var_os("PATH").unwrap();
    std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&path))).unwrap()
}

#[test]
fn say_plays_what_the_file_holds_and_reads_sentences_as_they_come() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start_with(folder.path(), Stdio::inherit());
    let path = player(folder.path());
    let say = |arguments: &[&str]| {
        let mut command = csm(folder.path());
        command
            .env("PATH", &path)
            .args(["say", "--play", "--max-audio-length-ms", "800", "--url", &dev.url])
            .args(arguments);
        command
    };
    let heard = || fs::read(folder.path().join("heard.pcm")).unwrap();
    assert_status(&run(&mut say(&["Hello.", "-o", "hello.pcm"])), 0);
    assert!(!heard().is_empty() && heard() == fs::read(folder.path().join("hello.pcm")).unwrap());

    let mut child = say(&["-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"The first one is here. The second one ends with the input").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(heard().len(), 2 * 2 * 10 * 1_920, "two sentences of ten frames");
}
