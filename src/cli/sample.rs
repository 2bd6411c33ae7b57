//! Realistic, varied audit events for the demo: all types, severities and fields, 400 to 1,500 bytes of JSON, some
//! Unicode, some long details.
//!
//! Making an event must not cost more than carrying it, so texts are drawn from tables and numbers from a small
//! generator (Steele, Lea and Flood's `SplitMix64`), the same for the same seed.

use crate::event::{EventBuilder, EventType, Severity};

const USERS: [(&str, &str); 12] = [
    ("u-2f6c1d9e", "maria.gonzalez@example.com"),
    ("u-81b0aa42", "j.smith@example.com"),
    ("u-0c9d77fe", "åsa.öberg@example.se"),
    ("u-5be1f003", "山田.太郎@example.jp"),
    ("u-77a0c5d1", "o'brien@example.ie"),
    ("u-93d4e8b6", "nikolai.петров@example.org"),
    ("svc-billing", "billing@svc.example.com"),
    ("svc-scheduler", "scheduler@svc.example.com"),
    ("u-1a2b3c4d", "li.wei@example.cn"),
    ("u-c0ffee00", "rené.müller@example.de"),
    ("u-deadbeef", "fatima.zahra@example.ma"),
    ("u-42424242", "root@example.net"),
];
const SERVERS: [&str; 8] = [
    "srv-payments-eu-west-1a",
    "srv-payments-us-east-2b",
    "srv-identity-eu-west-1c",
    "srv-tickets-ap-south-1a",
    "srv-warehouse-us-west-2a",
    "srv-documents-eu-north-1b",
    "srv-search-ap-northeast-1c",
    "srv-mail-sa-east-1a",
];
const TOOLS: [&str; 10] = [
    "payments.refund",
    "payments.transfer",
    "create_ticket",
    "close_ticket",
    "warehouse.query",
    "documents.export",
    "mail.send",
    "identity.reset_password",
    "search.reindex",
    "shell.execute",
];
const POLICIES: [&str; 6] = [
    "policy-refund-limit-v7",
    "policy-four-eyes-v2",
    "policy-office-hours-v1",
    "policy-geo-fence-v3",
    "policy-least-privilege-v11",
    "policy-break-glass-v4",
];
const AGENTS: [&str; 5] = [
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
    "python-requests/2.32.3",
    "okhttp/4.12.0",
    "curl/8.8.0",
];
const REASONS: [&str; 5] = [
    "within the limit of the role",
    "amount exceeds the limit of the role \"clerk\"; a second approver is needed",
    "the session's device is not enrolled\nask the user to enroll it",
    "outside of office hours (Europe/Zürich), no on-call duty found for this user",
    "rule 17 ⟶ deny: destination is on the watch list ⚠",
];
const SENTENCE: &str =
    "SELECT id, owner, amount, currency FROM ledger WHERE account = ? AND booked BETWEEN ? AND ? -- ";

/// A source of sample events.
#[derive(Debug)]
pub(crate) struct Sample {
    state: u64,
}

impl Sample {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// What kind of event comes next.
    pub(crate) fn next_kind(&mut self) -> (EventType<'static>, Severity) {
        let event_type = pick(EventType::KNOWN, self.next());
        let severity = match self.next() % 100 {
            0..70 => Severity::Low,
            70..90 => Severity::Medium,
            90..98 => Severity::High,
            _ => Severity::Critical,
        };
        (event_type, severity)
    }

    /// Fills an event of that kind.
    pub(crate) fn fill<To>(&mut self, event: EventBuilder<To>) -> EventBuilder<To> {
        let chance = self.next();
        let (user, email) = pick(&USERS, chance);
        let mut number = itoa::Buffer::new();
        let mut address = [0; 15];
        let mut event = event
            .user_id(user)
            .server_id(pick(&SERVERS, chance >> 8))
            .tool_name(pick(&TOOLS, chance >> 16))
            .decision(if chance & 0x30 == 0 { "deny" } else { "allow" })
            .policy_id(pick(&POLICIES, chance >> 24))
            .ip_address(ip_address(self.next(), &mut address))
            .user_agent(pick(&AGENTS, chance >> 32))
            .request_id(number.format(self.next()))
            .detail("amount", chance >> 44)
            .detail("currency", pick(&["EUR", "USD", "JPY", "CHF"], chance >> 40))
            .detail("reason", pick(&REASONS, chance >> 48));
        if chance & 0x3 != 0 {
            event = event.user_email(email);
        }
        if chance & 0xc == 0 {
            event = event
                .detail("risk", f64::from(u32::try_from(chance % 10_000).unwrap_or(0)) / 100.0)
                .detail("mfa", chance & 0x10 == 0);
        }
        if chance & 0x70 == 0 {
            event = event.detail("statement", long_text(chance));
        }
        event
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn pick<T: Copy>(from: &[T], chance: u64) -> T {
    let index = usize::try_from(chance % from.len() as u64).unwrap_or(0);
    #[expect(clippy::indexing_slicing, reason = "the tables are not empty, and the index is taken modulo their length")]
    from[index]
}

/// A private address, as text in `buffer`.
fn ip_address(chance: u64, buffer: &mut [u8; 15]) -> &str {
    let mut length = 0;
    let [second, third, fourth, ..] = chance.to_le_bytes();
    for (index, octet) in [10, second, third, fourth].iter().enumerate() {
        let mut digits = itoa::Buffer::new();
        let dot = if index == 0 { "" } else { "." };
        for byte in dot.bytes().chain(digits.format(*octet).bytes()) {
            if let Some(slot) = buffer.get_mut(length) {
                *slot = byte;
                length += 1;
            }
        }
    }
    buffer.get(..length).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
}

/// A statement of 95 to 665 bytes, from a text that is made once.
fn long_text(chance: u64) -> &'static str {
    static LONG: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| SENTENCE.repeat(7));
    let sentences = usize::try_from(1 + chance % 7).unwrap_or(1);
    LONG.get(..sentences * SENTENCE.len()).unwrap_or(SENTENCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::AuditEvent;
    use crate::format::json;
    use std::collections::HashSet;

    #[test]
    fn samples_have_400_to_1500_bytes_of_json_and_show_everything() {
        let mut sample = Sample::new(1);
        let (mut types, mut severities, mut unicode, mut smallest, mut largest) =
            (HashSet::new(), HashSet::new(), 0, usize::MAX, 0);
        for _ in 0..5_000 {
            let (event_type, severity) = sample.next_kind();
            let event = sample.fill(AuditEvent::builder(event_type, severity)).build();
            let mut line = Vec::new();
            json::write(&event, &mut line);
            serde_json::from_slice::<serde_json::Value>(&line).unwrap();
            smallest = smallest.min(line.len());
            largest = largest.max(line.len());
            unicode += usize::from(!line.is_ascii());
            types.insert(event_type);
            severities.insert(severity);
        }
        assert!(smallest >= 400 && largest <= 1500, "{smallest} to {largest}");
        assert!(largest > 1000 && unicode > 250);
        assert_eq!((types.len(), severities.len()), (EventType::KNOWN.len(), 4));
    }
}
