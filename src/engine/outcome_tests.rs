//! Whatever verdicts come, in whatever order: every event ends with exactly one fate.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::engine::parcel::tests::parcel_of;
use crate::event::EventId;

#[derive(Debug, Clone)]
enum Answer {
    Accept,
    Partial { rejected: Vec<usize>, resend: Vec<usize>, apart: Vec<usize>, waits: bool },
    Retry(u16),
    Reset,
    TooLarge,
    Reject,
    Halt,
}

fn answer() -> impl Strategy<Value = Answer> {
    let indices = || prop::collection::vec(0..40usize, 0..6);
    prop_oneof![
        3 => Just(Answer::Accept),
        3 => (indices(), indices(), indices(), any::<bool>())
            .prop_map(|(rejected, resend, apart, waits)| Answer::Partial { rejected, resend, apart, waits }),
        2 => prop_oneof![Just(429), Just(500), Just(503)].prop_map(Answer::Retry),
        1 => Just(Answer::Reset),
        1 => Just(Answer::TooLarge),
        1 => Just(Answer::Reject),
        1 => Just(Answer::Halt),
    ]
}

impl Answer {
    fn verdict(&self) -> Verdict {
        let cause = || Cause::new(CauseKind::Rejected);
        match self {
            Self::Accept => Verdict::Accept,
            Self::Partial { rejected, resend, apart, waits } => {
                let named = Partial::new().resend(resend.iter().copied()).resend_apart(apart.iter().copied());
                let partial = rejected.iter().fold(named, |partial, index| partial.reject(*index, cause()));
                Verdict::Partial(if *waits { partial.retry(None, Cause::http(503)) } else { partial })
            }
            Self::Retry(status) => Verdict::retry(Cause::http(*status)),
            Self::Reset => Verdict::retry(Cause::new(CauseKind::ConnectionReset)),
            Self::TooLarge => Verdict::Reject(Cause::new(CauseKind::TooLarge)),
            Self::Reject => Verdict::Reject(cause()),
            Self::Halt => Verdict::Halt(Cause::http(403)),
        }
    }

    /// Whether the destination holds the event at this index, by what it said.
    fn holds(&self, index: usize) -> bool {
        match self {
            Self::Accept => true,
            Self::Partial { rejected, resend, apart, .. } => {
                ![rejected, resend, apart].iter().any(|named| named.contains(&index))
            }
            _ => false,
        }
    }
}

proptest! {
    /// No verdict, no halving and no cut doubles an event or drops one: what the destination says that it holds is
    /// delivered once, all else is given up once, and the books say the same.
    #[test]
    fn every_event_has_one_fate_whatever_the_verdicts(
        events in 1..40usize, senders in 1..3usize, answers in prop::collection::vec(answer(), 1..120),
    ) {
        let (parcel, pipeline) = parcel_of(events);
        let mut waiting = vec![parcel];
        let mut held: HashMap<EventId, u32> = HashMap::new();
        let mut now = 1;
        for answer in answers {
            now += 1;
            let Some(parcel) = waiting.pop() else { break };
            for (index, mark) in parcel.batch.marks().iter().enumerate() {
                if answer.holds(index) {
                    *held.entry(mark.id).or_default() += 1;
                }
            }
            let moment = Moment { started: now, now: now + 1, random: 0.5 };
            let spare = Outcome { pipeline: &pipeline, waiting: &mut waiting, senders, moment }.settle(parcel, answer.verdict());
            drop(spare);
        }
        Parcel::bury_undelivered(waiting, &pipeline);
        let ledger = pipeline.books.snapshot(0).ledger;
        prop_assert!(held.values().all(|times| *times == 1), "{held:?}");
        prop_assert_eq!(ledger.delivered, held.len() as u64);
        prop_assert_eq!(ledger.delivered + ledger.lost["no_dead_letter"], events as u64, "{:?}", ledger);
        prop_assert_eq!((ledger.lost["bug"], ledger.in_flight), (0, 0));
    }
}

#[test]
fn a_part_that_may_be_held_already_goes_apart_and_says_so() {
    let (parcel, pipeline) = parcel_of(5);
    let mut waiting = Vec::new();
    let moment = Moment { started: 1, now: 2, random: 0.5 };
    let verdict = Verdict::Partial(Partial::new().resend_apart(0..2).reject(2, Cause::http(400)).resend(3..5));
    let spare = Outcome { pipeline: &pipeline, waiting: &mut waiting, senders: 1, moment }.settle(parcel, verdict);
    assert!(spare.is_none());
    let parts: Vec<(usize, bool)> = waiting.iter().map(|part| (part.len(), part.history.ambiguous)).collect();
    assert_eq!(parts, [(2, true), (2, false)]);
    Parcel::bury_undelivered(waiting, &pipeline);
}
