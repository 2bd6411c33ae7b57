//! `examples/deploy` deploys this program: each way of starting it is gone, with other paths, and carries events.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says when it could not run"
)]

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use siem_forward::receiver::Receiver;

use crate::cli_metrics::receiver;
use crate::program::{PATIENCE, Running, TOKEN, assert_received, lines};

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/deploy").join(name)).unwrap()
}

/// A machine to deploy on: a folder instead of its paths, a receiver instead of the SIEM.
struct Machine {
    folder: tempfile::TempDir,
    receiver: Receiver,
}

impl Machine {
    fn new(config: &str) -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap(), receiver: receiver(&[]) };
        // The pipeline's table comes last.
        let config = machine.moved(config) + "batch_timeout_seconds = 0.1\n";
        std::fs::write(machine.path("siem.toml"), config).unwrap();
        std::fs::write(machine.path("splunk-token"), TOKEN).unwrap();
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same text with the paths and addresses of this machine; each that is told must have been there.
    fn moved(&self, text: &str) -> String {
        let folder = self.folder.path().to_str().unwrap();
        let text = text.replace("https://splunk.example:8088", &self.receiver.url());
        let text = ["/run/credentials/siem-forward.service", "/run/secrets/siem-forward", "/etc/siem-forward"]
            .into_iter()
            .chain(["/var/lib/siem-forward", "/run/siem-forward", "/run/audit"])
            .fold(text, |text, path| text.replace(path, folder));
        text.replace("127.0.0.1:9090", "127.0.0.1:0").replace("0.0.0.0:9090", "127.0.0.1:0")
    }

    /// By a shell, as whoever starts it does.
    fn start(&self, script: &str, arguments: &[String]) -> Running {
        let mut command = Command::new("sh");
        command.args(["-c", script]).args(arguments).current_dir(self.folder.path());
        Running::start(command)
    }

    /// Writers come and go, and the end that is asked for delivers what they wrote.
    fn assert_carries(&self, running: Running, pipe: &str) {
        running.wait_for("metrics on http://");
        for round in 0..3 {
            let mut writer = OpenOptions::new().write(true).open(self.path(pipe)).unwrap();
            writer.write_all(lines(round * 10..(round + 1) * 10).as_bytes()).unwrap();
            drop(writer);
            if round == 0 {
                assert!(self.receiver.wait_until(PATIENCE, |counts| counts.unique == 10), "{}", running.stderr());
            }
        }
        assert!(self.receiver.wait_until(PATIENCE, |counts| counts.unique == 30), "{}", running.stderr());
        running.signal(Signal::TERM);
        let ran = running.wait();
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_received(&self.receiver, 0..30);
    }
}

/// The values of a key of a unit.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let of = |line: &'a str| line.split_once('=').filter(|(name, _)| *name == key).map(|(_, value)| value);
    unit.lines().filter_map(of).collect()
}

/// The words behind the program's own path.
fn arguments(machine: &Machine, words: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<String> {
    let words: Vec<String> = words.into_iter().map(|word| machine.moved(word.as_ref())).collect();
    assert_eq!(words[0], "/usr/local/bin/siem-forward");
    [&[env!("CARGO_BIN_EXE_siem-forward").to_owned()], &words[1..]].concat()
}

#[test]
fn the_unit_starts_the_program_on_a_pipe_that_stays_open() {
    let (unit, socket) = (read("siem-forward.service"), read("siem-forward.socket"));
    let machine = Machine::new(&read("siem.toml"));
    let pipe = values(&socket, "ListenFIFO");
    assert_eq!(pipe, ["/run/siem-forward/audit.pipe"]);
    mknodat(CWD, machine.path("audit.pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let start = arguments(&machine, values(&unit, "ExecStart")[0].split(' '));
    // As systemd opens it.
    let running = machine.start("exec \"$0\" \"$@\" <> audit.pipe", &start);
    machine.assert_carries(running, "audit.pipe");
}

#[test]
fn the_unit_gives_few_rights_and_time_to_end() {
    let unit = read("siem-forward.service");
    for (key, value) in [
        ("Type", "notify"),
        ("StandardInput", "socket"),
        ("DynamicUser", "yes"),
        ("LoadCredential", "splunk-token:/etc/siem-forward/splunk-token"),
        ("CapabilityBoundingSet", ""),
        ("NoNewPrivileges", "yes"),
        ("MemoryDenyWriteExecute", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("PrivateDevices", "yes"),
        ("RestrictNamespaces", "yes"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
        ("RestartPreventExitStatus", "2"),
    ] {
        assert_eq!(values(&unit, key), [value], "{key}");
    }
    // The drain has 30 s by default, and the program 5 s more.
    let seconds = |key| values(&unit, key)[0].parse::<u32>().unwrap();
    assert!(seconds("TimeoutStopSec") > 35 && seconds("WatchdogSec") >= 10);
    assert!(read("kubernetes.yaml").contains("\n      terminationGracePeriodSeconds: 60\n"));
    // What systemd makes for it is what the configuration names.
    assert_eq!(values(&unit, "StateDirectory"), ["siem-forward"]);
    assert!(read("siem.toml").contains("/run/credentials/siem-forward.service/splunk-token"));
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let Some(help) = Command::new("systemd-analyze").arg("--help").output().ok().filter(|help| help.status.success())
    else {
        eprintln!("SKIPPED: there is no systemd-analyze on this machine, so no unit was verified");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_siem-forward");
    let unit = read("siem-forward.service").replace("/usr/local/bin/siem-forward", program);
    std::fs::write(folder.path().join("siem-forward.service"), unit).unwrap();
    std::fs::write(folder.path().join("siem-forward.socket"), read("siem-forward.socket")).unwrap();
    let analyze = |arguments: &[&str]| {
        let mut command = Command::new("systemd-analyze");
        let output = command.args(arguments).arg("siem-forward.service").current_dir(folder.path()).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{arguments:?}: {said}");
        said
    };
    assert_eq!(analyze(&["verify", "--man=no", "siem-forward.socket"]), "");
    // 10 is a service without a fence; below 2 systemd calls it OK.
    if String::from_utf8(help.stdout).unwrap().contains("--offline") {
        let said = analyze(&["security", "--offline=true", "--threshold=20", "--no-pager"]);
        assert!(said.contains("Overall exposure level"), "{said}");
    }
}

#[test]
fn the_sidecar_makes_its_pipe_and_outlives_its_writers() {
    let manifest = read("kubernetes.yaml");
    let block = manifest.split_once("  siem.toml: |\n").unwrap().1.split_once("\n---\n").unwrap().0;
    let config: String =
        block.lines().map(|line| line.strip_prefix("    ").unwrap_or(line).to_owned() + "\n").collect();
    let machine = Machine::new(&config);
    let script = manifest.lines().find_map(|line| line.trim().strip_prefix("- '")?.strip_suffix('\'')).unwrap();
    assert!(script.contains("exec siem-forward run "), "{script}");
    let program = format!("exec {} run ", env!("CARGO_BIN_EXE_siem-forward"));
    let script = machine.moved(script).replace("exec siem-forward run ", &program);
    machine.assert_carries(machine.start(&script, &[]), "events");
    // Once more: the pipe is there already.
    let again = machine.start(&script, &[]);
    again.wait_for("metrics on http://");
    again.signal(Signal::TERM);
    assert_eq!(again.wait().code, 0);
}

/// A SIEM that is down must stop no service: only whether the process lives is probed.
#[test]
fn the_sidecar_is_probed_by_its_life_alone() {
    let manifest = read("kubernetes.yaml");
    let lines = || manifest.lines().filter(|line| !line.trim_start().starts_with('#'));
    assert_eq!(lines().filter(|line| line.contains("path: /healthz")).count(), 2);
    assert!(lines().all(|line| !line.contains("readyz") && !line.contains("readinessProbe")));
}

#[test]
fn the_container_starts_the_program() {
    let file = read("Containerfile");
    let words = |instruction: &str| {
        let line = file.lines().find_map(|line| line.strip_prefix(instruction)).unwrap();
        serde_json::from_str::<Vec<String>>(line).unwrap()
    };
    let machine = Machine::new(&read("siem.toml"));
    let start = arguments(&machine, [words("ENTRYPOINT "), words("CMD ")].concat());
    let mut running = machine.start("exec \"$0\" \"$@\"", &start);
    running.feed(lines(0..10));
    let ran = running.end();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_received(&machine.receiver, 0..10);
    // The oldest Rust that builds it, as Cargo.toml says.
    let rust = env!("CARGO_PKG_RUST_VERSION");
    assert!(file.contains(&format!("library/rust:{rust}-")), "{rust}");
    assert!(file.contains("\nUSER 65532:65532\n"));
}
