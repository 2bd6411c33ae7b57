//! The lines to put into the configuration, each with what it brings.

use super::ladder::{Change, table};
use super::measured::Figures;
use super::target::Target;

/// TOML of the changed keys under their table; empty where nothing is changed.
pub(super) fn lines(
    pipeline: &str,
    target: Target,
    best: &Figures,
    without: &[(Change, Option<Figures>)],
    is_only: bool,
) -> String {
    if without.is_empty() {
        return String::new();
    }
    let assignments: Vec<String> =
        without.iter().map(|(change, _)| format!("{} = {}", change.knob.key(), change.now)).collect();
    let width = assignments.iter().map(|assignment| assignment.chars().count()).max().unwrap_or(0);
    let line = |((change, figures), assignment): (&(Change, Option<Figures>), &String)| {
        let brings = brings(target, best, figures.as_ref(), is_only);
        format!("{assignment:<width$}  # {} before; {brings}\n", change.before)
    };
    let lines: String = without.iter().zip(&assignments).map(line).collect();
    format!("[{}]\n{lines}", table(pipeline))
}

/// What one key brings, in words.
pub(super) fn brings(target: Target, best: &Figures, without: Option<&Figures>, is_only: bool) -> String {
    match without {
        Some(without) if is_only => format!("{} instead of {}", target.words(best), target.words(without)),
        Some(without) => format!("{}, without it {}", target.words(best), target.words(without)),
        None => "not measured on its own".to_owned(),
    }
}

/// What a line costs beside what it brings, where whoever pastes it should know.
pub(super) fn cautions(best: &Figures, base: &Figures, without: &[(Change, Option<Figures>)]) -> Vec<String> {
    use super::ladder::{Knob, Value};
    let mut cautions = Vec::new();
    for (change, _) in without {
        match (change.knob, change.now) {
            (Knob::Compression, Value::Word("none")) => {
                let bytes = |figures: &Figures| figures.wire_bytes_per_event.unwrap_or(0.0);
                cautions.push(format!(
                    "compression: {:.0} bytes of each event on the wire instead of {:.0}: a loopback has room for them; does \
                     your\nnetwork? --keep compression leaves it as it is",
                    bytes(best),
                    bytes(base)
                ));
            }
            (Knob::Senders, now) if now > change.before => {
                cautions.push(format!("senders: up to {now} requests at a time, which the SIEM must bear as well"));
            }
            (Knob::BatchBytesMax, now) if now > change.before => {
                cautions.push("batch_bytes_max: the SIEM took bodies of this size in the trials".to_owned());
            }
            (Knob::MaxQueueSize, now) if now < change.before => {
                cautions.push("max_queue_size: a shorter queue bridges a shorter outage".to_owned());
            }
            (Knob::WaitStrategy, Value::Word("busy_spin")) => {
                cautions.push("wait_strategy: each batcher uses up a core, whether events come or not".to_owned());
            }
            _ => {}
        }
    }
    cautions
}
