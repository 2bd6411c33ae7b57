//! Where a replay leads, and which records are meant for it.

use std::collections::BTreeMap;

use crate::cli::figures::{counted, verb};
use crate::dead_letter::Record;

/// The configured destination, and what it stands for besides.
#[derive(Debug)]
pub(super) struct Target {
    /// The name of the pipeline that leads there.
    pub(super) pipeline: String,
    pub(super) siem_type: &'static str,
    pub(super) destination: String,
    /// Addresses under which the same destination was known before.
    pub(super) formerly: Vec<String>,
}

/// Records for other destinations, by pipeline, type and address.
#[derive(Debug, Default)]
pub(super) struct Foreign(BTreeMap<[String; 3], u64>);

impl Target {
    /// A record belongs to a destination of the same type at the same address.
    pub(super) fn fits(&self, record: &Record<'_>) -> bool {
        let is_known = |destination: &str| destination == record.destination;
        record.siem_type == self.siem_type
            && (is_known(&self.destination) || self.formerly.iter().any(|old| is_known(old)))
    }

    /// What the records were meant for, what the configuration says, and what to do.
    pub(super) fn refusal(&self, foreign: &Foreign) -> String {
        let mut lines = Vec::new();
        for ([pipeline, siem_type, destination], count) in &foreign.0 {
            let are = verb(*count, "is", "are");
            lines.push(format!(
                "  {} {are} meant for {siem_type} {destination}, of the pipeline {pipeline}",
                counted(*count, "record")
            ));
        }
        let Self { pipeline, siem_type, destination, .. } = self;
        lines.push(format!("  the pipeline {pipeline} sends to {siem_type} {destination}"));
        let other = foreign.0.keys().find(|[_, of_type, _]| of_type == siem_type);
        let renamed = other.map_or_else(String::new, |[_, _, old]| {
            format!("; or, where that is the same destination under a new address, add --formerly '{old}'")
        });
        lines.push(format!(
            "To do: name the configuration, or with --pipeline the pipeline, that sends where they belong{renamed}; or leave them with --filter \
             destination='{destination}'"
        ));
        lines.join("\n")
    }
}

impl Foreign {
    pub(super) fn add(&mut self, record: &Record<'_>) {
        let key = [&record.pipeline, &record.siem_type, &record.destination].map(|text| text.clone().into_owned());
        *self.0.entry(key).or_default() += 1;
    }

    pub(super) fn records(&self) -> u64 {
        self.0.values().sum()
    }
}
