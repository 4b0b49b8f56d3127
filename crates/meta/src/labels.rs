//! Labels and the `LabelSelector` of API objects (`matchLabels`, `matchExpressions`).

use crate::selector::Selector;
use serde_json::Value;

/// The selector that a `LabelSelector` object stands for: `None` selects nothing, an empty one everything.
pub fn from_label_selector(_s: Option<&Value>) -> Result<Selector, String> {
    todo!()
}
