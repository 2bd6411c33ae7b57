//! `top` in a real terminal: tmux' where it is installed.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says when it could not run"
)]

use std::process::Command;

use crate::cli_metrics::{address, receiver, scene};
use crate::program::{assert_received, lines, run, wait_until};

/// A terminal of 80 by 24, with a server of its own.
struct Terminal {
    socket: String,
}

impl Terminal {
    /// Runs this by a shell in it; `None` where there is no tmux.
    fn start(script: &str) -> Option<Self> {
        Command::new("tmux").arg("-V").output().ok().filter(|output| output.status.success())?;
        let terminal = Self { socket: format!("siem-forward-test-{}", std::process::id()) };
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", script]);
        Some(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        let output = command.args(["-u", "-L", &self.socket]).args(arguments).env_remove("TMUX").output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn shown(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(Command::new("tmux").args(["-L", &self.socket, "kill-server"]).output());
    }
}

#[test]
fn it_draws_in_80_by_24_follows_what_happens_and_leaves_the_terminal_as_it_was() {
    let receiver = receiver(&[]);
    let scene = scene(&receiver.url(), "", "127.0.0.1:0");
    let mut running = scene.start(&[]);
    let program = env!("CARGO_BIN_EXE_siem-forward");
    let top = format!("{program} top --url http://{}", address(&running));
    // What stands there before is there again afterwards, and what is typed is shown again.
    let script = format!(
        "echo before; NO_COLOR=1 {top}; echo \"left with $?\"; stty -a | grep -o ' echo '; echo over; read end"
    );
    let Some(terminal) = Terminal::start(&script) else {
        eprintln!("SKIPPED: there is no tmux on this machine, so top was drawn on no real terminal");
        return;
    };
    wait_until(|| terminal.shown().contains(": all is well"));
    running.feed(lines(0..500));
    wait_until(|| terminal.shown().contains("most ") && !terminal.shown().contains("most 0"));
    let shown = terminal.shown();
    assert!(shown.lines().any(|line| line.starts_with("splunk ") && line.ends_with(" closed    ok")), "{shown}");
    assert!(shown.contains("q leaves") && !shown.contains("before"), "{shown}");
    // Smaller and larger.
    terminal.tmux(&["resize-window", "-x", "60", "-y", "12"]);
    wait_until(|| terminal.shown().lines().count() <= 12 && terminal.shown().contains("q leaves"));
    running.end();
    wait_until(|| terminal.shown().contains("NOT SEEN for "));
    terminal.tmux(&["send-keys", "q"]);
    wait_until(|| terminal.shown().contains("\nover"));
    let shown = terminal.shown();
    assert!(shown.starts_with("before\nleft with 0\n") && shown.contains("\n echo"), "{shown}");
    assert!(!shown.contains("pipeline"), "{shown}");
    assert_received(&receiver, 0..500);
}

#[test]
fn without_a_terminal_it_says_what_to_use_instead() {
    let ran = run(&["top"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
    assert!(ran.stderr.contains("there is none: `siem-forward status` prints one screen"), "{ran:?}");
}
