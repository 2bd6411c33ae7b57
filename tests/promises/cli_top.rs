//! `top` in a real terminal: tmux' where it is installed.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says when it could not run"
)]

use std::process::Command;

use rustix::process::Signal;

use crate::cli_metrics::{address, receiver, scene};
use crate::program::{assert_received, lines, run, wait_until};

/// A terminal of 80 by 24, with a server of its own.
struct Terminal {
    socket: String,
}

impl Terminal {
    /// Runs this by a shell in it; `None` where there is no tmux.
    fn start(name: &str, script: &str) -> Option<Self> {
        Command::new("tmux").arg("-V").output().ok().filter(|output| output.status.success())?;
        let terminal = Self { socket: format!("siem-forward-test-{name}-{}", std::process::id()) };
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
    let Some(terminal) = Terminal::start("one", &script) else {
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

/// One is well, the other is refused by its SIEM.
#[test]
fn two_pipelines_have_a_row_each_and_the_one_that_is_red_says_why() {
    let (well, refuses) = (receiver(&[]), receiver(&["401"]));
    let scene = scene(&well.url(), "", "127.0.0.1:0");
    let config = scene.read("siem.toml");
    let (head, first) = config.split_once("[siem.splunk]").unwrap();
    let second = first.replace(&well.url(), &refuses.url()).replace("dead.ndjson", "second.ndjson");
    scene.write("siem.toml", format!("{head}[siem.splunk]{first}\n[siem.second]{second}"));
    let mut running = scene.start(&[]);
    let top = format!("NO_COLOR=1 {} top --url http://{}", env!("CARGO_BIN_EXE_siem-forward"), address(&running));
    running.feed(lines(0..500));
    let Some(terminal) = Terminal::start("two", &top) else {
        eprintln!("SKIPPED: there is no tmux on this machine, so top was drawn on no real terminal");
        return;
    };
    let has_row = |shown: &str, name: &str, end: &str| {
        shown.lines().any(|line| line.starts_with(name) && line.trim_end().ends_with(end))
    };
    wait_until(|| {
        let shown = terminal.shown();
        has_row(&shown, "splunk ", " closed    ok") && has_row(&shown, "second ", " open      RED")
    });
    let shown = terminal.shown();
    assert!(shown.contains(": 1 RED") && shown.contains("the destination refuses us: http_401"), "{shown}");
    assert_received(&well, 0..500);
    terminal.tmux(&["send-keys", "q"]);
    // Nobody takes the rest of the second one: it is not waited for.
    running.signal(Signal::KILL);
    drop(running.wait());
}

#[test]
fn without_a_terminal_it_says_what_to_use_instead() {
    let ran = run(&["top"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
    assert!(ran.stderr.contains("there is none: `siem-forward status` prints one screen"), "{ran:?}");
}
