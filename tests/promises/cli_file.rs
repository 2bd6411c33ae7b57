//! The program and a file: events to a path or to standard output, and nothing else between them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what cannot go on fails its test")]

use rustix::process::Signal;
use serde_json::Value;

use crate::program::{Scene, command, id, lines, run, wait_until};

/// A configuration that writes to this path.
fn scene(path: &str, keys: &str) -> Scene {
    let scene = Scene::new("http://unused", "");
    let dead = scene.path("dead.ndjson").display().to_string();
    let text = format!(
        "[siem.file]\ntype = \"file\"\npath = {path:?}\nbatch_timeout_seconds = 0.1\nretry_backoff_max = 0.02\n\
         dead_letter = {{ path = {dead:?} }}\n{keys}\n"
    );
    scene.write("siem.toml", text);
    scene
}

fn ids(text: &str) -> Vec<String> {
    let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
    text.lines().map(id).collect()
}

fn expected(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| id(number).to_string()).collect()
}

#[test]
fn a_file_holds_what_was_read_and_another_run_goes_on_with_it() {
    let scene = scene("audit.ndjson", "senders = 1");
    for numbers in [0..1_000, 1_000..1_500] {
        let ran = scene.run(&[], lines(numbers));
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stdout.contains("events were delivered. The ledger balances."), "{ran:?}");
    }
    assert_eq!(ids(&scene.read("audit.ndjson")), expected(0..1_500));
}

#[test]
fn standard_output_holds_events_and_nothing_else() {
    let scene = scene("-", "senders = 1");
    let ran = scene.run(&[], lines(0..500));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ids(&ran.stdout), expected(0..500));
    assert!(ran.stderr.contains("All 500 events were delivered. The ledger balances."), "{}", ran.stderr);
}

#[test]
fn standard_output_for_the_events_and_for_the_report_is_a_mistake() {
    let scene = scene("-", "");
    let ran = scene.run(&["--json"], "");
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
    assert!(ran.stderr.contains("--json") && ran.stderr.contains("siem.file"), "{}", ran.stderr);
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_run_and_what_it_did_not_take_is_kept() {
    let scene = scene("-", "senders = 1\nbatch_size = 50");
    let text = lines(0..20_000);
    scene.write("in.ndjson", text);
    let config = scene.path("siem.toml");
    let mut program = command(&["run", "--config", config.to_str().unwrap(), "--input", "in.ndjson"]);
    program.current_dir(scene.path(".")).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = program.spawn().unwrap();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    std::io::BufRead::read_line(&mut stdout, &mut first).unwrap();
    assert_eq!(ids(&first), expected(0..1));
    drop(stdout);
    let ended = child.wait_with_output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("nobody reads standard output any more"), "{told}");
    assert!(!scene.dead_letter().is_empty(), "{told}");
}

#[test]
fn what_a_killed_program_leaves_is_whole_lines_and_at_most_one_open_end() {
    let scene = scene("audit.ndjson", "fsync = \"never\"\nbatch_size = 20");
    let mut running = scene.start(&[]);
    running.feed(lines(0..3_000));
    wait_until(|| !scene.read("audit.ndjson").is_empty());
    running.signal(Signal::KILL);
    running.wait();
    let text = scene.read("audit.ndjson");
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    ids(whole);
    // Whatever it left, the next run begins with a whole line.
    std::fs::write(scene.path("audit.ndjson"), format!("{text}{{\"half\":")).unwrap();
    let ran = scene.run(&[], lines(5_000..5_100));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ids(&scene.read("audit.ndjson")).len(), 100);
}

/// The system lets the program's files grow to 8 KiB: the write of a larger batch breaks off there.
#[test]
fn a_write_that_breaks_off_is_taken_back() {
    let scene = scene("audit.ndjson", "drain_timeout_seconds = 0.5");
    scene.write("in.ndjson", lines(0..300));
    let mut limited = std::process::Command::new("bash");
    let run = "trap '' XFSZ; ulimit -f 8; exec \"$0\" run --config siem.toml --input in.ndjson";
    limited.args(["-c", run, env!("CARGO_BIN_EXE_siem-forward")]).current_dir(scene.path("."));
    let ran = crate::program::Running::start(limited).end();
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("File too large"), "{}", ran.stderr);
    assert_eq!(scene.read("audit.ndjson"), "");
}

#[test]
fn check_says_how_much_room_there_is_and_makes_no_file() {
    let scene = scene("audit.ndjson", "");
    let config = scene.path("siem.toml");
    let set = format!("siem.file.path={:?}", scene.path("audit.ndjson"));
    let check = |more: &[&str]| run(&[&["check", "--config", config.to_str().unwrap(), "--set", &set], more].concat());
    let ran = check(&["--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let disk = &ran.json()["pipelines"][0]["steps"][0];
    assert!(disk["step"] == "disk" && disk["free_bytes"].as_u64() > Some(0), "{disk}");
    assert!(!scene.path("audit.ndjson").exists());
    let ran = check(&["--send"]);
    assert!(ran.code == 0 && ran.stdout.contains("file took the test event"), "{ran:?}");
    assert_eq!(scene.read("audit.ndjson").lines().count(), 1);
}

#[test]
fn a_folder_and_a_path_that_leads_nowhere_are_mistakes() {
    for (path, what) in [("/", "is a folder"), ("/nonexistent/audit", "lies in a folder that is not there")] {
        let ran = scene(path, "").run(&[], "");
        assert!(ran.code == 2 && ran.stderr.contains(what), "{ran:?}");
    }
}

#[test]
fn what_is_dead_can_be_replayed_to_the_file() {
    let scene = scene("audit.ndjson", "");
    let elsewhere = scene.path("siem.toml");
    let full = ["--set", "siem.file.path=\"/dev/full\"", "--set", "siem.file.drain_timeout_seconds=0.3"];
    let ran = scene.run(&full, lines(0..50));
    assert_eq!((ran.code, scene.dead_letter().len()), (1, 50), "{ran:?}");
    let config = elsewhere.to_str().unwrap();
    let mut replay = command(&["replay", "dead.ndjson", "--config", config, "--formerly", "/dev/full"]);
    replay.current_dir(scene.path("."));
    let ran = crate::program::Running::start(replay).end();
    assert_eq!(ran.code, 0, "{ran:?}");
    let mut held = ids(&scene.read("audit.ndjson"));
    held.sort();
    assert_eq!(held, expected(0..50));
}
