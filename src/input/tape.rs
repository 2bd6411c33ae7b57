//! Parsed JSON as a tape: each value a node, behind an object or array the nodes of what it holds.
//!
//! Two parsers write tapes, the fast one and the exact one; what reads them sees no difference.

use simd_json::{Node, StaticNode};

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind<'i> {
    /// So many members, in so many nodes.
    Object {
        len: usize,
        count: usize,
    },
    /// So many elements, in so many nodes.
    Array {
        len: usize,
        count: usize,
    },
    Text(&'i str),
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    /// A number as it was written.
    Written(&'i str),
}

/// A node of a tape.
pub(super) trait Item {
    fn kind(&self) -> Kind<'_>;

    /// How many nodes the value takes.
    #[inline]
    fn size(&self) -> usize {
        match self.kind() {
            Kind::Object { count, .. } | Kind::Array { count, .. } => count + 1,
            _ => 1,
        }
    }
}

impl Item for Node<'_> {
    #[inline]
    fn kind(&self) -> Kind<'_> {
        match self {
            Node::String(text) => Kind::Text(text),
            Node::Object { len, count } => Kind::Object { len: *len, count: *count },
            Node::Array { len, count } => Kind::Array { len: *len, count: *count },
            Node::Static(StaticNode::Null) => Kind::Null,
            Node::Static(StaticNode::Bool(value)) => Kind::Bool(*value),
            Node::Static(StaticNode::I64(value)) => Kind::Signed(*value),
            Node::Static(StaticNode::U64(value)) => Kind::Unsigned(*value),
            Node::Static(StaticNode::F64(value)) => Kind::Float(*value),
        }
    }
}
