//! A fault: one way in which the receiver misbehaves, on which bodies, and how often.
//!
//! Written as text, on the command line and in tests: `KIND`, or `KIND:PARAMETER,PARAMETER…`, for instance
//! `503:every=3`, `delay:ms=200,share=0.1`, `400:contains=poison`. A value ends at the next comma.
//!
//! Read by the commands and by tests; applied by [`super::schedule`], [`super::reply`] and [`super::connection`].

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use super::answer::{CODE_MAX, code_of};
use super::kind::{COMMON, Endpoint, KNOWN, Kind, Known, example, find, kinds, takes};

/// One way to misbehave. Parses from text, see [`Fault::known`], and displays as the same text.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    pub(super) endpoint: Endpoint,
    pub(super) kind: Kind,
    pub(super) parameters: Parameters,
}

/// The parameters of all kinds; which kind takes which is said in [`super::kind`].
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Parameters {
    pub(super) code: Option<u16>,
    pub(super) event: Option<u64>,
    pub(super) retry_after: Option<RetryAfter>,
    pub(super) taken: bool,
    pub(super) body: bool,
    pub(super) ms: Option<u64>,
    pub(super) contains: Option<String>,
    pub(super) id: Option<String>,
    pub(super) bytes: Option<u64>,
    pub(super) every: Option<NonZeroU64>,
    pub(super) first: Option<u64>,
    pub(super) share: Option<f64>,
}

/// The header of an answer that asks to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetryAfter {
    Seconds(u32),
    /// No such header, where the fault would send one.
    Omitted,
}

/// Why a text is no fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FaultError {
    /// The kind is not one of ours.
    #[error("unknown fault {kind:?}; known are {}; for example 503:every=3 or delay:ms=200,share=0.1", kinds())]
    Kind {
        /// What was written.
        kind: String,
    },
    /// The kind is known, the parameter is not one of its own.
    #[error("fault {kind} takes no parameter {parameter:?}; it takes {}, for example {}", takes(kind), example(kind))]
    Parameter {
        /// The fault's kind.
        kind: &'static str,
        /// What was written before the equals sign.
        parameter: String,
    },
    /// The parameter is known, its value is not one.
    #[error("fault {kind}: {value:?} is no value for {parameter}, which is {wanted}")]
    Value {
        /// The fault's kind.
        kind: &'static str,
        /// The parameter.
        parameter: String,
        /// What was written behind the equals sign.
        value: String,
        /// What may be written there.
        wanted: &'static str,
    },
    /// The parameter decides what the fault does, and is not there.
    #[error("fault {kind} needs {parameter}, for example {}", example(kind))]
    Missing {
        /// The fault's kind.
        kind: &'static str,
        /// The parameter.
        parameter: &'static str,
    },
}

impl Fault {
    /// Every kind of fault: an example, and what it does.
    ///
    /// All take `every=N` (each Nth request), `first=N` (only the first N), `share=S` (that share of the requests, drawn
    /// the same way each time), `contains=TEXT` or `id=ID` (only bodies with that text in them) and `bytes=N` (only
    /// bodies of more than N bytes, uncompressed). Requests are counted per fault: those that match its `contains`, `id`
    /// and `bytes`, among those to the events endpoint, or for kinds that begin with `ack_` to the one for
    /// acknowledgements.
    pub fn known() -> impl Iterator<Item = (&'static str, &'static str)> {
        KNOWN.iter().map(|known| (known.example, known.meaning))
    }

    /// Whether only some bodies are hit, so that nobody can tell before the body is read.
    pub(super) fn looks_at_body(&self) -> bool {
        self.needle().is_some() || self.parameters.bytes.is_some()
    }

    /// Whether the request ends with it, rather than being answered in another manner.
    pub(super) fn ends_request(&self) -> bool {
        !matches!(self.kind, Kind::Delay | Kind::Drip | Kind::Close | Kind::Restart)
    }

    /// The text that marks the bodies that are hit.
    pub(super) fn needle(&self) -> Option<&str> {
        self.parameters.contains.as_deref().or(self.parameters.id.as_deref())
    }

    /// The code of its answer, none where the answer is HTML.
    pub(super) fn code(&self) -> Option<u16> {
        match self.kind {
            // What Splunk says of acknowledgements that are switched off.
            Kind::Status(400) if self.endpoint == Endpoint::Acks => self.parameters.code.or(Some(14)),
            Kind::Status(status) => self.parameters.code.or_else(|| code_of(status)),
            _ => None,
        }
    }

    /// Seconds of the Retry-After header, if it is sent.
    pub(super) fn retry_after(&self) -> Option<u32> {
        match self.parameters.retry_after {
            Some(RetryAfter::Seconds(seconds)) => Some(seconds),
            Some(RetryAfter::Omitted) => None,
            None => (self.kind == Kind::Status(429)).then_some(1),
        }
    }

    pub(super) fn pause(&self) -> Duration {
        Duration::from_millis(self.parameters.ms.unwrap_or_default())
    }

    fn name(&self) -> &'static str {
        let own = |known: &&Known| known.kind == self.kind && known.endpoint == self.endpoint;
        KNOWN.iter().find(own).map_or("", |known| known.name)
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let known = find(name.trim()).ok_or_else(|| FaultError::Kind { kind: name.trim().to_owned() })?;
        let mut parameters = Parameters::default();
        for parameter in rest.split(',').filter(|parameter| !parameter.trim().is_empty()) {
            let (key, value) = match parameter.split_once('=') {
                Some((key, value)) => (key.trim(), Some(value)),
                None => (parameter.trim(), None),
            };
            if !known.takes.contains(&key) && !COMMON.contains(&key) {
                return Err(FaultError::Parameter { kind: known.name, parameter: key.to_owned() });
            }
            parameters.set(key, value).map_err(|wanted| FaultError::Value {
                kind: known.name,
                parameter: key.to_owned(),
                value: value.unwrap_or_default().to_owned(),
                wanted,
            })?;
        }
        for (parameter, needed) in [
            ("ms", matches!(known.kind, Kind::Delay | Kind::Drip) && parameters.ms.is_none()),
            ("code", known.kind == Kind::Status(200) && parameters.code.is_none()),
        ] {
            if needed {
                return Err(FaultError::Missing { kind: known.name, parameter });
            }
        }
        Ok(Self { endpoint: known.endpoint, kind: known.kind, parameters })
    }
}

impl Parameters {
    /// Sets one, or says what its value should be.
    fn set(&mut self, key: &str, value: Option<&str>) -> Result<(), &'static str> {
        fn number<T: FromStr>(value: Option<&str>, wanted: &'static str) -> Result<Option<T>, &'static str> {
            value.and_then(|text| text.trim().parse().ok()).map(Some).ok_or(wanted)
        }
        let flag = || if value.is_none() { Ok(true) } else { Err("a word of its own, without a value") };
        let text = || value.filter(|text| !text.is_empty()).map(str::to_owned).ok_or("a text that is not empty");
        match key {
            "code" => {
                let code = number(value, "a code of the collector, 0 to 28")?;
                self.code =
                    code.filter(|code| *code <= CODE_MAX).map(Some).ok_or("a code of the collector, 0 to 28")?;
            }
            "event" => self.event = number(value, "the number of an event, from 0")?,
            "retry_after" if value == Some("none") => self.retry_after = Some(RetryAfter::Omitted),
            "retry_after" => self.retry_after = number(value, "a number of seconds, or none")?.map(RetryAfter::Seconds),
            "taken" => self.taken = flag()?,
            "body" => self.body = flag()?,
            "ms" => self.ms = number(value, "a number of milliseconds")?,
            "contains" => self.contains = Some(text()?),
            "id" => self.id = Some(text()?),
            "bytes" => self.bytes = number(value, "a number of bytes")?,
            "every" => self.every = number(value, "a number of requests, 1 or more")?,
            "first" => self.first = number(value, "a number of requests")?,
            _ => {
                let wanted = "a share above 0, at most 1";
                let share = number(value, wanted)?;
                self.share = share.filter(|share| *share > 0.0 && *share <= 1.0).map(Some).ok_or(wanted)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn pair<T: fmt::Display>(key: &str, value: Option<&T>) -> Option<String> {
            value.map(|value| format!("{key}={value}"))
        }
        let all = &self.parameters;
        let retry_after = all.retry_after.map(|retry_after| match retry_after {
            RetryAfter::Seconds(seconds) => seconds.to_string(),
            RetryAfter::Omitted => "none".to_owned(),
        });
        let written = [
            pair("code", all.code.as_ref()),
            pair("event", all.event.as_ref()),
            pair("retry_after", retry_after.as_ref()),
            all.taken.then(|| "taken".to_owned()),
            all.body.then(|| "body".to_owned()),
            pair("ms", all.ms.as_ref()),
            pair("contains", all.contains.as_ref()),
            pair("id", all.id.as_ref()),
            pair("bytes", all.bytes.as_ref()),
            pair("every", all.every.as_ref()),
            pair("first", all.first.as_ref()),
            pair("share", all.share.as_ref()),
        ];
        formatter.write_str(self.name())?;
        for (written, sign) in written.into_iter().flatten().zip(std::iter::once(':').chain(std::iter::repeat(','))) {
            write!(formatter, "{sign}{written}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        text.parse::<Fault>().unwrap_err().to_string()
    }

    #[test]
    fn a_fault_is_displayed_as_it_is_written() {
        let own = [
            "503",
            "400:event=2",
            "400:code=7,contains=a b=c",
            "429:retry_after=none",
            "429:retry_after=0,every=3",
            "503:event=4,first=1",
            "500:taken,share=0.25",
            "garbage",
            "hang:taken",
            "403:id=abc",
            "413:bytes=9,every=2,first=8",
        ];
        for text in own.into_iter().chain(Fault::known().map(|(example, _)| example)) {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        assert_eq!("503: every = 3 , taken".parse::<Fault>(), "503:taken,every=3".parse());
    }

    #[test]
    fn every_known_example_is_of_its_kind() {
        for known in KNOWN {
            assert_eq!(known.example.parse::<Fault>().unwrap().name(), known.name);
        }
    }

    #[test]
    fn an_error_says_what_is_wrong_and_what_is_known() {
        let unknown = error("reest:every=3");
        assert!(unknown.contains("\"reest\"") && unknown.contains("reset_after") && unknown.contains("503:every=3"));
        assert_eq!(
            error("503:evry=3"),
            "fault 503 takes no parameter \"evry\"; it takes retry_after, event, taken, code, every, first, share, \
             contains, id, bytes, for example 503:every=3"
        );
        assert_eq!(
            error("503:every=0"),
            "fault 503: \"0\" is no value for every, which is a number of requests, 1 or more"
        );
        assert_eq!(error("delay"), "fault delay needs ms, for example delay:ms=200,share=0.1");
        for text in [
            "",
            "200",
            "drip",
            "503:share=0",
            "503:share=1.5",
            "503:share=NaN",
            "400:code=29",
            "500:taken=1",
            "400:contains=",
            "400:contains",
            "413:bytes=-1",
            "delay:ms=x",
            "reset:event=1",
        ] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }

    #[test]
    fn defaults_are_what_splunk_would_say() {
        let fault = |text: &str| text.parse::<Fault>().unwrap();
        assert_eq!(fault("429").retry_after(), Some(1));
        assert_eq!(fault("429:retry_after=none").retry_after(), None);
        assert_eq!(fault("503").retry_after(), None);
        assert_eq!(fault("503").code(), Some(9));
        assert_eq!(fault("503:code=23").code(), Some(23));
        assert_eq!(fault("502").code(), None);
    }
}
