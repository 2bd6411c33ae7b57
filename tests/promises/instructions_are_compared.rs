//! What compares instructions with those that are written down fails where a part is dearer, cheaper, new, gone or not
//! flat, and says the old and the new figure: `perf/instructions`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

const BASELINE: &str =
    "# Written with some tools\nencode/json 2000.0\nemit/producers/1 200.0\nemit/producers/64 203.0\n";

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("perf/instructions").join(name)
}

/// Runs a script of awk on files with these names and texts; whether it is content, and all that it says.
fn awk(name: &str, files: &[(&str, &str)]) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    for (file, text) in files {
        std::fs::write(folder.path().join(file), text).unwrap();
    }
    let names = files.iter().map(|(file, _)| file);
    let output = Command::new("awk").arg("-f").arg(script(name)).args(names).current_dir(&folder).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

fn compare(figures: &str) -> (bool, String) {
    awk("compare.awk", &[("baseline.txt", BASELINE), ("figures.txt", figures)])
}

/// The line of one part.
fn line<'a>(said: &'a str, part: &str) -> Vec<&'a str> {
    let mut lines = said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.find(|words| words.first() == Some(&part)).unwrap_or_else(|| panic!("no {part}: {said}"))
}

#[test]
fn within_three_percent_nothing_has_changed() {
    for json in ["2000.0", "2059.9", "1940.1"] {
        let (content, said) =
            compare(&format!("encode/json {json}\nemit/producers/1 200.0\nemit/producers/64 203.0\n"));
        assert!(content, "{said}");
        assert!(!said.contains("FAILED"), "{said}");
    }
}

#[test]
fn beyond_three_percent_either_way_the_old_and_the_new_figure_are_told() {
    for (json, change) in [("2100.0", "+5.0%"), ("2080.0", "+4.0%"), ("1900.0", "-5.0%")] {
        let (content, said) =
            compare(&format!("encode/json {json}\nemit/producers/1 200.0\nemit/producers/64 203.0\n"));
        assert!(!content, "{said}");
        assert_eq!(line(&said, "encode/json"), ["encode/json", "2000.0", json, change, "FAILED"]);
        assert_eq!(said.matches("FAILED").count(), 1, "{said}");
    }
}

#[test]
fn a_part_that_is_new_or_gone_has_to_be_written_down() {
    let (content, said) =
        compare("encode/json 2000.0\nencode/cef 900.0\nemit/producers/1 200.0\nemit/producers/64 203.0\n");
    assert!(!content && line(&said, "encode/cef").contains(&"FAILED:"), "{said}");
    let (content, said) = compare("emit/producers/1 200.0\nemit/producers/64 203.0\n");
    assert!(!content && line(&said, "encode/json").contains(&"FAILED:"), "{said}");
}

#[test]
fn what_costs_more_with_more_threads_is_not_flat() {
    // Each is within 3 % of what is written down, and they are not of each other.
    let (content, said) = compare("encode/json 2000.0\nemit/producers/1 196.0\nemit/producers/64 208.0\n");
    assert!(!content, "{said}");
    assert_eq!(line(&said, "emit/producers/*")[1], "+6.1%");
    assert!(said.ends_with("FAILED: not flat\n"), "{said}");
}

#[test]
fn the_instructions_of_a_parts_threads_are_shared_among_its_events() {
    let dump =
        |counted: u32| format!("# callgrind format\nfl=x.rs\nfn=instructions::work\n12 3\n\ntotals: {counted}\n");
    let [one, other, second] = [700, 300, 77].map(dump);
    let files: [(&str, &str); 4] = [
        ("parts.txt", "emit/producers/2\t10\t2\nbuild\t7\t1\n"),
        ("dump.3-01", &second),
        ("dump.1-02", &one),
        ("dump.2-03", &other),
    ];
    assert_eq!(awk("figures.awk", &files), (true, "emit/producers/2 100.0\nbuild 11.0\n".to_owned()));
    // A thread of which nothing was written down is no thread that cost nothing.
    let (content, said) = awk("figures.awk", &files[..3]);
    assert!(!content && said.contains("2 dumps, and 3 threads were counted"), "{said}");
}

/// The table of docs/scaling.md has the figures of the baseline, rounded.
#[test]
fn the_document_on_scaling_tells_the_figures_that_are_compared_with() {
    let read = |path: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let (document, baseline) = (read("docs/scaling.md"), read("perf/instructions/baseline.txt"));
    for (row, part, numbers) in [
        ("| build and emit", "emit/producers", &["1", "", "4", "", "16", "64"]),
        ("| out of the ring", "batch/batchers", &["1", "2", "4", "8", "", ""]),
    ] {
        let told = document.lines().find(|line| line.starts_with(row)).unwrap();
        let told: Vec<String> =
            told.trim_matches('|').split('|').skip(1).map(|cell| cell.trim().replace(',', "")).collect();
        let written = numbers.map(|number| match number {
            "" => String::new(),
            _ => format!("{:.0}", line(&baseline, &format!("{part}/{number}"))[1].parse::<f64>().unwrap()),
        });
        assert_eq!(told, written, "{row}");
    }
}
