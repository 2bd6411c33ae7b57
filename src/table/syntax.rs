//! Mistakes in the syntax, in words that say what to do.
//!
//! The parser goes on after a mistake, and what it then finds on the same line is mostly the same mistake again: of each
//! line the first is told.

use super::Span;

/// What is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) what: String,
    pub(super) help: &'static str,
}

/// Of the parser's words those that begin with the first; what is wrong, where its own words do not say it; what to do.
const KNOWN: [(&str, &str, &str); 21] = [
    ("duplicate key", "stands here a second time", "keep one of the two"),
    ("string values must be quoted", NO_VALUE, QUOTE),
    ("invalid boolean", NO_VALUE, QUOTE),
    ("invalid value", NO_VALUE, QUOTE),
    ("missing value", "no value", "write one behind the sign"),
    ("key with no value", "a key without a value", "write key = value; the name of a table stands in brackets"),
    ("missing assignment", "a key without a value", "write key = value"),
    ("unclosed array", "the list does not end", "close it with ]"),
    ("unclosed inline table", "the table does not end", "close it with }"),
    ("unclosed table", "the table's name does not end", "close it with ]"),
    ("missing comma", "", "put a comma between, or close what was opened before"),
    ("extra comma", "", "remove it"),
    ("missing escaped value", "no such escape", "write \\\\ for a backslash, or put the text in 'single quotes'"),
    ("unexpected key or value", "something stands behind the value", "one key = value a line; a thousand is 1_000"),
    ("invalid unquoted key", NO_KEY, KEY),
    ("unquoted keys cannot be empty", NO_KEY, KEY),
    ("invalid key-value pair", NO_KEY, KEY),
    ("invalid table", "no name of a table", KEY),
    ("cannot recurse further", DEEP, FLAT),
    ("recursion limit", DEEP, FLAT),
    ("cannot extend value", "", "a key is either a value or a table: rename one of the two"),
];
const NO_VALUE: &str = "neither a number, nor true or false, nor a text in quotes";
const QUOTE: &str = "put a text in \"quotes\"; a decimal point is a point";
const NO_KEY: &str = "no key";
const KEY: &str = "it is made of letters, digits, - and _, each table and key on a line of its own";
const DEEP: &str = "nested too deeply";
const FLAT: &str = "no configuration goes deeper than a few levels";
const NO_TOML: &str = "this is no TOML: text stands in quotes, a table's name in brackets";

/// The first mistake of each line, in the order of the file.
#[expect(single_use_lifetimes, reason = "an anonymous lifetime in an `impl Trait` is not stable")]
pub(super) fn first_of_each_line<'e>(
    text: &str,
    errors: impl Iterator<Item = (Span, &'e str)>,
) -> impl Iterator<Item = (Span, Mistake)> {
    let mut errors: Vec<(Span, &str)> = errors.collect();
    errors.sort_by_key(|(span, _)| span.start);
    let mut line_end = 0;
    errors.into_iter().filter_map(move |(span, message)| {
        if span.start < line_end {
            return None;
        }
        let rest = text.get(span.start..).unwrap_or_default();
        line_end = span.start + rest.find('\n').unwrap_or(rest.len()) + 1;
        let told = tell(message, text.get(span.clone()).unwrap_or_default());
        Some((span, told))
    })
}

/// The parser's words on this piece of text, in ours.
fn tell(message: &str, at: &str) -> Mistake {
    let own = message.split(", expected").next().unwrap_or(message);
    if own.starts_with("string values must be quoted") && at.trim().is_empty() {
        return Mistake { what: "no value".to_owned(), help: "write one behind the sign" };
    }
    if own.contains("string") && message.contains("expected `\"`") || message.contains("expected `'`") {
        return Mistake { what: "the text does not end".to_owned(), help: "close it with the quote that opened it" };
    }
    if own.contains("string") && own.starts_with("invalid") {
        let what = "a character that no text may hold".to_owned();
        return Mistake { what, help: "remove it, or write it as an escape such as \\u0000" };
    }
    match KNOWN.iter().find(|(begin, ..)| own.starts_with(begin)) {
        Some((_, "", help)) => Mistake { what: own.to_owned(), help },
        Some((_, what, help)) => Mistake { what: (*what).to_owned(), help },
        None => Mistake { what: own.to_owned(), help: NO_TOML },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_line_the_first_is_told() {
        let text = "a b\nc\n\nd";
        let errors = [(8..8, "duplicate key"), (2..3, "second"), (1..2, "first"), (4..4, "third"), (5..5, "fourth")];
        let told = first_of_each_line(text, errors.into_iter());
        let told: Vec<(usize, String)> = told.map(|(span, told)| (span.start, told.what)).collect();
        let expected = [(1, "first"), (4, "third"), (8, "stands here a second time")];
        assert_eq!(told, expected.map(|(at, what)| (at, what.to_owned())));
        assert_eq!(first_of_each_line("", [(7..9, "beyond")].into_iter()).count(), 1);
    }
}
