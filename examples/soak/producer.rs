//! The thread that offers events, numbered from 0, each until it is taken.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use siem_forward::{Emitter, EventId, EventType, Severity};

use crate::dice::Dice;

/// Longer than any outage: what is refused in earnest ends the run.
const ROOM_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

const NANOS: u64 = 1_000_000_000;

#[derive(Debug)]
pub(crate) struct Producer {
    offered: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Option<String>>,
}

impl Producer {
    /// Offers `events` events; with a rate, not more than so many a second.
    pub(crate) fn start(emitter: Emitter, events: u64, rate: Option<u64>, seed: u64) -> io::Result<Self> {
        let (offered, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let thread = thread::Builder::new().name("producer".to_owned()).spawn({
            let (offered, stop) = (Arc::clone(&offered), Arc::clone(&stop));
            move || produce(&emitter, events, rate, seed, &offered, &stop)
        })?;
        Ok(Self { offered, stop, thread })
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Offers nothing more once the event at hand is taken.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// How many events were answered with `Ok`; and why no more were offered, if that was not meant.
    pub(crate) fn join(self) -> (u64, Option<String>) {
        let refusal = self.thread.join().unwrap_or_else(|_| Some("the producer has panicked".to_owned()));
        (self.offered.load(Ordering::Relaxed), refusal)
    }
}

/// The id of an event: they count up, so that a receiver can remember a billion.
pub(crate) fn id(number: u64) -> EventId {
    EventId::from_u128(u128::from(number) + 1)
}

fn produce(
    emitter: &Emitter,
    events: u64,
    rate: Option<u64>,
    seed: u64,
    offered: &AtomicU64,
    stop: &AtomicBool,
) -> Option<String> {
    let mut dice = Dice::new(seed);
    let begun = Instant::now();
    for number in 0..events {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if let Some(rate) = rate {
            let due = Duration::from_nanos(number.saturating_mul(NANOS / rate));
            thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        let chance = dice.next();
        let severity = match chance % 8 {
            0..5 => Severity::Low,
            5 | 6 => Severity::Medium,
            _ => Severity::High,
        };
        let reason = usize::try_from(chance >> 32).map_or(TEXT, |end| TEXT.get(..end % TEXT.len()).unwrap_or(TEXT));
        let event = emitter
            .event(EventType::ToolInvoked, severity)
            .id(id(number))
            .user_id(dice.pick(&["u-2f6c1d9e", "u-81b0aa42", "svc-billing", "u-0c9d77fe"]))
            .user_email(dice.pick(&["maria@example.com", "åsa.öberg@example.se", "o'brien@example.ie"]))
            .tool_name(dice.pick(&["payments.refund", "create_ticket", "documents.export", "shell.execute"]))
            .decision(dice.pick(&["allow", "deny"]))
            .detail("amount", chance >> 54)
            .detail("reason", reason);
        if let Err(refused) = event.send_timeout(ROOM_AFTER_MAX) {
            return Some(refused.to_string());
        }
        offered.store(number + 1, Ordering::Relaxed);
    }
    None
}

const TEXT: &str = "amount exceeds the limit of the role \"clerk\"; a second approver is needed\nSELECT id, owner, amount \
                    FROM ledger WHERE account = ? AND booked BETWEEN ? AND ? -- outside of office hours, no on-call \
                    duty found for this user, and the device of the session is not enrolled: ask to enroll it first";
