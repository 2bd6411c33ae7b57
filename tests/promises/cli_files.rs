//! `run` reads what users have: plain and compressed files, patterns, folders, documents with an array of records; and
//! what is broken in them costs what is broken, not what came before.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "what cannot go on fails its test"
)]

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use siem_forward::receiver::{Receiver, ReceiverConfig};

use crate::program::{PATIENCE, Running, Scene, TOKEN, TOKEN_VARIABLE, assert_received, line, lines};

fn receiver(faults: &[&str]) -> Receiver {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    Receiver::start(ReceiverConfig { token: Some(TOKEN.to_owned()), faults, ..ReceiverConfig::default() }).unwrap()
}

fn gzip(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_ref()).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: impl AsRef<[u8]>) -> Vec<u8> {
    zstd::encode_all(text.as_ref(), 1).unwrap()
}

/// Documents as `CloudTrail` writes them, of so many records each.
fn document(numbers: std::ops::Range<u32>) -> String {
    let records: Vec<String> = numbers.map(|number| line(number).trim_end().to_owned()).collect();
    format!("{{\"Version\":{{\"Records\":[]}},\"Records\":[{}]}}", records.join(","))
}

/// A scene whose configuration has these keys in `[input]`.
fn scene_with(receiver: &Receiver, input: &str) -> Scene {
    let scene = Scene::new(&receiver.url(), "");
    let config = scene.read("siem.toml").replace("[input]\n", &format!("[input]\n{input}\n"));
    scene.write("siem.toml", config);
    scene
}

/// As the shell gives it: a file on standard input.
fn start_redirected(scene: &Scene, file: &str, arguments: &[&str]) -> Running {
    let mut command = Command::new("sh");
    let script =
        "program=$1; config=$2; file=$3; shift 3; exec \"$program\" run --config \"$config\" \"$@\" < \"$file\"";
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_siem-forward")]).arg(scene.path("siem.toml"));
    command.arg(scene.path(file)).args(arguments).env(TOKEN_VARIABLE, TOKEN);
    Running::start(command)
}

#[test]
fn plain_gzip_and_zstd_are_told_by_their_bytes_in_files_folders_and_patterns() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "");
    std::fs::create_dir_all(scene.path("logs/2026/01")).unwrap();
    // Names that lie; several members and frames; no end of the last line.
    scene.write("logs/2026/01/a.txt", [gzip(lines(0..500)), gzip(lines(500..900).trim_end())].concat());
    scene.write("logs/2026/01/b.gz", lines(900..1_000));
    scene.write("logs/c", [zstd(lines(1_000..1_700)), zstd(lines(1_700..2_000))].concat());
    scene.write("logs/.hidden", "nothing that is read");
    scene.write("x.1", zstd(lines(2_000..2_100)));
    scene.write("x.2", gzip(lines(2_100..2_200)));
    let ran = scene.run(&["--json", "--input", "logs", "x.*", "-"], gzip(lines(2_200..2_300)));
    assert_eq!((ran.code, scene.rejected().len()), (0, 0), "{ran:?}");
    assert_eq!(ran.json()["delivered"], 2_300);
    assert_received(&receiver, 0..2_300);
}

#[test]
fn standard_input_may_be_compressed_as_a_pipe_and_as_a_file() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "");
    assert_eq!(scene.run(&[], zstd(lines(0..3_000))).code, 0);
    scene.write("redirected", gzip(lines(3_000..6_000)));
    let ran = start_redirected(&scene, "redirected", &[]).end();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_received(&receiver, 0..6_000);
}

#[test]
fn a_compressed_file_that_is_cut_off_delivers_what_came_before_and_the_next_file_too() {
    for packed in [gzip(lines(0..20_000)), zstd(lines(0..20_000))] {
        let receiver = receiver(&[]);
        let scene = Scene::new(&receiver.url(), "");
        let end = packed.len() / 2;
        scene.write("cut", &packed[..end]);
        scene.write("good", lines(50_000..50_010));
        let ran = scene.run(&["--json", "--input", "cut", "good"], "");
        assert_eq!((ran.code, ran.json()["input_complete"].as_bool()), (1, Some(false)), "{ran:?}");
        let before = u32::try_from(ran.json()["delivered"].as_u64().unwrap()).unwrap() - 10;
        assert!(before > 1_000, "{before}");
        let told = format!("error: cannot read cut from line {} on: the ", before + 1);
        assert!(ran.stderr.contains(&told) && ran.stderr.contains(&format!(", after {end} bytes")), "{}", ran.stderr);
        assert_received(&receiver, (0..before).chain(50_000..50_010));
    }
}

#[test]
fn what_follows_a_compressed_stream_is_told_behind_all_that_is_in_it() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "");
    scene.write("a.gz", [gzip(lines(0..100)), b"garbage".to_vec()].concat());
    let ran = scene.run(&["--input", "a.gz"], "");
    assert_eq!(ran.code, 1, "{ran:?}");
    let told = "error: cannot read a.gz from line 101 on: the gzip data is followed by something else, ";
    assert!(ran.stderr.contains(told), "{}", ran.stderr);
    assert_received(&receiver, 0..100);
}

#[test]
fn each_element_of_the_array_at_the_pointer_is_delivered_from_files_of_any_kind() {
    let receiver = receiver(&[]);
    let scene = scene_with(&receiver, "records = \"/Records\"");
    scene.write("one.json.gz", gzip(document(0..2_000)));
    // One a line, as some tools store them.
    scene.write("lines.json", [document(2_000..2_010), document(2_010..2_020), document(2_020..2_020)].join("\n"));
    let ran = scene.run(&["--json", "--input", "one.json.gz", "lines.json", "-"], document(3_000..3_500));
    assert_eq!((ran.code, scene.rejected().len()), (0, 0), "{ran:?}");
    assert_received(&receiver, (0..2_020).chain(3_000..3_500));
}

#[test]
fn a_record_that_is_no_event_is_rejected_by_its_number_and_the_reading_goes_on() {
    let receiver = receiver(&[]);
    let scene = scene_with(&receiver, "records = \"/Records\"");
    let text = document(0..10).replacen(line(4).trim_end(), "{\"timestamp\":[]}", 1);
    scene.write("trail.json", format!("{text}\n{{\"Records\":[17,{}]}}", line(20)));
    let ran = scene.run(&["--input", "trail.json"], "");
    assert_eq!(ran.code, 1, "{ran:?}");
    let rejected = scene.rejected();
    assert_eq!(rejected.len(), 2, "{rejected:?}");
    assert_eq!((&rejected[0]["record"], &rejected[0]["text"]), (&json!(5), &json!("{\"timestamp\":[]}")));
    assert_eq!((&rejected[1]["record"], &rejected[1]["reason"]), (&json!(11), &json!("not a JSON object")));
    assert!(rejected[0].get("line").is_none());
    assert_received(&receiver, (0..10).filter(|number| *number != 4).chain([20]));
}

#[test]
fn a_malformed_document_delivers_the_records_before_and_says_where() {
    for (cut, expected) in [
        ("", "from record 101 on: the document is cut off: it ends after "),
        (" x", "from record 101 on: `,` or `]` is expected at byte "),
    ] {
        let receiver = receiver(&[]);
        let scene = scene_with(&receiver, "records = \"/Records\"");
        let text = document(0..100);
        scene.write("trail.json", format!("{}{cut}", text.strip_suffix("]}").unwrap()));
        scene.write("next.json", document(200..210));
        let ran = scene.run(&["--input", "trail.json", "next.json"], "");
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains(&format!("cannot read trail.json {expected}")), "{}", ran.stderr);
        assert_received(&receiver, (0..100).chain(200..210));
    }
    let receiver = receiver(&[]);
    let scene = scene_with(&receiver, "records = \"/records\"");
    let ran = scene.run(&[], document(0..10));
    let told = "cannot read - from record 1 on: the document ends, and nothing is at \"/records\", at byte ";
    assert!(ran.code == 1 && ran.stderr.contains(told), "{ran:?}");
    assert_received(&receiver, []);
}

/// Far larger than what the program may hold.
#[test]
fn a_document_is_never_held_as_a_whole_nor_a_line_without_an_end() {
    let receiver = receiver(&[]);
    let scene = scene_with(&receiver, "records = \"/Records\"");
    let (head, tail) = ("{\"Records\":[", "]}");
    let endless = move |running: &mut Running, megabytes: u32, byte: u8| {
        let chunk = vec![byte; 1_000_000];
        (0..megabytes).for_each(|_| running.feed(&chunk));
    };
    let mut running = scene.start(&["--json"]);
    running.feed(format!("{head}{},\"", line(0)));
    endless(&mut running, 200, b'x');
    running.feed(format!("\",{}{tail}", line(1)));
    let ran = running.end();
    assert_eq!((ran.code, ran.json()["unreadable"].as_u64()), (1, Some(1)), "{ran:?}");
    let peak = ran.json()["peak_rss_bytes"].as_u64().unwrap();
    assert!(peak < 60_000_000, "{peak} bytes");
    let rejected = scene.rejected();
    assert_eq!(rejected[0]["record"], 2);
    assert_eq!(rejected[0]["reason"], "the line has 200000002 bytes, 393216 are allowed");
    assert_received(&receiver, 0..2);

    let scene = Scene::new(&receiver.url(), "");
    let mut running = scene.start(&["--json"]);
    running.feed(line(2));
    endless(&mut running, 300, b'x');
    running.feed(format!("\n{}", line(3)));
    let ran = running.end();
    let peak = ran.json()["peak_rss_bytes"].as_u64().unwrap();
    assert!(ran.code == 1 && peak < 60_000_000, "{peak} bytes: {ran:?}");
    assert_eq!((&scene.rejected()[0]["file"], &scene.rejected()[0]["line"]), (&json!("-"), &json!(2)));
    assert_received(&receiver, 0..4);
}

#[test]
fn a_fifo_whose_writers_pause_or_change_is_not_mistaken_for_its_end() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "");
    let fifo = scene.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let running = scene.start(&["--json", "--input", "fifo"]);
    let open = || std::fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    let mut first = open();
    first.write_all(lines(0..10).as_bytes()).unwrap();
    // Longer than one wait of the program for input.
    let pause = || std::thread::sleep(Duration::from_millis(250));
    assert!(receiver.wait_until(PATIENCE, |counts| counts.unique == 10));
    pause();
    // Half a line of the first, a pause, and a second writer, who outlives the first.
    first.write_all(&line(10).as_bytes()[..20]).unwrap();
    pause();
    first.write_all(&line(10).as_bytes()[20..]).unwrap();
    let mut second = open();
    drop(first);
    pause();
    second.write_all(lines(11..20).as_bytes()).unwrap();
    assert!(receiver.wait_until(PATIENCE, |counts| counts.unique == 20));
    pause();
    second.write_all(lines(20..30).as_bytes()).unwrap();
    drop(second);
    let ran = running.wait();
    assert_eq!((ran.code, ran.json()["unreadable"].as_u64()), (0, Some(0)), "{ran:?}");
    assert_received(&receiver, 0..30);
}

#[test]
fn text_of_every_make_is_read_and_what_is_none_is_rejected_alone() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "");
    let mut text = b"\xef\xbb\xbf".to_vec();
    text.extend(line(0).replace('\n', "\r\n").bytes());
    text.extend(b"\r\n\n  \t\r\n");
    text.extend(line(1).replace("u-1", "\u{e4}\u{20ac}").bytes());
    text.extend(b"{\"user_id\":\"\xff\"}\n");
    text.extend(line(2).trim_end().bytes());
    let ran = scene.run(&[], text);
    assert_eq!(ran.code, 1, "{ran:?}");
    let rejected = scene.rejected();
    assert_eq!((rejected.len(), &rejected[0]["line"]), (1, &json!(6)), "{rejected:?}");
    assert_eq!(rejected[0]["reason"], "not UTF-8 from byte 13 on");
    assert_received(&receiver, 0..3);
}

#[test]
fn what_a_run_writes_to_is_not_read_by_it() {
    let receiver = receiver(&[]);
    let scene = Scene::new(&receiver.url(), "");
    std::fs::create_dir(scene.path("logs")).unwrap();
    let config = scene.read("siem.toml").replace("rejected.ndjson", "logs/rejected.ndjson");
    scene.write("siem.toml", config);
    scene.write("logs/a", lines(0..10) + "nonsense\n");
    for run in 1..=2 {
        let ran = scene.run(&["--input", "logs"], "");
        assert_eq!(ran.code, 1, "{ran:?}");
        assert_eq!(scene.read("logs/rejected.ndjson").lines().count(), run, "one of each run");
    }
    let ran = scene.run(&["--input", "logs/rejected.ndjson"], "");
    assert!(ran.code == 2 && ran.stderr.contains("is what this run itself writes to"), "{ran:?}");
    assert_received(&receiver, 0..10);
}

/// Files can be read again, compressed ones too: what was read ahead is left.
#[test]
fn a_signal_amid_a_compressed_file_says_how_far_it_came() {
    let receiver = receiver(&["delay:ms=20"]);
    let scene = Scene::new(
        &receiver.url(),
        "max_queue_size = 200\nbatch_size = 20\nsenders = 1\ncompression = \"none\"\ntimeout_seconds = 0.5",
    );
    scene.write("large.zst", zstd(lines(0..50_000)));
    let running = scene.start(&["--json", "--input", "large.zst"]);
    assert!(receiver.wait_until(PATIENCE, |counts| counts.unique > 200));
    running.signal(Signal::TERM);
    let ran = running.wait();
    assert_eq!((ran.code, scene.rejected().len()), (1, 0), "{ran:?}");
    let delivered = u32::try_from(receiver.counts().unique).unwrap();
    assert!(ran.stderr.contains(&format!("stopped reading behind line {delivered} of large.zst")), "{}", ran.stderr);
    assert!(delivered < 50_000);
    assert_received(&receiver, 0..delivered);
}

/// Without a terminal a line comes now and then. It tells the file's bytes as they lie on disk.
#[test]
fn progress_is_told_by_the_bytes_on_disk_of_files_and_of_standard_input() {
    let receiver = receiver(&["hang"]);
    let packed = gzip(lines(0..200_000));
    let total = format!(" total_bytes={} left_seconds=", packed.len());
    // Two folders: a dead letter has one writer.
    let scenes = [(); 2].map(|()| {
        let scene = Scene::new(&receiver.url(), "max_queue_size = 2000\nbatch_size = 100\nsenders = 1");
        scene.write("large.gz", &packed);
        scene
    });
    let often = "--status-every=0.2";
    let both = [scenes[0].start(&[often, "--input", "large.gz"]), start_redirected(&scenes[1], "large.gz", &[often])];
    for running in &both {
        running.wait_for(&total);
        running.signal(Signal::TERM);
        running.wait_for("a second signal gives up on it");
        running.signal(Signal::TERM);
    }
    for ran in both.map(Running::wait) {
        let read = ran.stderr.split_once(&total).unwrap().0.rsplit_once(" read_bytes=").unwrap().1;
        assert!((1..packed.len() / 2).contains(&read.parse().unwrap()), "{}", ran.stderr);
    }
    assert_received(&receiver, []);
}
