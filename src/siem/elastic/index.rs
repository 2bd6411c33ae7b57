//! Which index or data stream an event is written to: one for all, or one for each day of the events.

use super::super::IntakeError;
use crate::event::Timestamp;

/// As long as a name may be, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// What no name holds, besides upper case, control characters and what is no ASCII.
const FORBIDDEN: &[u8] = b"\\/*?\"<>| ,#:%";

/// A name, or a pattern of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Index {
    /// One for all events: it stands in the request's path.
    One(String),
    /// One for each day or month: it stands with each event.
    ByDate(Vec<Piece>),
}

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    Year,
    Month,
    Day,
}

impl Index {
    /// Reads a name, or a pattern with `%Y`, `%m` and `%d` in it.
    ///
    /// # Errors
    /// When there cannot be an index of that name.
    pub(super) fn parse(pattern: &str) -> Result<Self, IntakeError> {
        let wrong = |words: &str| Err(IntakeError::Place(words.to_owned()));
        let mut pieces = Vec::new();
        let mut rest = pattern;
        while let Some((before, sign)) = rest.split_once('%') {
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            pieces.push(match sign.bytes().next() {
                Some(b'Y') => Piece::Year,
                Some(b'm') => Piece::Month,
                Some(b'd') => Piece::Day,
                _ => return wrong("knows of a date %Y, %m and %d alone"),
            });
            rest = sign.get(1..).unwrap_or_default();
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        let is_allowed = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && !FORBIDDEN.contains(&byte);
        let texts = || pieces.iter().filter_map(Piece::as_text);
        if !texts().all(|text| text.bytes().all(is_allowed)) {
            return wrong(
                "is no name of an index: lower case and digits, and none of \\ / * ? \" < > | , # : or space",
            );
        }
        if pattern.starts_with(['-', '_', '+', '.']) {
            return wrong("is no name of an index for events: it begins with -, _, + or a dot");
        }
        if !(1..=NAME_BYTES_MAX).contains(&pieces.iter().map(Piece::len).sum()) {
            return wrong("is no name of an index: it has 1 to 255 characters");
        }
        Ok(match pieces.as_slice() {
            [Piece::Text(name)] => Self::One(name.clone()),
            _ => Self::ByDate(pieces),
        })
    }

    /// The three parts of a data stream's name, such as `logs-audit-default`.
    pub(super) fn data_stream(&self) -> Option<[&str; 3]> {
        let Self::One(name) = self else { return None };
        let mut parts = name.splitn(3, '-');
        let (kind, dataset, namespace) = (parts.next()?, parts.next()?, parts.next()?);
        let is_stream = kind == "logs" && !dataset.is_empty() && !namespace.is_empty();
        is_stream.then_some([kind, dataset, namespace])
    }
}

impl Piece {
    fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// How many characters it becomes.
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Year => 4,
            Self::Month | Self::Day => 2,
        }
    }

    /// Appends what it is on the day of `date`, a year, a month and a day.
    #[inline]
    fn write(&self, (year, month, day): (u32, u32, u32), out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::Year => write_digits(year, 4, out),
            Self::Month => write_digits(month, 2, out),
            Self::Day => write_digits(day, 2, out),
        }
    }
}

/// Appends the name for an event of this time, in UTC.
#[inline]
pub(super) fn write_name(pieces: &[Piece], time: Timestamp, out: &mut Vec<u8>) {
    let date = time.date();
    for piece in pieces {
        piece.write(date, out);
    }
}

fn write_digits(number: u32, width: u32, out: &mut Vec<u8>) {
    for place in (0..width).rev() {
        let digit = number / 10_u32.pow(place) % 10;
        out.push(b'0' + u8::try_from(digit).unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_at(pattern: &str, time: &str) -> String {
        let mut out = Vec::new();
        match Index::parse(pattern).unwrap() {
            Index::One(name) => return name,
            Index::ByDate(pieces) => write_name(&pieces, time.parse().unwrap(), &mut out),
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_pattern_has_the_date_of_the_event_in_utc() {
        let name = |time: &str| name_at("audit-%Y.%m.%d", time);
        assert_eq!(name("2026-01-02T23:59:59.999Z"), "audit-2026.01.02");
        assert_eq!(name("2026-01-03T00:30:00+01:00"), "audit-2026.01.02");
        assert_eq!(name("1999-12-31T23:59:59Z"), "audit-1999.12.31");
        assert_eq!(name_at("%Y-%m", "2024-02-29T00:00:00Z"), "2024-02");
        assert_eq!(name_at("a%Y%Yb", "2026-01-01T00:00:00Z"), "a20262026b");
        assert_eq!(name_at("logs-audit-default", "2026-01-01T00:00:00Z"), "logs-audit-default");
    }

    #[test]
    fn a_name_that_no_index_can_have_is_refused() {
        let longest = "x".repeat(NAME_BYTES_MAX - 4) + "%Y";
        assert!(Index::parse(&longest).is_ok() && Index::parse(&"x".repeat(NAME_BYTES_MAX)).is_ok());
        let long = "x".repeat(NAME_BYTES_MAX - 2) + "%Y";
        for wrong in
            ["", "Audit", "a b", "a/b", "a*", "a%H", "a%", "%é", "é", "-a", "_bulk", ".a", "a,b", "a?b", "a#b", &long]
        {
            let told = Index::parse(wrong).unwrap_err().to_string();
            assert!(told.starts_with("is no name") || told.starts_with("knows of a date"), "{wrong}: {told}");
        }
    }

    #[test]
    fn a_data_stream_is_known_by_its_name() {
        let parts = |name: &str| Index::parse(name).unwrap().data_stream().map(|parts| parts.map(str::to_owned));
        assert_eq!(parts("logs-audit-default"), Some(["logs", "audit", "default"].map(str::to_owned)));
        assert_eq!(parts("logs-mcp.audit-eu-1"), Some(["logs", "mcp.audit", "eu-1"].map(str::to_owned)));
        assert_eq!(
            (parts("audit"), parts("logs-audit"), parts("logs--x"), parts("audit-%Y")),
            (None, None, None, None)
        );
    }
}
