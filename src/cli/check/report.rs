//! What a check came to: lines for people, one object for machines.

use serde_json::{Value, json};

use super::step::{Status, Step};
use crate::cli::figures::{bytes, counted};
use crate::config::PipelineConfig;
use crate::engine::Share;
use crate::table::{Paint, Place, Problems};

/// Everything that was found, for machines.
#[derive(Debug)]
pub(super) struct Report {
    file: String,
    mistakes: Vec<Value>,
    /// Why the file could not even be read, or not be started with.
    error: Option<String>,
    pipelines: Vec<Pipeline>,
    /// What was found of `[input.kafka]`, and whether all is well there.
    input: Option<(Value, bool)>,
}

/// What was found of one pipeline.
#[derive(Debug)]
pub(super) struct Pipeline {
    name: String,
    is_enabled: bool,
    siem_type: &'static str,
    destination: String,
    steps: Vec<Step>,
    memory: Vec<Value>,
    memory_bytes_max: u64,
}

impl Report {
    /// Of a file that cannot be used.
    pub(super) fn wrong(file: &str, mistakes: Vec<Value>, error: Option<String>) -> Self {
        Self { file: file.to_owned(), mistakes, error, pipelines: Vec::new(), input: None }
    }

    /// Of a file without mistakes, before anything is known of its pipelines.
    pub(super) fn right(file: &str) -> Self {
        Self::wrong(file, Vec::new(), None)
    }

    pub(super) fn add(&mut self, pipeline: Pipeline) {
        self.pipelines.push(pipeline);
    }

    #[cfg(feature = "kafka")]
    pub(super) fn set_input(&mut self, found: Value, is_well: bool) {
        self.input = Some((found, is_well));
    }

    /// Whether nothing is wrong, warnings aside.
    pub(super) fn is_well(&self) -> bool {
        let failed = |pipeline: &Pipeline| pipeline.steps.iter().any(|step| step.status == Status::Failed);
        let is_input_well = self.input.as_ref().is_none_or(|(_, is_well)| *is_well);
        self.mistakes.is_empty() && self.error.is_none() && is_input_well && !self.pipelines.iter().any(failed)
    }

    pub(super) fn to_json(&self) -> Value {
        let pipelines: Vec<Value> = self.pipelines.iter().map(Pipeline::to_json).collect();
        let mut report = json!({
            "file": self.file,
            "ok": self.is_well(),
            "error": self.error,
            "mistakes": self.mistakes,
            "pipelines": pipelines,
        });
        if let (Some((found, _)), Some(object)) = (&self.input, report.as_object_mut()) {
            object.insert("input".to_owned(), found.clone());
        }
        report
    }
}

impl Pipeline {
    pub(super) fn new(pipeline: &PipelineConfig) -> Self {
        let (siem_type, destination) = pipeline.destination.fingerprint();
        Self {
            name: pipeline.name.clone(),
            is_enabled: pipeline.siem.enabled,
            siem_type,
            destination,
            steps: Vec::new(),
            memory: Vec::new(),
            memory_bytes_max: 0,
        }
    }

    pub(super) fn add(&mut self, step: Step) {
        self.steps.push(step);
    }

    pub(super) fn set_memory(&mut self, shares: &[Share]) {
        let share = |share: &Share| json!({"part": share.name, "bytes": share.bytes, "reckoned": share.reckoned});
        self.memory = shares.iter().map(share).collect();
        self.memory_bytes_max = total(shares);
    }

    /// Its name, and where it leads.
    pub(super) fn headline(&self, paint: Paint) -> String {
        let Self { siem_type, destination, .. } = self;
        let disabled = if self.is_enabled { "" } else { " (enabled = false: nothing is forwarded)" };
        let name = paint.bold(&format!("siem.{}", self.name));
        format!("\n{name} to {siem_type} {destination}{disabled}\n")
    }

    fn to_json(&self) -> Value {
        json!({
            "name": self.name,
            "enabled": self.is_enabled,
            "siem_type": self.siem_type,
            "destination": self.destination,
            "steps": self.steps.iter().map(Step::to_json).collect::<Vec<_>>(),
            "memory": self.memory,
            "memory_bytes_max": self.memory_bytes_max,
        })
    }
}

/// All mistakes of a file, as far as they are told.
pub(super) fn mistakes(problems: &Problems) -> Vec<Value> {
    let told = problems.told().map(|told| {
        let (line, column) = match told.place {
            Place::Line(line, column) => (Some(line), Some(column)),
            Place::File | Place::Argument => (None, None),
        };
        let is_argument = told.place == Place::Argument;
        json!({"argument": is_argument, "line": line, "column": column, "key": told.key, "what": told.what, "fix": told.help})
    });
    told.collect()
}

/// A file with mistakes.
pub(super) fn wrong(file: &str, problems: &Problems, paint: Paint) -> String {
    let count = counted(problems.count() as u64, "mistake");
    format!("{}\n\n{file}: {}\n", problems.to_text(paint), paint.red(&count))
}

/// A file without.
pub(super) fn right(file: &str, paint: Paint) -> String {
    format!("{file}: {}\n", paint.green("no mistakes"))
}

/// The most memory, and how it is reckoned.
pub(super) fn memory(shares: &[Share], paint: Paint) -> String {
    let rows = shares.iter().map(|Share { name, bytes: size, reckoned }| {
        let size = bytes(*size);
        format!("  {size:>9}  {name:<15}{reckoned}\n")
    });
    let rows = rows.collect::<Vec<_>>().concat();
    format!(
        "\n{} at most {} for events:\n{rows}  Not in it: the program itself, its threads' stacks, and what TLS, the system \
         and the input hold.\n",
        paint.bold("memory"),
        bytes(total(shares))
    )
}

fn total(shares: &[Share]) -> u64 {
    shares.iter().map(|share| share.bytes).sum()
}
