//! The machine that we run on, as destinations call it where nobody has named a host.

/// Its name; empty where it has none.
pub(super) fn name() -> String {
    rustix::system::uname().nodename().to_str().unwrap_or_default().to_owned()
}
