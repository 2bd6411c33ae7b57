//! A hundred ways to get a configuration wrong, each with what is said about it, to the letter: the place, the key, what
//! is wrong and what to do.
//!
//! What is said stands in `tests/snapshots`, a file a mistake. After a change that means to say something else:
//! `INSTA_UPDATE=always cargo test broken`, and read the difference.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what cannot go on fails its test"
)]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::program::{Ran, Running, TOKEN, TOKEN_VARIABLE, command};
use crate::tls::{Authority, Kind, pem};

/// A configuration without a mistake.
const GOOD: &str = r#"[input]
rejected = { path = "rejected.ndjson" }

[siem.splunk]
type = "splunk"
url = "https://splunk.example:8088"
token = { env = "SIEM_FORWARD_TEST_TOKEN" }
dead_letter = { path = "dead.ndjson" }
"#;

/// What is wrong with a configuration that is good otherwise.
enum Mistake {
    /// These lines more, at the end of `[siem.splunk]`.
    With(&'static str),
    /// The first in place of the second.
    Instead(&'static str, &'static str),
    /// Another file.
    Of(Vec<u8>),
    /// This path for that of the configuration.
    At(&'static str),
}

use Mistake::{At, Instead, Of, With};

impl Mistake {
    fn text(&self) -> Vec<u8> {
        match self {
            With(lines) => format!("{GOOD}{lines}\n").into_bytes(),
            Instead(with, old) => {
                assert!(GOOD.contains(old), "{old}");
                GOOD.replacen(old, with, 1).into_bytes()
            }
            Of(bytes) => bytes.clone(),
            At(_) => GOOD.as_bytes().to_vec(),
        }
    }

    fn path(&self) -> &'static str {
        if let At(path) = self { path } else { "siem.toml" }
    }
}

const URL: &str = "\"https://splunk.example:8088\"";
const SECRET: &str = "{ env = \"SIEM_FORWARD_TEST_TOKEN\" }";
const LETTER: &str = "{ path = \"dead.ndjson\" }";
const REJECTED: &str = "{ path = \"rejected.ndjson\" }";

fn of(text: &str) -> Mistake {
    Of(text.as_bytes().to_vec())
}

/// The syntax of TOML, and files that are none.
fn syntax() -> Vec<(&'static str, Mistake)> {
    let good_utf16: Vec<u8> = GOOD.encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![
        ("syntax_bracket_left_open", Instead("[siem.splunk", "[siem.splunk]")),
        ("syntax_value_missing", With("batch_size =")),
        ("syntax_equals_missing", With("batch_size 500")),
        ("syntax_key_missing", With("= 500")),
        ("syntax_text_left_open", With("index = \"audit")),
        ("syntax_text_unquoted", With("index = audit")),
        ("syntax_table_left_open", With("sampling = { low = 0.5")),
        ("syntax_list_left_open", With("pin = { senders = [1, 2 }")),
        ("syntax_two_values_on_a_line", With("batch_size = 500 senders = 2")),
        ("syntax_number_with_a_letter", With("batch_size = 5OO")),
        ("syntax_number_with_a_comma", With("batch_size = 1,000")),
        ("syntax_bad_escape", With(r#"index = "au\dit""#)),
        ("syntax_several_at_once", With("batch_size =\nsenders = two\nindex = \"audit")),
        ("syntax_in_json", of("{\"siem\": {\"splunk\": {\"type\": \"splunk\"}}}")),
        ("syntax_in_yaml", of("siem:\n  splunk:\n    type: splunk\n")),
        ("duplicate_key", With("batch_size = 10\nbatch_size = 20")),
        ("duplicate_table", With("[siem.splunk]\nsenders = 2")),
        ("duplicate_key_in_a_table", With("sampling = { low = 0.5, low = 0.6 }")),
        ("file_missing", At("no.such.toml")),
        ("file_is_a_folder", At("folder")),
        ("file_without_end", At("/dev/zero")),
        ("file_empty", of("")),
        ("file_of_comments", of("# type = \"splunk\"\n")),
        ("file_not_utf8", Of([GOOD.as_bytes(), b"index = \"caf\xe9\"\n"].concat())),
        ("file_utf16", Of([b"\xff\xfe".as_slice(), &good_utf16].concat())),
        ("file_with_a_nul", With("index = \"au\0dit\"")),
        ("file_of_nuls", Of(vec![0; 64])),
        ("file_too_large", Of(vec![b'#'; (256 << 10) + 1])),
        ("nested_too_deeply", Of(format!("a = {}", "[".repeat(100_000)).into_bytes())),
        ("tables_nested_too_deeply", Of(format!("a = {}", "{ a = ".repeat(40_000)).into_bytes())),
        ("keys_nested_too_deeply", Of(format!("{}a = 1", "a.".repeat(100_000)).into_bytes())),
        (
            "more_mistakes_than_are_told",
            Of((0..10_000).map(|n| format!("key{n} = 1\n")).collect::<Vec<_>>().concat().into_bytes()),
        ),
    ]
}

/// Tables and keys: unknown, misspelt, missing, of the wrong kind.
fn keys() -> Vec<(&'static str, Mistake)> {
    vec![
        ("table_unknown", With("[metrics]\naddress = \"127.0.0.1:9100\"")),
        ("table_misspelt", Instead("[inptu]", "[input]")),
        ("table_siem_missing", of("[input]\n")),
        ("table_siem_empty", of("[siem]\n")),
        ("table_siem_is_a_text", of("siem = \"splunk\"\n")),
        ("table_siem_holds_a_key", of("[siem]\ntype = \"splunk\"\n")),
        ("table_siem_is_a_list", of("[[siem]]\ntype = \"splunk\"\n")),
        (
            "pipelines_share_a_dead_letter",
            With(
                "[siem.second]\ntype = \"splunk\"\nurl = \"https://b\"\ntoken = { file = \"token\" }\ndead_letter = { path = \"./dead.ndjson\" }",
            ),
        ),
        ("pipeline_empty", of("[siem.splunk]\n")),
        ("key_misspelt", With("batch_sise = 500")),
        ("key_in_capitals", With("Batch_Size = 500")),
        ("key_with_dashes", With("batch-size = 500")),
        ("key_near_to_none", With("colour = \"red\"")),
        ("key_at_the_top", Of(format!("batch_size = 10\n{GOOD}").into_bytes())),
        ("key_in_the_wrong_table", Instead("[input]\nbatch_size = 10", "[input]")),
        ("key_quoted", With("\"batch size\" = 10")),
        ("key_url_missing", Instead("", "url = \"https://splunk.example:8088\"")),
        ("key_token_missing", Instead("", "token = { env = \"SIEM_FORWARD_TEST_TOKEN\" }")),
        ("key_type_missing", Instead("", "type = \"splunk\"")),
        ("key_type_misspelt", Instead("tpye", "type")),
        ("key_dead_letter_missing", Instead("", "dead_letter = { path = \"dead.ndjson\" }")),
        ("type_unknown", Instead("type = \"splonk\"", "type = \"splunk\"")),
        ("type_far_from_any", Instead("type = \"chronicle\"", "type = \"splunk\"")),
        ("type_is_a_number", Instead("type = 1", "type = \"splunk\"")),
        ("enabled_is_a_text", With("enabled = \"yes\"")),
        ("count_is_a_text", With("batch_size = \"500\"")),
        ("count_is_a_fraction", With("batch_size = 500.5")),
        ("seconds_are_a_text", With("batch_timeout_seconds = \"5s\"")),
        ("text_is_a_number", With("index = 7")),
        ("text_is_empty", With("index = \"\"")),
        ("list_is_a_number", With("pin = { senders = 1 }")),
        ("list_holds_a_text", With("pin = { senders = [1, \"2\"] }")),
        ("table_is_a_list", With("tls = [\"ca.pem\"]")),
        ("date_is_no_number", With("batch_size = 2026-01-01")),
        (
            "several_in_one_file",
            With("batch_sise = 500\nsenders = 0\nenabled = \"yes\"\nretry_jitter = 1\ncompression = \"zip\""),
        ),
    ]
}

/// Values out of their range, and keys that contradict each other.
fn values() -> Vec<(&'static str, Mistake)> {
    vec![
        ("range_batch_size_zero", With("batch_size = 0")),
        ("range_batch_size_negative", With("batch_size = -1")),
        ("range_batch_size_beyond_every_type", With("batch_size = 99999999999999999999")),
        ("range_batch_bytes", With("batch_bytes_max = 10")),
        ("range_seconds_zero", With("batch_timeout_seconds = 0")),
        ("range_seconds_not_a_number", With("timeout_seconds = nan")),
        ("range_seconds_for_ever", With("timeout_seconds = inf")),
        ("range_queue", With("max_queue_size = 1")),
        ("range_senders", With("senders = 1000")),
        ("range_event_bytes", With("event_bytes_max = \"1 GB\"")),
        ("range_core", With("pin = { senders = [5000] }")),
        ("range_attempts", With("retry_attempts = 0")),
        ("range_breaker", With("breaker = { failure_threshold = 0 }")),
        ("range_sampling", With("sampling = { low = 1.5 }")),
        ("range_shed", With("overflow = \"shed_by_severity\"\nshed = { low = 0 }")),
        ("size_without_unit", With("batch_bytes_max = \"900\"")),
        ("size_of_unknown_unit", With("batch_bytes_max = \"900 XB\"")),
        ("size_with_a_fraction", With("batch_bytes_max = \"1.5 MB\"")),
        ("choice_misspelt", With("compression = \"gzipp\"")),
        ("choice_unknown", With("overflow = \"drop_oldest\"")),
        ("contradiction_block_without_its_policy", With("block_timeout_seconds = 1")),
        ("contradiction_shed_without_its_policy", With("shed = { low = 0.5 }")),
        (
            "contradiction_shed_out_of_order",
            With("overflow = \"shed_by_severity\"\nshed = { low = 0.9, medium = 0.5 }"),
        ),
        ("contradiction_more_batchers_than_slots", With("batchers = 8\nmax_queue_size = 4")),
        ("contradiction_connect_longer_than_all", With("timeout_seconds = 1\nconnect_timeout_seconds = 5")),
        ("contradiction_one_file_for_two", Instead("{ path = \"./rejected.ndjson\" }", LETTER)),
        ("filter_misspelt_key", With("filter = { severity = \"high\", event_type = [\"user_login\"] }")),
        ("filter_severity_unknown", With("filter = { severity_min = \"hihg\" }")),
        ("filter_lists_nothing", With("filter = { event_types = [], decisions = [] }")),
        ("filter_lists_what_is_none", With("filter = { event_types = [\"\"], decisions = [7] }")),
        ("filter_is_a_text", With("filter = \"high\"")),
        ("critical_is_never_sampled", With("sampling = { critical = 0.5 }")),
        ("critical_is_never_shed", With("overflow = \"shed_by_severity\"\nshed = { critical = 0.5 }")),
    ]
}

/// URLs, proxies and secrets.
fn places() -> Vec<(&'static str, Mistake)> {
    vec![
        ("url_without_scheme", Instead("\"splunk.example:8088\"", URL)),
        ("url_of_another_scheme", Instead("\"ftp://splunk.example\"", URL)),
        ("url_without_host", Instead("\"https://\"", URL)),
        ("url_with_a_space", Instead("\"https://splunk example\"", URL)),
        ("url_port_too_large", Instead("\"https://splunk.example:80880\"", URL)),
        ("url_port_zero", Instead("\"https://splunk.example:0\"", URL)),
        ("url_with_a_password", Instead("\"https://admin:hunter2@splunk.example\"", URL)),
        ("url_with_a_query", Instead("\"https://splunk.example?token=hunter2\"", URL)),
        ("url_with_the_collectors_path", Instead("\"https://splunk.example:8088/services/collector/event\"", URL)),
        ("url_is_a_number", Instead("8088", URL)),
        ("secret_inline", Instead("\"00000000-hunter2\"", SECRET)),
        ("secret_in_a_list", Instead("[\"hunter2\"]", SECRET)),
        ("secret_without_place", Instead("{}", SECRET)),
        ("secret_in_two_places", Instead("{ env = \"A\", file = \"token\" }", SECRET)),
        ("secret_of_unknown_place", Instead("{ value = \"hunter2\" }", SECRET)),
        ("secret_as_the_variables_name", Instead("{ env = \"00000000-hunter2\" }", SECRET)),
        ("secret_variable_not_set", Instead("{ env = \"SIEM_FORWARD_NEVER_SET\" }", SECRET)),
        ("secret_variable_empty", Instead("{ env = \"SIEM_FORWARD_TEST_EMPTY\" }", SECRET)),
        ("secret_as_the_path", Instead("{ file = \"5f0c3a1e-9b1c-4d5e-8f70-hunter20hunter2\" }", SECRET)),
        ("secret_file_missing", Instead("{ file = \"no.such\" }", SECRET)),
        ("secret_file_is_a_folder", Instead("{ file = \"folder\" }", SECRET)),
        ("secret_file_empty", Instead("{ file = \"empty\" }", SECRET)),
        ("secret_file_of_two_lines", Instead("{ file = \"two-lines\" }", SECRET)),
        ("secret_file_with_its_scheme", Instead("{ file = \"with-scheme\" }", SECRET)),
        ("secret_file_is_a_number", Instead("{ file = 7 }", SECRET)),
        ("proxy_of_another_scheme", With("proxy = \"socks5://proxy.example:1080\"")),
        ("proxy_with_a_password", With("proxy = \"http://me:hunter2@proxy.example:3128\"")),
        ("proxy_without_host", With("proxy = \"http://:3128\"")),
        ("proxy_is_a_switch", With("proxy = true")),
        ("proxy_variable_not_set", With("proxy = { env = \"SIEM_FORWARD_NEVER_SET\" }")),
        ("proxy_file_holds_none", With("proxy = { file = \"with-scheme\" }")),
    ]
}

/// Other destinations than Splunk.
fn destinations() -> Vec<(&'static str, Mistake)> {
    let datadog = |lines: &str| of(&format!("[siem.datadog]\ntype = \"datadog\"\n{lines}dead_letter = \"none\"\n"));
    let key = "api_key = { env = \"SIEM_FORWARD_TEST_TOKEN\" }\n";
    vec![
        ("datadog_without_site_and_key", datadog("")),
        ("datadog_site_unknown", datadog(&format!("site = \"example.com\"\n{key}"))),
        ("datadog_key_inline", datadog("site = \"us3\"\napi_key = \"SIEM_FORWARD_TEST_TOKEN\"\n")),
        (
            "elastic_key_beside_a_user",
            of(&format!(
                "[siem.elastic]\ntype = \"elastic\"\nurl = \"https://siem.example:9200\"\n{key}username = \"ada\"\n\
                 index = \"Audit-%H\"\ndead_letter = \"none\"\n"
            )),
        ),
        ("datadog_url_with_its_path", datadog(&format!("url = \"https://siem.example/api/v2/logs\"\n{key}"))),
        (
            "webhook_fields_in_each_others_way",
            of("[siem.webhook]\ntype = \"webhook\"\nurl = \"https://siem.example\"\ndead_letter = \"none\"\n\
                [siem.webhook.fields]\nuser_id = \"user\"\nuser_email = \"user.email\"\n"),
        ),
    ]
}

/// Files that are written, and those of TLS.
fn files() -> Vec<(&'static str, Mistake)> {
    vec![
        ("dead_letter_is_a_folder", Instead("{ path = \"folder\" }", LETTER)),
        ("dead_letter_in_no_folder", Instead("{ path = \"no/such/dead.ndjson\" }", LETTER)),
        ("dead_letter_without_path", Instead("{ bytes_max = \"1 MB\" }", LETTER)),
        ("dead_letter_is_another_word", Instead("\"nowhere\"", LETTER)),
        ("dead_letter_misspelt_key", Instead("{ path = \"dead.ndjson\", byte_max = \"1 MB\" }", LETTER)),
        ("dead_letter_too_small", Instead("{ path = \"dead.ndjson\", bytes_max = 10 }", LETTER)),
        ("dead_letter_path_is_empty", Instead("{ path = \"\" }", LETTER)),
        ("rejected_is_a_folder", Instead("{ path = \"folder\" }", REJECTED)),
        ("rejected_is_a_text", Instead("\"rejected.ndjson\"", REJECTED)),
        ("tls_ca_missing", With("tls = { ca = \"no.such\" }")),
        ("tls_ca_is_a_folder", With("tls = { ca = \"folder\" }")),
        ("tls_ca_is_empty", With("tls = { ca = \"empty\" }")),
        ("tls_ca_is_a_key", With("tls = { ca = \"client.key\" }")),
        ("tls_ca_is_damaged", With("tls = { ca = \"damaged.pem\" }")),
        ("tls_ca_written_inline", With("tls = { ca = \"\"\"\n-----BEGIN CERTIFICATE-----\nhunter2\n\"\"\" }")),
        ("tls_cert_without_key", With("tls = { cert = \"client.pem\" }")),
        ("tls_key_without_cert", With("tls = { key = \"client.key\" }")),
        ("tls_key_of_another", With("tls = { cert = \"client.pem\", key = \"other.key\" }")),
        ("tls_key_is_a_certificate", With("tls = { cert = \"client.pem\", key = \"client.pem\" }")),
        ("tls_key_is_encrypted", With("tls = { cert = \"client.pem\", key = \"encrypted.key\" }")),
        ("tls_version_too_old", With("tls = { min_version = \"1.1\" }")),
        ("tls_version_is_a_number", With("tls = { min_version = 1.3 }")),
        ("tls_key_misspelt", With("tls = { cacert = \"ca.pem\" }")),
        ("tls_verify_is_a_text", With("verify_ssl = \"false\"")),
    ]
}

/// A folder with everything that a configuration of these names.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    let authority = Authority::new("CA");
    let (client, other) = (authority.issue("client", &[], Kind::Good), authority.issue("other", &[], Kind::Good));
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    write("ca.pem", &authority.pem());
    write("client.pem", &client.pem());
    write("client.key", &client.key_pem());
    write("other.key", &other.key_pem());
    write("encrypted.key", &pem("ENCRYPTED PRIVATE KEY", b"\x30\x00"));
    write("damaged.pem", &pem("CERTIFICATE", b"\x30\x03\x02\x01\x05"));
    write("token", "a-token\n");
    write("two-lines", &format!("{TOKEN}\n{TOKEN}\n"));
    write("with-scheme", &format!("Splunk {TOKEN}\n"));
    write("empty", "");
    folder
}

fn check(folder: &Path, config: &str) -> Ran {
    let mut command = command(&["check", "--offline", "--config", config]);
    command.current_dir(folder).env("SIEM_FORWARD_TEST_EMPTY", "");
    Running::start(command).end()
}

fn snapshots() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots")
}

/// What is said of a file, as a snapshot of that name.
fn compare(name: &str, said: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(snapshots());
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(format!("broken_{name}"), said));
}

fn mistakes() -> Vec<(&'static str, Mistake)> {
    [syntax(), keys(), values(), places(), destinations(), files()].into_iter().flatten().collect()
}

#[test]
fn each_mistake_is_told_with_its_place_its_key_and_its_fix() {
    let folder = folder();
    let mut wrong = Vec::new();
    for (name, mistake) in mistakes() {
        std::fs::write(folder.path().join("siem.toml"), mistake.text()).unwrap();
        let ran = check(folder.path(), mistake.path());
        assert_eq!(ran.code, 2, "{name}: {ran:?}");
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!said.contains("hunter2"), "{name}: {said}");
        // A line, or why there is none.
        let says_why_not = said.contains(" cannot be read: ") || said.contains(" is larger than ");
        assert!(said.contains("siem.toml:") || says_why_not, "{name}: {said}");
        let said = said.replace(&folder.path().display().to_string(), "FOLDER");
        // All of them are compared before one that differs fails the test.
        if std::panic::catch_unwind(|| compare(name, &said)).is_err() {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn every_mistake_has_its_snapshot_and_every_snapshot_its_mistake() {
    let names: Vec<&str> = mistakes().into_iter().map(|(name, _)| name).collect();
    let expected: BTreeSet<String> = names.iter().map(|name| format!("broken_{name}.snap")).collect();
    assert!(names.len() >= 60 && expected.len() == names.len(), "{} of {}", expected.len(), names.len());
    let paths = std::fs::read_dir(snapshots()).unwrap().map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_some_and(|extension| extension == "snap"));
    let names = paths.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    let found: BTreeSet<String> = names.filter(|name| name.starts_with("broken_")).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_configuration_without_mistakes_is_the_one_that_is_broken() {
    let folder = folder();
    std::fs::write(folder.path().join("siem.toml"), GOOD.replace("https", "http")).unwrap();
    let ran = check(folder.path(), "siem.toml");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(std::env::var_os(TOKEN_VARIABLE).is_none(), "the token is the program's, not the test's");
}
