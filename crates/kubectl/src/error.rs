//! What goes wrong, and the words for it (kubectl `pkg/cmd/util/helpers.go`).

use meta::Status;

#[derive(Debug)]
pub enum Error {
    /// `error: …`, exit code 1.
    Plain(String),
    /// An answer of the server.
    Status(Box<Status>),
    /// No answer; the server's address.
    Connect { server: String, why: String },
    /// Several, one a line.
    Many(Vec<Error>),
    /// Nothing to say, only a code.
    Exit(u8),
    /// Text as it is, and a code.
    Raw(String, u8),
}

impl Error {
    pub fn plain(s: impl Into<String>) -> Self {
        Self::Plain(s.into())
    }
    /// Adds what was being done with which file.
    #[must_use]
    pub fn when(self, doing: &str, source: &str) -> Self {
        match self {
            Self::Status(mut s) if !source.is_empty() => {
                s.message = format!("error when {doing} {source:?}: {}", s.message);
                Self::Status(s)
            }
            Self::Plain(m) if !source.is_empty() => {
                Self::Plain(format!("error when {doing} {source:?}: {m}"))
            }
            other => other,
        }
    }
    /// What it says, without a prefix.
    pub fn bare(&self) -> String {
        match self {
            Self::Status(s) => s.message.clone(),
            Self::Plain(s) | Self::Raw(s, _) => s.clone(),
            e => e.tell().0,
        }
    }
    /// Whether the server names this cause.
    pub fn has_cause(&self, reason: &str) -> bool {
        let Self::Status(s) = self else { return false };
        let d = serde_json::to_value(s).unwrap_or_default();
        d["details"]["causes"].as_array().is_some_and(|a| a.iter().any(|c| c["reason"] == reason))
    }
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Status(s) if s.reason == "NotFound")
    }
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Status(s) if s.reason == "Conflict")
    }
    pub fn is_already_exists(&self) -> bool {
        matches!(self, Self::Status(s) if s.reason == "AlreadyExists")
    }
    pub fn many(mut v: Vec<Error>) -> Result<(), Error> {
        match v.len() {
            0 => Ok(()),
            1 => Err(v.remove(0)),
            _ => Err(Self::Many(v)),
        }
    }
    /// One of several: upstream leaves out its prefix, and the causes of what is invalid.
    fn among(&self) -> String {
        match self {
            Self::Plain(s) => s.clone(),
            Self::Status(s) if s.reason == "Invalid" => {
                format!("Error from server (Invalid): {}", s.message)
            }
            e => e.tell().0,
        }
    }
    /// The text for standard error and the exit code.
    pub fn tell(&self) -> (String, u8) {
        match self {
            Self::Plain(s) if s.starts_with("error: ") => (s.clone(), 1),
            Self::Plain(s) => (format!("error: {s}"), 1),
            Self::Status(s) => (status_text(s), 1),
            Self::Connect { server, why } if why.contains("refused") => (
                format!(
                    "The connection to the server {server} was refused - did you specify the right host or port?"
                ),
                1,
            ),
            Self::Connect { why, .. } => (format!("Unable to connect to the server: {why}"), 1),
            Self::Many(v) => (v.iter().map(Self::among).collect::<Vec<_>>().join("\n"), 1),
            Self::Exit(c) => (String::new(), *c),
            Self::Raw(s, c) => (s.clone(), *c),
        }
    }
}

fn status_text(s: &Status) -> String {
    match s.reason.as_str() {
        "Unauthorized" => format!("error: You must be logged in to the server ({})", s.message),
        "Invalid" => invalid_text(s),
        "" => format!("Error from server: {}", s.message),
        r => format!("Error from server ({r}): {}", s.message),
    }
}

fn invalid_text(s: &Status) -> String {
    let d = serde_json::to_value(s).unwrap_or_default();
    let d = &d["details"];
    let text = |k: &str| d[k].as_str().unwrap_or_default().to_owned();
    let causes: Vec<String> = d["causes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|c| {
            let (f, m) = (c["field"].as_str().unwrap_or_default(), c["message"].as_str().unwrap_or_default());
            format!("{f}: {m}")
        })
        .collect();
    let head = if !text("kind").is_empty() || !text("name").is_empty() {
        format!("The {} {:?} is invalid", text("kind"), text("name"))
    } else if !s.message.is_empty() && causes.is_empty() {
        return format!("The request is invalid: {}", s.message);
    } else {
        "The request is invalid".to_owned()
    };
    match causes.len() {
        0 => head,
        1 => format!("{head}: {}", causes[0]),
        _ => format!("{head}: \n* {}", causes.join("\n* ")),
    }
}

impl From<String> for Error {
    fn from(s: String) -> Self {
        Self::Plain(s)
    }
}
impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        Self::Plain(e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let status = |j: serde_json::Value| Error::Status(serde_json::from_value(j).unwrap());
        let cases = [
            (Error::plain("x"), "error: x"),
            (
                status(serde_json::json!({"reason": "NotFound", "message": "pods \"a\" not found"})),
                "Error from server (NotFound): pods \"a\" not found",
            ),
            (
                status(
                    serde_json::json!({"reason": "Invalid", "message": "m", "details": {"kind": "Pod", "name": "a",
                    "causes": [{"field": "spec.x", "message": "Required value"}]}}),
                ),
                "The Pod \"a\" is invalid: spec.x: Required value",
            ),
            (
                status(serde_json::json!({"reason": "NotFound", "message": "no"})).when("creating", "f.yaml"),
                "Error from server (NotFound): error when creating \"f.yaml\": no",
            ),
        ];
        for (e, want) in cases {
            assert_eq!(e.tell(), (want.to_owned(), 1));
        }
        let many = Error::Many(vec![Error::plain("a"), Error::plain("b")]);
        assert_eq!(many.tell().0, "a\nb");
    }
}
