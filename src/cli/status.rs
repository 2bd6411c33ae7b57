//! `status`: one look at a program that runs, for people, cron jobs and probes.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::columns::aligned;
use super::failure::Failure;
use super::figures::{age, count, duration, percent};
use super::watched::{Endpoint, Observed, Pipeline};
use super::{exit_code, print};

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusArguments {
    /// Where the program shows itself: its `[metrics] listen`
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9090")]
    url: Endpoint,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  siem-forward status
  siem-forward status --url http://127.0.0.1:9091 --json
  siem-forward status > /dev/null || mail -s 'audit events do not get through' ops@example.org < /dev/null

Exit codes: 0 all is well; 1 a pipeline is not healthy, its breaker is open, or nobody answers; 2 bad usage.
It reads /metrics and /readyz, also of a service that shows its forwarders in a registry of its own.";

const TITLES: [&str; 13] = [
    "pipeline",
    "siem",
    "health",
    "breaker",
    "in",
    "delivered",
    "failed",
    "dropped",
    "waiting",
    "queue",
    "oldest",
    "p50",
    "p99",
];
/// These columns are read from the left, the others from the right.
const TEXT: [usize; 4] = [0, 1, 2, 3];

pub(crate) fn status(arguments: &StatusArguments) -> Result<ExitCode, Failure> {
    let StatusArguments { url, json } = arguments;
    match url.look() {
        Ok(observed) => {
            let shown = if *json { to_json(&observed, url) } else { to_text(&observed, url) };
            print(&shown)?;
            Ok(exit_code(observed.red().next().is_none()))
        }
        Err(unseen) => {
            if *json {
                let error = unseen.to_string();
                let url = url.url().to_string();
                print(&line(&json!({ "url": url, "version": null, "red": true, "error": error, "pipelines": [] })))?;
            }
            Err(unseen.into())
        }
    }
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}

fn to_json(observed: &Observed, endpoint: &Endpoint) -> String {
    line(&json!({
        "url": endpoint.url().to_string(),
        "version": observed.version,
        "red": observed.red().next().is_some(),
        "error": null,
        "pipelines": observed.pipelines.iter().map(Pipeline::to_json).collect::<Vec<_>>(),
    }))
}

fn to_text(observed: &Observed, endpoint: &Endpoint) -> String {
    let version = observed.version.as_ref().map_or(String::new(), |version| format!(" {version}"));
    let red = observed.red().count();
    let verdict = match (red, observed.pipelines.len()) {
        (0, _) => "all is well".to_owned(),
        (_, 1) => "RED".to_owned(),
        (red, all) => format!("{red} of {all} pipelines RED"),
    };
    let mut rows = vec![TITLES.map(str::to_owned).to_vec()];
    rows.extend(observed.pipelines.iter().map(cells));
    let mut text = format!("siem-forward{version} at {}: {verdict}\n\n{}", endpoint.url(), aligned(&rows, &TEXT));
    for note in observed.pipelines.iter().flat_map(notes) {
        text.push('\n');
        text.push_str(&note);
    }
    if observed.pipelines.iter().any(|pipeline| !notes(pipeline).is_empty()) {
        text.push('\n');
    }
    text
}

fn cells(pipeline: &Pipeline) -> Vec<String> {
    let latency = |time| Option::map_or(time, "-".to_owned(), duration);
    vec![
        pipeline.name.clone(),
        pipeline.siem_type.clone(),
        if pipeline.is_healthy { "ok" } else { "RED" }.to_owned(),
        pipeline.breaker.clone(),
        count(pipeline.came),
        count(pipeline.delivered),
        count(pipeline.failed),
        count(pipeline.dropped),
        count(pipeline.waiting),
        percent(pipeline.fill),
        age(pipeline.oldest),
        latency(pipeline.p50),
        latency(pipeline.p99),
    ]
}

/// Why it is red, and what went wrong last.
fn notes(pipeline: &Pipeline) -> Vec<String> {
    let name = &pipeline.name;
    let mut notes = Vec::new();
    if let Some(reason) = &pipeline.reason {
        notes.push(format!("{name}: {reason}"));
    } else if !pipeline.is_healthy {
        notes.push(format!("{name}: not healthy, and no /readyz there says why: see the program's own log"));
    } else if pipeline.is_red() {
        notes.push(format!("{name}: the circuit breaker is open, so that events wait"));
    }
    if let Some(error) = &pipeline.last_error {
        notes.push(format!("{name}: last error {} ago: {}", age(error.ago), error.words));
    }
    if !pipeline.failures.is_empty() {
        let failures = pipeline.failures.iter().map(|(cause, times)| format!("{cause} {}", count(*times)));
        notes.push(format!("{name}: failed requests so far: {}", failures.collect::<Vec<_>>().join(", ")));
    }
    notes
}
