//! The Lease service.

use crate::convert::failure;
use crate::pb::etcdserverpb as pb;
use crate::server::Member;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};

/// etcd's shortest lease, with its default election timeout.
const SHORTEST: i64 = 2;

pub struct Lease(pub Arc<Member>);

#[tonic::async_trait]
impl pb::lease_server::Lease for Lease {
    async fn lease_grant(
        &self,
        r: Request<pb::LeaseGrantRequest>,
    ) -> Result<Response<pb::LeaseGrantResponse>, Status> {
        let r = r.into_inner();
        self.0.room()?;
        let (id, ttl) = self.0.store.grant(r.id, r.ttl.max(SHORTEST)).await.map_err(failure)?;
        let out = pb::LeaseGrantResponse { header: self.0.header(), id, ttl, error: String::new() };
        Ok(Response::new(out))
    }

    async fn lease_revoke(
        &self,
        r: Request<pb::LeaseRevokeRequest>,
    ) -> Result<Response<pb::LeaseRevokeResponse>, Status> {
        self.0.store.revoke(r.into_inner().id).await.map_err(failure)?;
        Ok(Response::new(pb::LeaseRevokeResponse { header: self.0.header() }))
    }

    type LeaseKeepAliveStream = BoxStream<'static, Result<pb::LeaseKeepAliveResponse, Status>>;

    async fn lease_keep_alive(
        &self,
        r: Request<Streaming<pb::LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let member = self.0.clone();
        let answers = r.into_inner().then(move |asked| {
            let member = member.clone();
            async move {
                let id = asked?.id;
                // Taken before the renewal: a client must not see a renewal at a revision that revoked the lease.
                let header = member.header();
                let ttl = match member.store.keepalive(id).await {
                    Ok(ttl) => ttl,
                    Err(storage::Error::NoLease(_)) => 0,
                    Err(e) => return Err(failure(e)),
                };
                Ok(pb::LeaseKeepAliveResponse { header, id, ttl })
            }
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn lease_time_to_live(
        &self,
        r: Request<pb::LeaseTimeToLiveRequest>,
    ) -> Result<Response<pb::LeaseTimeToLiveResponse>, Status> {
        let r = r.into_inner();
        let state = self.0.store.state();
        let mut out =
            pb::LeaseTimeToLiveResponse { header: self.0.header(), id: r.id, ttl: -1, ..Default::default() };
        if let Some(l) = state.lease(r.id) {
            let left = l.deadline.saturating_sub(self.0.rt.clock.steady_nanos() / 1_000_000);
            if left > 0 {
                out.ttl = left / 1000;
                out.granted_ttl = l.ttl;
                if r.keys {
                    out.keys = l.keys().map(|k| Bytes::copy_from_slice(k.as_bytes())).collect();
                }
            }
        }
        Ok(Response::new(out))
    }

    async fn lease_leases(
        &self,
        _: Request<pb::LeaseLeasesRequest>,
    ) -> Result<Response<pb::LeaseLeasesResponse>, Status> {
        let state = self.0.store.state();
        let mut all: Vec<_> = state.leases().map(|l| (l.deadline, l.id)).collect();
        // By the time they end, as upstream lists them.
        all.sort_unstable();
        let leases = all.into_iter().map(|(_, id)| pb::LeaseStatus { id }).collect();
        Ok(Response::new(pb::LeaseLeasesResponse { header: self.0.header(), leases }))
    }
}
