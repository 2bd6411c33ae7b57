//! What the fuzz target `input` runs, and the ordinary test of its corpus: reader and map over any bytes.

use std::io::Cursor;
use std::sync::OnceLock;

use siem_forward::input::{InputMap, Reader, RecordsPointer, Source};

pub(crate) const LINE_BYTES_MAX: usize = 100_000;

/// Every form at least once.
pub(crate) const MAP: &str = r#"
id = ["/id", { of = ["/auditID", "/stage"] }]
timestamp = ["/t", { from = ["/ID", "/s"], format = "seconds" }, { from = "/ms", format = "milliseconds" }]
event_type = ["/e", { from = "/verb", values = { delete = "configuration_changed" } }, { value = "any" }]
severity = [{ from = ["/verb", "/codes"], values = { delete = "high", 403 = "high", true = "medium" } }, { value = "low" }]
user_id = ["/user/name", "/user/0", "/a~1b", ""]
details = ""
"#;

const PARTS: &str = r#"
timestamp = ["/t", { from = "/n", format = "nanoseconds" }]
event_type = "/e"
severity = "/s"
details = { user = "/user", code = ["/codes/0", { value = "0" }] }
"#;

/// Reads the bytes as lines and as records, of our layout and mapped, and answers how many events there were.
pub(crate) fn read(bytes: &[u8]) -> usize {
    static MAPS: OnceLock<Vec<InputMap>> = OnceLock::new();
    let maps = MAPS.get_or_init(|| [MAP, PARTS].iter().filter_map(|map| InputMap::from_toml(map).ok()).collect());
    let mut events = 0;
    for map in std::iter::once(None).chain(maps.iter().map(Some)) {
        for records in [None, Some("/Records"), Some("")] {
            let source = Source::reader("fuzz", Cursor::new(bytes.to_vec()));
            let Ok(mut reader) = Reader::open(vec![source], LINE_BYTES_MAX) else { continue };
            if let Some(map) = map {
                reader = reader.with_map(map.clone());
            }
            if let Some(pointer) = records.and_then(|records| RecordsPointer::new(records).ok()) {
                reader = reader.with_records(pointer);
            }
            for event in reader.flatten() {
                events += 1;
                // What becomes of it is JSON, whatever it was.
                if let Some(details) = event.details() {
                    serde_json::from_str::<&serde_json::value::RawValue>(&details).expect("details are JSON");
                }
            }
        }
    }
    events
}
