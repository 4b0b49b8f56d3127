//! LeaseCandidates.

use crate::kit::*;

pub(crate) struct LeaseCandidate;

impl Strategy for LeaseCandidate {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let s = o.v("spec");
        row![o.name(), s.s("leaseName"), s.s("binaryVersion"), s.s("emulationVersion"), age(o, now)]
    }
}
