//! ResourceQuotas.

use crate::kit::*;

pub(crate) struct ResourceQuota;

impl Strategy for ResourceQuota {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let (hard, used) = (o.v("status").o("hard"), o.v("status").v("used"));
        let (mut requests, mut limits) = (Vec::new(), Vec::new());
        for (k, v) in hard.into_iter().flatten() {
            let used = match used.s(k) {
                "" => "0",
                q => q,
            };
            let cell = format!("{k}: {used}/{}", v.as_str().unwrap_or("0"));
            if k.starts_with("limits.") { limits.push(cell) } else { requests.push(cell) }
        }
        row![o.name(), requests.join(", "), limits.join(", "), age(o, now)]
    }
}
