//! What a worker reads from: whether the brokers let us in and have the topics.

use std::time::Instant;

use serde_json::{Value, json};

use super::step::{Status, Step};
use crate::input::KafkaInput;
use crate::table::Paint;

/// What was found of `[input.kafka]`.
#[derive(Debug)]
pub(super) struct Input {
    brokers: String,
    topics: String,
    steps: Vec<Step>,
}

impl Input {
    pub(super) fn new(input: &KafkaInput) -> Self {
        Self { brokers: input.cluster.to_string(), topics: input.topics.join(", "), steps: Vec::new() }
    }

    /// Its name, and where it leads.
    pub(super) fn headline(&self, paint: Paint) -> String {
        format!("\n{} from kafka {}\n", paint.bold("input.kafka"), self.brokers)
    }

    /// Asks the brokers, and joins no group.
    pub(super) fn go(input: &KafkaInput) -> Step {
        let began = Instant::now();
        let health = input.probe();
        let step = match &health.error_message {
            Some(why) => Step::new("topics", Status::Failed, why.as_str()),
            None => Step::new("topics", Status::Ok, found(&input.topics)),
        };
        health.details.iter().fold(step, |step, (name, value)| step.fact(name, value.as_str())).took(began.elapsed())
    }

    pub(super) fn add(&mut self, step: Step) {
        self.steps.push(step);
    }

    pub(super) fn is_well(&self) -> bool {
        self.steps.iter().all(|step| step.status != Status::Failed)
    }

    pub(super) fn to_json(&self) -> Value {
        let steps: Vec<Value> = self.steps.iter().map(Step::to_json).collect();
        json!({ "name": "input.kafka", "brokers": self.brokers, "topics": self.topics, "steps": steps })
    }
}

/// What the brokers have; patterns they are not asked for.
fn found(topics: &[String]) -> String {
    let (patterns, names): (Vec<&str>, Vec<&str>) =
        topics.iter().map(String::as_str).partition(|topic| topic.starts_with('^'));
    let found = if names.is_empty() { "let us in" } else { "have " };
    let unasked = if patterns.is_empty() { "" } else { "; not looked for: " };
    format!("the brokers {found}{}{unasked}{}", names.join(", "), patterns.join(", "))
}
