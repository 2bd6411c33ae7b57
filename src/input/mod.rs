//! Text into events.
