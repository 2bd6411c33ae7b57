//! What all that is compared here is given: one audit event of thirteen fields, and a body of five hundred.

use siem_forward::siem::Splunk;
use siem_forward::{AuditEvent, EventBuilder, EventType, Severity, Siem};

/// The fields of an event, as a service has them.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Audit {
    pub user_id: &'static str,
    pub user_email: &'static str,
    pub server_id: &'static str,
    pub tool_name: &'static str,
    pub decision: &'static str,
    pub policy_id: &'static str,
    pub ip_address: &'static str,
    pub user_agent: &'static str,
    pub request_id: &'static str,
    pub details: Details,
}

#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Details {
    pub amount: u32,
    pub currency: &'static str,
    pub reason: &'static str,
    pub attempt: u32,
}

pub const AUDIT: Audit = Audit {
    user_id: "u-2f6c1d9e",
    user_email: "maria.gonzalez@example.com",
    server_id: "srv-payments-eu-west-1a",
    tool_name: "payments.refund",
    decision: "deny",
    policy_id: "policy-refund-limit-v7",
    ip_address: "10.194.128.204",
    user_agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
    request_id: "req-7d1f0a52-30c4-4b6e-9d53",
    details: Details {
        amount: 120,
        currency: "EUR",
        reason: "amount exceeds the limit of the role \"clerk\"; a second approver is needed",
        attempt: 1,
    },
};

impl Audit {
    /// Sets all of them.
    pub fn fill<To>(&self, event: EventBuilder<To>) -> EventBuilder<To> {
        event
            .user_id(self.user_id)
            .user_email(self.user_email)
            .server_id(self.server_id)
            .tool_name(self.tool_name)
            .decision(self.decision)
            .policy_id(self.policy_id)
            .ip_address(self.ip_address)
            .user_agent(self.user_agent)
            .request_id(self.request_id)
            .detail("amount", self.details.amount)
            .detail("currency", self.details.currency)
            .detail("reason", self.details.reason)
            .detail("attempt", self.details.attempt)
    }

    /// An event of them.
    pub fn event(&self) -> AuditEvent {
        self.fill(AuditEvent::builder(EventType::AuthorizationDenied, Severity::High)).build()
    }
}

/// Five hundred events of Splunk's form, each with what differs from one to the next in a service.
///
/// # Panics
/// Never: Splunk takes any event.
#[must_use]
pub fn body() -> Vec<u8> {
    let splunk = Splunk::new("http://127.0.0.1:8088", "token").expect("a destination");
    let tools = ["payments.refund", "tickets.create", "users.search", "reports.export", "keys.rotate"];
    let mut body = Vec::new();
    for number in 0_u32..500 {
        let mixed = number.wrapping_mul(2_654_435_761);
        let [a, b, c, d] = mixed.to_be_bytes();
        let event = AUDIT
            .fill(AuditEvent::builder(EventType::AuthorizationDenied, Severity::High))
            .user_id(format!("u-{mixed:08x}"))
            .user_email(format!("user{}@example.com", mixed % 2_000))
            .tool_name(tools[usize::from(c) % tools.len()])
            .decision(if d & 64 == 0 { "deny" } else { "allow" })
            .policy_id(format!("policy-refund-limit-v{}", a % 9))
            .ip_address(format!("10.{b}.{c}.{d}"))
            .request_id(format!("req-{:08x}-{:08x}", mixed.rotate_left(9), mixed.rotate_left(17)))
            .build();
        splunk.format_event(&event, &mut body).expect("its form");
    }
    body
}
