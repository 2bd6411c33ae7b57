//! A forwarder as a registry sees it: read when it is scraped.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use prometheus::Registry;

use super::destination::Destination;
use super::emitter::Gate;
use super::forwarder::Forwarder;
use super::pipeline::Pipeline;
use crate::ledger::{Collector, Reading, RegisterError, Source, Surroundings};

/// Holds the books, which are small, and not the rings: those of a forwarder that is gone are empty.
struct Exposed {
    pipeline: Arc<Pipeline>,
    gates: Vec<Weak<Gate>>,
    queue_capacity: usize,
    destination: Arc<dyn Destination>,
}

impl Source for Exposed {
    fn reading(&self) -> Reading {
        let pipeline = &self.pipeline;
        pipeline.books.reading(Surroundings {
            queued: self.gates.iter().filter_map(Weak::upgrade).map(|gate| gate.ring.len()).sum(),
            queue_capacity: self.queue_capacity,
            breaker: pipeline.breaker.status(),
            // Relaxed: a gauge.
            pending_bytes: pipeline.pending_bytes.load(Ordering::Relaxed),
            healthy: pipeline.health().healthy,
            traffic: self.destination.traffic().cloned(),
        })
    }
}

impl Forwarder {
    /// Shows the metrics and the ledger in a Prometheus registry, under the pipeline's name
    /// ([`Builder::name`](crate::Builder::name)). They are read when the registry is asked, and cost nothing in between;
    /// after a drain they stay as they were at its end.
    ///
    /// Each sample has the labels `siem_type` and `pipeline`. The README lists all families.
    ///
    /// ```
    /// use siem_forward::{Forwarder, Verdict, siem};
    ///
    /// let registry = prometheus::Registry::new();
    /// let forwarder = Forwarder::builder(siem::from_fn("nowhere", |_| Verdict::Accept)).start()?;
    /// forwarder.register(&registry)?;
    /// let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather())?;
    /// assert!(text.contains("siem_events_sent_total"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`RegisterError::NameTaken`] when the registry shows a pipeline of this name already.
    pub fn register(&self, registry: &Registry) -> Result<(), RegisterError> {
        let origin = &self.pipeline.origin;
        let exposed = Exposed {
            pipeline: Arc::clone(&self.pipeline),
            gates: self.gates.iter().map(Arc::downgrade).collect(),
            queue_capacity: self.config.batch.max_queue_size,
            destination: Arc::clone(&self.destination),
        };
        Collector::register(&origin.pipeline, origin.siem_type, exposed, registry)
    }
}
