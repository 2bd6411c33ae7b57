//! The program `siem-forward`; what it does is in the library's `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    siem_forward::cli::main()
}
