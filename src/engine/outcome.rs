//! What a sender does with a verdict: the table of the design, without threads.

use std::time::Duration;

use super::parcel::{Fate, Parcel};
use super::pipeline::{Pipeline, nanos};
use crate::batch::Mark;
use crate::ledger::Operation;
use crate::policy::{Circumstances, Step, step};
use crate::siem::{Cause, CauseKind, Partial, Verdict};

/// How many batches may wait at one sender; parts of a batch count as one.
pub(crate) const WAITING_MAX: usize = 4;
/// How many parts of batches may wait at one sender for evidence alone: the path down a batch of 4,096 events.
const PARTS_MAX: usize = WAITING_MAX + 12;

/// Whether a batch may be cut although nothing says that it is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ForEvidence {
    MayHalve,
    MustWait,
    /// It was taken, and nothing says that it is held.
    Unacknowledged,
}

/// When a verdict came, and what chance says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// When the request began.
    pub(crate) started: u64,
    pub(crate) now: u64,
    /// In 0..1, for jitter.
    pub(crate) random: f64,
}

/// The sender's side of a verdict: its waiting list, and how many senders the pipeline has.
#[derive(Debug)]
pub(crate) struct Outcome<'a> {
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) waiting: &'a mut Vec<Parcel>,
    pub(crate) senders: usize,
    pub(crate) moment: Moment,
}

impl Outcome<'_> {
    /// Gives the events of a parcel their fates, or puts what is left of it on the waiting list. Returns the memory of a
    /// batch that is done.
    pub(crate) fn settle(&mut self, parcel: Parcel, verdict: Verdict) -> Option<(Vec<u8>, Vec<Mark>)> {
        match verdict {
            Verdict::Accept => {
                self.pipeline.books.batch_sent();
                self.pipeline.delivered(self.moment.now, parcel.history.charged);
                return parcel.delivered();
            }
            Verdict::Partial(partial) => self.partial(parcel, partial),
            Verdict::Retry { after, cause } => self.failed(parcel, after, cause, ForEvidence::MayHalve),
            Verdict::Reject(cause) => self.rejected(parcel, cause),
            // The sender keeps what is pending, and brings it here with its fate.
            Verdict::Pending(_) => self.waiting.push(parcel),
            Verdict::Halt(cause) => {
                self.pipeline.halted(&cause);
                let patience = self.pipeline.retry.backoff_max();
                // A refusal of everything would refuse the halves as well, at once: more requests and no evidence.
                self.failed(parcel, Some(patience), cause, ForEvidence::MustWait);
            }
        }
        None
    }

    /// Sends again what was taken and, for all that is known, is not held. Not cut for evidence: many may come back at once,
    /// of which none was refused.
    pub(crate) fn again(&mut self, parcel: Parcel, cause: Cause) {
        self.failed(parcel, None, cause, ForEvidence::Unacknowledged);
    }

    fn partial(&mut self, mut parcel: Parcel, partial: Partial) {
        let mut fates = vec![Fate::Delivered; parcel.len()];
        for (indices, again) in [(&partial.resend[..], Fate::Again), (partial.apart(), Fate::AgainApart)] {
            for index in indices {
                if let Some(fate) = fates.get_mut(*index) {
                    *fate = again.clone();
                }
            }
        }
        // After `resend`: whoever names an event in both has refused it.
        for (index, cause) in partial.rejected {
            if let Some(fate) = fates.get_mut(index) {
                *fate = Fate::Rejected(cause);
            }
        }
        if fates.contains(&Fate::Delivered) {
            self.pipeline.delivered(self.moment.now, parcel.history.charged);
        }
        if partial.retry.is_none() && !self.may_cut(&mut parcel, 1) {
            let cause =
                Cause::new(CauseKind::Rejected).words("too many of one batch were refused, one after the other");
            for fate in fates.iter_mut().filter(|fate| **fate == Fate::Again) {
                *fate = Fate::Rejected(cause.clone());
            }
        }
        let parts = parcel.split(&fates);
        if parts.is_empty() {
            self.pipeline.books.batch_sent();
        }
        for part in parts {
            match &partial.retry {
                Some((after, cause)) => self.failed(part, *after, cause.clone(), ForEvidence::MayHalve),
                None => self.waiting.push(part),
            }
        }
    }

    /// None of it, ever: a single event is given up, more are halved to find the culprit.
    fn rejected(&mut self, mut parcel: Parcel, cause: Cause) {
        self.pipeline.books.batch_failed(cause.label());
        // What is too large has no culprit: cutting it is the remedy, not a search, and ends at single events.
        let is_remedy = cause.kind() == CauseKind::TooLarge;
        if parcel.len() > 1 && (is_remedy || self.may_cut(&mut parcel, 2)) {
            self.waiting.extend(parcel.halve());
        } else {
            parcel.bury(cause);
        }
    }

    /// Whether a refused batch may be cut: freely where others are delivered, so that no event is given up for its
    /// neighbours; within a budget where everything is refused, which no search would end.
    fn may_cut(&self, parcel: &mut Parcel, cuts: u32) -> bool {
        let first_failure = *parcel.history.first_failure.get_or_insert(self.moment.started);
        self.pipeline.delivered_since(first_failure) || parcel.spend_cuts(cuts)
    }

    fn failed(&mut self, mut parcel: Parcel, after: Option<Duration>, cause: Cause, for_evidence: ForEvidence) {
        let failures_in_a_row = self.pipeline.failed(&cause);
        let Moment { started, now, random } = self.moment;
        let first_failure = *parcel.history.first_failure.get_or_insert(started);
        let attempts = self.pipeline.retry.attempts();
        let rate = &self.pipeline.failure_rate;
        parcel.history.resets += u32::from(cause.kind() == CauseKind::ConnectionReset);
        let charges_to_give_up = attempts.max(rate.charges_to_give_up());
        let evidence = self.pipeline.delivered_since(first_failure);
        let known = Circumstances {
            events: parcel.len(),
            endpoints_fault: cause.is_the_endpoints(),
            evidence,
            failures_in_a_row,
            outage_from: self.outage_from(charges_to_give_up),
            charged: parcel.history.charged,
            charges_to_halve: attempts.max(rate.charges_to_halve()),
            charges_to_give_up,
            may_halve_for_evidence: for_evidence == ForEvidence::MayHalve
                && (self.is_full_with(&parcel) || !evidence && parcel.history.resets >= attempts)
                && self.waiting.len() < PARTS_MAX,
        };
        parcel.history.ambiguous |= cause.is_ambiguous();
        parcel.history.attempts = parcel.history.attempts.saturating_add(1);
        let wait = nanos(self.pipeline.retry.wait(parcel.history.attempts.saturating_add(1), random, after));
        if matches!(cause.kind(), CauseKind::Http(429 | 503)) && after.is_some() {
            self.pipeline.hold_back_until(now.saturating_add(wait));
        }
        match step(known) {
            Step::Wait => {}
            Step::ChargeAndWait => parcel.history.charged += 1,
            Step::Halve | Step::HalveForEvidence => return self.waiting.extend(parcel.halve()),
            Step::GiveUp => return parcel.bury(cause),
        }
        self.pipeline.books.retry(again(for_evidence, &cause));
        parcel.history.due = now.saturating_add(wait);
        // That we are stopping is no reason; what the destination said before is.
        if parcel.history.cause.is_none() || !self.pipeline.stop.is_stopped() {
            parcel.history.cause = Some(cause);
        }
        self.waiting.push(parcel);
    }

    /// As many failures in a row as all full waiting lists can be charged with: more is an outage that began after the
    /// evidence, whatever that said.
    fn outage_from(&self, charges: u32) -> u32 {
        let batches = u32::try_from(WAITING_MAX * self.senders).unwrap_or(u32::MAX);
        charges.saturating_mul(batches)
    }

    fn is_full_with(&self, parcel: &Parcel) -> bool {
        let is_among = self.waiting.iter().any(|waiting| waiting.is_of_family(parcel));
        families(self.waiting) + usize::from(!is_among) >= WAITING_MAX
    }
}

/// What is done again after this failure.
fn again(for_evidence: ForEvidence, cause: &Cause) -> Operation {
    match for_evidence {
        ForEvidence::Unacknowledged => Operation::Ack,
        ForEvidence::MayHalve | ForEvidence::MustWait if cause.is_no_connection() => Operation::Connect,
        ForEvidence::MayHalve | ForEvidence::MustWait => Operation::SendBatch,
    }
}

/// How many batches these parcels are parts of.
pub(crate) fn families(parcels: &[Parcel]) -> usize {
    let mut heads: Vec<&Parcel> = Vec::with_capacity(WAITING_MAX);
    for parcel in parcels {
        if !heads.iter().any(|head| head.is_of_family(parcel)) {
            heads.push(parcel);
        }
    }
    heads.len()
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
