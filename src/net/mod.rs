//! How bytes leave: blocking HTTP over rustls, gzip, and the stop that interrupts both.

mod stop;

pub use stop::Stop;
