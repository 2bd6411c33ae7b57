use std::collections::BTreeSet;
use std::path::PathBuf;

use super::*;
use crate::config::{Config, keys_asked};
use crate::table::{Secrets, Section};

/// A folder with a configuration in it.
struct File(tempfile::TempDir);

impl File {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("siem.toml"), text).unwrap();
        std::fs::write(folder.path().join("token"), "hush\n").unwrap();
        Self(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("siem.toml")
    }

    /// What it says, with these keys set beside it.
    fn read(&self, of: &DestinationKeys, set: &[String]) -> Result<String, String> {
        let DestinationKeys { table, secret, .. } = of;
        let token = secret.map(|key| format!("{table}.{key}={{ file = {:?} }}", self.0.path().join("token")));
        let letter = format!("{table}.dead_letter.path={:?}", self.0.path().join("dead.ndjson"));
        // A password needs a name.
        let username = (of.name == "kafka").then(|| format!("{table}.username=\"u\""));
        let set: Vec<String> = token.into_iter().chain([letter]).chain(username).chain(set.iter().cloned()).collect();
        Config::load(&self.path(), &set, Secrets::Fetched)
            .map(|config| format!("{config:?}"))
            .map_err(|error| error.to_string())
    }
}

/// Those that this build can read.
fn built() -> impl Iterator<Item = &'static DestinationKeys> {
    DESTINATIONS.iter().filter(|of| of.is_built())
}

/// The least that a configuration must say, but for what is set beside it.
fn minimal(of: &DestinationKeys) -> String {
    let place = match of.name {
        "datadog" => "site = \"us3\"",
        "file" => "path = \"audit.ndjson\"",
        "kafka" => "brokers = [\"127.0.0.1:9092\"]\ntopic = \"audit\"",
        _ => "url = \"http://127.0.0.1:8088\"",
    };
    format!("[{}]\ntype = \"{}\"\n{place}\n", of.table, of.name)
}

/// Whether this build reads it.
fn is_read((table, key): &(&str, &Key)) -> bool {
    cfg!(feature = "kafka") || *table != "input" || !key.name.starts_with("kafka.")
}

/// Every key of a file that leads there, with the table that it stands in.
fn keys(of: &DestinationKeys) -> Vec<(&'static str, &'static Key)> {
    let mut chapters = vec![of.chapter()];
    chapters.extend(general());
    let sections = chapters.iter().flat_map(|chapter| chapter.sections.iter().map(|section| (chapter.table, section)));
    sections.flat_map(|(table, Section { keys, .. })| keys.iter().map(move |key| (table, key))).collect()
}

#[test]
fn what_it_prints_is_a_configuration_once_the_secret_has_its_place() {
    let addresses = [
        "splunk.example:8088",
        "http-intake.logs.datadoghq.com",
        "elastic.example:9200",
        "siem.example",
        "audit.ndjson",
        "kafka-1.example",
    ];
    assert_eq!(addresses.len(), DESTINATIONS.len());
    for (of, address) in DESTINATIONS.iter().zip(addresses).filter(|(of, _)| of.is_built()) {
        let file = File::new(&configuration(of));
        let read = file.read(of, &[]).unwrap();
        assert!(read.contains(address.split(':').next().unwrap()), "{read}");
    }
}

#[test]
fn what_it_prints_shows_every_key_and_no_line_is_too_long() {
    for of in DESTINATIONS {
        let text = configuration(of);
        for (_, key) in keys(of) {
            assert!(text.lines().any(|line| line.trim_start_matches('#') == key.toml()), "{}", key.name);
        }
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    }
}

#[test]
fn the_defaults_that_it_prints_are_those_of_the_code() {
    let of_kafka = ["brokers=[\"kafka:9092\"]", "topics=[\"audit\"]"].map(|key| format!("input.kafka.{key}")).to_vec();
    for of in built() {
        let file = File::new(&minimal(of));
        // A policy of overflow has keys of its own, which are mistakes beside another one.
        for policy in ["", "overflow = \"block\"", "overflow = \"shed_by_severity\""] {
            let policy_set = policy.split_once(" = ").map(|(key, value)| format!("{}.{key}={value}", of.table));
            let policy_set: Vec<String> = policy_set.into_iter().collect();
            let minimal = file.read(of, &policy_set).unwrap();
            for (table, key) in keys(of) {
                let Unset::Is(default) = key.unset else { continue };
                if !is_read(&(table, key)) {
                    continue;
                }
                let is_apart = key.beside.is_empty() && key.name != "overflow";
                if is_apart || !policy.is_empty() && key.beside == policy {
                    let (set, minimal) = if key.name.starts_with("kafka.") {
                        // Its table is another one than none at all.
                        (of_kafka.clone(), file.read(of, &of_kafka).unwrap())
                    } else {
                        (policy_set.clone(), minimal.clone())
                    };
                    let set = [set, vec![format!("{table}.{}={default}", key.name)]].concat();
                    assert_eq!(file.read(of, &set), Ok(minimal), "{} = {default}", key.name);
                }
            }
        }
    }
}

#[test]
fn every_key_that_is_read_is_described_and_none_else() {
    for of in built() {
        let written: String = configuration(of)
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let described: BTreeSet<String> =
            keys(of).iter().filter(|key| is_read(key)).map(|(table, key)| format!("{table}.{}", key.name)).collect();
        // A table is described by its keys; the forms of a value stand with the key.
        let is_head = |path: &str| described.iter().any(|key| key.starts_with(&format!("{path}.")));
        let is_form = |path: &str| path.rsplit_once('.').is_some_and(|(table, _)| described.contains(table));
        let read: BTreeSet<String> =
            keys_asked(&written).into_iter().filter(|path| !is_head(path) && !is_form(path)).collect();
        // A build without Kafka asks for its table all the same, to say which build has it.
        let is_elsewhere = |path: &String| cfg!(not(feature = "kafka")) && path == "input.kafka";
        let read: BTreeSet<String> = read.into_iter().filter(|path| !is_elsewhere(path)).collect();
        assert_eq!(read, described);
    }
}

#[test]
fn the_range_that_it_prints_is_the_one_that_a_mistake_is_told() {
    for of in built() {
        let file = File::new(&minimal(of));
        let mut compared = 0;
        for (table, key) in keys(of) {
            if !is_read(&(table, key)) {
                continue;
            }
            let wrong = match key.range {
                range if range.starts_with('"') => "\"?\"",
                "true or false" | "a text" => "7",
                range if range.starts_with(|first: char| first.is_ascii_digit()) => "-1",
                // The place of a secret, a JSON pointer: told in other words.
                _ => continue,
            };
            let wrong = if key.name.starts_with("pin.") { "[-1]" } else { wrong };
            if ["proxy", "url"].contains(&key.name) {
                continue;
            }
            compared += 1;
            let told = file.read(of, &[format!("{table}.{}={wrong}", key.name)]).unwrap_err();
            assert!(told.contains(key.range), "{}: {}: {told}", key.name, key.range);
        }
        assert!(compared > 30, "{compared}");
    }
}

/// The tables of keys in README.md: all of the first destination's, and of the others their own.
fn markdown() -> String {
    let mut text = String::new();
    for (index, of) in DESTINATIONS.iter().enumerate() {
        if index > 0 {
            text.extend(["\nInstead of Splunk's own keys, `type = \"", of.name, "\"` (", of.about, ") has these:\n\n"]);
        }
        text.push_str("| key | default | unit | range | what it does and trades |\n|---|---|---|---|---|\n");
        let own = of.own().iter().map(|key| (of.table, key)).collect();
        rows(if index == 0 { keys(of) } else { own }, &mut text);
    }
    text
}

fn rows(keys: Vec<(&'static str, &'static Key)>, text: &mut String) {
    for (table, key) in keys {
        let default = match key.unset {
            Unset::Required(_) => "required".to_owned(),
            Unset::Is(value) => format!("`{value}`"),
            Unset::Means(unset, _) => unset.to_owned(),
        };
        let name = if table.starts_with("siem.") { key.name.to_owned() } else { format!("{table}.{}", key.name) };
        let beside = if key.beside.is_empty() { String::new() } else { format!(" (with `{}`)", key.beside) };
        text.extend([format!("| `{name}` | {default} | {} | {} | {}{beside} |\n", key.unit, key.range, key.meaning)]);
    }
}

/// `SIEM_FORWARD_WRITE_README=1 cargo test --lib readme` writes it anew.
#[test]
fn the_table_in_the_readme_is_made_of_the_same_descriptions() {
    const BEGIN: &str = "<!-- keys: begin -->\n";
    const END: &str = "<!-- keys: end -->\n";
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (table, after) = rest.split_once(END).unwrap();
    if std::env::var_os("SIEM_FORWARD_WRITE_README").is_some() {
        std::fs::write(&path, [before, BEGIN, &markdown(), END, after].concat()).unwrap();
        return;
    }
    assert!(
        table == markdown(),
        "README.md lags behind the keys; write it with\n  SIEM_FORWARD_WRITE_README=1 cargo test --lib readme"
    );
}
