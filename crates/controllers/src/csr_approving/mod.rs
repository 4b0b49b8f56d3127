//! Approves kubelets' certificate requests (upstream `pkg/controller/certificates/approver`, and what upstream leaves to
//! add-ons, see [`serving`]).

mod plan;
mod serving;

use crate::context::{Ctx, Error};
use crate::k8s::certificates::{CertificateSigningRequest, CertificateSigningRequestCondition};
use crate::k8s::core::Node;
use crate::util::meta::whole;
use crate::util::{csr, wake};
use client::{Informer, Key, Outcome, Queue, run_workers};
use plan::Verdict;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

struct Controller {
    ctx: Ctx,
    requests: Informer<CertificateSigningRequest>,
    nodes: Informer<Node>,
}

pub async fn run(ctx: Ctx) {
    let (requests, nodes) = (ctx.informer(), ctx.informer());
    let queue: Queue<Key> = Queue::with_limits(Duration::from_millis(200), Duration::from_secs(1000));
    requests.synced().await;
    nodes.synced().await;
    wake::forward_self(&ctx.rt, requests.raw(), &queue);
    let rt = ctx.rt.clone();
    let me = Arc::new(Controller { ctx, requests, nodes });
    run_workers(&rt, me.ctx.name, 1, &queue, move |key| {
        let me = me.clone();
        async move { me.sync(key).await }
    });
    rt.stopping().await;
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Outcome, Error> {
        let Some(csr) = self.requests.get("", &key.name) else { return Ok(Outcome::Done) };
        if csr::certificate(&csr).is_some()
            || ["Approved", "Denied"].iter().any(|t| csr::has_condition(&csr, t))
        {
            return Ok(Outcome::Done);
        }
        let req = csr::Request::parse(&csr.spec.request.0)
            .map_err(|e| Error::other(format!("unable to parse csr {:?}: {e}", key.name)))?;
        match plan::judge(&csr, &req) {
            Verdict::NotOurs => Ok(Outcome::Done),
            Verdict::Ask(reviews) => {
                for r in &reviews {
                    if self.allowed(&csr, r.subresource).await? {
                        self.approve(&csr, r.message).await?;
                        return Ok(Outcome::Done);
                    }
                }
                tracing::debug!(csr = key.name, "recognized, but the subject access review was not approved");
                Ok(Outcome::Again)
            }
            Verdict::Serving(node) => {
                match serving::check(&csr, &req, self.nodes.get("", &node).as_ref(), &self.nodes.list()) {
                    Ok(()) => {
                        self.approve(
                            &csr,
                            "Auto approving kubelet serving certificate for addresses of the node.",
                        )
                        .await?;
                        Ok(Outcome::Done)
                    }
                    Err(e) => {
                        tracing::info!(csr = key.name, "not approving a kubelet's serving certificate: {e}");
                        // The node's addresses may not be known yet.
                        Ok(Outcome::Again)
                    }
                }
            }
        }
    }

    /// Whether who made the request may create that kind of request.
    async fn allowed(&self, csr: &CertificateSigningRequest, subresource: &str) -> Result<bool, Error> {
        let review = plan::review(csr, subresource);
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let got: Value = self.ctx.client.request(http::Method::POST, path, Some(&review)).await?;
        Ok(got.pointer("/status/allowed") == Some(&json!(true)))
    }

    async fn approve(&self, csr: &CertificateSigningRequest, message: &str) -> Result<(), Error> {
        let mut new = csr.clone();
        let now = whole(self.ctx.now());
        new.status.get_or_insert_default().conditions.get_or_insert_default().push(
            CertificateSigningRequestCondition {
                type_: "Approved".into(),
                status: "True".into(),
                reason: Some("AutoApproved".into()),
                message: Some(message.into()),
                last_update_time: Some(now.clone()),
                last_transition_time: Some(now),
            },
        );
        self.ctx.client.put(&new, "approval").await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
