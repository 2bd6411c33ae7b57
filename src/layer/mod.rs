//! From `tracing` into the audit trail: a layer that makes audit events of the events of one target, for services that
//! audit by `tracing` already, or wish to.

mod fields;

use std::cell::Cell;
use std::fmt;

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::{LookupSpan, Scope};

use crate::engine::{Emitter, Refused};
use fields::{Heading, SpanFields};

const TARGET: &str = "audit";
/// Of our own diagnostics, which are never audited.
const OWN_TARGET: &str = "siem_forward";

thread_local! {
    static TELLING: Cell<bool> = const { Cell::new(false) };
}

/// Makes an audit event of every `tracing` event of one target, and hands it in by [`Emitter::try_send`].
///
/// The target is `audit`, and all below it such as `audit::payments`; everything else passes by. **Put no filter before it
/// that drops them:** what `EnvFilter` or a level holds back for the whole subscriber never gets here. Filter the other
/// layers instead, each by `with_filter`.
///
/// Fields go by their names: `event_type` (a known type or any name of 1 to 64 bytes), `severity` (low, medium, high,
/// critical), `user_id`, `user_email`, `server_id`, `tool_name`, `decision`, `policy_id`, `ip_address`, `user_agent`,
/// `request_id`; and `event_id`, where it is a UUID, is the event's identity, which is generated otherwise. All others, the
/// `message` too, are details: numbers and booleans as such, whatever else as text. The fields of the spans around the
/// event are details as well; of one name the innermost wins, and the event's own above all.
///
/// Without `severity` the level says it: high of an error, medium of a warning, else low. Without `event_type` it is
/// `tracing_event`. What is no severity, type or UUID stays as a detail under its name.
///
/// The library's own diagnostics are never taken, also where they come over from `log` and their target is chosen; what the
/// forwarder's threads emit is refused, as ever.
///
/// ```
/// use siem_forward::layer::AuditLayer;
/// use siem_forward::{Forwarder, Verdict, siem};
/// use tracing_subscriber::layer::SubscriberExt as _;
///
/// let forwarder = Forwarder::builder(siem::from_fn("mine", |_| Verdict::Accept)).start()?;
/// let layer = AuditLayer::new(forwarder.emitter()).on_refused(|refused| eprintln!("not audited: {refused}"));
/// let subscriber = tracing_subscriber::registry().with(layer);
/// tracing::subscriber::with_default(subscriber, || {
///     let _request = tracing::info_span!("request", path = "/refund").entered();
///     tracing::warn!(target: "audit", event_type = "authorization_denied", user_id = "u-17", amount = 120);
/// });
/// let report = forwarder.drain(std::time::Duration::from_secs(5));
/// assert_eq!(report.ledger.delivered, 1);
/// # Ok::<(), siem_forward::StartError>(())
/// ```
pub struct AuditLayer {
    emitter: Emitter,
    target: String,
    on_refused: Option<OnRefused>,
}

type OnRefused = Box<dyn Fn(Refused) + Send + Sync>;

impl AuditLayer {
    /// A layer for the target `audit`.
    pub fn new(emitter: Emitter) -> Self {
        Self { emitter, target: TARGET.to_owned(), on_refused: None }
    }

    /// Takes the events of this target, and of those below it, instead of `audit`.
    #[must_use]
    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.target = target.into();
        self
    }

    /// Gets each event back that was not taken, with the reason, on the thread that emitted it. Without it they are counted
    /// by the forwarder, as all are, and told in the SIEM's own stream by an `audit_gap` event.
    ///
    /// It may emit audit events itself: those that are refused meanwhile are counted, and not handed to it.
    #[must_use]
    pub fn on_refused(mut self, take: impl Fn(Refused) + Send + Sync + 'static) -> Self {
        self.on_refused = Some(Box::new(take));
        self
    }

    /// Whether the event of this target is one to audit.
    fn takes(&self, target: &str) -> bool {
        is_within(target, &self.target) && !is_within(target, OWN_TARGET)
    }

    fn tell(&self, refused: Refused) {
        if let (Some(on_refused), Some(_telling)) = (&self.on_refused, Telling::begin()) {
            on_refused(refused);
        }
    }
}

/// Whether `target` is `outer`, or below it as modules are.
fn is_within(target: &str, outer: &str) -> bool {
    target.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

impl<S> Layer<S> for AuditLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = SpanFields::default();
        attributes.record(&mut fields.visitor());
        if let Some(span) = context.span(id) {
            // Another layer of ours may have been here: it found the same.
            span.extensions_mut().replace(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        // Outside the lock: making text of a value is the service's code, which may look at the span.
        let mut later = SpanFields::default();
        values.record(&mut later.visitor());
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<SpanFields>()
        {
            fields.update(later);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if !self.takes(event.metadata().target()) {
            return;
        }
        let mut heading = Heading::default();
        event.record(&mut heading.visitor());
        if heading.log_target.as_deref().is_some_and(|target| is_within(target, OWN_TARGET)) {
            return;
        }
        let head = heading.read(*event.metadata().level());
        let mut audit = self.emitter.event(head.event_type, head.severity);
        if let Some(id) = head.id {
            audit = audit.id(id);
        }
        let text = &mut audit.event.text;
        for span in context.event_scope(event).into_iter().flat_map(Scope::from_root) {
            if let Some(fields) = span.extensions().get::<SpanFields>() {
                fields.write_details(text);
            }
        }
        event.record(&mut head.visitor(text));
        if let Err(refused) = audit.try_send() {
            self.tell(refused);
        }
    }
}

impl fmt::Debug for AuditLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLayer")
            .field("emitter", &self.emitter)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// While this thread hands a refused event to the service, which may emit another.
struct Telling;

impl Telling {
    fn begin() -> Option<Self> {
        (!TELLING.replace(true)).then_some(Self)
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        TELLING.set(false);
    }
}

#[cfg(test)]
mod tests;
