//! Labels and the `LabelSelector` of API objects (`matchLabels`, `matchExpressions`).

use crate::field::{ErrorList, FieldError, Path, quote};
use crate::names;
use crate::selector::{Op, Requirement, Selector};
use serde_json::{Map, Value};

fn strings(v: Option<&Value>) -> Vec<String> {
    v.and_then(Value::as_array)
        .map(|a| a.iter().filter_map(|x| x.as_str().map(str::to_owned)).collect())
        .unwrap_or_default()
}

/// The selector that a `LabelSelector` object stands for: `None` selects nothing, an empty one everything.
pub fn from_label_selector(s: Option<&Value>) -> Result<Selector, String> {
    let Some(s) = s.filter(|s| !s.is_null()) else {
        return Ok(Selector { requirements: Vec::new(), nothing: true });
    };
    let mut reqs = Vec::new();
    for (k, v) in s.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
        reqs.push(
            Requirement::new(k, Op::In, vec![v.as_str().unwrap_or_default().to_owned()])?.as_equality(),
        );
    }
    for e in s.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
        let key = e.get("key").and_then(Value::as_str).unwrap_or_default();
        let op = match e.get("operator").and_then(Value::as_str).unwrap_or_default() {
            "In" => Op::In,
            "NotIn" => Op::NotIn,
            "Exists" => Op::Exists,
            "DoesNotExist" => Op::DoesNotExist,
            other => return Err(format!("{} is not a valid label selector operator", quote(other))),
        };
        reqs.push(Requirement::new(key, op, strings(e.get("values")))?);
    }
    Ok(Selector::of(reqs))
}

/// Whether a `LabelSelector` selects everything.
pub fn is_empty(s: &Value) -> bool {
    let none = |k: &str| match s.get(k) {
        Some(Value::Array(a)) => a.is_empty(),
        Some(Value::Object(o)) => o.is_empty(),
        _ => true,
    };
    none("matchLabels") && none("matchExpressions")
}

/// A label's name.
pub fn validate_label_name(name: &str, path: &Path) -> ErrorList {
    names::is_qualified_name(name).into_iter().map(|m| FieldError::invalid(path, name, m)).collect()
}

/// A set of labels; in the order of their keys.
pub fn validate_labels(labels: Option<&Map<String, Value>>, path: &Path) -> ErrorList {
    let mut errs = ErrorList::new();
    for (k, v) in labels.into_iter().flatten() {
        errs.extend(validate_label_name(k, path));
        let v = v.as_str().unwrap_or_default();
        errs.extend(names::is_label_value(v).into_iter().map(|m| FieldError::invalid(path, v, m)));
    }
    errs
}

/// What upstream's `LabelSelectorValidationOptions` allow.
#[derive(Clone, Copy, Debug, Default)]
pub struct SelectorOptions {
    pub allow_invalid_values: bool,
    pub allow_unknown_operator: bool,
}

/// A `LabelSelector`; `None` is valid.
pub fn validate_label_selector(s: Option<&Value>, opts: SelectorOptions, path: &Path) -> ErrorList {
    let mut errs = ErrorList::new();
    let Some(s) = s else { return errs };
    errs.extend(validate_labels(s.get("matchLabels").and_then(Value::as_object), &path.child("matchLabels")));
    let exprs = path.child("matchExpressions");
    for (i, e) in s.get("matchExpressions").and_then(Value::as_array).into_iter().flatten().enumerate() {
        errs.extend(validate_requirement(e, opts, &exprs.index(i)));
    }
    errs
}

/// One `LabelSelectorRequirement`.
pub fn validate_requirement(e: &Value, opts: SelectorOptions, path: &Path) -> ErrorList {
    let mut errs = ErrorList::new();
    let values = strings(e.get("values"));
    let at = path.child("values");
    match e.get("operator").and_then(Value::as_str).unwrap_or_default() {
        "In" | "NotIn" => {
            if values.is_empty() {
                errs.push(FieldError::required(&at, "must be specified when `operator` is 'In' or 'NotIn'"));
            }
        }
        "Exists" | "DoesNotExist" => {
            if !values.is_empty() {
                errs.push(FieldError::forbidden(
                    &at,
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                ));
            }
        }
        op => {
            if !opts.allow_unknown_operator {
                errs.push(FieldError::invalid(&path.child("operator"), op, "not a valid selector operator"));
            }
        }
    }
    errs.extend(validate_label_name(
        e.get("key").and_then(Value::as_str).unwrap_or_default(),
        &path.child("key"),
    ));
    if !opts.allow_invalid_values {
        for (i, v) in values.iter().enumerate() {
            errs.extend(
                names::is_label_value(v)
                    .into_iter()
                    .map(|m| FieldError::invalid(&at.index(i), v.as_str(), m)),
            );
        }
    }
    errs
}

#[cfg(test)]
mod tests;
