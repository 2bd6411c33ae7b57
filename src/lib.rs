//! siem-forward carries audit events into SIEMs.
#[cfg(feature = "cli")]
pub mod receiver;
