//! Stop: one broadcast that ends every wait and interrupts every connection.
//!
//! Whoever waits does so on a channel and selects on [`Stop::receiver`] too; whoever blocks in a system call registers
//! what ends that call. Made by the engine, handed to [`Siem::connect`](crate::siem::Siem::connect).

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

type Interrupt = Box<dyn FnOnce() + Send>;

/// A handle of the broadcast; clones share it.
#[derive(Clone)]
pub struct Stop {
    shared: Arc<Shared>,
    receiver: Receiver<Infallible>,
}

struct Shared {
    /// Dropped when stopped, which disconnects every receiver at once.
    sender: Mutex<Option<Sender<Infallible>>>,
    interrupts: Mutex<Vec<(u64, Interrupt)>>,
}

impl Stop {
    /// A stop that has not happened yet.
    pub fn new() -> Self {
        let (sender, receiver) = bounded(0);
        let shared = Shared { sender: Mutex::new(Some(sender)), interrupts: Mutex::new(Vec::new()) };
        Self { shared: Arc::new(shared), receiver }
    }

    /// Whether it has happened.
    pub fn is_stopped(&self) -> bool {
        self.shared.sender.lock().is_none()
    }

    /// Calls `interrupt` when stopped, at once if it already is; [`Interruptible`] forgets it when dropped.
    #[must_use = "the registration lasts as long as what it returns"]
    pub fn on_stop(&self, interrupt: impl FnOnce() + Send + 'static) -> Interruptible {
        let mut interrupts = self.shared.interrupts.lock();
        let key = interrupts.last().map_or(0, |(key, _)| key + 1);
        interrupts.push((key, Box::new(interrupt)));
        drop(interrupts);
        // Registered first, asked afterwards: a stop in between finds the registration.
        if self.is_stopped() {
            self.interrupt_all();
        }
        Interruptible { shared: Arc::clone(&self.shared), key }
    }

    /// Happens, once and for all.
    pub(crate) fn stop(&self) {
        drop(self.shared.sender.lock().take());
        self.interrupt_all();
    }

    /// Never holds a message; disconnected once stopped. For `select!`.
    pub(crate) fn receiver(&self) -> &Receiver<Infallible> {
        &self.receiver
    }

    fn interrupt_all(&self) {
        let interrupts = std::mem::take(&mut *self.shared.interrupts.lock());
        for (_, interrupt) in interrupts {
            interrupt();
        }
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("stopped", &self.is_stopped()).finish_non_exhaustive()
    }
}

/// A registration at a [`Stop`], forgotten when dropped.
pub struct Interruptible {
    shared: Arc<Shared>,
    key: u64,
}

impl Drop for Interruptible {
    fn drop(&mut self) {
        self.shared.interrupts.lock().retain(|(key, _)| *key != self.key);
    }
}

impl fmt::Debug for Interruptible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interruptible").finish_non_exhaustive()
    }
}
