//! The bare loop's encoder: the same bytes as the library's for Splunk, written straight into the body.

use std::time::{SystemTime, UNIX_EPOCH};

use siem_forward::siem::Splunk;
use siem_forward::{AuditEvent, Siem, Timestamp};

use crate::sample::Sample;

pub(crate) const HOST: &str = "perf";

const ENVELOPE: &[u8] =
    b",\"host\":\"perf\",\"source\":\"siem-forward\",\"sourcetype\":\"siem_forward:audit\",\"fields\":{\"event_id\":\"";

/// An encoder with its clock.
pub(crate) struct ByHand {
    counter: quanta::Clock,
    /// The counter and the wall clock in nanoseconds at one moment.
    anchor: (u64, u64),
    /// The second that `date` is of, and its text up to the point before the fraction.
    second: u64,
    date: String,
}

impl ByHand {
    pub(crate) fn new() -> Self {
        let counter = quanta::Clock::new();
        let mut new = Self { anchor: (counter.raw(), 0), counter, second: u64::MAX, date: String::new() };
        new.anchor();
        new
    }

    /// Looks at the wall clock again: once a batch.
    pub(crate) fn anchor(&mut self) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.anchor = (self.counter.raw(), u64::try_from(since.as_nanos()).unwrap_or_default());
    }

    /// Appends the event, now.
    #[inline]
    pub(crate) fn write_now(&mut self, sample: &Sample, body: &mut Vec<u8>) {
        let (then, wall) = self.anchor;
        let nanos = wall + self.counter.delta_as_nanos(then, self.counter.raw());
        self.write(sample, nanos, body);
    }

    /// Appends the event with this time, nanoseconds since 1970.
    #[inline]
    fn write(&mut self, sample: &Sample, nanos: u64, body: &mut Vec<u8>) {
        let (second, fraction) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        if second != self.second {
            self.turn(second);
        }
        let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
        let id = uuid::Uuid::from_u128(sample.id.as_u128()).hyphenated().encode_lower(&mut id).as_bytes();
        body.reserve(1200);
        put(body, b"{\"time\":");
        put(body, itoa::Buffer::new().format(second).as_bytes());
        body.push(b'.');
        put(body, &digits::<6>(fraction / 1000));
        put(body, ENVELOPE);
        put(body, id);
        put(body, b"\",\"event_type\":\"");
        put(body, sample.event_type.name().as_bytes());
        put(body, b"\",\"severity\":\"");
        put(body, sample.severity.name().as_bytes());
        put(body, b"\"},\"event\":{\"id\":\"");
        put(body, id);
        put(body, b"\",\"timestamp\":\"");
        put(body, self.date.as_bytes());
        if fraction % 1000 == 0 {
            put(body, &digits::<6>(fraction / 1000));
        } else {
            put(body, &digits::<9>(fraction));
        }
        put(body, b"Z\",\"event_type\":\"");
        put(body, sample.event_type.name().as_bytes());
        put(body, b"\",\"severity\":\"");
        put(body, sample.severity.name().as_bytes());
        put(body, b"\",\"user_id\":\"");
        escaped(body, sample.user.0);
        put(body, b"\",\"user_email\":\"");
        escaped(body, sample.user.1);
        put(body, b"\",\"server_id\":\"");
        escaped(body, sample.server);
        put(body, b"\",\"tool_name\":\"");
        escaped(body, sample.tool);
        put(body, b"\",\"decision\":\"");
        escaped(body, sample.decision);
        put(body, b"\",\"policy_id\":\"");
        escaped(body, sample.policy);
        put(body, b"\",\"src_ip\":\"");
        escaped(body, sample.address);
        put(body, b"\",\"user_agent\":\"");
        escaped(body, sample.agent);
        put(body, b"\",\"request_id\":\"");
        put(body, itoa::Buffer::new().format(sample.request).as_bytes());
        put(body, b"\",\"details\":{\"amount\":");
        put(body, itoa::Buffer::new().format(sample.amount).as_bytes());
        put(body, b",\"reason\":\"");
        escaped(body, sample.reason);
        put(body, b"\"}}}");
    }

    #[cold]
    fn turn(&mut self, second: u64) {
        let nanos = i64::try_from(second.saturating_mul(1_000_000_000)).unwrap_or(i64::MAX);
        let text = Timestamp::from_unix_nanos(nanos).to_string();
        self.date = text.split_once(['.', 'Z']).map_or(text.clone(), |(date, _)| format!("{date}."));
        self.second = second;
    }
}

/// An error unless both write the same: a limit that writes less is none.
pub(crate) fn compare(splunk: &Splunk) -> Result<usize, String> {
    let mut by_hand = ByHand::new();
    let (mut bytes, events) = (0, 64);
    for number in 0..events {
        let sample = Sample::of(number);
        let nanos = 1_790_000_000_123_456_789 + number * 1_000_000_211;
        let at = Timestamp::from_unix_nanos(i64::try_from(nanos).unwrap_or_default());
        let event: AuditEvent =
            sample.fill(AuditEvent::builder(sample.event_type, sample.severity)).timestamp(at).build();
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        splunk.format_event(&event, &mut theirs).map_err(|error| error.to_string())?;
        by_hand.write(&sample, nanos, &mut ours);
        if theirs != ours {
            let [theirs, ours] = [theirs, ours].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            return Err(format!("by hand {ours}\nis not  {theirs}"));
        }
        bytes += ours.len() + 1;
    }
    Ok(bytes / usize::try_from(events).unwrap_or(1))
}

#[inline]
fn put(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend_from_slice(bytes);
}

/// The last `N` decimal digits.
#[inline]
fn digits<const N: usize>(mut value: u64) -> [u8; N] {
    let mut text = [b'0'; N];
    for digit in text.iter_mut().rev() {
        *digit += u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
    }
    text
}

/// The text as it stands between quotes. What needs an escape is looked for eight bytes at a time.
#[inline]
fn escaped(body: &mut Vec<u8>, text: &str) {
    let (eights, rest) = text.as_bytes().as_chunks::<8>();
    let any = eights.iter().fold(0, |any, eight| any | special(u64::from_le_bytes(*eight)));
    if any == 0 && !rest.iter().any(|byte| needs_escape(*byte)) {
        put(body, text.as_bytes());
    } else {
        escaped_one_by_one(body, text);
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Not zero where one of the bytes may be below a blank, a quote or a backslash.
#[inline]
fn special(eight: u64) -> u64 {
    let below = |value: u64, than: u8| value.wrapping_sub(ONES * u64::from(than)) & !value;
    let is = |byte: u8| below(eight ^ (ONES * u64::from(byte)), 1);
    (below(eight, b' ') | is(b'"') | is(b'\\')) & HIGHS
}

#[inline]
fn needs_escape(byte: u8) -> bool {
    byte < b' ' || byte == b'"' || byte == b'\\'
}

/// The samples hold no control characters, so that a backslash before it is enough.
fn escaped_one_by_one(body: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
        let (before, from) = rest.split_at(at);
        put(body, before);
        body.push(b'\\');
        let (byte, behind) = from.split_at(1);
        put(body, byte);
        rest = behind;
    }
    put(body, rest);
}
