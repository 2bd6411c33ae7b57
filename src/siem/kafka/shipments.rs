//! Which report belongs to which batch: delivery reports come one by one, in any order and on another thread, and a
//! batch has its verdict once all of them are in.
//!
//! A record carries a number through librdkafka and back: the batch's, and its place in it. So nothing is allocated for
//! a record, and a report of a batch that nobody waits for any more finds nothing.

use std::collections::HashMap;

use parking_lot::Mutex;
use rdkafka::error::RDKafkaErrorCode;

use super::fate::Fate;

/// Bits of the place within a batch.
const PLACE_BITS: u32 = 20;
/// The most records of a batch.
pub(super) const RECORDS_MAX: usize = 1 << PLACE_BITS;

// The number that goes with a record is as large as a pointer: on a machine of 32 bits it would leave 12 for the batch.
const _: () = assert!(usize::BITS >= 64, "Kafka needs a machine of 64 bits");

/// The batches of one producer that are under way.
#[derive(Debug, Default)]
pub(super) struct Shipments(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    /// The number of the batch that was begun last.
    last: usize,
    shipments: HashMap<usize, Shipment>,
}

/// One batch.
#[derive(Debug)]
struct Shipment {
    fates: Vec<Fate>,
    /// Records without a report.
    unreported: usize,
}

/// Names a record's batch, and its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waybill(usize);

impl Waybill {
    /// As it goes through librdkafka.
    pub(super) fn number(self) -> usize {
        self.0
    }

    pub(super) fn of_number(number: usize) -> Self {
        Self(number)
    }
}

impl Shipments {
    /// Begins a batch of so many records, at most [`RECORDS_MAX`]; its number.
    pub(super) fn begin(&self, records: usize) -> usize {
        debug_assert!(records <= RECORDS_MAX);
        let open = &mut *self.0.lock();
        // 44 bits: at a million batches a second it begins again after half a year, far from what is open then.
        open.last = (open.last + 1) & (usize::MAX >> PLACE_BITS);
        // A record without a report is none that is held.
        let fates = vec![Fate::Failed(RDKafkaErrorCode::InProgress); records];
        open.shipments.insert(open.last, Shipment { fates, unreported: records });
        open.last
    }

    /// What the record at this place carries.
    pub(super) fn waybill(shipment: usize, place: usize) -> Waybill {
        Waybill(shipment << PLACE_BITS | place & (RECORDS_MAX - 1))
    }

    /// What became of a record; the first report of it counts.
    pub(super) fn report(&self, waybill: Waybill, fate: Fate) {
        let open = &mut *self.0.lock();
        let Some(shipment) = open.shipments.get_mut(&(waybill.0 >> PLACE_BITS)) else { return };
        let place = shipment.fates.get_mut(waybill.0 & (RECORDS_MAX - 1));
        if let Some(unreported) = place.filter(|fate| **fate == Fate::Failed(RDKafkaErrorCode::InProgress)) {
            *unreported = fate;
            shipment.unreported -= 1;
        }
    }

    /// Takes out the batches of these numbers whose reports are all in.
    pub(super) fn take_reported(&self, numbers: impl IntoIterator<Item = usize>) -> Vec<(usize, Vec<Fate>)> {
        let open = &mut *self.0.lock();
        let mut reported = Vec::new();
        for number in numbers {
            if open.shipments.get(&number).is_some_and(|shipment| shipment.unreported == 0) {
                reported.extend(open.shipments.remove(&number).map(|shipment| (number, shipment.fates)));
            }
        }
        reported
    }

    /// Nobody waits for these any more.
    pub(super) fn forget(&self, numbers: impl IntoIterator<Item = usize>) {
        let open = &mut *self.0.lock();
        for number in numbers {
            open.shipments.remove(&number);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().shipments.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: Fate = Fate::Failed(RDKafkaErrorCode::MessageTimedOut);

    #[test]
    fn a_batch_is_reported_once_each_record_is_in_whatever_order() {
        let shipments = Shipments::default();
        let (first, second) = (shipments.begin(2), shipments.begin(1));
        shipments.report(Shipments::waybill(first, 1), Fate::Delivered);
        shipments.report(Shipments::waybill(first, 1), LATE);
        assert!(shipments.take_reported([first, second]).is_empty(), "a report that comes twice is one");
        shipments.report(Shipments::waybill(second, 0), LATE);
        assert_eq!(shipments.take_reported([first, second]), [(second, vec![LATE])]);
        shipments.report(Shipments::waybill(first, 0), LATE);
        assert_eq!(shipments.take_reported([first, second]), [(first, vec![LATE, Fate::Delivered])]);
        assert!(shipments.take_reported([first]).is_empty() && shipments.len() == 0);
    }

    #[test]
    fn a_report_of_a_batch_that_nobody_waits_for_changes_none() {
        let shipments = Shipments::default();
        let gone = shipments.begin(1);
        shipments.forget([gone]);
        let next = shipments.begin(RECORDS_MAX);
        for waybill in [Shipments::waybill(gone, 0), Waybill::of_number(usize::MAX), Waybill::of_number(0)] {
            shipments.report(waybill, Fate::Delivered);
        }
        (1..RECORDS_MAX).for_each(|place| shipments.report(Shipments::waybill(next, place), Fate::Delivered));
        assert!(shipments.take_reported([next]).is_empty());
        shipments.report(Shipments::waybill(next, 0), Fate::Delivered);
        assert_eq!(shipments.take_reported([next]).len(), 1);
    }
}
