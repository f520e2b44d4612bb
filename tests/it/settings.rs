//! Wrong settings of real processes.

use std::process::Command;

use csm_testing::process::program_path;

/// A wrong setting is the operator's to correct: one line says what is wrong, whatever the
/// environment asks of defects.
#[test]
fn a_wrong_setting_gets_one_line_and_no_backtrace() {
    let mut command = Command::new(program_path("csm-worker").unwrap());
    let settings = [
        ("CSM_REDIS_URL", "redis://127.0.0.1:1"),
        ("CSM_MODEL", "/nowhere"),
        ("CSM_STORE", "folder:/proc/no/folder"),
        ("CSM_DEVELOPMENT_WATERMARK", "true"),
        ("CSM_ADMIN_LISTEN", "127.0.0.1:0"),
        ("CSM_LOG", "off"),
        ("RUST_BACKTRACE", "1"),
    ];
    let output = command.envs(settings).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.starts_with("error: ") && told.contains("/proc/no/folder"), "{told}");
    assert_eq!(told.matches("No such file").count(), 1, "the cause is said once: {told}");
}
