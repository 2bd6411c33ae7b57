//! The event as data: serde both ways, in the layout of the NDJSON that `run` reads.
//!
//! One implementation of reading serves every serde format and the NDJSON reader, and one of writing every format but
//! the hot path's own JSON (`format::json`), whose bytes a test compares with these.

mod field;
mod json;
mod key;
mod members;
mod read;
mod write;
mod written;

#[cfg(feature = "cli")]
pub(crate) use json::{DEPTH_MAX as DETAILS_DEPTH_MAX, repeated, too_deep};
#[cfg(feature = "cli")]
pub(crate) use read::EventSeed;

use super::Field;

/// The text fields and their names, in the order of writing.
const TEXT_FIELDS: [(Field, &str); 9] = [
    (Field::UserId, "user_id"),
    (Field::UserEmail, "user_email"),
    (Field::ServerId, "server_id"),
    (Field::ToolName, "tool_name"),
    (Field::Decision, "decision"),
    (Field::PolicyId, "policy_id"),
    (Field::IpAddress, "ip_address"),
    (Field::UserAgent, "user_agent"),
    (Field::RequestId, "request_id"),
];
