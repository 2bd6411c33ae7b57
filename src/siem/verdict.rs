//! What became of a batch, as its destination says.

use std::time::Duration;

use super::Cause;

/// What became of a batch.
#[expect(clippy::exhaustive_enums, reason = "closed on purpose: a new fate must not compile unhandled")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All of it is held there.
    Accept,
    /// By index: some rejected, some to resend, the others held.
    Partial(Partial),
    /// None of it is held; the same bytes, later.
    Retry {
        /// How long the destination asks to wait, where it does.
        after: Option<Duration>,
        /// Why.
        cause: Cause,
    },
    /// None, ever: these bytes are wrong, or too large.
    Reject(Cause),
    /// None: we are refused, whatever we send, as with a wrong token.
    Halt(Cause),
    /// Taken, but not held yet: the destination says later, when [`Siem::settle`](super::Siem::settle) asks by this
    /// ticket.
    Pending(Ticket),
}

/// Names a batch that was taken and is not held yet. It belongs to the connection that the batch was sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

impl Ticket {
    /// With the destination's own number.
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// The destination's own number.
    pub fn number(self) -> u64 {
        self.0
    }
}

impl Verdict {
    /// A retry without a wish for patience.
    pub fn retry(cause: Cause) -> Self {
        Self::Retry { after: None, cause }
    }
}

/// The fates of a batch's events, by index; an event that is not named is held by the destination.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Partial {
    pub(crate) rejected: Vec<(usize, Cause)>,
    pub(crate) resend: Vec<usize>,
    /// So many of these, the first, go as a batch of their own, and as possible duplicates.
    apart: usize,
    pub(crate) retry: Option<(Option<Duration>, Cause)>,
}

impl Partial {
    /// All are held, until said otherwise.
    pub fn new() -> Self {
        Self::default()
    }

    /// This one is refused for good.
    #[must_use]
    pub fn reject(mut self, index: usize, cause: Cause) -> Self {
        self.rejected.push((index, cause));
        self
    }

    /// These are not held and nothing is wrong with them: they go again at once, as a batch of their own.
    #[must_use]
    pub fn resend(mut self, indices: impl IntoIterator<Item = usize>) -> Self {
        self.resend.extend(indices);
        self
    }

    /// These may be held, and the destination will never say so: they go again as a batch of their own, apart from those
    /// of [`resend`](Self::resend), and as possible duplicates.
    #[must_use]
    pub fn resend_apart(mut self, indices: impl IntoIterator<Item = usize>) -> Self {
        let before = self.resend.len();
        drop(self.resend.splice(self.apart..self.apart, indices));
        self.apart += self.resend.len() - before;
        self
    }

    /// Of those to resend, the ones that go apart.
    pub(crate) fn apart(&self) -> &[usize] {
        self.resend.get(..self.apart).unwrap_or_default()
    }

    /// What is to be resent waits first, as after [`Verdict::Retry`].
    #[must_use]
    pub fn retry(mut self, after: Option<Duration>, cause: Cause) -> Self {
        self.retry = Some((after, cause));
        self
    }
}
