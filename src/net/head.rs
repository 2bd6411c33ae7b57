//! The head of a request as it leaves: what the client does not get to see is put in here, on its last step.
//!
//! At its most talkative the client logs every byte that it writes, and a service may well have its log at that level. So
//! headers that may hold a secret never pass through it. Nor does it know how to speak to a proxy.

use std::sync::Arc;

use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::HttpError;

/// Headers that are no secret, or are the client's own business; all others may be one.
const PUBLIC: [&str; 12] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expect",
    "host",
    "te",
    "transfer-encoding",
    "user-agent",
];
/// So much of what follows the head leaves in one piece with it.
const TOGETHER_BYTES: usize = 16 * 1024;

/// Whether the client may see a header.
pub(super) fn is_public(name: &str) -> bool {
    PUBLIC.iter().any(|public| public.eq_ignore_ascii_case(name))
}

/// The headers of the next request that the client does not see, as lines.
#[derive(Default)]
pub(super) struct Aside(Mutex<Zeroizing<Vec<u8>>>);

impl Aside {
    /// Replaces them.
    ///
    /// # Errors
    /// When one holds what HTTP does not allow; it is not repeated.
    pub(super) fn set<'a>(&self, headers: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Result<(), HttpError> {
        let bytes = headers.clone().map(|(name, value)| name.len() + value.len() + 4).sum();
        // As large as it becomes: a buffer that grows leaves copies behind that nobody wipes.
        let mut lines = Zeroizing::new(Vec::with_capacity(bytes));
        for (name, value) in headers {
            if !is_name(name) || !is_value(value) {
                return Err(HttpError::forbidden());
            }
            // In lower case, as the client writes the others.
            lines.extend(name.bytes().map(|byte| byte.to_ascii_lowercase()));
            for part in [": ", value, "\r\n"] {
                lines.extend_from_slice(part.as_bytes());
            }
        }
        *self.0.lock() = lines;
        Ok(())
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn is_value(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ' || byte == b'\t')
}

/// What one connection puts into the heads that pass through it.
pub(super) struct Head {
    aside: Arc<Aside>,
    /// What a proxy must be told of each request's address that the client leaves out: all but the path.
    whole_address: Option<String>,
    is_next: bool,
}

impl Head {
    pub(super) fn new(aside: &Arc<Aside>, whole_address: Option<String>) -> Self {
        Self { aside: Arc::clone(aside), whole_address, is_next: true }
    }

    /// What is written next begins a request.
    pub(super) fn comes_next(&mut self) {
        self.is_next = true;
    }

    /// Splits what the client wrote into what leaves first, with everything put in, and the rest, which leaves as it is.
    pub(super) fn complete<'a>(&mut self, output: &'a [u8]) -> (Zeroizing<Vec<u8>>, &'a [u8]) {
        let untouched = (Zeroizing::new(Vec::new()), output);
        if !std::mem::replace(&mut self.is_next, false) {
            return untouched;
        }
        let aside = self.aside.0.lock();
        // The path follows the method and a space, the headers the first line.
        let method = memchr::memchr(b' ', output).map(|space| space + 1);
        let line = memchr::memmem::find(output, b"\r\n").map(|end| end + 2);
        let (Some((method, after)), Some(line)) = (method.and_then(|at| output.split_at_checked(at)), line) else {
            return untouched;
        };
        let Some((path, rest)) = line.checked_sub(method.len()).and_then(|at| after.split_at_checked(at)) else {
            return untouched;
        };
        let (together, rest) = rest.split_at(rest.len().min(TOGETHER_BYTES));
        let address = self.whole_address.as_deref().unwrap_or_default().as_bytes();
        let bytes = method.len() + address.len() + path.len() + aside.len() + together.len();
        let mut first = Zeroizing::new(Vec::with_capacity(bytes));
        for part in [method, address, path, &aside, together] {
            first.extend_from_slice(part);
        }
        (first, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::HttpErrorKind;

    fn completed(head: &mut Head, output: &[u8]) -> String {
        let (first, rest) = head.complete(output);
        String::from_utf8([first.as_slice(), rest].concat()).unwrap()
    }

    #[test]
    fn each_request_gets_its_address_and_its_secrets_once() {
        let aside = Arc::new(Aside::default());
        aside.set([("Authorization", "Splunk t"), ("X-Y", "z")].into_iter()).unwrap();
        let mut head = Head::new(&aside, Some("http://siem:1".to_owned()));
        let request = b"POST /a HTTP/1.1\r\nhost: siem\r\n\r\nGET /b HTTP/1.1\r\n";
        let whole = "POST http://siem:1/a HTTP/1.1\r\nauthorization: Splunk t\r\nx-y: z\r\nhost: siem\r\n\r\nGET /b \
                     HTTP/1.1\r\n";
        assert_eq!(completed(&mut head, request), whole);
        assert_eq!(completed(&mut head, b"a body with spaces\r\n"), "a body with spaces\r\n");
        head.comes_next();
        aside.set(std::iter::empty()).unwrap();
        assert_eq!(completed(&mut head, b"GET /c HTTP/1.1\r\n\r\n"), "GET http://siem:1/c HTTP/1.1\r\n\r\n");
        let mut plain = Head::new(&aside, None);
        let large = [&b"POST / HTTP/1.1\r\n\r\n"[..], &vec![b'x'; 100_000]].concat();
        assert_eq!(completed(&mut plain, &large).as_bytes(), large);
    }

    #[test]
    fn what_http_forbids_is_not_repeated() {
        let aside = Aside::default();
        for (name, value) in
            [("A b", "v"), ("", "v"), ("A\r\n", "v"), ("A", "hunter2\r\nX: y"), ("A", "hunter2\0"), ("A", "é")]
        {
            let error = aside.set([(name, value)].into_iter()).unwrap_err();
            assert_eq!(error.kind(), HttpErrorKind::Request);
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }
}
