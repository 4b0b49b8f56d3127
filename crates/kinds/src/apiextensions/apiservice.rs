//! APIServices.

use crate::kit::*;

pub(crate) struct APIService;

impl Strategy for APIService {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let service = o
            .v("spec")
            .set("service")
            .map_or_else(|| "Local".to_owned(), |s| format!("{}/{}", s.s("namespace"), s.s("name")));
        let available = match rows::condition(o, "Available") {
            None => "Unknown".to_owned(),
            Some(c) if c.s("status") == "True" || c.s("reason").is_empty() => c.s("status").to_owned(),
            Some(c) => format!("{} ({})", c.s("status"), c.s("reason")),
        };
        row![o.name(), service, available, age(o, now)]
    }
}
