//! What to do about a failure, for whoever reads the log: the last part of a warning.

use crate::siem::CauseKind;

/// The next step, in a few words.
pub(super) fn next_step(kind: CauseKind) -> &'static str {
    match kind {
        CauseKind::Http(401 | 403) => {
            "give it a token that is valid and allows what is sent; a token in a file is read again"
        }
        CauseKind::NotAuthorized => {
            "give it a name and a password that the brokers know; a password in a file is read again"
        }
        CauseKind::Http(404) => "check the url: the destination's own path is appended to it",
        CauseKind::Http(413) | CauseKind::TooLarge => "set batch_bytes_max below what the destination takes",
        CauseKind::Http(400) | CauseKind::Rejected | CauseKind::Format => {
            "an event that is refused for good goes to the dead letter: `siem-forward dead-letter ls` shows which and why"
        }
        CauseKind::Http(429 | 503) => "it is busy and asked less often; if it lasts, give it room or lower `senders`",
        CauseKind::Dns => "check the name in the url, and this machine's resolver",
        CauseKind::Tls => "`siem-forward check` shows the certificate; see tls.ca and tls.cert",
        CauseKind::ConnectionRefused | CauseKind::Unreachable | CauseKind::ConnectionReset | CauseKind::Timeout => {
            "it is tried again; if it lasts, `siem-forward check` goes the way step by step"
        }
        CauseKind::Storage => "make room on the disk, or let this user write there; it is tried again",
        CauseKind::Panic => "report it to whoever wrote the destination's code",
        CauseKind::Http(_) | CauseKind::Garbage | CauseKind::Undelivered | CauseKind::Custom(_) => {
            "it is tried again; if it lasts, look into the destination's own log"
        }
    }
}

/// What failures mean for the data: how many events wait, and what became of others.
pub(super) fn at_stake([in_flight, dead_lettered, lost]: [u64; 3]) -> String {
    let waiting = match in_flight {
        0 => "no event waits".to_owned(),
        1 => "1 event waits in memory".to_owned(),
        many => format!("{many} events wait in memory"),
    };
    let kept =
        if dead_lettered > 0 { format!(", {dead_lettered} so far are in the dead letter") } else { String::new() };
    let lost = if lost > 0 { format!(", {lost} so far are lost") } else { ", nothing is lost".to_owned() };
    waiting + &kept + &lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_at_stake_is_said_in_numbers() {
        assert_eq!(at_stake([1_500, 0, 0]), "1500 events wait in memory, nothing is lost");
        assert_eq!(at_stake([1, 2, 0]), "1 event waits in memory, 2 so far are in the dead letter, nothing is lost");
        assert_eq!(at_stake([0, 0, 3]), "no event waits, 3 so far are lost");
    }
}
