//! Input that is meant to harm, or that breaks off where nobody expects it: `run` holds little of it, says where it went
//! wrong, and delivers everything else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::io::{Read, Write};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use siem_forward::receiver::{Receiver, ReceiverConfig};

use crate::program::{PATIENCE, Ran, Scene, TOKEN, assert_received, line, lines};

/// What a run may hold, far below what it is given.
const PEAK_MAX: u64 = 60_000_000;
/// What the bombs hold of one byte.
const BOMB_BYTES: u64 = 1_000_000_000;
/// Each is a line, which takes a debug build its time.
const BLANK_LINES: u64 = 10_000_000;
const MEMBER_BYTES: u64 = 10_000_000;

fn receiver() -> Receiver {
    Receiver::start(ReceiverConfig { token: Some(TOKEN.to_owned()), ..ReceiverConfig::default() }).unwrap()
}

fn scene_with(receiver: &Receiver, input: &str) -> Scene {
    let scene = Scene::new(&receiver.url(), "");
    let config = scene.read("siem.toml").replace("[input]\n", &format!("[input]\n{input}\n"));
    scene.write("siem.toml", config);
    scene
}

fn gzip(text: impl Read) -> Vec<u8> {
    let mut packed = Vec::new();
    flate2::read::GzEncoder::new(text, flate2::Compression::fast()).read_to_end(&mut packed).unwrap();
    packed
}

fn zstd(text: impl Read) -> Vec<u8> {
    zstd::encode_all(text, 1).unwrap()
}

/// An event, so many of one byte, and another event; the former packed in members that are the same, for a debug build
/// takes its time to compress.
fn bomb(pack: impl Fn(&[u8]) -> Vec<u8>, byte: u8, times: u64) -> Vec<u8> {
    let members = times.div_ceil(MEMBER_BYTES);
    let member = pack(&vec![byte; usize::try_from(times / members).unwrap()]);
    let [first, last] = [line(0), format!("\n{}", line(1))].map(|text| pack(text.as_bytes()));
    [first, member.repeat(usize::try_from(members).unwrap()), last].concat()
}

fn assert_small(ran: &Ran) {
    let peak = ran.json()["peak_rss_bytes"].as_u64().unwrap();
    assert!(peak < PEAK_MAX, "{peak} bytes: {ran:?}");
}

#[test]
fn a_decompression_bomb_is_refused_as_one_line_in_bounded_memory() {
    for (name, packed) in [
        ("bomb.gz", bomb(|text| gzip(text), b'x', BOMB_BYTES)),
        ("bomb.zst", bomb(|text| zstd(text), b'x', BOMB_BYTES)),
    ] {
        let receiver = receiver();
        let scene = Scene::new(&receiver.url(), "");
        assert!(packed.len() < 10_000_000, "{} bytes are no bomb", packed.len());
        scene.write(name, packed);
        let ran = scene.run(&["--json", "--input", name], "");
        assert_eq!((ran.code, ran.json()["unreadable"].as_u64()), (1, Some(1)), "{ran:?}");
        assert_small(&ran);
        let rejected = scene.rejected();
        assert_eq!((rejected.len(), &rejected[0]["file"], &rejected[0]["line"]), (1, &json!(name), &json!(2)));
        assert_eq!(rejected[0]["reason"], format!("the line has {BOMB_BYTES} bytes, 393216 are allowed"));
        assert_received(&receiver, 0..2);
    }
}

/// Nothing is said about a blank line, so nothing may be kept of it either.
#[test]
fn a_gigabyte_of_blanks_and_lines_without_end_are_passed_in_bounded_memory() {
    let receiver = receiver();
    let scene = Scene::new(&receiver.url(), "");
    scene.write("blank.gz", bomb(|text| gzip(text), b' ', BOMB_BYTES));
    scene.write("empty.gz", bomb(|text| gzip(text), b'\n', BLANK_LINES));
    let ran = scene.run(&["--json", "--input", "blank.gz"], "");
    assert_small(&ran);
    assert!(scene.rejected().len() <= 1, "{ran:?}");
    assert_received(&receiver, 0..2);
    let ran = scene.run(&["--json", "--input", "empty.gz"], "");
    assert_eq!((ran.code, ran.json()["unreadable"].as_u64()), (0, Some(0)), "{ran:?}");
    assert_small(&ran);
}

#[test]
fn a_document_that_nests_without_end_or_has_no_array_is_refused_in_bounded_memory() {
    for (what, byte) in [("an array in an array, for ever", b'['), ("a text without an end", b'x')] {
        let receiver = receiver();
        let scene = scene_with(&receiver, "records = \"/Records\"");
        let head = if byte == b'x' { "{\"Other\":\"" } else { "{\"Other\":" };
        let document = std::io::Cursor::new(head).chain(std::io::repeat(byte).take(70_000_000));
        scene.write("deep.json.gz", gzip(document));
        let next = format!("{{\"Records\":[{}]}}", line(7));
        scene.write("next.json", next);
        let ran = scene.run(&["--json", "--input", "deep.json.gz", "next.json"], "");
        assert_eq!((ran.code, ran.json()["input_complete"].as_bool()), (1, Some(false)), "{what}: {ran:?}");
        assert!(ran.stderr.contains("error: cannot read deep.json.gz from record 1 on: "), "{what}: {}", ran.stderr);
        assert_small(&ran);
        assert_received(&receiver, [7]);
    }
}

#[test]
fn a_compressed_pipe_that_pauses_is_waited_for_and_one_that_breaks_off_is_told() {
    let receiver = receiver();
    let scene = Scene::new(&receiver.url(), "");
    let fifo = scene.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let running = scene.start(&["--json", "--input", "fifo"]);
    let mut writer = std::fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    // Longer than one wait of the program for input.
    let pause = || std::thread::sleep(Duration::from_millis(250));
    let packed = gzip(lines(0..1_000).as_bytes());
    // Amid what tells the compression, amid a member, and between two of them.
    for part in [&packed[..1], &packed[1..packed.len() / 2], &packed[packed.len() / 2..]] {
        writer.write_all(part).unwrap();
        pause();
    }
    assert!(receiver.wait_until(PATIENCE, |counts| counts.unique == 1_000), "it is there before the pipe ends");
    let next = gzip(lines(1_000..1_010).as_bytes());
    writer.write_all(&next).unwrap();
    writer.write_all(&next[..next.len() / 2]).unwrap();
    drop(writer);
    let ran = running.wait();
    assert_eq!((ran.code, ran.json()["input_complete"].as_bool()), (1, Some(false)), "{ran:?}");
    let end = packed.len() + next.len() + next.len() / 2;
    let told = format!(": the gzip data is cut off: it ends within a member, after {end} bytes");
    assert!(ran.stderr.contains("error: cannot read fifo from line ") && ran.stderr.contains(&told), "{}", ran.stderr);
    assert_received(&receiver, 0..1_010);
}

/// What a text editor, or another system, made of each part that was packed.
#[test]
fn marks_and_line_ends_of_other_systems_are_read_in_compressed_files_too() {
    let receiver = receiver();
    let scene = Scene::new(&receiver.url(), "");
    let parts = [b"\xef\xbb\xbf".to_vec(), lines(0..5).replace('\n', "\r\n").into_bytes(), b"\r\n\n".to_vec()];
    // The end of a member, or of a frame, is no end of a line.
    let (half, rest) = (&line(5)[..20], &line(5)[20..]);
    let text = parts.concat();
    scene.write("a.gz", [gzip(&text[..]), gzip(half.as_bytes()), gzip(rest.trim_end().as_bytes())].concat());
    // Nor does the next file go on with the last line of the one before.
    scene.write("b.zst", [zstd(line(6).as_bytes()), zstd(line(7).trim_end().as_bytes())].concat());
    scene.write("c", lines(8..10));
    let ran = scene.run(&["--json", "--input", "a.gz", "b.zst", "c"], "");
    assert_eq!((ran.code, ran.json()["unreadable"].as_u64()), (0, Some(0)), "{ran:?}");
    assert_received(&receiver, 0..10);
}

#[test]
fn a_record_that_is_no_utf8_is_rejected_alone_and_strict_stops_at_it() {
    let receiver = receiver();
    let scene = scene_with(&receiver, "records = \"/Records\"");
    let bad = b"{\"user_id\":\"\xff\"}".to_vec();
    let parts = [b"{\"Records\":[".to_vec(), line(0).into_bytes(), b",".to_vec(), bad, b",".to_vec()];
    scene.write("trail.json", [parts.concat(), line(1).into_bytes(), b"]}".to_vec()].concat());
    let ran = scene.run(&["--json", "--strict", "--input", "trail.json"], "");
    assert_eq!((ran.code, ran.json()["input_complete"].as_bool()), (1, Some(false)), "{ran:?}");
    assert!(ran.stderr.contains("error: trail.json: record 2: not UTF-8 from byte 13 on\n"), "{}", ran.stderr);
    assert_received(&receiver, [0]);
    let ran = scene.run(&["--json", "--input", "trail.json"], "");
    assert_eq!((ran.code, ran.json()["unreadable"].as_u64()), (1, Some(1)), "{ran:?}");
    assert_eq!(scene.rejected()[1]["record"], 2);
    assert!(receiver.wait_until(PATIENCE, |counts| counts.unique == 2));
}

#[test]
fn a_dry_run_tells_a_file_that_breaks_off_and_what_is_readable_of_it() {
    let scene = Scene::new("http://127.0.0.1:1", "");
    let packed = gzip(lines(0..20_000).as_bytes());
    scene.write("cut.gz", &packed[..packed.len() / 2]);
    scene.write("good", lines(0..10) + "[]\n");
    let arguments = ["--dry-run", "--input", "cut.gz", "good"];
    let ran = scene.run(&[&arguments[..], &["--json"]].concat(), "");
    let report = ran.json();
    assert_eq!((ran.code, &report["input_complete"]), (1, &json!(false)), "{ran:?}");
    assert_eq!(report["reasons"], json!([{"reason": "not a JSON object", "count": 1, "first": "good:11"}]));
    let readable = report["readable"].as_u64().unwrap();
    let told = format!("cannot read cut.gz from line {} on: the gzip data is cut off", readable - 10 + 1);
    assert!(readable > 1_010 && report["broken"][0].as_str().unwrap().starts_with(&told), "{report}");
    let ran = scene.run(&arguments, "");
    assert!(ran.code == 1 && ran.stdout.contains(&told), "{}", ran.stdout);
}

#[test]
fn what_is_rejected_and_the_dead_letter_never_share_a_file() {
    let receiver = receiver();
    let scene = Scene::new(&receiver.url(), "");
    std::fs::create_dir(scene.path("in")).unwrap();
    let config = scene.read("siem.toml").replace("rejected.ndjson", "in/../dead.ndjson");
    scene.write("siem.toml", config);
    for is_made in [false, true] {
        let ran = scene.run(&[], line(0));
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "made: {is_made}: {ran:?}");
        let told = "siem.toml:2:21: input.rejected.path: is the dead letter's file";
        assert!(ran.stderr.contains(told) && ran.stderr.contains("name another file"), "{}", ran.stderr);
        assert_eq!(scene.path("dead.ndjson").exists(), is_made, "nothing is started");
        scene.write("dead.ndjson", "");
    }
    let other = format!("input.rejected.path = {:?}", scene.path("rejected.ndjson"));
    let ran = scene.run(&["--set", &other], line(0));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_received(&receiver, [0]);
}
