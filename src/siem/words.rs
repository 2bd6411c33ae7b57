//! A destination's own words, as they may stand in a log, a metric's label or the dead letter.

/// Of an answer of nobody knows whom, the first characters are words enough.
const CHARS_MAX: usize = 200;

/// On one line, not long, and without the secret, should somebody on the way repeat it: removed before the rest is cut, so
/// that no part of one is left.
pub(super) fn readable(text: &str, secret: &str) -> String {
    let text = if secret.is_empty() { text.to_owned() } else { text.replace(secret, "…") };
    let text = text.trim().chars().take(CHARS_MAX);
    text.map(|character| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_the_secret_is_left_and_no_line_ends() {
        let text = format!("\n{}hunter2 is\r\nunknown", "x".repeat(195));
        assert_eq!(readable(&text, "hunter2"), format!("{}… is ", "x".repeat(195)));
        assert_eq!(readable("a\tb", ""), "a b");
    }
}
