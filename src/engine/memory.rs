//! The most memory that the settings can use, part by part: what is bounded by a key, reckoned as if all of it came at
//! once.

use std::mem::size_of;

use super::held::WAITING_WITH_PROBES_MAX;
use super::settings::{POOL_BUFFERS_MAX, SiemConfig};
use crate::batch::{Mark, Shape};
use crate::event::{AuditEvent, Pool};
use crate::table::grouped;

/// JSON can write a byte in six, as `\u0000`.
const JSON_BYTES_PER_BYTE: u64 = 6;
/// A buffer that grows doubles.
const GROWTH: u64 = 2;

/// What uses memory, how much at most, and how that is reckoned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) name: &'static str,
    pub(crate) bytes: u64,
    pub(crate) reckoned: String,
}

/// All of it. `acknowledges` where batches wait for that.
pub(super) fn shares(config: &SiemConfig, shape: Shape, acknowledges: bool) -> Vec<Share> {
    let batch = &config.batch;
    let (slots, senders, batchers) = (batch.max_queue_size as u64, config.senders as u64, config.batchers as u64);
    // A slot is an event and a number beside it.
    let (slot, buffer) = ((size_of::<AuditEvent>() + size_of::<usize>()) as u64, Pool::BUFFER_BYTES as u64);
    let pooled = slots.min(POOL_BUFFERS_MAX as u64) + Pool::WARM as u64 * batchers;
    let (body, body_reckoned) = body(config, shape);
    // On the wire, handed over, being cut into parts, on their way back empty (two); and those that wait.
    let each_sender = 5 + WAITING_WITH_PROBES_MAX as u64;
    // Being filled, begun with what did not fit, on its way back empty.
    let each_batcher = 3;
    let bodies = senders * each_sender + batchers * each_batcher;
    let text = grouped(buffer);
    let share = |name, bytes, reckoned| Share { name, bytes, reckoned };
    let mut shares = vec![
        share(
            "queue",
            slots * (slot + buffer),
            format!("max_queue_size = {} x ({slot} B + up to {text} B of text)", grouped(slots)),
        ),
        share(
            "large events",
            (batch.queue_bytes_max as u64).max(batch.event_bytes_max as u64),
            format!("queue_bytes_max: what events in the queue hold above {text} B"),
        ),
        share("spare buffers", pooled * buffer, format!("{} x {text} B, for the next events", grouped(pooled))),
        share(
            "batches",
            bodies * body,
            format!(
                "({each_sender} x senders = {senders} + {each_batcher} x batchers = {batchers}) x {} B: {body_reckoned}",
                grouped(body)
            ),
        ),
        share("compression", senders * body, format!("senders = {senders} x {} B", grouped(body))),
    ];
    if acknowledges {
        let pending = config.connection.pending_bytes_max as u64;
        let reckoned = format!("pending_bytes_max, and senders = {senders} x {} B", grouped(body));
        shares.push(share("unacknowledged", pending + senders * body, reckoned));
    }
    shares
}

/// The most that one batch can take, and how that is reckoned.
fn body(config: &SiemConfig, shape: Shape) -> (u64, String) {
    let batch = &config.batch;
    let full = batch.batch_bytes_max.min(shape.batch_bytes_max) as u64;
    // What does not fit is seen once it is there.
    let event = JSON_BYTES_PER_BYTE * batch.event_bytes_max as u64;
    let marks = batch.batch_size.min(shape.batch_size_max) as u64 * size_of::<Mark>() as u64;
    let reckoned = format!(
        "{GROWTH} x (batch_bytes_max + {JSON_BYTES_PER_BYTE} x event_bytes_max + {} B for each event of batch_size)",
        size_of::<Mark>()
    );
    (GROWTH * (full + event + marks), reckoned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(config: &SiemConfig, acknowledges: bool) -> u64 {
        shares(config, Shape::DEFAULT, acknowledges).iter().map(|share| share.bytes).sum()
    }

    #[test]
    fn every_key_that_bounds_memory_counts() {
        let default = SiemConfig::default();
        let least = total(&default, false);
        assert!((100_000_000..400_000_000).contains(&least), "{least}");
        assert_eq!(
            total(&default, true) - least,
            64_000_000 + 2 * (2 * (900_000 + 6 * 65_536 + 500 * size_of::<Mark>() as u64))
        );
        let changes: [fn(&mut SiemConfig); 7] = [
            |config| config.batch.max_queue_size *= 2,
            |config| config.batch.queue_bytes_max *= 2,
            |config| config.batch.batch_bytes_max *= 2,
            |config| config.batch.batch_size *= 2,
            |config| config.batch.event_bytes_max *= 2,
            |config| config.senders *= 2,
            |config| config.batchers *= 2,
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut config = default.clone();
            change(&mut config);
            assert!(total(&config, false) > least, "{number}");
        }
    }

    #[test]
    fn the_largest_settings_are_still_a_number() {
        let mut config = SiemConfig { senders: 256, batchers: 64, ..SiemConfig::default() };
        config.batch.max_queue_size = 16_777_216;
        config.batch.batch_bytes_max = 1_000_000_000;
        config.batch.batch_size = 1_000_000;
        config.batch.event_bytes_max = 16 << 20;
        assert!(total(&config, true) > 1 << 40);
    }
}
