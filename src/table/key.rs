//! What a key of the configuration is, in words: `init` prints a configuration from it, the README its table.
//!
//! Each room describes the keys that it reads, beside the code that reads them; tests compare the two, so a key that is
//! read and not described, or described wrongly, fails one.

/// A key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    /// As it is written in its table; a dot leads into an inner one, as in `breaker.failure_threshold`.
    pub(crate) name: &'static str,
    pub(crate) unset: Unset,
    /// What a number counts; empty where there is none.
    pub(crate) unit: &'static str,
    /// What it may be, in the words of the problem that tells so.
    pub(crate) range: &'static str,
    /// What it does, and what is traded by it.
    pub(crate) meaning: &'static str,
    /// Only beside this one, as `overflow = "block"`: elsewhere it is a mistake. Empty: everywhere.
    pub(crate) beside: &'static str,
}

/// What holds where a key is not written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unset {
    /// It must be written, such as this, in TOML.
    Required(&'static str),
    /// The same as if this were written, in TOML.
    Is(&'static str),
    /// What no value says: in words, and how a value is written.
    Means(&'static str, &'static str),
}

impl Key {
    const fn new(name: &'static str, unset: Unset) -> Self {
        Self { name, unset, unit: "", range: "", meaning: "", beside: "" }
    }

    /// One that must be written, such as `example`.
    pub(crate) const fn required(name: &'static str, example: &'static str) -> Self {
        Self::new(name, Unset::Required(example))
    }

    /// One with a default.
    pub(crate) const fn default(name: &'static str, value: &'static str) -> Self {
        Self::new(name, Unset::Is(value))
    }

    /// One without which something holds that no value says.
    pub(crate) const fn optional(name: &'static str, unset: &'static str, example: &'static str) -> Self {
        Self::new(name, Unset::Means(unset, example))
    }

    pub(crate) const fn unit(self, unit: &'static str) -> Self {
        Self { unit, ..self }
    }

    pub(crate) const fn range(self, range: &'static str) -> Self {
        Self { range, ..self }
    }

    pub(crate) const fn meaning(self, meaning: &'static str) -> Self {
        Self { meaning, ..self }
    }

    pub(crate) const fn beside(self, beside: &'static str) -> Self {
        Self { beside, ..self }
    }

    /// As a line of TOML: with its default where it has one.
    pub(crate) fn toml(&self) -> String {
        let (Unset::Required(value) | Unset::Is(value) | Unset::Means(_, value)) = self.unset;
        format!("{} = {value}", self.name)
    }
}

/// Keys that belong together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Section {
    /// A few words, as a heading.
    pub(crate) title: &'static str,
    pub(crate) keys: &'static [Key],
}
