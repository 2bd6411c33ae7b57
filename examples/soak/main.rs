//! Nothing is lost, however the SIEM misbehaves, for as long as you like: `perf/soak/run.sh --help`.
//!
//! The library's forwarder sends to the embedded receiver, which shows other faults each second. At the end they stop, the
//! forwarder drains, and every id that was answered with `Ok` is looked for.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to whoever runs it")]

mod dice;
mod producer;
mod report;
mod run;
mod weather;

fn main() -> Result<std::process::ExitCode, Box<dyn std::error::Error>> {
    run::run()
}
