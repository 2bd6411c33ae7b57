//! What is tuned for: which figure counts, what it may not cost, and in which order the keys are tried.

use clap::ValueEnum;

use super::ladder::{Direction, Knob};
use super::measured::Figures;
use crate::cli::figures::{count, duration};

/// A setting that carries less than this part of what the configuration carries flat out is none, whatever else it brings:
/// there must be room for the hour in which much happens.
const CARRIED_MIN: f64 = 0.5;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Target {
    // Plain comments: the help says it in its examples.
    // The 99th percentile of delivery at a moderate load.
    Latency,
    // Events a second, flat out.
    Throughput,
    // CPU time an event, flat out.
    Cpu,
}

use Direction::{Down, Up};

impl Target {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Throughput => "throughput",
            Self::Cpu => "cpu",
        }
    }

    /// The keys in the order in which they matter, each with the way that is tried first. How long a batch waits says
    /// nothing flat out, where every batch is full.
    pub(super) fn order(self) -> &'static [(Knob, Direction)] {
        match self {
            Self::Latency => &[
                (Knob::BatchTimeout, Down),
                (Knob::BatchSize, Down),
                (Knob::Senders, Up),
                (Knob::WaitStrategy, Up),
                (Knob::Compression, Down),
                (Knob::CompressionLevel, Down),
                (Knob::MaxQueueSize, Down),
                (Knob::Batchers, Up),
                (Knob::BatchBytesMax, Down),
            ],
            Self::Throughput => &[
                (Knob::Senders, Up),
                (Knob::BatchSize, Up),
                (Knob::Compression, Down),
                (Knob::CompressionLevel, Down),
                (Knob::Batchers, Up),
                (Knob::BatchBytesMax, Up),
                (Knob::MaxQueueSize, Up),
                (Knob::WaitStrategy, Up),
            ],
            Self::Cpu => &[
                (Knob::Compression, Down),
                (Knob::CompressionLevel, Down),
                (Knob::BatchSize, Up),
                (Knob::BatchBytesMax, Up),
                (Knob::Senders, Down),
                (Knob::Batchers, Down),
                (Knob::MaxQueueSize, Up),
                (Knob::WaitStrategy, Down),
            ],
        }
    }

    /// How good that is: more is better.
    pub(super) fn worth(self, figures: &Figures) -> f64 {
        let inverse = |figure: f64| if figure > 0.0 { 1.0 / figure } else { 0.0 };
        match self {
            Self::Latency => inverse(figures.latency.p99),
            Self::Throughput => figures.events_per_second,
            Self::Cpu => inverse(figures.cpu_seconds_per_million),
        }
    }

    /// Whether it comes into question at all, beside what the configuration does.
    pub(super) fn admits(figures: &Figures, base: &Figures) -> bool {
        let carries = figures.events_per_second >= CARRIED_MIN * base.events_per_second;
        carries && figures.refused <= base.refused && figures.failed_requests == 0
    }

    /// The figure that counts, in words.
    pub(super) fn words(self, figures: &Figures) -> String {
        match self {
            Self::Latency => format!("p99 {}", latency(figures)),
            Self::Throughput => format!("{} events/s", count(whole(figures.events_per_second))),
            Self::Cpu => format!("{:.2} CPU-s per million", figures.cpu_seconds_per_million),
        }
    }
}

/// `12.3 ms`, or `> 650 ms` where it is longer than was waited for.
pub(super) fn latency(figures: &Figures) -> String {
    let sign = if figures.latency.is_at_least { "> " } else { "" };
    format!("{sign}{}", time(figures.latency.p99))
}

pub(super) fn time(seconds: f64) -> String {
    duration(std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a figure for people")]
pub(super) fn whole(figure: f64) -> u64 {
    figure.round() as u64
}
