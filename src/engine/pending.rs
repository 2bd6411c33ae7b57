//! Batches that were taken and are not held yet: each waits with its ticket until the destination says what became of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::parcel::Parcel;
use crate::siem::Ticket;

/// The tickets of one sender's connection.
#[derive(Debug)]
pub(crate) struct Pending {
    tickets: Vec<Waiting>,
    /// When to ask next.
    pub(crate) ask_at: u64,
    bytes: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Waiting {
    ticket: Ticket,
    parcel: Parcel,
    since: u64,
}

impl Pending {
    /// Whose batches count into `bytes`, which all senders of the pipeline share.
    pub(crate) fn new(bytes: Arc<AtomicUsize>) -> Self {
        Self { tickets: Vec::new(), ask_at: 0, bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }

    pub(crate) fn tickets(&self) -> Vec<Ticket> {
        self.tickets.iter().map(|waiting| waiting.ticket).collect()
    }

    /// Keeps a batch. Returns one that waits under the same ticket: nobody can say any more what became of that.
    pub(crate) fn push(&mut self, ticket: Ticket, parcel: Parcel, now: u64) -> Option<Parcel> {
        let displaced = self.take(ticket);
        // Relaxed: a bound, not a lock.
        self.bytes.fetch_add(parcel.memory(), Ordering::Relaxed);
        self.tickets.push(Waiting { ticket, parcel, since: now });
        displaced
    }

    pub(crate) fn take(&mut self, ticket: Ticket) -> Option<Parcel> {
        let index = self.tickets.iter().position(|waiting| waiting.ticket == ticket)?;
        let parcel = self.tickets.remove(index).parcel;
        self.bytes.fetch_sub(parcel.memory(), Ordering::Relaxed);
        Some(parcel)
    }

    /// Those that have waited since `moment` or longer.
    pub(crate) fn take_since(&mut self, moment: u64) -> Vec<Parcel> {
        let old = self.tickets.extract_if(.., |waiting| waiting.since <= moment);
        let parcels: Vec<Parcel> = old.map(|waiting| waiting.parcel).collect();
        self.bytes.fetch_sub(parcels.iter().map(Parcel::memory).sum(), Ordering::Relaxed);
        parcels
    }

    pub(crate) fn take_all(&mut self) -> Vec<Parcel> {
        self.take_since(u64::MAX)
    }
}
