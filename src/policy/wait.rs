//! How a batcher waits for events that have not come yet.

/// What a batcher does while its ring is empty. No caller ever wakes it: that would cost the caller microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WaitStrategy {
    /// It looks again after a sleep, each time a longer one, of a quarter of the batch's timeout and 10 ms at most: less than
    /// 1 % of a core.
    #[default]
    Sleeping,
    /// It looks again at once, and lets others have its core in between: an event is taken up without delay, and each
    /// batcher uses up a core, whether events come or not.
    BusySpin,
}

#[cfg(feature = "cli")]
mod keys {
    use super::WaitStrategy;
    use crate::table::{Problems, Table};

    impl WaitStrategy {
        /// By their names in the file.
        pub(crate) const NAMES: [(&'static str, Self); 2] =
            [("sleeping", Self::Sleeping), ("busy_spin", Self::BusySpin)];

        pub(crate) fn read(table: &mut Table<'_>, problems: &mut Problems) -> Self {
            table.take_choice("wait_strategy", &Self::NAMES, problems).unwrap_or_default()
        }
    }
}
