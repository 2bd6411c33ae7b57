//! The rules of the house that a compiler does not enforce: imports point one way, files and the crate's surface stay
//! small, and nothing brings an async runtime.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 500;
const PUBLIC_ITEMS_BELOW: usize = 40;
const FORBIDDEN_NAMES: [&str; 7] = ["util", "utils", "common", "manager", "helper", "helpers", "impl"];
/// Who may look at the wall clock, and what for. Ages, deadlines and waits are monotonic: a step of the clock moves none.
const WALL_CLOCK: [(&str, &str); 21] = [
    ("cli/check/trip.rs", "how long a certificate is still good"),
    ("cli/log.rs", "a line of the log says when"),
    ("cli/replay/tracker.rs", "a record says when it failed again"),
    ("cli/selection.rs", "--since, as a time ago"),
    ("dead_letter/records.rs", "a record says when it was written"),
    ("engine/emitter.rs", "an event begins"),
    ("engine/fanout/emitter.rs", "an event begins"),
    ("engine/gap.rs", "when events were refused, and an event of our own"),
    ("event/builder.rs", "an event begins"),
    ("event/clock.rs", "the clock"),
    ("event/mod.rs", "an event begins"),
    ("event/serde/read.rs", "an event without an id gets one"),
    ("event/timestamp.rs", "the type of an event's time"),
    ("input/map/mod.rs", "an event begins"),
    ("net/http.rs", "a `Retry-After` that is a date, of a server that tells no time"),
    ("net/retry_after.rs", "the same"),
    ("net/tls/material.rs", "whether our own certificate is valid, at start"),
    ("receiver/logs.rs", "Datadog, played, drops what is too old by the wall clock"),
    ("siem/datadog.rs", "the same"),
    ("siem/file/day.rs", "a file is of a day"),
    ("siem/splunk/channel.rs", "a channel's name is a generated id"),
];
/// What reads the wall clock; and the plain `now()`, which is the clock of the room `event` and gives both times.
const WALL_CLOCK_READS: [&str; 9] = [
    "SystemTime",
    "Timestamp::now",
    "UnixTime::now",
    "Zoned::now",
    "ClockId::Realtime",
    ".wall",
    ".modified()",
    ".accessed()",
    ".created()",
];
const RUNTIMES: [&str; 11] = [
    "tokio",
    "async-std",
    "async-global-executor",
    "async-executor",
    "async-io",
    "smol",
    "futures-executor",
    "hyper",
    "reqwest",
    "actix-rt",
    "glommio",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// Every source file with its path below `src`.
fn sources() -> Vec<(PathBuf, String)> {
    let src = root().join("src");
    let mut folders = vec![src.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = read(&path);
                sources.push((path.strip_prefix(&src).unwrap().to_owned(), text));
            }
        }
    }
    sources.sort();
    sources
}

/// The code without comments and without the tests, which stand last and may look anywhere.
fn code(text: &str) -> String {
    let is_test = |line: &&str| line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test");
    let code = text.lines().take_while(|line| !is_test(line) || line.contains("use"));
    code.filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The names that follow `prefix`: one, or those in its braces.
fn names_after(code: &str, prefix: &str) -> Vec<String> {
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut names = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].ends_with(|letter| is_name(letter) || letter == ':' || letter == '$') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let items = list.split_inclusive([',', '{', '}']).scan(false, |ended, item| {
                let outer = depth == 0 && !*ended;
                depth += i32::from(item.ends_with('{')) - i32::from(item.ends_with('}'));
                *ended |= depth < 0;
                Some(outer.then(|| item.trim().split(|letter| !is_name(letter)).next().unwrap_or_default().to_owned()))
            });
            names.extend(items.flatten().filter(|name| !name.is_empty()));
        } else {
            names.push(rest.chars().take_while(|letter| is_name(*letter)).collect());
        }
    }
    names
}

/// The rooms in the order of `src/lib.rs`.
fn rooms() -> Vec<String> {
    let lib = code(&read(&root().join("src/lib.rs")));
    let declared = lib.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "));
    declared.map(|name| name.trim_end_matches(';').to_owned()).collect()
}

fn room_of(path: &Path) -> String {
    path.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

#[test]
fn a_room_imports_only_from_rooms_above_it() {
    let rooms = rooms();
    assert!(rooms.len() >= 10, "{rooms:?}");
    let place = |room: &str| rooms.iter().position(|known| known == room);
    let mut arrows = 0;
    for (path, text) in sources() {
        let room = room_of(&path);
        if room == "lib" || room == "main" {
            continue;
        }
        let here = place(&room).unwrap_or_else(|| panic!("{} belongs to no room of lib.rs", path.display()));
        for name in names_after(&code(&text), "crate::") {
            let there = place(&name).unwrap_or_else(|| panic!("{}: crate::{name} is no room", path.display()));
            assert!(there <= here, "{}: {room} imports from {name}, which stands below it", path.display());
            arrows += usize::from(there < here);
        }
    }
    assert!(arrows > 20, "{arrows} arrows are too few to be true");
}

#[test]
fn inside_a_room_no_file_depends_on_itself_by_a_detour() {
    let mut arrows: BTreeMap<(PathBuf, String), BTreeSet<String>> = BTreeMap::new();
    for (path, text) in sources() {
        let folder = path.parent().unwrap().to_owned();
        let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if folder.as_os_str().is_empty() || file == "mod" {
            continue;
        }
        let modules =
            names_after(&code(&text), "super::").into_iter().filter(|name| name.starts_with(char::is_lowercase));
        arrows.insert((folder, file), modules.collect());
    }
    for (folder, file) in arrows.keys() {
        let mut reached = BTreeSet::new();
        let mut open = vec![file.clone()];
        while let Some(next) = open.pop() {
            let below = arrows.get(&(folder.clone(), next)).into_iter().flatten();
            open.extend(below.filter(|name| reached.insert((*name).clone())).cloned());
        }
        assert!(!reached.contains(file), "{}: {file} depends on itself by way of {reached:?}", folder.display());
    }
}

/// Each use is known with its purpose, and none is an age, a deadline or a wait.
#[test]
fn nothing_is_timed_by_the_wall_clock() {
    let is_plain = |before: &str| !before.ends_with(|letter: char| letter.is_alphanumeric() || ":._".contains(letter));
    let reads = |text: &str| {
        let code = code(text);
        let calls_now = code.match_indices("now()").any(|(at, _)| is_plain(&code[..at]));
        calls_now || WALL_CLOCK_READS.iter().any(|read| code.contains(read))
    };
    let found = sources().into_iter().filter(|(_, text)| reads(text)).map(|(path, _)| path);
    let found: Vec<String> = found.map(|path| path.to_str().unwrap().to_owned()).collect();
    let known: Vec<&str> = WALL_CLOCK.iter().map(|(path, _)| *path).collect();
    assert_eq!(found, known, "a file looks at the wall clock: say here what for, or that it does not any more");
    // An event's own time is text to be written: who times things does not read it.
    for (path, text) in sources() {
        let times_things = ["engine", "policy", "ledger", "net", "input"].contains(&room_of(&path).as_str());
        let reads = [".unix_nanos()", ".timestamp()", ".timestamp "].iter().any(|read| code(&text).contains(read));
        // Says when events were refused: by the clock, not by what they say of themselves. Makes a record's time a part of an id.
        let is_other = ["ledger/refusals.rs", "input/kafka/group.rs"].iter().any(|other| path.ends_with(other));
        assert!(is_other || !(times_things && reads), "{} reads an event's time", path.display());
    }
}

#[test]
fn no_file_is_longer_than_one_can_read() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines", path.display());
    }
}

#[test]
fn no_name_says_nothing() {
    for (path, text) in sources() {
        let path_names = path.iter().map(|part| part.to_str().unwrap().trim_end_matches(".rs").to_owned());
        let modules = text.lines().filter_map(|line| line.trim().trim_start_matches("pub ").strip_prefix("mod "));
        let modules = modules.map(|name| name.trim_end_matches([';', '{', ' ']).to_owned());
        for name in path_names.chain(modules) {
            let says_nothing = name.split('_').any(|word| FORBIDDEN_NAMES.contains(&word));
            assert!(!says_nothing, "{}: {name}", path.display());
        }
    }
}

#[test]
fn no_async_runtime_is_in_the_tree() {
    let lock = read(&root().join("Cargo.lock"));
    let packages: BTreeSet<&str> = lock.lines().filter_map(|line| line.strip_prefix("name = ")).collect();
    assert!(packages.len() > 50 && packages.contains("\"ureq\""));
    for runtime in RUNTIMES {
        assert!(!packages.contains(format!("\"{runtime}\"").as_str()), "{runtime} is in the tree");
    }
}

/// Traps of others that need neither a spool nor Kafka: each is a test, which its comment names by number.
const TRAPS: [u8; 17] = [1, 2, 4, 5, 6, 10, 11, 12, 13, 14, 17, 18, 19, 20, 21, 22, 23];

#[test]
fn every_trap_is_a_test() {
    let folders = ["tests", "tests/promises"].map(|folder| root().join(folder));
    let paths = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    let tests: Vec<String> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "rs")).map(|path| read(&path)).collect();
    let names = |comment: &str, trap: u8| {
        comment.split(|char: char| !char.is_alphanumeric()).any(|word| word == format!("T{trap}"))
    };
    for trap in TRAPS {
        let comments = tests.iter().flat_map(|text| text.lines()).filter(|line| line.trim_start().starts_with("//"));
        assert!(comments.into_iter().any(|comment| names(comment, trap)), "no test says that it is of T{trap}");
    }
}

/// What the README links is there.
#[test]
fn every_link_of_the_readme_leads_somewhere() {
    for document in [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/destinations.md",
        "docs/input-map.md",
        "docs/kafka.md",
        "docs/metrics.md",
        "docs/operating.md",
        "docs/replay.md",
        "docs/tls.md",
        "docs/tuning.md",
    ] {
        let path = root().join(document);
        let text = read(&path);
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.starts_with("http") && !target.starts_with('#')) {
            let target = target.split('#').next().unwrap();
            assert!(path.parent().unwrap().join(target).exists(), "{document} links {target}, which is not there");
        }
    }
}

#[test]
fn the_crates_root_is_small() {
    // What the documentation hides is our own program's way in, and nobody's to learn.
    let lib = code(&read(&root().join("src/lib.rs"))).replace("#[doc(hidden)]\npub mod ", "mod ");
    let mut items = names_after(&lib, "pub mod ");
    for statement in lib.split("pub use ").skip(1) {
        let statement = statement.split(';').next().unwrap();
        assert!(!statement.contains('*'), "{statement}: nobody can count a glob");
        let names = statement.rsplit_once("::").unwrap().1;
        let names = if names.contains('}') { statement.split_once('{').unwrap().1 } else { names };
        items.extend(names.trim_end_matches('}').split(',').map(|name| name.trim().to_owned()));
    }
    items.retain(|name| !name.is_empty());
    assert!(items.len() > 20 && items.contains(&"Forwarder".to_owned()), "{items:?}");
    assert!(items.len() < PUBLIC_ITEMS_BELOW, "{} public items: {items:?}", items.len());
}

#[test]
fn names_are_found_where_they_are_used() {
    assert_eq!(names_after("use crate::event::Pool;\nlet x = crate::siem::Y;", "crate::"), ["event", "siem"]);
    assert_eq!(names_after("use crate::{batch::{Batch, Mark}, net, siem::Siem};", "crate::"), ["batch", "net", "siem"]);
    assert_eq!(names_after("$crate::event; mycrate::event", "crate::"), Vec::<String>::new());
    assert_eq!(code("use a;\n// crate::x\n#[cfg(test)]\nmod tests { crate::y }"), "use a;");
}
