//! `Status`: what the API answers when there is no object to answer with
//! (apimachinery `pkg/api/errors/errors.go`, `pkg/apis/meta/v1/types.go`).

use crate::field::{ErrorList, FieldError};
use crate::gvk::{GroupKind, GroupResource};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The machine-readable reason of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    AlreadyExists,
    Conflict,
    Gone,
    Expired,
    RequestEntityTooLarge,
    UnsupportedMediaType,
    Invalid,
    TooManyRequests,
    InternalError,
    ServerTimeout,
    ServiceUnavailable,
    Timeout,
    Unknown,
}

impl Reason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::NotAcceptable => "NotAcceptable",
            Self::AlreadyExists => "AlreadyExists",
            Self::Conflict => "Conflict",
            Self::Gone => "Gone",
            Self::Expired => "Expired",
            Self::RequestEntityTooLarge => "RequestEntityTooLarge",
            Self::UnsupportedMediaType => "UnsupportedMediaType",
            Self::Invalid => "Invalid",
            Self::TooManyRequests => "TooManyRequests",
            Self::InternalError => "InternalError",
            Self::ServerTimeout => "ServerTimeout",
            Self::ServiceUnavailable => "ServiceUnavailable",
            Self::Timeout => "Timeout",
            Self::Unknown => "",
        }
    }
    pub fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::NotAcceptable => 406,
            Self::AlreadyExists | Self::Conflict => 409,
            Self::Gone | Self::Expired => 410,
            Self::RequestEntityTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Invalid => 422,
            Self::TooManyRequests => 429,
            Self::InternalError | Self::ServerTimeout | Self::Unknown => 500,
            Self::ServiceUnavailable => 503,
            Self::Timeout => 504,
        }
    }
}

/// meta/v1 `Status`, in the JSON field order of upstream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    #[serde(default)]
    pub kind: String,
    #[serde(default)]
    pub api_version: String,
    #[serde(default)]
    pub metadata: ListMeta,
    /// `Success` or `Failure`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<Details>>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub code: u16,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListMeta {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    #[serde(rename = "continue", skip_serializing_if = "String::is_empty")]
    pub continue_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_item_count: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Details {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The resource for errors of the store, the kind for `Invalid`: as upstream has it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    #[serde(skip_serializing_if = "is_zero32")]
    pub retry_after_seconds: i32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

fn is_zero(v: &u16) -> bool {
    *v == 0
}
fn is_zero32(v: &i32) -> bool {
    *v == 0
}

impl Status {
    pub fn failure(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            kind: "Status".into(),
            api_version: "v1".into(),
            metadata: ListMeta::default(),
            status: "Failure".into(),
            message: message.into(),
            reason: reason.as_str().into(),
            details: None,
            code: reason.code(),
        }
    }
    pub fn success() -> Self {
        Self {
            status: "Success".into(),
            reason: String::new(),
            code: 0,
            ..Self::failure(Reason::Unknown, String::new())
        }
    }
    #[must_use]
    pub fn with_details(mut self, details: Details) -> Self {
        self.details = Some(Box::new(details));
        self
    }
    #[must_use]
    pub fn with_cause(mut self, reason: &str, message: impl Into<String>, field: &str) -> Self {
        let d = self.details.get_or_insert_with(Box::default);
        d.causes.push(Cause { reason: reason.into(), message: message.into(), field: field.into() });
        self
    }
    #[must_use]
    pub fn retry_after(mut self, seconds: i32) -> Self {
        self.details.get_or_insert_with(Box::default).retry_after_seconds = seconds;
        self
    }
    fn about(reason: Reason, r: &GroupResource, name: &str, message: String) -> Self {
        Self::failure(reason, message).with_details(Details {
            name: name.into(),
            group: r.group.clone(),
            kind: r.resource.clone(),
            ..Details::default()
        })
    }
    pub fn not_found(r: &GroupResource, name: &str) -> Self {
        Self::about(Reason::NotFound, r, name, format!("{r} \"{name}\" not found"))
    }
    pub fn already_exists(r: &GroupResource, name: &str) -> Self {
        Self::about(Reason::AlreadyExists, r, name, format!("{r} \"{name}\" already exists"))
    }
    pub fn conflict(r: &GroupResource, name: &str, why: &str) -> Self {
        Self::about(
            Reason::Conflict,
            r,
            name,
            format!("Operation cannot be fulfilled on {r} \"{name}\": {why}"),
        )
    }
    /// The 409 of a stale resourceVersion, with the sentence clients match.
    pub fn modified(r: &GroupResource, name: &str) -> Self {
        Self::conflict(
            r,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }
    pub fn forbidden(r: &GroupResource, name: &str, why: impl fmt::Display) -> Self {
        let message = if r.resource.is_empty() {
            format!("forbidden: {why}")
        } else if name.is_empty() {
            format!("{r} is forbidden: {why}")
        } else {
            format!("{r} \"{name}\" is forbidden: {why}")
        };
        Self::about(Reason::Forbidden, r, name, message)
    }
    pub fn invalid(k: &GroupKind, name: &str, errors: &ErrorList) -> Self {
        let text = if errors.is_empty() { String::new() } else { crate::field::aggregate(errors) };
        let mut s = Self::failure(Reason::Invalid, format!("{k} \"{name}\" is invalid: {text}"))
            .with_details(Details {
                name: name.into(),
                group: k.group.clone(),
                kind: k.kind.clone(),
                ..Details::default()
            });
        for e in errors {
            let FieldError { kind, field, .. } = e;
            s = s.with_cause(kind.reason(), e.body(), field);
        }
        s
    }
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(Reason::BadRequest, message)
    }
    pub fn unauthorized() -> Self {
        Self::failure(Reason::Unauthorized, "Unauthorized")
    }
    pub fn internal(why: impl fmt::Display) -> Self {
        Self::failure(Reason::InternalError, format!("Internal error occurred: {why}")).with_cause(
            "",
            why.to_string(),
            "",
        )
    }
    pub fn expired(message: impl Into<String>) -> Self {
        Self::failure(Reason::Expired, message)
    }
    pub fn timeout(message: impl fmt::Display, retry_after: i32) -> Self {
        Self::failure(Reason::Timeout, format!("Timeout: {message}")).retry_after(retry_after)
    }
    pub fn too_many_requests(message: impl Into<String>, retry_after: i32) -> Self {
        Self::failure(Reason::TooManyRequests, message).retry_after(retry_after)
    }
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::failure(Reason::ServiceUnavailable, message)
    }
    /// 404 for a path inside a known group: `the server could not find the requested resource`.
    pub fn no_such_resource() -> Self {
        Self::failure(Reason::NotFound, "the server could not find the requested resource")
            .with_details(Details::default())
    }
    pub fn method_not_allowed() -> Self {
        Self::failure(
            Reason::MethodNotAllowed,
            "the server does not allow this method on the requested resource",
        )
        .with_details(Details::default())
    }
    pub fn is(&self, reason: Reason) -> bool {
        self.reason == reason.as_str()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}
