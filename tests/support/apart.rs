//! A process of its own for a test that replaces the logger, forks, or measures its process: this program once more, asked
//! for that test alone. So it is linked with the others, and runs beside them.
#![allow(unreachable_pub, reason = "shared by test crates")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and shows what another printed"
)]

use std::process::Command;

/// Set in such a process.
const APART: &str = "SIEM_FORWARD_TEST_APART";

/// The first line of such a test: true once it has run in a process of its own, where this is false.
#[must_use = "the test has run then"]
pub fn ran_apart() -> bool {
    if std::env::var_os(APART).is_some() {
        return false;
    }
    // The harness names a test's thread after it.
    let thread = std::thread::current();
    let name = thread.name().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    let ran = command.args(["--exact", name, "--nocapture"]).env(APART, "1").output().unwrap();
    let stdout = String::from_utf8_lossy(&ran.stdout);
    println!("{stdout}{}", String::from_utf8_lossy(&ran.stderr));
    // A process that knows no test of this name is content as well.
    assert!(ran.status.success() && stdout.contains("1 passed"), "{name}, in a process of its own: {}", ran.status);
    true
}
