//! Nothing is lost, however the SIEM misbehaves, for as long as you like: `perf/soak/run.sh --help`.
//!
//! The library's forwarder sends to the embedded receiver, which shows other faults each second. At the end they stop, the
//! forwarder drains, and every id that was answered with `Ok` is looked for.
#![cfg_attr(
    feature = "cli",
    allow(clippy::print_stdout, clippy::print_stderr, reason = "a program talks to whoever runs it")
)]

#[cfg(feature = "cli")]
mod dice;
#[cfg(feature = "cli")]
mod producer;
#[cfg(feature = "cli")]
mod report;
#[cfg(feature = "cli")]
mod run;
#[cfg(feature = "cli")]
mod weather;

#[cfg(feature = "cli")]
fn main() -> Result<std::process::ExitCode, Box<dyn std::error::Error>> {
    run::run()
}

/// Without the embedded receiver there is nobody to send to.
#[cfg(not(feature = "cli"))]
fn main() {}
