//! Jobs.

use crate::kit::*;

pub(crate) struct Job;

impl Strategy for Job {
    /// Unless the client manages it: a selector on the job's uid, and the labels that go with it.
    fn prepare_create(&self, _cx: &Cx<'_>, o: &mut Value) {
        if o.bool_at("spec.manualSelector") {
            return;
        }
        let (name, uid) = (o.name().to_owned(), o.uid().to_owned());
        for (key, value) in [
            ("batch.kubernetes.io/controller-uid", &uid),
            ("controller-uid", &uid),
            ("batch.kubernetes.io/job-name", &name),
            ("job-name", &name),
        ] {
            let spec = o.get_mut("spec").and_then(|s| s.get_mut("template"));
            let Some(template) = spec else { break };
            let meta = template.metadata_mut();
            let labels = meta.entry("labels").or_insert_with(|| Value::Object(meta::Map::new()));
            if let Some(l) = labels.as_object_mut() {
                l.entry(key).or_insert_with(|| value.clone().into());
            }
        }
        let at = o.get_mut("spec").and_then(Value::as_object_mut);
        if let Some(spec) = at {
            let selector = spec.entry("selector").or_insert_with(|| Value::Object(meta::Map::new()));
            let labels = selector
                .as_object_mut()
                .map(|s| s.entry("matchLabels").or_insert_with(|| Value::Object(meta::Map::new())));
            if let Some(l) = labels.and_then(Value::as_object_mut) {
                l.insert("batch.kubernetes.io/controller-uid".into(), uid.into());
            }
        }
    }
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
