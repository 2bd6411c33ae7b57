//! A configuration with mistakes: all of them at once, each where it stands, and nothing is started.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::path::Path;

use crate::program::{self, Ran, Running, Scene, TOKEN, TOKEN_VARIABLE, assert_received, command, line, lines};

/// A folder with nothing but a configuration in it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("siem.toml"), config).unwrap();
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = command(&["run", "--config", "siem.toml"]);
        command.args(arguments).current_dir(self.path());
        let ran = Running::start(command).end();
        Ran { stderr: without_columns(&ran.stderr), ..ran }
    }

    /// Fails with 2, and leaves the folder as it was.
    fn refused(&self, arguments: &[&str]) -> String {
        let files = || {
            let mut names: Vec<_> =
                std::fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let before = files();
        let ran = self.run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
        assert_eq!(files(), before, "nothing is started");
        ran.stderr
    }
}

/// `siem.toml:4:8: ` as `siem.toml:4: `: what each mistake is told as, to the column, the snapshots say.
fn without_columns(told: &str) -> String {
    let line = |line: &str| {
        let columned = line.strip_prefix("siem.toml:").and_then(|rest| rest.split_once(": "));
        match columned.and_then(|(place, rest)| Some((place.split_once(':')?.0, rest))) {
            Some((number, rest)) => format!("siem.toml:{number}: {rest}\n"),
            None => format!("{line}\n"),
        }
    };
    told.lines().map(line).collect()
}

const GOOD: &str = "[input]\nrejected = { path = \"rejected.ndjson\" }\n[siem.splunk]\ntype = \"splunk\"\n\
                    url = \"http://127.0.0.1:1\"\ntoken = { env = \"SIEM_FORWARD_TEST_TOKEN\" }\n\
                    dead_letter = { path = \"dead.ndjson\" }\n";

#[test]
fn all_mistakes_are_told_at_once_each_with_its_line_and_the_nearest_key() {
    let config = format!(
        "[inptu]\n\n[siem.splunk]\ntype = \"splunk\"\nurl = \"splunk.example:8088\"\ntoken = \"{TOKEN}\"\nbatch_sizes = 10\n\
         batch_bytes_max = \"900 XB\"\nsenders = 0\nretry_jitter = \"yes\"\ncompression = \"gzipp\"\n\
         dead_letter = {{ byte_max = \"1 MB\" }}\n"
    );
    let told = Folder::new(&config).refused(&[]);
    for expected in [
        "siem.toml:1: inptu: unknown key",
        "did you mean `input`?",
        "siem.toml:5: siem.splunk.url: the URL must begin with https:// or http://",
        "siem.toml:6: siem.splunk.token: a secret is never written into this file",
        "write token = { env = \"NAME\" } or token = { file = \"PATH\" }",
        "siem.toml:7: siem.splunk.batch_sizes: unknown key",
        "did you mean `batch_size`?",
        "siem.toml:8: siem.splunk.batch_bytes_max: no size",
        "siem.toml:9: siem.splunk.senders: out of range",
        "must be 1 to 256",
        "siem.toml:10: siem.splunk.retry_jitter: is a text, must be true or false",
        "siem.toml:11: siem.splunk.compression: unknown value",
        "did you mean \"gzip\"?",
        "siem.toml:12: siem.splunk.dead_letter.path: missing",
        "siem.toml:12: siem.splunk.dead_letter.byte_max: unknown key",
        "did you mean `bytes_max`?",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
}

#[test]
fn each_mistake_by_itself_is_told_in_place() {
    for (before, after, expected) in [
        ("type = \"splunk\"", "type = \"splonk\"", "siem.toml:4: siem.splunk.type: unknown value"),
        ("type = \"splunk\"", "", "siem.splunk.type: missing"),
        ("SIEM_FORWARD_TEST_TOKEN", "SIEM_FORWARD_NEVER_SET", "variable SIEM_FORWARD_NEVER_SET is not set"),
        (
            "env = \"SIEM_FORWARD_TEST_TOKEN\"",
            "file = \"no.such\"",
            "siem.toml:6: siem.splunk.token: cannot read no.such",
        ),
        ("http://127.0.0.1:1", "http://127.0.0.1:1/services/collector/event", "leave out /services/collector"),
        ("dead_letter = { path = \"dead.ndjson\" }", "", "siem.splunk.dead_letter: missing"),
        ("[siem.splunk]", "[siem.splunk", "siem.toml:3: "),
        ("[siem.splunk]", "[siem.splunk]\nbatch_size = 10\nbatch_size = 20", "siem.toml:5: "),
    ] {
        let told = Folder::new(&GOOD.replace(before, after)).refused(&[]);
        assert!(told.contains(expected), "{expected}: {told}");
    }
    assert!(Folder::new("").refused(&[]).contains("siem: missing"));
    assert!(Folder::new("[siem]").refused(&[]).contains("siem: holds no pipeline"));
}

/// A key that does nothing under the chosen policy would let its writer believe that it does.
#[test]
fn a_key_of_another_overflow_policy_is_a_mistake_and_a_part_out_of_its_order_too() {
    let belongs_to_block = "siem.toml:4: siem.splunk.block_timeout_seconds: belongs to overflow = \"block\"";
    let belongs_to_shed = "siem.splunk.shed: belongs to overflow = \"shed_by_severity\"";
    for (keys, expected) in [
        ("block_timeout_seconds = 1", &[belongs_to_block, "set overflow = \"block\", or remove it"][..]),
        ("shed = { low = 0.3 }", &["siem.toml:4: ", belongs_to_shed]),
        ("block_timeout_seconds = 1\noverflow = \"shed_by_severity\"", &[belongs_to_block]),
        ("shed = {}\noverflow = \"block\"\nblock_timeout_seconds = 0.5", &["siem.toml:4: ", belongs_to_shed]),
        (
            "shed = {}\nblock_timeout_seconds = 1\noverflow = \"refuse\"",
            &[belongs_to_shed, "block_timeout_seconds: belongs"],
        ),
        (
            "overflow = \"drop_oldest\"\nshed = {}",
            &["siem.toml:4: siem.splunk.overflow: unknown value", "\"refuse\", \"block\" or \"shed_by_severity\""],
        ),
        (
            "overflow = \"block\"\nblock_timeout_seconds = 0",
            &["block_timeout_seconds: out of range", "0.001 to 3600 seconds"],
        ),
        (
            "overflow = \"shed_by_severity\"\nshed = { low = 0.8, high = 0, medum = 0.8, critical = 1 }",
            &[
                "siem.toml:5: siem.splunk.shed: low = 0.8 is above medium = 0.75",
                "siem.splunk.shed.high: out of range",
                "must be 0.01 to 1",
                "siem.splunk.shed.medum: unknown key",
                "did you mean `medium`?",
                "siem.splunk.shed.critical: critical events are never shed",
            ],
        ),
        (
            "sampling = { low = 1.5, medium = \"all\", critical = 0.5 }",
            &[
                "siem.toml:4: siem.splunk.sampling.low: out of range",
                "siem.splunk.sampling.medium: is a text, must be a number",
                "siem.splunk.sampling.critical: critical events are never sampled",
            ],
        ),
    ] {
        let told = Folder::new(&GOOD.replace("[siem.splunk]", &format!("[siem.splunk]\n{keys}"))).refused(&[]);
        for expected in expected {
            assert!(told.contains(expected), "{keys}: {expected}: {told}");
        }
        // A policy that is misspelt says enough by itself.
        assert_eq!(told.contains("belongs to"), expected.concat().contains("belongs"), "{keys}: {told}");
        assert!(!told.contains("siem.splunk.shed.critical: unknown key"), "told once: {told}");
    }
}

#[test]
fn a_token_is_never_echoed_however_it_was_written_down() {
    for token in [
        format!("\"{TOKEN}\""),
        format!("{{ env = \"{TOKEN}\" }}"),
        format!("{{ value = \"{TOKEN}\" }}"),
        format!("{{ token = \"{TOKEN}\" }}"),
        format!("[\"{TOKEN}\"]"),
        TOKEN.to_owned(),
        format!("\"{TOKEN}"),
        format!("'''\n{TOKEN}"),
        format!("{{ env = \"SIEM_FORWARD_TEST_TOKEN\", file = \"{TOKEN}\" }}"),
    ] {
        // That the token is nowhere in the output is compared for every program that a test runs.
        let told = Folder::new(&GOOD.replace("{ env = \"SIEM_FORWARD_TEST_TOKEN\" }", &token)).refused(&[]);
        assert!(told.contains("siem.toml:"), "{told}");
    }
    // A secret of several lines, and one with a space, are no token; they are not shown either.
    let folder = Folder::new(&GOOD.replace("env = \"SIEM_FORWARD_TEST_TOKEN\"", "file = \"token\""));
    for text in [format!("{TOKEN}\n{TOKEN}\n"), format!("Splunk {TOKEN}\n"), "\n".to_owned()] {
        std::fs::write(folder.path().join("token"), text).unwrap();
        let told = folder.refused(&[]);
        assert!(told.contains("siem.toml:6: siem.splunk.token: "), "{told}");
    }
}

#[test]
fn one_dead_letter_of_two_pipelines_is_told_at_both() {
    let second = GOOD.split_once("[siem.splunk]").unwrap().1;
    let told = Folder::new(&format!("{GOOD}\n[siem.second]{second}")).refused(&[]);
    for expected in [
        "siem.toml:7: siem.splunk.dead_letter: is the dead letter of siem.second as well",
        "siem.toml:13: siem.second.dead_letter: is the dead letter of siem.splunk as well",
    ] {
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn none_that_is_enabled_is_told() {
    let told = Folder::new(&GOOD.replace("type =", "enabled = false\ntype =")).refused(&[]);
    assert!(told.contains("the pipeline splunk has enabled = false"), "{told}");
}

#[test]
fn a_password_in_the_url_is_refused_without_being_shown() {
    let line = GOOD.lines().find(|line| line.starts_with("url")).unwrap();
    let folder = Folder::new(&GOOD.replace(line, "url = \"http://user:hunter2@127.0.0.1:1?token=hunter2\""));
    let told = folder.refused(&[]);
    assert!(told.contains("siem.splunk.url") && !told.contains("hunter2"), "{told}");
}

#[test]
fn files_that_cannot_be_read_or_written_are_told_before_anything_starts() {
    let folder = Folder::new(GOOD);
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    std::fs::write(folder.path().join("good"), line(1)).unwrap();
    let told = folder.refused(&["--input", "good", "no.such"]);
    assert!(told.contains("cannot read no.such: No such file"), "{told}");
    let told = folder.refused(&["--input", "good", "*.gz"]);
    assert!(told.contains("--input *.gz matches no file"), "{told}");
    let told = folder.refused(&["--input", "folder"]);
    assert!(told.contains("--input folder: the folder holds no file"), "{told}");

    for (config, expected) in [
        (GOOD.replace("\"dead.ndjson\"", "\"folder\""), "siem.toml:7: siem.splunk.dead_letter.path: is a folder"),
        (
            GOOD.replace("\"dead.ndjson\"", "\"no/such/dead\""),
            "siem.toml:7: siem.splunk.dead_letter.path: lies in a folder that is not there",
        ),
        (GOOD.replace("\"rejected.ndjson\"", "\"folder\""), "siem.toml:2: input.rejected.path: is a folder"),
    ] {
        std::fs::write(folder.path().join("siem.toml"), config).unwrap();
        let ran = folder.run(&[]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
        assert!(ran.stderr.contains(expected), "{expected}: {}", ran.stderr);
    }
    let missing = program::run(&["run", "--config", "/no/such/siem.toml"]);
    assert_eq!((missing.code, missing.stdout.as_str()), (2, ""));
    assert!(missing.stderr.contains("/no/such/siem.toml cannot be read: No such file"), "{}", missing.stderr);
}

#[test]
fn a_dead_letter_that_is_full_is_told_at_the_start() {
    let folder = Folder::new(&GOOD.replace("\"dead.ndjson\"", "\"dead.ndjson\", bytes_max = 1000"));
    std::fs::write(folder.path().join("dead.ndjson"), "{}\n".repeat(334)).unwrap();
    let ran = folder.run(&[]);
    assert_eq!(ran.code, 0, "the pipeline goes on: {ran:?}");
    let warning = "warning: the dead letter dead.ndjson is full, with 1002 of 1000 bytes";
    assert!(ran.stderr.contains(warning), "{}", ran.stderr);
    std::fs::write(folder.path().join("dead.ndjson"), "{}\n").unwrap();
    assert!(!folder.run(&[]).stderr.contains("warning"), "one with room is nothing to warn of");
}

/// What does not fit any more is counted as lost, by name; what it holds already is never touched.
#[test]
fn a_dead_letter_that_fills_up_counts_what_it_cannot_take() {
    let receiver = siem_forward::receiver::Receiver::start(siem_forward::receiver::ReceiverConfig {
        faults: vec!["413:contains=u-".parse().unwrap()],
        ..Default::default()
    })
    .unwrap();
    let scene = Scene::new(&receiver.url(), "batch_size = 10");
    let config = scene.read("siem.toml").replace("dead.ndjson\" }", "dead.ndjson\", bytes_max = 5000 }");
    scene.write("siem.toml", config);
    let ran = scene.run(&["--json"], lines(0..50));
    let (report, kept) = (ran.json(), scene.dead_letter().len());
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(kept > 0 && scene.read("dead.ndjson").len() <= 5000);
    assert_eq!((report["dead_lettered"].as_u64(), report["balances"].as_bool()), (Some(kept as u64), Some(true)));
    assert_eq!(report["lost"]["dead_letter_full"].as_u64(), Some(50 - kept as u64), "{report}");
    assert!(ran.stderr.contains("are lost (dead_letter_full)"), "{}", ran.stderr);
    assert_received(&receiver, []);
}

#[test]
fn a_command_line_that_is_wrong_ends_with_2_and_help_with_0() {
    for arguments in [
        &[][..],
        &["nonsense"],
        &["run"],
        &["run", "--config"],
        &["run", "--config", "siem.toml", "--nonsense"],
        &["demo", "--events", "many"],
        &["demo", "--rate", "0"],
        &["demo", "--senders", "0"],
        &["demo", "--compression", "zip"],
        &["receive", "--port", "70000"],
        &["receive", "--address", "nowhere"],
    ] {
        let ran = program::run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains("Usage: ") || ran.stderr.contains("--help"), "{arguments:?}: {}", ran.stderr);
    }
    for arguments in
        [&["--help"][..], &["run", "--help"], &["check", "--help"], &["demo", "--help"], &["receive", "--help"]]
    {
        let ran = program::run(arguments);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments:?}");
        assert!(ran.stdout.contains("Examples:\n  siem-forward "), "{}", ran.stdout);
        let widest = ran.stdout.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(100), "{widest:?} columns: {}", ran.stdout);
        assert!(ran.stdout.lines().count() <= 40, "more than a screen: {}", ran.stdout);
    }
    let version = program::run(&["-V"]);
    assert_eq!(
        (version.code, version.stdout),
        (0, concat!("siem-forward ", env!("CARGO_PKG_VERSION"), "\n").to_owned())
    );
    assert!(std::env::var_os(TOKEN_VARIABLE).is_none(), "the token is the program's, not the test's");
}
