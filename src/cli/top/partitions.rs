//! The partitions of a worker, below its pipeline.

use ratatui::style::{Modifier, Style};
use ratatui::text::Line;

use crate::cli::columns::cut;
use crate::cli::figures::{count, counted};
use crate::cli::watched::Partition;

/// Letters of the widest topic.
const TOPIC: usize = 32;

/// A blank line, how many there are, the titles, and a line for each, as many as there is room for; nothing where there is not even
/// room for one.
pub(super) fn lines(partitions: &[Partition], room: usize) -> Vec<Line<'static>> {
    let room = room.saturating_sub(3);
    if partitions.is_empty() || room == 0 {
        return Vec::new();
    }
    // One line is kept for what does not fit.
    let shown = if partitions.len() <= room { partitions.len() } else { room - 1 };
    let (shown, rest) = partitions.split_at_checked(shown).unwrap_or((partitions, &[]));
    let mut lines = vec![
        Line::raw(""),
        Line::raw(format!("reads {}, lag {}", counted(partitions.len() as u64, "partition"), lag_of(partitions))),
        Line::styled(row("topic", "partition", "lag", "committed"), Style::new().add_modifier(Modifier::BOLD)),
    ];
    lines.extend(shown.iter().map(|partition| {
        let known = |value: Option<u64>| value.map_or("-".to_owned(), count);
        let Partition { topic, number, lag, committed } = partition;
        Line::raw(row(&cut(topic, TOPIC), &number.to_string(), &known(*lag), &known(*committed)))
    }));
    if !rest.is_empty() {
        lines.push(Line::raw(format!("and {} more, lag {}", count(rest.len() as u64), lag_of(rest))));
    }
    lines
}

/// Of all together, as far as it is known.
fn lag_of(partitions: &[Partition]) -> String {
    let known: Vec<u64> = partitions.iter().filter_map(|partition| partition.lag).collect();
    if known.is_empty() { "not known".to_owned() } else { count(known.iter().sum()) }
}

/// With the spaces between them, 80 letters.
fn row(topic: &str, number: &str, lag: &str, committed: &str) -> String {
    format!("{topic:<TOPIC$} {number:>9} {lag:>13} {committed:>23}")
}
