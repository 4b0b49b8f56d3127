//! Maintenance and Cluster: one member that leads itself.

use crate::convert::{failure, refuse};
use crate::pb::etcdserverpb as pb;
use crate::server::Member;
use bytes::{Bytes, BytesMut};
use futures::stream::{BoxStream, StreamExt};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tonic::{Code, Request, Response, Status};

/// Bytes of a snapshot in one message.
const PART: usize = 64 * 1024;

pub struct Maintenance(pub Arc<Member>);
pub struct Cluster(pub Arc<Member>);

fn alone<T>() -> Result<T, Status> {
    Err(Status::unimplemented("this server is a cluster of one member; for several run etcd"))
}

impl Maintenance {
    fn alarms(&self) -> Vec<pb::AlarmMember> {
        let full = self.0.room().is_err();
        full.then(|| pb::AlarmMember { member_id: self.0.id, alarm: pb::AlarmType::Nospace.into() })
            .into_iter()
            .collect()
    }

    /// A checksum of all keys at a revision: the revision read, the floor, the sum.
    fn sum(&self, revision: i64) -> Result<(i64, i64, u32), Status> {
        let state = self.0.store.state();
        let keys = state.snapshot_at(revision).map_err(|e| failure(e.into()))?;
        let mut h = Sha256::new();
        for r in keys.range(&mvcc::KeyRange::prefix("")) {
            h.update((r.key.len() as u64).to_le_bytes());
            h.update(r.key.as_bytes());
            for n in [r.create_revision, r.mod_revision, r.version, r.lease, r.value.len() as i64] {
                h.update(n.to_le_bytes());
            }
            h.update(&r.value);
        }
        let h = h.finalize();
        Ok((keys.revision(), state.floor(), u32::from_le_bytes([h[0], h[1], h[2], h[3]])))
    }
}

#[tonic::async_trait]
impl pb::maintenance_server::Maintenance for Maintenance {
    /// The only alarm is that of space, and it follows the size of the file by itself.
    async fn alarm(&self, r: Request<pb::AlarmRequest>) -> Result<Response<pb::AlarmResponse>, Status> {
        use pb::alarm_request::AlarmAction as A;
        let r = r.into_inner();
        if A::try_from(r.action) == Ok(A::Activate) {
            return Err(Status::unimplemented("this server raises its alarm itself"));
        }
        let all = pb::AlarmType::None as i32;
        let alarms = self.alarms().into_iter().filter(|a| r.alarm == all || a.alarm == r.alarm).collect();
        Ok(Response::new(pb::AlarmResponse { header: self.0.header(), alarms }))
    }

    async fn status(&self, _: Request<pb::StatusRequest>) -> Result<Response<pb::StatusResponse>, Status> {
        let header = self.0.header();
        let revision = header.as_ref().map_or(0, |h| h.revision).unsigned_abs();
        let (size, used) = self.0.store.space().await.map_err(failure)?;
        let errors =
            self.alarms().iter().map(|a| format!("memberID:{} alarm:NOSPACE ", a.member_id)).collect();
        Ok(Response::new(pb::StatusResponse {
            header,
            version: crate::VERSION.to_owned(),
            db_size: size.cast_signed(),
            db_size_in_use: used.cast_signed(),
            leader: self.0.id,
            // There is no log but the revisions themselves.
            raft_index: revision,
            raft_applied_index: revision,
            raft_term: self.0.term,
            errors,
            is_learner: false,
            storage_version: "3.7.0".to_owned(),
            db_size_quota: self.0.config.quota().map_or(0, u64::cast_signed),
            downgrade_info: Some(pb::DowngradeInfo::default()),
        }))
    }

    async fn defragment(
        &self,
        _: Request<pb::DefragmentRequest>,
    ) -> Result<Response<pb::DefragmentResponse>, Status> {
        self.0.store.sweep().await.map_err(failure)?;
        self.0.store.vacuum().await.map_err(failure)?;
        Ok(Response::new(pb::DefragmentResponse { header: self.0.header() }))
    }

    async fn hash(&self, _: Request<pb::HashRequest>) -> Result<Response<pb::HashResponse>, Status> {
        let (_, _, hash) = self.sum(0)?;
        Ok(Response::new(pb::HashResponse { header: self.0.header(), hash }))
    }

    async fn hash_kv(&self, r: Request<pb::HashKvRequest>) -> Result<Response<pb::HashKvResponse>, Status> {
        let (hash_revision, compact_revision, hash) = self.sum(r.into_inner().revision)?;
        let header = self.0.header();
        Ok(Response::new(pb::HashKvResponse { header, hash, compact_revision, hash_revision }))
    }

    type SnapshotStream = BoxStream<'static, Result<pb::SnapshotResponse, Status>>;

    /// The database as a file, and the SHA-256 of it behind.
    async fn snapshot(
        &self,
        _: Request<pb::SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        let io = |e: std::io::Error| Status::internal(format!("reading the snapshot: {e}"));
        let path = self.0.temporary();
        self.0.store.snapshot_to(&path).await.map_err(failure)?;
        let opened = tokio::fs::File::open(&path).await;
        // It lives as long as it is open.
        tokio::fs::remove_file(&path).await.map_err(io)?;
        let file = opened.map_err(io)?;
        let left = file.metadata().await.map_err(io)?.len();
        let header = self.0.header();
        let sending = Sending { file, left, sum: Some(Sha256::new()) };
        let parts = futures::stream::try_unfold(sending, async |mut s: Sending| {
            let Some(blob) = s.part().await? else { return Ok(None) };
            Ok(Some(((blob, s.left), s)))
        });
        let parts = parts.map(move |p: Result<(Bytes, u64), std::io::Error>| {
            let (blob, remaining_bytes) = p.map_err(io)?;
            Ok(pb::SnapshotResponse { header, remaining_bytes, blob, version: "3.7.0".to_owned() })
        });
        Ok(Response::new(parts.boxed()))
    }

    async fn move_leader(
        &self,
        _: Request<pb::MoveLeaderRequest>,
    ) -> Result<Response<pb::MoveLeaderResponse>, Status> {
        Err(refuse(Code::FailedPrecondition, "bad leader transferee"))
    }

    async fn downgrade(
        &self,
        _: Request<pb::DowngradeRequest>,
    ) -> Result<Response<pb::DowngradeResponse>, Status> {
        Err(Status::unimplemented("this server's format is its own: there is nothing to downgrade to"))
    }
}

/// A snapshot under way.
struct Sending {
    file: tokio::fs::File,
    left: u64,
    /// Gone when it was sent.
    sum: Option<Sha256>,
}

impl Sending {
    async fn part(&mut self) -> std::io::Result<Option<Bytes>> {
        let Some(sum) = &mut self.sum else { return Ok(None) };
        if self.left == 0 {
            let sum = self.sum.take().map(|s| Bytes::copy_from_slice(&s.finalize()));
            return Ok(sum);
        }
        let size = usize::try_from(self.left).unwrap_or(PART).min(PART);
        let mut buf = BytesMut::zeroed(size);
        self.file.read_exact(&mut buf).await?;
        sum.update(&buf);
        self.left -= size as u64;
        Ok(Some(buf.freeze()))
    }
}

#[tonic::async_trait]
impl pb::cluster_server::Cluster for Cluster {
    async fn member_list(
        &self,
        _: Request<pb::MemberListRequest>,
    ) -> Result<Response<pb::MemberListResponse>, Status> {
        let c = &self.0.config;
        let me = pb::Member {
            id: self.0.id,
            name: c.name.clone(),
            peer_ur_ls: c.initial_advertise_peer_urls.clone(),
            client_ur_ls: c.advertise_client_urls.clone(),
            is_learner: false,
        };
        Ok(Response::new(pb::MemberListResponse { header: self.0.header(), members: vec![me] }))
    }
    async fn member_add(
        &self,
        _: Request<pb::MemberAddRequest>,
    ) -> Result<Response<pb::MemberAddResponse>, Status> {
        alone()
    }
    async fn member_remove(
        &self,
        _: Request<pb::MemberRemoveRequest>,
    ) -> Result<Response<pb::MemberRemoveResponse>, Status> {
        alone()
    }
    async fn member_update(
        &self,
        _: Request<pb::MemberUpdateRequest>,
    ) -> Result<Response<pb::MemberUpdateResponse>, Status> {
        alone()
    }
    async fn member_promote(
        &self,
        _: Request<pb::MemberPromoteRequest>,
    ) -> Result<Response<pb::MemberPromoteResponse>, Status> {
        alone()
    }
}
