//! Colours, where a terminal shows what is printed and its user has nothing against them.

use std::io::IsTerminal;

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    Plain,
    Coloured,
}

impl Paint {
    /// For standard output: `NO_COLOR` and a terminal that knows no colours are heeded.
    pub(crate) fn of_stdout() -> Self {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        if std::io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb { Self::Coloured } else { Self::Plain }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.with("1;31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }

    pub(crate) fn blue(self, text: &str) -> String {
        self.with("34", text)
    }

    /// Select Graphic Rendition of ECMA-48; nothing around white space alone.
    fn with(self, rendition: &str, text: &str) -> String {
        match self {
            Self::Coloured if !text.trim().is_empty() => format!("\u{1b}[{rendition}m{text}\u{1b}[0m"),
            _ => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_to_be_coloured_is() {
        assert_eq!(Paint::Coloured.red("no"), "\u{1b}[1;31mno\u{1b}[0m");
        assert_eq!((Paint::Plain.red("no"), Paint::Coloured.green("  ")), ("no".to_owned(), "  ".to_owned()));
        // A test's standard output may be a terminal; then it is for its user to say.
        assert!(std::io::stdout().is_terminal() || Paint::of_stdout() == Paint::Plain);
    }
}
