//! JSON patch, merge patch, strategic merge patch, server-side apply and managed fields.
//!
//! Everything here is a function of JSON values and, where merging needs to know a schema, of a [`schema::Node`].
//! Entry points: [`json_patch`], [`merge_patch`], [`strategic_merge`]; [`managed::update`] after any other write,
//! [`managed::apply`] for an apply request; for clients [`create_merge_patch`], [`create_strategic_patch`],
//! [`three_way_strategic`].

pub mod fieldset;
mod json;
pub mod managed;
mod merge;
mod number;
pub mod strategic;
pub mod typed;

pub use fieldset::{FieldSet, Filter, PathElement, Pattern};
pub use json::json_patch;
pub use merge::{create_merge_patch, merge_patch, three_way_merge};
pub use strategic::{create_strategic_patch, strategic_merge, three_way_strategic};

/// Why a patch was not applied; [`PatchError::status`] is the answer upstream gives for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch is not one: 400.
    #[error("{0}")]
    Malformed(String),
    /// More operations than allowed: 413.
    #[error("{0}")]
    TooLarge(String),
    /// It is a patch, and does not apply to this object: 422 with a fixed message.
    #[error("{0}")]
    Failed(String),
    /// What upstream has no code for: 500.
    #[error("{0}")]
    Internal(String),
}

impl PatchError {
    pub fn status(&self) -> meta::Status {
        use meta::{Reason, Status};
        match self {
            Self::Malformed(m) => Status::bad_request(m),
            Self::TooLarge(m) => {
                Status::failure(Reason::RequestEntityTooLarge, format!("Request entity too large: {m}"))
            }
            Self::Failed(_) => Status::failure(
                Reason::Invalid,
                "the server rejected our request due to an error in our request",
            )
            .with_details(meta::status::Details::default()),
            Self::Internal(m) => Status { code: 500, ..Status::failure(Reason::Unknown, m) },
        }
    }
}
