//! What the events of a run say: the same for the library and for the bare loop.

use siem_forward::{EventBuilder, EventId, EventType, Severity};

const TYPES: [EventType<'static>; 4] =
    [EventType::ToolInvoked, EventType::AuthorizationDenied, EventType::UserLogin, EventType::ToolInvoked];
const USERS: [(&str, &str); 4] = [
    ("u-2f6c1d9e", "maria.gonzalez@example.com"),
    ("u-81b0aa42", "j.smith@example.com"),
    ("svc-billing", "billing@svc.example.com"),
    ("u-0c9d77fe", "åsa.öberg@example.se"),
];
const SERVERS: [&str; 4] =
    ["srv-payments-eu-west-1a", "srv-payments-us-east-2b", "srv-identity-eu-west-1c", "srv-tickets-ap-south-1a"];
const TOOLS: [&str; 4] = ["payments.refund", "create_ticket", "documents.export", "identity.reset_password"];
const POLICIES: [&str; 4] =
    ["policy-refund-limit-v7", "policy-four-eyes-v2", "policy-office-hours-v1", "policy-geo-fence-v3"];
const ADDRESSES: [&str; 4] = ["10.194.128.204", "10.7.0.12", "10.88.41.5", "10.3.200.117"];
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
    "python-requests/2.32.3",
    "okhttp/4.12.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
];
const REASONS: [&str; 4] = [
    "within the limit of the role",
    "amount exceeds the limit of the role \"clerk\"; a second approver is needed",
    "outside of office hours (Europe/Zürich), no on-call duty found for this user",
    "destination is on the watch list, and the session began on another device",
];

/// One event's content.
pub(crate) struct Sample {
    pub(crate) id: EventId,
    pub(crate) event_type: EventType<'static>,
    pub(crate) severity: Severity,
    pub(crate) user: (&'static str, &'static str),
    pub(crate) server: &'static str,
    pub(crate) tool: &'static str,
    pub(crate) decision: &'static str,
    pub(crate) policy: &'static str,
    pub(crate) address: &'static str,
    pub(crate) agent: &'static str,
    pub(crate) request: u64,
    pub(crate) amount: u64,
    pub(crate) reason: &'static str,
}

impl Sample {
    /// The event with this number: the same each time.
    #[inline]
    pub(crate) fn of(number: u64) -> Self {
        let chance = mixed(number);
        Self {
            id: id(number),
            event_type: pick(&TYPES, chance),
            severity: pick(&Severity::ALL, chance >> 2),
            user: pick(&USERS, chance >> 4),
            server: pick(&SERVERS, chance >> 6),
            tool: pick(&TOOLS, chance >> 8),
            decision: pick(&["allow", "allow", "allow", "deny"], chance >> 10),
            policy: pick(&POLICIES, chance >> 12),
            address: pick(&ADDRESSES, chance >> 14),
            agent: pick(&AGENTS, chance >> 16),
            request: chance,
            amount: chance >> 50,
            reason: pick(&REASONS, chance >> 18),
        }
    }

    /// Fills an event of the library with it: nine texts and two details.
    #[inline]
    pub(crate) fn fill<To>(&self, event: EventBuilder<To>) -> EventBuilder<To> {
        event
            .id(self.id)
            .user_id(self.user.0)
            .user_email(self.user.1)
            .server_id(self.server)
            .tool_name(self.tool)
            .decision(self.decision)
            .policy_id(self.policy)
            .ip_address(self.address)
            .user_agent(self.agent)
            .request_id(itoa::Buffer::new().format(self.request))
            .detail("amount", self.amount)
            .detail("reason", self.reason)
    }
}

const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
/// What undoes it, modulo 2^62.
const UNSPREAD: u64 = 0x31de_83e1_9937_733d;
const LOW: u64 = (1 << 62) - 1;

/// The id of an event: a UUID of version 8 whose lower half looks drawn, as an id's does, and tells the number.
#[inline]
pub(crate) fn id(number: u64) -> EventId {
    EventId::from_u128(0x0199_3d6f_8000 << 80 | 0x8 << 76 | 0b10 << 62 | u128::from(number.wrapping_mul(SPREAD) & LOW))
}

/// The number that an id tells.
pub(crate) fn number(id: EventId) -> u64 {
    let low = u64::try_from(id.as_u128() & u128::from(LOW)).unwrap_or_default();
    low.wrapping_mul(UNSPREAD) & LOW
}

/// Steele, Lea and Flood's `SplitMix64`.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn pick<T: Copy>(from: &[T; 4], chance: u64) -> T {
    let [first, second, third, fourth] = *from;
    match chance & 3 {
        0 => first,
        1 => second,
        2 => third,
        _ => fourth,
    }
}
