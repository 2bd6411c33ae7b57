use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::secret::SecretFile;

/// Reads `text` with `read` and answers what is displayed.
fn problems_of(text: &str, read: impl FnOnce(&mut Table<'_>, &mut Problems)) -> String {
    let mut problems = Problems::new(Path::new("siem.toml"), text);
    if let Some(mut table) = Table::parse(text, &mut problems) {
        read(&mut table, &mut problems);
        table.finish(&mut problems);
    }
    problems.to_string()
}

/// Reads `text`, which must be right.
fn right<T>(text: &str, read: impl FnOnce(&mut Table<'_>, &mut Problems) -> T) -> T {
    let mut problems = Problems::new(Path::new("siem.toml"), text);
    let mut table = Table::parse(text, &mut problems).expect("valid");
    let value = read(&mut table, &mut problems);
    table.finish(&mut problems);
    assert!(problems.is_empty(), "{problems}");
    value
}

#[test]
fn every_type_is_read() {
    right("flag = true", |table, problems| assert_eq!(table.take_bool("flag", problems), Some(true)));
    right("url = 'x'", |table, problems| assert_eq!(table.take_string("url", problems).as_deref(), Some("x")));
    right("n = 0x1_0", |table, problems| assert_eq!(table.take_integer("n", 1..=20, problems), Some(16)));
    right("f = 2", |table, problems| assert_eq!(table.take_float("f", 0.0..=2.0, problems), Some(2.0)));
    right("t = 0.25", |table, problems| {
        assert_eq!(table.take_seconds("t", 0.0..=1.0, problems), Some(Duration::from_millis(250)));
    });
    right("a = 1_000\nb = '64 MB'", |table, problems| {
        assert_eq!(table.take_bytes("a", 1..=1000, problems), Some(1000));
        assert_eq!(table.take_bytes("b", 1..=u64::MAX, problems), Some(64_000_000));
    });
    right("l = [1, 2]", |table, problems| {
        assert_eq!(table.take_list_of_integers("l", 0..=9, problems), Some(vec![1, 2]));
    });
    right("c = 'gzip'", |table, problems| {
        assert_eq!(table.take_choice("c", &[("none", 0), ("gzip", 1)], problems), Some(1));
    });
    right("a = { env = 'TOKEN' }\nb.file = 'token.txt'", |table, problems| {
        assert_eq!(table.take_secret_place("a", problems), Some(SecretPlace::Env("TOKEN".to_owned())));
        assert_eq!(table.take_secret_place("b", problems), Some(SecretPlace::File(SecretFile::new("token.txt"))));
    });
    right("a = 'none'\nb = { path = 'x' }", |table, problems| {
        assert!(matches!(table.take_table_or("a", "none", "", problems), Some(TableOrWord::Word)));
        let Some(TableOrWord::Table(mut inner)) = table.take_table_or("b", "none", "", problems) else { panic!() };
        assert_eq!(inner.take_path("path", problems), Some("x".into()));
    });
    right("", |table, problems| assert_eq!(table.take_bool("absent", problems), None));
}

#[test]
fn tables_are_walked_in_the_order_of_the_file() {
    right("[siem.zeta]\n[siem.alpha]\n[siem.mid]", |table, problems| {
        let mut siem = table.take_table("siem", problems).unwrap();
        let tables = siem.take_tables(problems);
        let names: Vec<&str> = tables.iter().map(Table::name).collect();
        assert_eq!(names, ["zeta", "alpha", "mid"]);
    });
}

#[test]
fn an_unknown_key_is_shown_with_its_line_and_the_nearest_known_one() {
    let text = "[siem.splunk]\n\n# how many\nbatch_sise = 500\nzzz = 1\n";
    let shown = problems_of(text, |table, problems| {
        let mut siem = table.take_table("siem", problems).unwrap();
        for mut pipeline in siem.take_tables(problems) {
            pipeline.take_integer("batch_size", 1..=1_000_000, problems);
            pipeline.take_integer("batchers", 1..=64, problems);
            pipeline.finish(problems);
        }
    });
    let expected = "\
siem.toml:4:1: siem.splunk.batch_sise: unknown key
    4 | batch_sise = 500
      | ^^^^^^^^^^ did you mean `batch_size`?
siem.toml:5:1: siem.splunk.zzz: unknown key
    5 | zzz = 1
      | ^^^ known here: batch_size, batchers";
    assert_eq!(shown, expected);
}

#[test]
fn all_problems_come_at_once_in_the_order_of_the_file() {
    let text = "b = 'x'\nn = 70\nf = -1.5\nt = true\nsize = '9 XB'\nc = 'gzipp'\nl = [1, 'x']\nd = 1\nempty = ''\n";
    let shown = problems_of(text, |table, problems| {
        table.require("url", "url = \"https://…\"", problems);
        assert_eq!(table.take_string("empty", problems), None);
        assert!(table.take_table("d", problems).is_none());
        assert_eq!(table.take_list_of_integers("l", 0..=9, problems), None);
        assert_eq!(table.take_choice("c", &[("none", 0), ("gzip", 1)], problems), None);
        assert_eq!(table.take_bytes("size", 1000..=1_000_000, problems), None);
        assert_eq!(table.take_seconds("t", 0.001..=3600.0, problems), None);
        assert_eq!(table.take_float("f", 0.0..=1.0, problems), None);
        assert_eq!(table.take_integer("n", 1..=64, problems), None);
        assert_eq!(table.take_bool("b", problems), None);
        table.blame("n", "more than the cores", "this machine has 2", problems);
    });
    for expected in [
        "siem.toml: url: missing\n      = add url = \"https://…\"",
        "siem.toml:1:5: b: is a text, must be true or false\n    1 | b = 'x'\n      |     ^^^ such as b = true",
        "siem.toml:2:5: n: out of range\n    2 | n = 70\n      |     ^^ must be 1 to 64",
        "siem.toml:2:5: n: more than the cores\n    2 | n = 70\n      |     ^^ this machine has 2",
        "siem.toml:3:5: f: out of range\n    3 | f = -1.5\n      |     ^^^^ must be 0 to 1",
        "siem.toml:4:5: t: is true or false, must be a number, 0.001 to 3600 seconds",
        "siem.toml:5:8: size: no size\n    5 | size = '9 XB'\n      |        ^^^^^^ write a whole number and one of B",
        "siem.toml:6:5: c: unknown value\n    6 | c = 'gzipp'\n      |     ^^^^^^^ did you mean \"gzip\"? It is \"none\" or",
        "siem.toml:7:9: l: out of place\n    7 | l = [1, 'x']\n      |         ^^^ must be a list of whole numbers, 0 to 9",
        "siem.toml:8:5: d: is a whole number, must be a table",
        "siem.toml:9:9: empty: is empty",
    ] {
        assert!(shown.contains(expected), "{expected}\n\nin\n\n{shown}");
    }
    let heads = shown.lines().filter_map(|line| line.strip_prefix("siem.toml:")?.split_once(':'));
    let heads = heads.filter(|(line, _)| line.parse::<usize>().is_ok());
    let lines: Vec<usize> = heads.map(|(line, _)| line.parse().unwrap()).collect();
    assert!(lines.is_sorted(), "{shown}");
    assert_eq!(lines.len(), 10, "{shown}");
}

#[test]
fn a_missing_key_points_at_the_head_of_its_table() {
    let shown = problems_of("x = 1\n[siem.splunk]\n", |table, problems| {
        table.take_integer("x", 0..=1, problems);
        let mut siem = table.take_table("siem", problems).unwrap();
        siem.take_table("splunk", problems).unwrap().require("url", "url = \"https://…\"", problems);
    });
    let expected = "siem.toml:2:7: siem.splunk.url: missing\n    2 | [siem.splunk]\n      |       ^^^^^^ add";
    assert!(shown.starts_with(expected), "{shown}");
}

#[test]
fn numbers_beyond_every_type_are_out_of_range() {
    let text = "n = 99999999999999999999\nm = -1\nf = 1e999\ng = nan\nb = -5";
    let shown = problems_of(text, |table, problems| {
        table.take_integer("n", 0..=u64::MAX, problems);
        table.take_integer("m", 0..=u64::MAX, problems);
        table.take_float("f", 0.0..=9.0, problems);
        table.take_seconds("g", 0.0..=9.0, problems);
        table.take_bytes("b", 0..=9, problems);
    });
    assert_eq!(shown.matches("out of range").count(), 5, "{shown}");
}

#[test]
fn every_mistake_in_the_syntax_is_shown_with_its_line() {
    let shown = problems_of("a = 1\nb = \n\nc = 5OO\n[siem\n", |_, _| ());
    for line in ["siem.toml:2:5: ", "siem.toml:4:5: ", "siem.toml:5:6: "] {
        assert!(shown.contains(line), "{shown}");
    }
    assert!(problems_of("a = 1\na = 2\n", |_, _| ()).starts_with("siem.toml:2:1: "));
}

#[test]
fn a_secret_written_into_the_file_is_never_shown() {
    let read = |table: &mut Table<'_>, problems: &mut Problems| {
        table.take_secret_place("token", problems);
    };
    for wrong in [
        "token = \"hush-4711\"",
        "token = ['hush-4711']",
        "token = { env = \"hush-4711\" }",
        "token = { envv = \"hush-4711\" }",
        "token = { env = 5, file = \"hush-4711\" }",
        "token = { file = 5, note = 'hush-4711' }",
        "tokn = \"hush-4711\"",
        "token = \"hush-4711",
        "token = hush-4711",
        "token = \"\"\"\nhush-4711\\q\"\"\"",
        "token = \"\"\"\nhush-4711==\\q\"\"\"",
        "token = 'hush-4711' oops",
        "token = 'a'\ntoken = 'hush-4711'",
        "token.hush = 'hush-4711'\ntoken = 'hush-4711'",
    ] {
        let shown = problems_of(wrong, read);
        assert!(!shown.is_empty(), "{wrong}");
        assert!(!shown.contains("4711"), "{shown}");
    }
    let shown = problems_of("token = \"hush-4711\"", read);
    let right = "write token = { env = \"NAME\" } or token = { file = \"PATH\" }";
    assert!(shown.contains(right), "{shown}");
}

#[test]
fn an_excerpt_is_clean_and_short() {
    let shown = problems_of(&format!("x = \"{}\"\ty = 1", "ü".repeat(4000)), |_, _| ());
    assert!(shown.lines().all(|line| line.chars().count() < 200), "{shown}");
    let shown = problems_of("\"a\\u001b[31m\" = 1", |_, _| ());
    assert!(shown.contains("\"a\\u{1b}[31m\": unknown key"), "{shown}");
    let many: Vec<String> = (0..200).map(|index| format!("key{index} = 1")).collect();
    assert!(problems_of(&many.join("\n"), |_, _| ()).ends_with("\nand 150 more"));
}

#[test]
fn the_nearest_word_is_near() {
    assert_eq!(distance("kitten", "sitting"), 3);
    assert_eq!(distance("", "abc"), 3);
    assert_eq!(distance("abc", ""), 3);
    assert_eq!(nearest("timeout_second", ["url", "timeout_seconds"].into_iter()), Some("timeout_seconds"));
    assert_eq!(nearest("colour", ["url", "index"].into_iter()), None);
    assert_eq!(nearest("x", std::iter::empty()), None);
}

fn read_everything(table: &mut Table<'_>, problems: &mut Problems) {
    table.take_bool("a", problems);
    table.take_string("b", problems);
    table.take_integer("c", 1..=9, problems);
    table.take_seconds("d", 0.0..=9.0, problems);
    table.take_bytes("e", 1..=9, problems);
    table.take_list_of_integers("f", 1..=9, problems);
    table.take_choice("g", &[("x", ())], problems);
    table.take_secret_place("h", problems);
    table.take_table_or("i", "none", "", problems);
    for mut inner in table.take_tables(problems) {
        inner.require("z", "z = 1", problems);
        inner.finish(problems);
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        problems_of(&text, read_everything);
    }

    #[test]
    fn text_like_toml_never_panics(
        text in "([a-i]( |\\.)?=? ?(\"[xü]?\"|'x|1|-1|1e9|nan|true|\\{|\\}|\\[|\\]|,|#é)?(\n|\r\n|\t)?){0,12}",
    ) {
        problems_of(&text, read_everything);
    }
}

#[test]
fn colours_change_nothing_else() {
    let text = "a = 1\nb = \"hush\"\n";
    let mut problems = Problems::new(Path::new("siem.toml"), text);
    let mut table = Table::parse(text, &mut problems).unwrap();
    table.require("c", "c = 1", &mut problems);
    table.take_bool("b", &mut problems);
    table.finish(&mut problems);
    let (plain, coloured) = (problems.to_text(Paint::Plain), problems.to_text(Paint::Coloured));
    assert_eq!(
        (plain.as_str(), coloured.contains("\u{1b}[1;31m^^^^^^\u{1b}[0m")),
        (problems.to_string().as_str(), true)
    );
    let pieces = coloured.split('\u{1b}').map(|piece| piece.split_once('m').filter(|_| piece.starts_with('[')));
    let stripped: String =
        pieces.zip(coloured.split('\u{1b}')).map(|(cut, whole)| cut.map_or(whole, |cut| cut.1)).collect();
    assert_eq!(stripped, plain);
}

#[test]
fn a_key_in_the_wrong_table_is_sent_to_its_own() {
    let shown = problems_of("[one]\nb = 1\nunlike = 1\n[two]\na = 1\n", |table, problems| {
        for (name, key) in [("one", "a"), ("two", "b")] {
            let mut inner = table.take_table(name, problems).unwrap();
            inner.take_integer(key, 0..=1, problems);
            inner.finish(problems);
        }
    });
    for expected in ["one.b: unknown key\n    2 | b = 1\n      | ^ it belongs into [two]", "^ it belongs into [one]"] {
        assert!(shown.contains(expected), "{shown}");
    }
    assert!(shown.contains("^ known here: a\n"), "what belongs nowhere: {shown}");
}

#[test]
fn of_many_problems_the_first_are_told_and_all_are_counted() {
    let text = (0..5000).map(|number| format!("key{number} = 1\n")).collect::<Vec<_>>().concat();
    let mut problems = Problems::new(Path::new("siem.toml"), &text);
    Table::parse(&text, &mut problems).unwrap().finish(&mut problems);
    assert_eq!((problems.count(), problems.told().count()), (5000, 50));
    assert!(problems.to_string().ends_with("\nand 4950 more"));
    let first = problems.told().next().unwrap();
    assert_eq!((first.place, first.key, &*first.help), (Place::Line(1, 1), "key0", "remove it"));
}
