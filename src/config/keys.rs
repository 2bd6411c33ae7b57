//! All keys of the configuration, in words: what the rooms say of theirs, put together.

use crate::engine::SiemConfig;
use crate::net::{HttpConfig, TlsConfig};
use crate::siem::Splunk;
use crate::table::{Key, Section};

/// A table of the file.
#[derive(Debug)]
pub(crate) struct Chapter {
    /// Its header, such as `siem.splunk`.
    pub(crate) table: &'static str,
    pub(crate) sections: Vec<Section>,
}

/// A destination, as the key `type` names it.
#[derive(Debug)]
pub(crate) struct DestinationKeys {
    pub(crate) name: &'static str,
    /// What it is, in a few words.
    pub(crate) about: &'static str,
    /// Its pipeline's table.
    table: &'static str,
    sections: &'static [Section],
}

/// Every destination that can be configured.
pub(crate) const DESTINATIONS: &[DestinationKeys] = &[DestinationKeys {
    name: "splunk",
    about: "Splunk, by its HTTP Event Collector",
    table: "siem.splunk",
    sections: &[
        Section {
            title: "Which destination",
            keys: &[Key::required("type", "\"splunk\"").range("\"splunk\"").meaning("the kind of destination")],
        },
        Splunk::KEYS,
        HttpConfig::KEYS,
        TlsConfig::KEYS,
    ],
}];

const INPUT: Section = Section {
    title: "What `run` reads",
    keys: &[
        Key::optional("rejected.path", "they are only counted", "\"rejected.ndjson\"")
            .range("a text")
            .meaning("the file for lines that cannot become an event, with file, line number, reason and text"),
        Key::optional("records", "a line is an event", "\"/Records\"").range("a JSON pointer").meaning(
            "where the array of events stands in a document, as in those of CloudTrail; \"\" is the document itself",
        ),
    ],
};

/// The table `[input]`.
pub(crate) fn input() -> Chapter {
    Chapter { table: "input", sections: vec![INPUT] }
}

impl DestinationKeys {
    /// The table of a pipeline that leads there.
    pub(crate) fn chapter(&self) -> Chapter {
        Chapter { table: self.table, sections: self.sections.iter().chain(&SiemConfig::KEYS).copied().collect() }
    }
}
