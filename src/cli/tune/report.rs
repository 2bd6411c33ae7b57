//! What a tuning came to: a table of what was tried, a plot, and the lines to paste; or one object.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::ladder::{Setting, table};
use super::lines::{brings, cautions, lines};
use super::measured::{Figures, Tried};
use super::noise::Comparison;
use super::plot::{Axis, Point, plot};
use super::search::{Found, Verdict};
use super::target::{Target, latency, time, whole};
use crate::cli::columns::aligned;
use crate::cli::figures::{bytes, count};
use crate::table::Paint;

const TITLES: [&str; 8] = ["#", "setting", "events/s", "CPU-s/M", "p50", "p99", "p99.9", "refused"];
/// These columns are read from the left, the others from the right.
const TEXT: [usize; 2] = [1, 8];

/// What was tuned, how, and what was found.
pub(super) struct Report {
    pub(super) target: Target,
    pub(super) pipeline: String,
    pub(super) siem_type: &'static str,
    /// The configured destination, where it was measured against that.
    pub(super) against: Option<String>,
    /// What the embedded receiver adds to each answer.
    pub(super) round_trip: Option<Duration>,
    pub(super) rate: u64,
    pub(super) producers: usize,
    pub(super) cores: usize,
    pub(super) max_seconds: u64,
    pub(super) elapsed: Duration,
    /// A signal ended it before its time.
    pub(super) is_cut_short: bool,
    pub(super) found: Found,
    /// The most memory that each setting of `found.tried` may take.
    pub(super) memory: Vec<Option<u64>>,
}

impl Report {
    pub(super) fn to_text(&self, paint: Paint) -> String {
        let mut text = format!("{}\n\n{}\n", self.headline(), aligned(&self.rows(), &TEXT));
        let drawn = self.plot();
        if !drawn.is_empty() {
            text.extend([drawn.as_str(), "\n"]);
        }
        let sentence = self.sentence();
        if self.found.best == self.found.base {
            text.extend([sentence.as_str(), "\n"]);
            return text;
        }
        text.extend([paint.green(&sentence).as_str(), "\n\n", &self.beside()]);
        text.extend(["\nIn place of what stands there now:\n\n", &paint.bold(&self.lines())]);
        for caution in self.cautions() {
            text.extend(["\n", &caution, "\n"]);
        }
        text
    }

    /// All that changes with the recommended lines, wanted or not.
    fn beside(&self) -> String {
        let Found { base, best, .. } = &self.found;
        let (before, now) = (self.figures(base), self.figures(best));
        let row = |name: &str, of: &dyn Fn(&Figures) -> String| vec![name.to_owned(), of(&before), of(&now)];
        let mut rows = vec![["", "now", "with these lines"].map(str::to_owned).to_vec()];
        rows.push(row("events/s, flat out", &|figures| count(whole(figures.events_per_second))));
        rows.push(row("CPU-s per million", &|figures| format!("{:.2}", figures.cpu_seconds_per_million)));
        rows.push(row("p99 at the load", &latency));
        rows.push(vec!["memory at most".to_owned(), self.memory_of(base), self.memory_of(best)]);
        aligned(&rows, &[0])
    }

    pub(super) fn to_json(&self) -> Value {
        let Found { base, best, candidate, .. } = &self.found;
        let changes: Vec<Value> = self.found.without.iter().map(|(change, without)| {
            json!({
                "key": change.knob.key(),
                "before": change.before.to_json(),
                "now": change.now.to_json(),
                "brings": brings(self.target, &self.figures(candidate), self.reference(without.as_ref()).as_ref(), self.is_only()),
            })
        }).collect();
        let (verdict, difference, within) = match self.found.verdict {
            Verdict::Nothing => ("nothing_better", None, None),
            Verdict::Curve(_) => ("curve", None, None),
            Verdict::Compared(Comparison::Better(gain)) => ("better", Some(gain), None),
            Verdict::Compared(Comparison::Worse(loss)) => ("nothing_better", Some(-loss), None),
            Verdict::Compared(Comparison::Hidden { difference, within }) => ("noise", Some(difference), Some(within)),
            Verdict::Compared(Comparison::Unknown) => ("no_time", None, None),
        };
        json!({
            "target": self.target.name(),
            "pipeline": self.pipeline,
            "siem_type": self.siem_type,
            "against": self.against,
            "round_trip_seconds": self.round_trip.map(|time| time.as_secs_f64()),
            "load_events_per_second": self.rate,
            "producers": self.producers,
            "cores": self.cores,
            "max_seconds": self.max_seconds,
            "elapsed_seconds": self.elapsed.as_secs_f64(),
            "cut_short": self.is_cut_short,
            "tried": self.tried().map(|(tried, memory)| entry(tried, memory, base, best)).collect::<Vec<_>>(),
            "verdict": verdict,
            "difference": difference,
            "noise": within,
            "sentence": self.sentence(),
            "recommended": if best == base { Value::Null } else { json!({
                "toml": self.lines(),
                "changes": changes,
                "cautions": self.cautions(),
            }) },
        })
    }

    fn headline(&self) -> String {
        let place = match (&self.against, self.round_trip) {
            (Some(destination), _) => destination.clone(),
            (None, Some(round_trip)) if !round_trip.is_zero() => {
                format!("the embedded receiver, a modelled round trip of {} ms away", round_trip.as_millis())
            }
            (None, _) => "the embedded receiver, without a round trip".to_owned(),
        };
        let shared = if self.against.is_some() { "" } else { ", shared with the producers and the receiver" };
        let aim = match self.found.verdict {
            Verdict::Curve(knob) => knob.key(),
            _ => self.target.name(),
        };
        format!(
            "[{}] for {aim}, against {place}\nlatency at {} events/s, events/s and CPU flat out; {} cores{shared}",
            table(&self.pipeline),
            count(self.rate),
            self.cores,
        )
    }

    fn tried(&self) -> impl Iterator<Item = (&Tried, Option<u64>)> {
        self.found.tried.iter().zip(self.memory.iter().copied().chain(std::iter::repeat(None)))
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let Found { base, best, tried, .. } = &self.found;
        let mut rows = vec![TITLES.map(str::to_owned).to_vec()];
        rows.extend(tried.iter().zip(1_usize..).map(|(tried, number)| {
            let figures = tried.figures();
            let mark = match (&tried.setting == best, &tried.setting == base) {
                (true, true) => "stays",
                (true, false) => "best",
                (false, true) => "now",
                (false, false) => "",
            };
            vec![
                number.to_string(),
                tried.setting.words(base),
                count(whole(figures.events_per_second)),
                format!("{:.2}", figures.cpu_seconds_per_million),
                time(figures.latency.p50),
                latency(&figures),
                time(figures.latency.p999),
                count(figures.refused),
                mark.to_owned(),
            ]
        }));
        rows
    }

    /// The configuration and the best setting have their places first.
    fn plot(&self) -> String {
        let Found { base, best, tried, .. } = &self.found;
        let point = |(tried, number): (&Tried, usize)| {
            let figures = tried.figures();
            Point { number, x: figures.events_per_second, y: figures.latency.p99 }
        };
        let is_first = |tried: &Tried| tried.setting == *base || tried.setting == *best;
        let (first, rest): (Vec<_>, Vec<_>) = tried.iter().zip(1..).partition(|(tried, _)| is_first(tried));
        let points: Vec<Point> = first.into_iter().chain(rest).map(point).collect();
        let y = format!("p99 at {} events/s", count(self.rate));
        plot(
            &points,
            &Axis { title: "events/s flat out, by the numbers of the table", shown: &|value| count(whole(value)) },
            &Axis { title: &y, shown: &time },
        )
    }

    fn figures(&self, setting: &Setting) -> Figures {
        let tried = self.found.tried.iter().find(|tried| tried.setting == *setting);
        tried.map_or_else(Figures::default, Tried::figures)
    }

    fn is_only(&self) -> bool {
        self.found.without.len() == 1
    }

    /// What a changed key is compared with: where it is the only one, the configuration.
    fn reference(&self, without: Option<&Figures>) -> Option<Figures> {
        if self.is_only() { Some(self.figures(&self.found.base)) } else { without.copied() }
    }

    fn lines(&self) -> String {
        let Found { base, best, without, .. } = &self.found;
        if best == base {
            return String::new();
        }
        let changes: Vec<_> =
            without.iter().map(|(change, figures)| (*change, self.reference(figures.as_ref()))).collect();
        lines(&self.pipeline, self.target, &self.figures(best), &changes, self.is_only())
    }

    fn cautions(&self) -> Vec<String> {
        let Found { base, best, without, .. } = &self.found;
        if best == base { Vec::new() } else { cautions(&self.figures(best), &self.figures(base), without) }
    }

    fn memory_of(&self, setting: &Setting) -> String {
        let found = self.tried().find(|(tried, _)| tried.setting == *setting).and_then(|(_, memory)| memory);
        found.map_or_else(|| "unknown".to_owned(), bytes)
    }

    /// What it came to.
    pub(super) fn sentence(&self) -> String {
        let Found { base, candidate, verdict, .. } = &self.found;
        let (before, now) = (self.figures(base), self.figures(candidate));
        let instead = || format!("{} instead of {}", self.target.words(&now), self.target.words(&before));
        let stays = "The configuration stays as it is.";
        let sentence = match verdict {
            Verdict::Compared(Comparison::Better(_)) => format!("{}: {}.", instead(), candidate.words(base)),
            Verdict::Compared(Comparison::Hidden { within, .. }) => format!(
                "Noise hides the difference: {} ({}), where repeats of the same setting lie within ± {:.0} %. {stays}",
                instead(),
                candidate.words(base),
                within * 100.0,
            ),
            Verdict::Compared(Comparison::Unknown) => {
                format!(
                    "There was no time to compare {} in turns with the configuration. {stays} Raise --max-seconds.",
                    candidate.words(base)
                )
            }
            Verdict::Curve(knob) => {
                format!(
                    "These are the values of {} that were measured, each several times where there was time.",
                    knob.key()
                )
            }
            Verdict::Nothing | Verdict::Compared(Comparison::Worse(_)) => {
                format!("Nothing that was tried is better than the configuration by more than noise. {stays}")
            }
        };
        if self.is_cut_short { format!("Ended before its time. {sentence}") } else { sentence }
    }
}

/// An entry of `tried`: the setting by its keys, and what it came to.
fn entry(tried: &Tried, memory: Option<u64>, base: &Setting, best: &Setting) -> Value {
    let figures = tried.figures();
    let mut object: Map<String, Value> =
        tried.setting.iter().map(|(knob, value)| (knob.key().to_owned(), value.to_json())).collect();
    let at = figures.latency;
    let seconds: f64 = tried.repeats.iter().map(|repeat| repeat.seconds).sum();
    let figures = [
        ("events_per_second", json!(whole(figures.events_per_second))),
        ("cpu_seconds_per_million", json!(figures.cpu_seconds_per_million)),
        ("delivery_latency_seconds", json!({ "p50": at.p50, "p99": at.p99, "p999": at.p999, "max": at.max })),
        ("latency_at_least", json!(at.is_at_least)),
        ("refused", json!(figures.refused)),
        ("failed_requests", json!(figures.failed_requests)),
        ("wire_bytes_per_event", json!(figures.wire_bytes_per_event)),
        ("memory_bytes_max", json!(memory)),
        ("trials", json!(tried.repeats.len())),
        ("trial_seconds", json!(seconds)),
        ("base", json!(tried.setting == *base)),
        ("best", json!(tried.setting == *best)),
    ];
    object.extend(figures.map(|(key, value)| (key.to_owned(), value)));
    Value::Object(object)
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
