//! Whose fault is a failure: the endpoint's, which charges nobody, or the batch's, which is cut until the culprit is alone.
//!
//! Without evidence a failure is the endpoint's. Evidence is that another batch was delivered on this pipeline since
//! this one's first failure: the endpoint works, so these bytes do not. With it, a failure is charged; when more are
//! charged than good bytes meet by chance the batch is halved, and only a batch of one event is ever given up. So an
//! outage, however long, gives up nothing, nor does an endpoint that fails most of the time; and one poisoned event costs
//! itself alone.

/// What is known when a batch has failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Circumstances {
    /// Events in the batch.
    pub(crate) events: usize,
    /// Throttling or unreachability: never the batch's fault.
    pub(crate) endpoints_fault: bool,
    /// Another batch was delivered since this one first failed.
    pub(crate) evidence: bool,
    /// Failures in a row on this pipeline, this one included: too many are an outage that began after the evidence.
    pub(crate) failures_in_a_row: u32,
    /// From how many on that is so.
    pub(crate) outage_from: u32,
    /// Failures charged so far, this one not included.
    pub(crate) charged: u32,
    /// How many charges cut a batch, and how many give up what cannot be cut.
    pub(crate) charges_to_halve: u32,
    pub(crate) charges_to_give_up: u32,
    /// No evidence can arise by itself, since the sender can take nothing new before a waiting batch is done, or the size
    /// may be the reason, since the connection is reset again and again; and halves would not be refused as the whole was.
    pub(crate) may_halve_for_evidence: bool,
}

/// What to do with a batch that has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Wait and send the same bytes again; nobody is charged.
    Wait,
    /// The same, and the failure is charged.
    ChargeAndWait,
    /// Cut it in two: the charges are spent.
    Halve,
    /// Cut it in two, so that evidence can arise.
    HalveForEvidence,
    /// Give it up: it is alone.
    GiveUp,
}

/// The next step.
pub(crate) fn step(known: Circumstances) -> Step {
    if known.endpoints_fault {
        return Step::Wait;
    }
    if known.evidence && known.failures_in_a_row < known.outage_from {
        let (charges, then) = if known.events > 1 {
            (known.charges_to_halve, Step::Halve)
        } else {
            (known.charges_to_give_up, Step::GiveUp)
        };
        return if known.charged + 1 < charges { Step::ChargeAndWait } else { then };
    }
    if known.may_halve_for_evidence && known.events > 1 { Step::HalveForEvidence } else { Step::Wait }
}

/// Cuts that a refused batch of `events` may cost while nothing is delivered: enough to find one culprit (two requests for
/// each halving) and a few named ones, and a bound on what a destination costs that refuses everything. Where something is
/// delivered no cut is counted: the search ends at the culprits, at most two requests an event, and takes nobody with them.
pub(crate) fn cut_budget(events: usize) -> u32 {
    2 * events.max(1).ilog2() + 8
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: Circumstances = Circumstances {
        events: 500,
        endpoints_fault: false,
        evidence: true,
        failures_in_a_row: 1,
        outage_from: 12,
        charged: 0,
        charges_to_halve: 3,
        charges_to_give_up: 9,
        may_halve_for_evidence: false,
    };

    #[test]
    fn without_evidence_nobody_is_charged() {
        assert_eq!(step(Circumstances { evidence: false, charged: 99, ..FAILED }), Step::Wait);
        assert_eq!(step(Circumstances { evidence: false, events: 1, charged: 99, ..FAILED }), Step::Wait);
    }

    #[test]
    fn throttling_and_unreachability_charge_nobody_whatever_the_evidence() {
        assert_eq!(step(Circumstances { endpoints_fault: true, charged: 99, ..FAILED }), Step::Wait);
    }

    #[test]
    fn with_evidence_a_batch_is_charged_then_halved_and_only_a_single_event_given_up() {
        assert_eq!(step(FAILED), Step::ChargeAndWait);
        assert_eq!(step(Circumstances { charged: 2, ..FAILED }), Step::Halve);
        let alone = Circumstances { events: 1, ..FAILED };
        assert_eq!(step(Circumstances { charged: 7, ..alone }), Step::ChargeAndWait);
        assert_eq!(step(Circumstances { charged: 8, ..alone }), Step::GiveUp);
    }

    #[test]
    fn an_outage_that_begins_after_the_evidence_charges_nobody() {
        assert_eq!(step(Circumstances { failures_in_a_row: 12, charged: 8, events: 1, ..FAILED }), Step::Wait);
    }

    #[test]
    fn a_full_waiting_list_is_halved_for_evidence() {
        let full = Circumstances { evidence: false, may_halve_for_evidence: true, ..FAILED };
        assert_eq!(step(full), Step::HalveForEvidence);
        assert_eq!(step(Circumstances { events: 1, ..full }), Step::Wait);
    }

    #[test]
    fn one_culprit_in_any_batch_is_found_within_the_budget() {
        for events in [1usize, 2, 3, 500, 1000, 1_000_000] {
            let halvings = usize::BITS - (events - 1).leading_zeros();
            assert!(2 * halvings <= cut_budget(events), "{events}");
        }
    }
}
