//! Signs approved certificate requests with the cluster's authority (upstream `pkg/controller/certificates/signer`).

mod plan;
pub(crate) mod sign;

use crate::context::{Ctx, Error};
use crate::k8s::certificates::{CertificateSigningRequest, CertificateSigningRequestCondition};
use crate::util::meta::whole;
use crate::util::{csr, wake};
use client::{Informer, Key, Outcome, Queue, run_workers};
use k8s_openapi::ByteString;
use sign::Authority;
use std::sync::Arc;
use std::time::Duration;

struct Controller {
    ctx: Ctx,
    requests: Informer<CertificateSigningRequest>,
    authority: Authority,
}

pub async fn run(ctx: Ctx) {
    let Some(pair) = ctx.config.signer.clone() else {
        tracing::info!("no signing certificate and key are given: certificate requests are not signed");
        return;
    };
    let authority = match Authority::new(&pair) {
        Ok(a) => a,
        Err(e) => {
            tracing::error!("certificate requests are not signed: {e}");
            return;
        }
    };
    let requests = ctx.informer::<CertificateSigningRequest>();
    let queue: Queue<Key> = Queue::with_limits(Duration::from_millis(200), Duration::from_secs(1000));
    requests.synced().await;
    wake::forward_self(&ctx.rt, requests.raw(), &queue);
    let rt = ctx.rt.clone();
    let me = Arc::new(Controller { ctx, requests, authority });
    run_workers(&rt, me.ctx.name, 2, &queue, move |key| {
        let me = me.clone();
        async move { me.sync(key).await }
    });
    rt.stopping().await;
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Outcome, Error> {
        let Some(csr) = self.requests.get("", &key.name) else { return Ok(Outcome::Done) };
        if !plan::wants_signing(&csr) {
            return Ok(Outcome::Done);
        }
        let req = csr::Request::parse(&csr.spec.request.0)
            .map_err(|e| Error::other(format!("unable to parse csr {:?}: {e}", key.name)))?;
        let now = self.ctx.now();
        let mut new = csr.clone();
        let status = new.status.get_or_insert_default();
        match plan::check(&csr, &req) {
            Err(why) => status.conditions.get_or_insert_default().push(CertificateSigningRequestCondition {
                type_: "Failed".into(),
                status: "True".into(),
                reason: Some("SignerValidationFailure".into()),
                message: Some(why),
                last_update_time: Some(whole(now)),
                last_transition_time: Some(whole(now)),
            }),
            Ok(()) => {
                let ttl = plan::life(csr.spec.expiration_seconds, self.ctx.config.signing_duration);
                let usages = csr.spec.usages.as_deref().unwrap_or_default();
                let mut serial = [0; 16];
                getrandom::fill(&mut serial).map_err(|e| Error::other(format!("no randomness: {e}")))?;
                let pem = self
                    .authority
                    .sign(&req, usages, ttl, now, serial)
                    .map_err(|e| Error::other(format!("error auto signing csr: {e}")))?;
                status.certificate = Some(ByteString(pem.into_bytes()));
            }
        }
        self.ctx.client.replace_status(&new).await?;
        Ok(Outcome::Done)
    }
}

#[cfg(test)]
mod tests;
