//! Mutating- and ValidatingWebhookConfigurations.

use crate::kit::*;

pub(crate) struct WebhookConfiguration;

impl Strategy for WebhookConfiguration {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), o.list("webhooks").len(), age(o, now)]
    }
}
