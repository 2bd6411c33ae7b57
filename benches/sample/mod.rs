//! The event that the benches build: ten texts and a number, to which each adds what it is about.

use siem_forward::EventBuilder;

const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36";

pub(crate) fn fields<To>(event: EventBuilder<To>) -> EventBuilder<To> {
    event
        .user_id("u-2f6c1d9e")
        .user_email("maria.gonzalez@example.com")
        .server_id("srv-payments-eu-west-1a")
        .tool_name("payments.refund")
        .decision("deny")
        .policy_id("policy-refund-limit-v7")
        .ip_address("10.194.128.204")
        .user_agent(AGENT)
        .request_id("req-7d1f0a52-30c4-4b6e-9d53")
        .detail("amount", 120)
}
