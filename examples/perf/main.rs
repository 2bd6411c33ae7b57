//! Asks this machine how fast the library is: `perf/README.md`.
//!
//! Each subcommand is a question, and `perf/QUESTION/run.sh` puts it to a release build. All of them send to loopback or to
//! nothing, and end by themselves.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to whoever runs it")]

mod bare;
mod by_hand;
mod delivery_latency;
mod destination_down;
mod emit_latency;
mod figures;
mod pace;
mod receive;
mod rows;
mod sample;
mod stamped;
mod throughput;
mod times;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    use clap::Parser;

    /// How fast is the library on this machine?
    #[derive(Debug, Parser)]
    #[command(name = "perf", max_term_width = 100)]
    enum Question {
        /// How long does an emit take while the batcher sleeps, beside a bare push?
        EmitLatency(emit_latency::Arguments),
        /// How many events a second, at which CPU time, beside a bare loop?
        Throughput(throughput::Arguments),
        /// What does the caller feel while the SIEM is away?
        DestinationDown(destination_down::Arguments),
        /// How long from an event's due time until the SIEM has it, at a tenth of the load?
        DeliveryLatency(delivery_latency::Arguments),
        /// Play a collector until so many events are there; for `perf/peers`
        Receive(receive::Arguments),
    }

    match Question::parse() {
        Question::EmitLatency(arguments) => emit_latency::ask(&arguments),
        Question::Throughput(arguments) => throughput::ask(&arguments),
        Question::DestinationDown(arguments) => destination_down::ask(&arguments),
        Question::DeliveryLatency(arguments) => delivery_latency::ask(&arguments),
        Question::Receive(arguments) => receive::ask(&arguments),
    }
}
