//! CronJobs.

use crate::kit::*;

pub(crate) struct CronJob;

impl Strategy for CronJob {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let (s, st) = (o.v("spec"), o.v("status"));
        let job = s.v("jobTemplate").v("spec");
        let (names, images) = rows::containers(job.v("template").v("spec"));
        let last = match st.s("lastScheduleTime") {
            "" => "<none>".to_owned(),
            t => since(t, now),
        };
        let suspend = match s.ob("suspend") {
            None => "<unset>",
            Some(true) => "True",
            Some(false) => "False",
        };
        row![
            o.name(),
            s.s("schedule"),
            s.os("timeZone").unwrap_or("<none>"),
            suspend,
            st.list("active").len(),
            last,
            age(o, now),
            names,
            images,
            rows::selector(job.set("selector")),
        ]
    }
}
