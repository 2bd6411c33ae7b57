//! What all events of a destination share, as members of a JSON object: written once, copied for each event.

use crate::event::escape::write_text;

/// Members by name. One whose text is empty is left out, but for the first, which keeps the text that it began with.
#[derive(Debug)]
pub(super) struct Stamp {
    members: Vec<(&'static str, String)>,
    rendered: Vec<u8>,
}

impl Stamp {
    /// With these, in this order; others follow as they are set.
    pub(super) fn new<const N: usize>(members: [(&'static str, String); N]) -> Self {
        let mut stamp = Self { members: members.into(), rendered: Vec::new() };
        stamp.render();
        stamp
    }

    pub(super) fn set(&mut self, name: &'static str, text: String) {
        let is_first = self.members.first().is_some_and(|(first, _)| *first == name);
        if is_first && text.is_empty() {
            return;
        }
        match self.members.iter_mut().find(|(known, _)| *known == name) {
            Some(member) => member.1 = text,
            None => self.members.push((name, text)),
        }
        self.render();
    }

    /// The members, without braces.
    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.rendered
    }

    fn render(&mut self) {
        self.rendered.clear();
        for (name, text) in self.members.iter().filter(|(_, text)| !text.is_empty()) {
            if !self.rendered.is_empty() {
                self.rendered.push(b',');
            }
            write_text(name.as_bytes(), &mut self.rendered);
            self.rendered.push(b':');
            write_text(text.as_bytes(), &mut self.rendered);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_without_text_is_left_out_but_for_the_first() {
        let mut stamp = Stamp::new([("a", "1".to_owned()), ("b", "2".to_owned())]);
        stamp.set("c", "\"".to_owned());
        assert_eq!(stamp.as_bytes(), br#""a":"1","b":"2","c":"\"""#);
        stamp.set("b", String::new());
        stamp.set("a", String::new());
        assert_eq!(stamp.as_bytes(), br#""a":"1","c":"\"""#);
        stamp.set("a", "3".to_owned());
        assert_eq!(stamp.as_bytes(), br#""a":"3","c":"\"""#);
    }
}
