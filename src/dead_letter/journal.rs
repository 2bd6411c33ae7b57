//! How far a replay has come: a file beside the dead letter that says of each event what became of it.
//!
//! One JSON object a line, by event id, so that neither an interrupted replay nor a hand that edits the dead letter
//! meanwhile can make it mean other records. That an event was delivered reaches the disk before the replay goes on; that
//! one was sent or has failed need not: forgotten, it is sent again, which is right for what was not delivered.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::read::Lines;
use super::record::{Record, Since};
use crate::append::{AppendFile, sync_folder};
use crate::event::EventId;

/// What has become of the events.
#[derive(Debug, Default)]
pub(crate) struct Fates {
    /// Handed to a sender; no word of what became of them.
    pub(crate) sent: HashSet<EventId>,
    pub(crate) delivered: HashSet<EventId>,
    pub(crate) failed: HashMap<EventId, Since>,
}

/// What a replay makes of a record.
#[derive(Debug)]
pub(crate) enum Folded {
    /// The destination holds its event.
    Gone,
    /// It is as it was.
    Same,
    /// A record with its end of line, in its place.
    Now(Vec<u8>),
}

/// A line of the journal.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry<'a> {
    Sent(#[serde(with = "ids")] Vec<EventId>),
    Delivered(#[serde(with = "ids")] Vec<EventId>),
    Failed { id: String, how: Cow<'a, Since> },
}

/// The file, to be written.
#[derive(Debug)]
pub(crate) struct Journal {
    file: AppendFile,
    line: Vec<u8>,
}

impl Journal {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = AppendFile::open(path)?;
        sync_folder(path)?;
        Ok(Self { file, line: Vec::new() })
    }

    /// These are about to be sent.
    ///
    /// # Errors
    /// When that cannot be written.
    pub(crate) fn sent(&mut self, ids: &[EventId]) -> io::Result<()> {
        self.write(&Entry::Sent(ids.to_vec()))
    }

    /// These are held by the destination: on the disk when it returns.
    ///
    /// # Errors
    /// When that cannot be written.
    pub(crate) fn delivered(&mut self, ids: &[EventId]) -> io::Result<()> {
        self.write(&Entry::Delivered(ids.to_vec()))?;
        self.file.sync()
    }

    /// This one has failed again.
    ///
    /// # Errors
    /// When that cannot be written.
    pub(crate) fn failed(&mut self, id: EventId, how: &Since) -> io::Result<()> {
        self.write(&Entry::Failed { id: id.to_string(), how: Cow::Borrowed(how) })
    }

    fn write(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, entry)?;
        self.line.push(b'\n');
        self.file.write(&self.line)
    }
}

impl Fates {
    /// What a journal says; nothing where there is none. A line that was interrupted says nothing either.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let mut fates = Self::default();
        let mut lines = match Lines::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(fates),
            lines => lines?,
        };
        while let Some(line) = lines.next()? {
            let entry = line.text.ok().and_then(|text| serde_json::from_slice(text).ok());
            match entry {
                Some(Entry::Sent(ids)) => fates.sent.extend(ids),
                Some(Entry::Delivered(ids)) => ids.into_iter().for_each(|id| fates.deliver(id)),
                Some(Entry::Failed { id, how }) => {
                    if let Ok(id) = EventId::parse(&id) {
                        fates.fail(id, how.into_owned());
                    }
                }
                None => {}
            }
        }
        Ok(fates)
    }

    pub(crate) fn deliver(&mut self, id: EventId) {
        self.sent.remove(&id);
        self.delivered.insert(id);
    }

    pub(crate) fn fail(&mut self, id: EventId, how: Since) {
        self.sent.remove(&id);
        self.failed.insert(id, how);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sent.is_empty() && self.delivered.is_empty() && self.failed.is_empty()
    }

    /// What a replay has made of a record. Of several with one id, the first that asks has the news.
    pub(crate) fn fold(&mut self, record: &Record<'_>) -> Folded {
        if self.delivered.contains(&record.id) {
            return Folded::Gone;
        }
        let doubt = self.sent.remove(&record.id).then_some(Since::DOUBT);
        let Some(since) = self.failed.remove(&record.id).or(doubt) else { return Folded::Same };
        let mut line = Vec::new();
        record.write_again(&since, &mut line);
        Folded::Now(line)
    }
}

mod ids {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::event::EventId;

    pub(super) fn serialize<S: Serializer>(ids: &[EventId], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(ids.iter().map(ToString::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<EventId>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| EventId::parse(text).map_err(D::Error::custom)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Failure;
    use super::*;
    use std::io::Write;

    fn id(number: u128) -> EventId {
        EventId::from_u128(number)
    }

    fn how(cause: &str) -> Since {
        let failure =
            Failure { time: "2026-11-25T00:00:00Z".into(), cause: cause.into(), words: Some("a \"b\"\n".into()) };
        Since { failure: Some(failure), attempts: 3, possible_duplicate: true }
    }

    #[test]
    fn what_was_noted_is_known_after_an_interruption() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("progress");
        assert!(Fates::read(&path).unwrap().is_empty(), "there is none yet");
        let mut journal = Journal::open(&path).unwrap();
        journal.sent(&[id(1), id(2), id(3)]).unwrap();
        journal.delivered(&[id(1)]).unwrap();
        journal.failed(id(2), &how("http_400")).unwrap();
        // As a kill would leave it.
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"delivered\":[\"0000").unwrap();
        let fates = Fates::read(&path).unwrap();
        assert_eq!(fates.delivered, HashSet::from([id(1)]));
        assert_eq!(fates.failed, HashMap::from([(id(2), how("http_400"))]));
        assert_eq!(fates.sent, HashSet::from([id(3)]), "in doubt");
        // The next one goes on behind the torn line.
        Journal::open(&path).unwrap().delivered(&[id(3)]).unwrap();
        assert_eq!(Fates::read(&path).unwrap().delivered, HashSet::from([id(1), id(3)]));
    }
}
