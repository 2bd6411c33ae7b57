//! The envelope around an event: when, from where, what kind, and a few fields that Splunk indexes.
//!
//! Exactly the keys that HEC knows: with an unknown one, Splunk says success and forgets the rest of the request.

use crate::event::AuditEvent;
use crate::event::escape::write_text;
use crate::format::json;
use crate::siem::machine;

/// The metadata that all events of one destination share.
#[derive(Debug)]
pub(super) struct Envelope {
    /// Empty where Splunk shall choose.
    host: String,
    source: String,
    sourcetype: String,
    index: String,
    /// All of it as JSON, from the comma behind the time to the id's opening quote: written once, copied for each event.
    rendered: Vec<u8>,
}

impl Envelope {
    pub(super) fn of_this_machine() -> Self {
        let mut envelope = Self {
            host: machine::name(),
            source: "siem-forward".to_owned(),
            sourcetype: "siem_forward:audit".to_owned(),
            index: String::new(),
            rendered: Vec::new(),
        };
        envelope.render();
        envelope
    }

    pub(super) fn host(&mut self, host: String) {
        self.host = host;
        self.render();
    }

    pub(super) fn source(&mut self, source: String) {
        self.source = source;
        self.render();
    }

    pub(super) fn sourcetype(&mut self, sourcetype: String) {
        self.sourcetype = sourcetype;
        self.render();
    }

    pub(super) fn index(&mut self, index: String) {
        self.index = index;
        self.render();
    }

    /// The index, where it is not the token's.
    pub(super) fn as_index(&self) -> Option<&str> {
        Some(self.index.as_str()).filter(|index| !index.is_empty())
    }

    fn render(&mut self) {
        self.rendered.clear();
        for (name, text) in [
            (",\"host\":", &self.host),
            (",\"source\":", &self.source),
            (",\"sourcetype\":", &self.sourcetype),
            (",\"index\":", &self.index),
        ] {
            if !text.is_empty() {
                self.rendered.extend_from_slice(name.as_bytes());
                write_text(text.as_bytes(), &mut self.rendered);
            }
        }
        self.rendered.extend_from_slice(b",\"fields\":{\"event_id\":\"");
    }

    /// Appends the event in its envelope.
    #[inline]
    pub(super) fn write(&self, event: &AuditEvent, body: &mut Vec<u8>) {
        body.reserve(self.rendered.len() + 128);
        body.extend_from_slice(b"{\"time\":");
        event.timestamp.write_epoch_seconds(body);
        body.extend_from_slice(&self.rendered);
        let id = event.id.characters();
        body.extend_from_slice(&id);
        body.extend_from_slice(b"\",\"event_type\":");
        write_text(event.event_type().name().as_bytes(), body);
        body.extend_from_slice(b",\"severity\":\"");
        body.extend_from_slice(event.severity.name().as_bytes());
        body.extend_from_slice(b"\"},\"event\":");
        json::write_with_src_ip(event, &id, body);
        body.push(b'}');
    }
}
