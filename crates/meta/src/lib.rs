//! The vocabulary of the API: names, metadata, selectors, quantities, times, field paths, `Status` errors.
//!
//! Nothing here does IO, reads a clock or knows tokio. An API object in flight is a [`Value`] in the JSON form of its
//! API version; [`object`] reads and writes the common parts of it.

pub mod field;
pub mod gvk;
pub mod labels;
pub mod metav1;
pub mod names;
pub mod object;
pub mod quantity;
pub mod selector;
pub mod status;
pub mod time;
pub mod user;

pub use field::{ErrorList, FieldError, Path};
pub use gvk::{GroupKind, GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource};
pub use serde_json::{Map, Value};
pub use status::{Reason, Status};
pub use user::UserInfo;
