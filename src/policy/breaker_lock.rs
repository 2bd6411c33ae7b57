//! The breaker's lock, or loom's under loom, so that the model runs the shipped code.

#[cfg(all(test, loom))]
use loom::sync::Mutex;
#[cfg(not(all(test, loom)))]
use parking_lot::Mutex;

pub(super) struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(super) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        #[cfg(all(test, loom))]
        let mut value = self.0.lock().unwrap();
        #[cfg(not(all(test, loom)))]
        let mut value = self.0.lock();
        work(&mut value)
    }
}
