//! The skeleton of a JSON document: where the elements of one array begin and end.
//!
//! A pushdown automaton over bytes. Its stack holds the containers on the way to the array, so it is as high as the
//! pointer is long; whatever lies beside the way, and each element, is followed by its brackets and strings alone.

use super::RecordsPointer;

/// Brackets are told apart down to this depth, in levels; deeper no record may be nested anyway.
const DEPTH_CHECKED: u32 = 128;
/// A key with more bytes is none of the pointer's, whatever its escapes.
const KEY_BYTES_MAX: usize = 4096;

/// What the next bytes are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// How many; of a mistake, how many are right before it.
    pub(super) bytes: usize,
    pub(super) extent: Result<Extent, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Of no record.
    Outside,
    /// Of a record, which goes on.
    Record,
    /// Of a record, up to its end.
    EndOfRecord,
}

/// A container on the way.
#[derive(Debug)]
enum Container {
    /// The key that leads on has been seen.
    Object { is_seen: bool },
    /// The number of the item that is next, or open.
    List { index: usize },
    /// The array itself.
    Records,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between documents.
    Between,
    /// Behind the bracket that opened a container.
    Opened,
    Key,
    InKey {
        escaped: bool,
    },
    Colon,
    Value,
    /// Within a value beside the way, or within a record.
    In(Inside),
    /// Behind a value in a container.
    Behind,
}

/// Within a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Inside {
    is_record: bool,
    depth: u64,
    /// A bit for each level: set where it is an object.
    kinds: u128,
    within: Within,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// A number or a word that is the whole value, and ends before what follows.
    Bare,
    /// Brackets, or what stands between them.
    Structure,
    Text,
    /// Behind a backslash in a text.
    Escape,
}

#[derive(Debug)]
pub(super) struct Skeleton {
    pointer: RecordsPointer,
    way: Vec<Container>,
    place: Place,
    key: Vec<u8>,
    /// The key, or the item, that is next is the one that leads on.
    leads_on: bool,
    /// In this document the array was found.
    is_found: bool,
}

impl Skeleton {
    pub(super) fn new(pointer: RecordsPointer) -> Self {
        let (way, key) = (Vec::new(), Vec::new());
        Self { pointer, way, place: Place::Between, key, leads_on: false, is_found: false }
    }

    pub(super) fn restart(&mut self) {
        self.way.clear();
        self.place = Place::Between;
    }

    /// What the next bytes are, of which there is at least one.
    pub(super) fn step(&mut self, bytes: &[u8]) -> Step {
        match self.place {
            Place::In(inside) => self.go_on(inside, bytes),
            Place::InKey { escaped } => self.read_key(escaped, bytes),
            _ => {
                let blank = bytes.iter().take_while(|byte| b" \t\r\n".contains(byte)).count();
                match bytes.get(blank) {
                    _ if blank > 0 => outside(blank),
                    Some(next) => self.place_next(*next),
                    None => outside(0),
                }
            }
        }
    }

    /// Whether the source may end here.
    pub(super) fn end(&mut self) -> Result<(), String> {
        match self.place {
            Place::Between => Ok(()),
            // A number or a word that is a document of its own ends with the source.
            Place::In(inside) if inside.within == Within::Bare && self.way.is_empty() => self.leave(),
            _ => Err("the document is cut off: it ends".to_owned()),
        }
    }

    fn place_next(&mut self, next: u8) -> Step {
        let done = match (self.place, next, self.way.last()) {
            (Place::Between, _, _) => {
                self.is_found = false;
                self.leads_on = true;
                return self.begin_value(next);
            }
            (Place::Opened | Place::Behind, b'}', Some(Container::Object { .. }))
            | (Place::Opened | Place::Behind, b']', Some(Container::List { .. } | Container::Records)) => self.close(),
            (Place::Opened | Place::Key, b'"', Some(Container::Object { .. })) => {
                self.key.clear();
                self.place = Place::InKey { escaped: false };
                Ok(())
            }
            (Place::Opened, _, Some(Container::List { .. } | Container::Records)) | (Place::Value, _, _) => {
                self.aim_at_item();
                return self.begin_value(next);
            }
            (Place::Colon, b':', _) => {
                self.place = Place::Value;
                Ok(())
            }
            (Place::Behind, b',', Some(Container::Object { .. })) => {
                self.place = Place::Key;
                Ok(())
            }
            (Place::Behind, b',', _) => {
                if let Some(Container::List { index }) = self.way.last_mut() {
                    *index += 1;
                }
                self.place = Place::Value;
                Ok(())
            }
            (Place::Opened | Place::Key, _, Some(Container::Object { .. })) => Err("a key is expected".to_owned()),
            (Place::Colon, _, _) => Err("`:` is expected".to_owned()),
            (_, _, Some(Container::Object { .. })) => Err("`,` or `}` is expected".to_owned()),
            _ => Err("`,` or `]` is expected".to_owned()),
        };
        match done {
            Ok(()) => outside(1),
            Err(what) => wrong(0, &what),
        }
    }

    /// In a list on the way: is the next item the one that leads on?
    fn aim_at_item(&mut self) {
        if let Some(Container::List { index }) = self.way.last() {
            let token = self.pointer.token(self.way.len() - 1);
            self.leads_on = token.is_some_and(|token| *token == index.to_string());
        }
    }

    fn begin_value(&mut self, first: u8) -> Step {
        let is_record = matches!(self.way.last(), Some(Container::Records));
        let leads_on = !is_record && self.leads_on;
        if leads_on && self.way.len() == self.pointer.len() {
            if first != b'[' {
                return wrong(0, &format!("what is at \"{}\" is not an array", self.pointer));
            }
            self.is_found = true;
            self.way.push(Container::Records);
            self.place = Place::Opened;
            return outside(1);
        }
        if leads_on && (first == b'{' || first == b'[') {
            self.way.push(if first == b'{' {
                Container::Object { is_seen: false }
            } else {
                Container::List { index: 0 }
            });
            self.place = Place::Opened;
            return outside(1);
        }
        let within = match first {
            b'{' | b'[' | b'"' => Within::Structure,
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => Within::Bare,
            _ => return wrong(0, "a value is expected"),
        };
        self.place = Place::In(Inside { is_record, depth: 0, kinds: 0, within });
        // Its first byte is looked at again, from within.
        outside(0)
    }

    /// Goes on within a value, to its end or to that of the bytes.
    fn go_on(&mut self, mut inside: Inside, bytes: &[u8]) -> Step {
        let (length, is_over) = match inside.go_on(bytes) {
            Ok(gone) => gone,
            Err(at) => return wrong(at, "a bracket does not fit the one that it closes"),
        };
        if !is_over {
            self.place = Place::In(inside);
            return Step { bytes: length, extent: Ok(if inside.is_record { Extent::Record } else { Extent::Outside }) };
        }
        match self.leave() {
            Ok(()) if inside.is_record => Step { bytes: length, extent: Ok(Extent::EndOfRecord) },
            Ok(()) => outside(length),
            Err(what) => wrong(length, &what),
        }
    }

    /// Reads a key, to its end or to that of the bytes.
    fn read_key(&mut self, mut escaped: bool, bytes: &[u8]) -> Step {
        for (byte, length) in bytes.iter().zip(1..) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    self.place = Place::Colon;
                    return match self.aim_at_key() {
                        Ok(()) => outside(length),
                        Err(what) => wrong(length, &what),
                    };
                }
                _ => {}
            }
            if self.key.len() < KEY_BYTES_MAX {
                self.key.push(*byte);
            }
        }
        self.place = Place::InKey { escaped };
        outside(bytes.len())
    }

    /// Is the key the one that leads on? One that comes twice would leave open which array is meant.
    fn aim_at_key(&mut self) -> Result<(), String> {
        self.leads_on = false;
        if self.key.len() >= KEY_BYTES_MAX {
            return Ok(());
        }
        let quoted = [b"\"", self.key.as_slice(), b"\""].concat();
        let Ok(key) = serde_json::from_slice::<String>(&quoted) else { return Ok(()) };
        let token = self.pointer.token(self.way.len().saturating_sub(1));
        if token.is_none_or(|token| *token != key) {
            return Ok(());
        }
        if let Some(Container::Object { is_seen }) = self.way.last_mut() {
            if *is_seen {
                return Err(format!("the key {key:?} is repeated"));
            }
            *is_seen = true;
        }
        self.leads_on = true;
        Ok(())
    }

    /// Closes the innermost container of the way.
    fn close(&mut self) -> Result<(), String> {
        self.way.pop();
        self.leave()
    }

    /// A value is over, and with the outermost the document.
    fn leave(&mut self) -> Result<(), String> {
        self.leads_on = false;
        self.place = if self.way.is_empty() { Place::Between } else { Place::Behind };
        if self.way.is_empty() && !self.is_found {
            return Err(format!("the document ends, and nothing is at \"{}\",", self.pointer));
        }
        Ok(())
    }
}

impl Inside {
    /// How many bytes belong to the value, and whether it is over then.
    fn go_on(&mut self, bytes: &[u8]) -> Result<(usize, bool), usize> {
        if self.within == Within::Bare {
            let length = bytes.iter().take_while(|byte| !b" \t\r\n,]}{[\":".contains(byte)).count();
            return Ok((length, length < bytes.len()));
        }
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            match (self.within, byte) {
                (Within::Escape, _) | (Within::Structure, b'"') => self.within = Within::Text,
                (Within::Text, _) => {
                    let rest = bytes.get(at..).unwrap_or_default();
                    let Some(length) = memchr::memchr2(b'"', b'\\', rest) else { return Ok((bytes.len(), false)) };
                    at += length;
                    self.within = if rest.get(length) == Some(&b'"') { Within::Structure } else { Within::Escape };
                    if self.within == Within::Structure && self.depth == 0 {
                        return Ok((at + 1, true));
                    }
                }
                (_, b'{' | b'[') => self.open(*byte == b'{'),
                (_, b'}' | b']') => {
                    if !self.close(*byte == b'}') {
                        return Err(at);
                    }
                    if self.depth == 0 {
                        return Ok((at + 1, true));
                    }
                }
                _ => {}
            }
            at += 1;
        }
        Ok((at, false))
    }

    fn open(&mut self, is_object: bool) {
        if let Ok(level @ 0..DEPTH_CHECKED) = u32::try_from(self.depth) {
            let bit = 1 << level;
            self.kinds = if is_object { self.kinds | bit } else { self.kinds & !bit };
        }
        self.depth += 1;
    }

    /// False where the bracket does not fit.
    fn close(&mut self, is_object: bool) -> bool {
        let Some(depth) = self.depth.checked_sub(1) else { return false };
        self.depth = depth;
        match u32::try_from(depth) {
            Ok(level @ 0..DEPTH_CHECKED) => (self.kinds >> level & 1 == 1) == is_object,
            _ => true,
        }
    }
}

fn outside(bytes: usize) -> Step {
    Step { bytes, extent: Ok(Extent::Outside) }
}

fn wrong(bytes: usize, what: &str) -> Step {
    Step { bytes, extent: Err(what.to_owned()) }
}
