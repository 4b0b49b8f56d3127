//! The facts table of Kubernetes v1.37 and the codecs it drives: JSON, YAML, protobuf.
//!
//! The table is `api/v1.37.json`, turned into static tables by `build.rs`, so that a start parses nothing. A [`Value`]
//! of a built-in object is always in *canonical form*: what upstream's JSON of it would hold, so no nulls, and no zero
//! value of a field that upstream omits when empty. Decoders make it canonical, encoders rely on nothing else.

pub mod facts;
pub mod header;
pub mod json;
pub mod node;
pub mod proto;
pub mod transcode;
pub mod yaml;

pub use facts::{Resource, TypeId, resources};
pub use header::Header;
pub use meta::Value;
pub use node::Node;

/// What to do with fields the schema does not know and keys that come twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// A decoded object and what strict decoding has against it, in document order:
/// `unknown field "spec.foo"`, `duplicate field "data.k"`.
#[derive(Debug)]
pub struct Decoded {
    pub value: Value,
    pub strict: Vec<String>,
}

/// Why bytes are not an object. The text is what upstream's message would say after its own prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError(pub String);

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for DecodeError {}

/// Nesting deeper than this is refused by every decoder.
pub const MAX_DEPTH: usize = 512;
