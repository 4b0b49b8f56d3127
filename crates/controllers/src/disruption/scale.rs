//! How many pods the controllers of some pods want.

use super::Controller;
use crate::context::Error;
use crate::k8s::OwnerReference;
use crate::k8s::apps::{Deployment, ReplicaSet, StatefulSet};
use crate::k8s::core::{Pod, ReplicationController};
use crate::util::discovery::discover;
use crate::util::meta::{MetaExt, refers_to};
use http::Method;
use std::collections::BTreeMap;

impl Controller {
    /// The sum of what all controllers of the pods want, and whether some pods have none.
    pub(super) async fn scale(&self, pods: &[Pod]) -> Result<(i32, bool), Error> {
        let mut seen: BTreeMap<String, (String, i32)> = BTreeMap::new();
        let mut unmanaged = false;
        for p in pods {
            let Some(o) = p.controller() else {
                unmanaged = true;
                continue;
            };
            if seen.contains_key(&o.uid) {
                continue;
            }
            let Some(found) = self.find(p.namespace(), o).await? else {
                return Err(Error::other(format!("found no controllers for pod {:?}", p.name())));
            };
            seen.insert(o.uid.clone(), found);
        }
        // Several ReplicaSets may belong to one Deployment.
        let by_controller: BTreeMap<String, i32> = seen.into_values().collect();
        Ok((by_controller.values().sum(), unmanaged))
    }

    /// The controller behind an owner, and how many pods it wants.
    async fn find(&self, ns: &str, o: &OwnerReference) -> Result<Option<(String, i32)>, Error> {
        let is = |uid: &str| uid == o.uid;
        if refers_to::<ReplicationController>(&o.api_version, &o.kind) {
            let c = self.controllers.get(ns, &o.name).filter(|c| is(c.uid()));
            return Ok(c.map(|c| (c.uid().to_owned(), c.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1))));
        }
        if refers_to::<ReplicaSet>(&o.api_version, &o.kind) {
            let Some(rs) = self.sets.get(ns, &o.name).filter(|r| is(r.uid())) else { return Ok(None) };
            return match rs.controller().filter(|c| refers_to::<Deployment>(&c.api_version, &c.kind)) {
                None => Ok(Some((rs.uid().to_owned(), rs.spec.replicas.unwrap_or(1)))),
                Some(c) => {
                    let d = self.deployments.get(ns, &c.name).filter(|d| d.uid() == c.uid);
                    Ok(d.map(|d| (d.uid().to_owned(), d.spec.replicas.unwrap_or(1))))
                }
            };
        }
        if refers_to::<StatefulSet>(&o.api_version, &o.kind) {
            let s = self.stateful.get(ns, &o.name).filter(|s| is(s.uid()));
            return Ok(s.map(|s| (s.uid().to_owned(), s.spec.replicas.unwrap_or(1))));
        }
        self.by_subresource(ns, o).await
    }

    /// Anything that has a `scale` subresource.
    async fn by_subresource(&self, ns: &str, o: &OwnerReference) -> Result<Option<(String, i32)>, Error> {
        let c = &self.ctx.client;
        let group = o.api_version.rsplit_once('/').map_or("", |(g, _)| g);
        let served = discover(c).await?;
        let Some(r) = served.resources.into_iter().find(|r| r.group == group && r.kind == o.kind) else {
            return Err(Error::other(format!("no matches for kind {:?} in group {group:?}", o.kind)));
        };
        if !r.subresources.iter().any(|s| s == "scale") {
            return Err(Error::other(format!("{} does not implement the scale subresource", r.dotted())));
        }
        match c.request(Method::GET, &format!("{}/scale", r.path(ns, &o.name)), None).await {
            Ok(v) if v["metadata"]["uid"] == o.uid.as_str() => {
                let n = v["spec"]["replicas"].as_i64().and_then(|n| i32::try_from(n).ok()).unwrap_or(0);
                Ok(Some((o.uid.clone(), n)))
            }
            Ok(_) => Ok(None),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
}
