//! Jobs.

use crate::kit::*;

pub(crate) struct Job;

impl Strategy for Job {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let (s, st) = (o.v("spec"), o.v("status"));
        let done = st.i("succeeded");
        let completions = match (s.oi("completions"), s.i("parallelism")) {
            (Some(n), _) => format!("{done}/{n}"),
            (None, n) if n > 1 => format!("{done}/1 of {n}"),
            (None, _) => format!("{done}/1"),
        };
        let duration = match (Timestamp::parse(st.s("startTime")), Timestamp::parse(st.s("completionTime"))) {
            (None, _) => String::new(),
            (Some(start), end) => meta::time::human_duration(end.unwrap_or(now).seconds_since(&start)),
        };
        let has = |ty| rows::condition_true(o, ty);
        let status = if has("Complete") {
            "Complete"
        } else if has("Failed") {
            "Failed"
        } else if o.deletion_timestamp().is_some() {
            "Terminating"
        } else {
            ["Suspended", "FailureTarget", "SuccessCriteriaMet"]
                .into_iter()
                .find(|ty| has(ty))
                .unwrap_or("Running")
        };
        let (names, images) = rows::containers(s.v("template").v("spec"));
        row![
            o.name(),
            status,
            completions,
            duration,
            age(o, now),
            names,
            images,
            rows::selector(s.set("selector")),
        ]
    }
    fn field_value(&self, o: &Value, label: &str) -> Option<String> {
        (label == "status.successful").then(|| o.v("status").i("succeeded").to_string())
    }
}
