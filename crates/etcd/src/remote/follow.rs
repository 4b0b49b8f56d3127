//! The mirror, kept as etcd is by one watch of everything.

use super::ask::{Cluster, failure, kv};
use super::{MESSAGE, Remote, kept, pb, record, revision};
use bytes::Bytes;
use mvcc::State;
use pb::watch_client::WatchClient;
use pb::watch_request::RequestUnion;
use std::time::Duration;
use storage::{Change, Error, Revision};
use tonic::transport::Channel;

const PAGE: i64 = 500;
/// History that a server begins with, so that watches go on that another server has begun.
const PAST: Revision = 5_000;
/// How long a member has to begin a watch.
const BEGIN: Duration = Duration::from_secs(3);
/// How far behind a write of this process the watch may be, before another member is asked.
const BEHIND: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Every key, as of a revision some time ago, if that is not compacted, else as of now.
pub async fn everything(cluster: &Cluster) -> Result<State, Error> {
    let ask = pb::RangeRequest {
        key: Bytes::from_static(b"/registry/health"),
        count_only: true,
        ..pb::RangeRequest::default()
    };
    let now = cluster
        .ask(|c| {
            let a = ask.clone();
            async move { kv(c).range(a).await }
        })
        .await?;
    let now = revision(now.header.as_ref());
    for past in [PAST, PAST / 10] {
        if now > past
            && let Ok(s) = everything_at(cluster, now - past).await
        {
            return Ok(s);
        }
    }
    everything_at(cluster, 0).await
}

async fn everything_at(cluster: &Cluster, mut at: Revision) -> Result<State, Error> {
    let mut records = Vec::new();
    let mut from = Bytes::from_static(b"\0");
    loop {
        let ask = pb::RangeRequest {
            key: from.clone(),
            range_end: Bytes::from_static(b"\0"),
            limit: PAGE,
            revision: at,
            ..pb::RangeRequest::default()
        };
        let page = cluster
            .ask(|c| {
                let a = ask.clone();
                async move { kv(c).range(a).await }
            })
            .await?;
        if at == 0 {
            at = revision(page.header.as_ref());
        }
        let Some(last) = page.kvs.last() else { break };
        let mut next = last.key.to_vec();
        next.push(0);
        from = next.into();
        for kv in page.kvs {
            // Keys that are no text belong to nobody here.
            if std::str::from_utf8(&kv.key).is_ok() {
                records.push(record(kv, 0)?);
            }
        }
        if !page.more {
            break;
        }
    }
    Ok(State::beginning(at, records))
}

impl Remote {
    /// Keeps the mirror as etcd is.
    pub(super) async fn follow(&self) {
        let mut pause = Duration::ZERO;
        loop {
            let (n, channel) = self.cluster.members.now();
            let mut heard = false;
            let ended = tokio::select! {
                r = self.watch_once(channel, &mut heard) => r,
                () = self.behind.notified() => Err(Error::Io("the watch of etcd is behind".into())),
            };
            match ended {
                Ok(()) => tracing::debug!("etcd ended the watch"),
                Err(Error::Compacted { .. }) => {
                    tracing::warn!("changes of etcd were missed: everything is read again");
                    match everything_at(&self.cluster, 0).await {
                        Ok(s) => self.mirror.replace(s),
                        Err(e) => tracing::warn!("{e}"),
                    }
                }
                Err(e) if heard => tracing::warn!("{e}; trying again"),
                Err(e) => tracing::debug!("{e}; trying again"),
            }
            self.cluster.members.next(n);
            pause = if heard { Duration::ZERO } else { (pause * 2).clamp(LONGEST_PAUSE / 20, LONGEST_PAUSE) };
            tokio::time::sleep(pause).await;
        }
    }

    /// Waits until the mirror has everything up to a revision; answers whether it has.
    pub(super) async fn reached(&self, r: Revision) -> bool {
        if tokio::time::timeout(BEHIND, self.mirror.reached(r)).await.is_ok() {
            return true;
        }
        self.behind.notify_one();
        tokio::time::timeout(PATIENCE, self.mirror.reached(r)).await.is_ok()
    }

    async fn watch_once(&self, channel: Channel, heard: &mut bool) -> Result<(), Error> {
        let create = pb::WatchCreateRequest {
            key: Bytes::from_static(b"\0"),
            range_end: Bytes::from_static(b"\0"),
            start_revision: self.mirror.revision() + 1,
            progress_notify: true,
            fragment: true,
            ..pb::WatchCreateRequest::default()
        };
        let first = pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        // The stream of requests stays open as long as that of answers is read.
        let requests = futures::StreamExt::chain(
            futures::stream::iter([first]),
            futures::stream::pending::<pb::WatchRequest>(),
        );
        let mut requests = tonic::Request::new(requests);
        // A member that is cut off from the others ends the watch, in place of being silent.
        requests.metadata_mut().insert("hasleader", tonic::metadata::MetadataValue::from_static("true"));
        let mut client = WatchClient::new(channel).max_decoding_message_size(MESSAGE);
        let begun = tokio::time::timeout(BEGIN, client.watch(requests)).await;
        let begun = begun.map_err(|_| Error::Io("etcd does not begin the watch".into()))?;
        let mut answers = begun.map_err(|s| failure(&s))?.into_inner();
        let mut pending: Vec<(Revision, Vec<Change>)> = Vec::new();
        while let Some(a) = answers.message().await.map_err(|s| failure(&s))? {
            *heard = true;
            if a.compact_revision > 0 {
                let asked = self.mirror.revision() + 1;
                return Err(Error::Compacted { asked, floor: a.compact_revision });
            }
            if a.canceled {
                return Err(Error::Io(format!("etcd ended the watch: {}", a.cancel_reason)));
            }
            let now = revision(a.header.as_ref());
            let quiet = a.events.is_empty() && !a.created && !a.fragment;
            for e in a.events {
                let Some(kv) = e.kv else { continue };
                let r = kv.mod_revision;
                if pending.last().is_none_or(|(last, _)| *last != r) {
                    pending.push((r, Vec::new()));
                }
                let (Ok(key), Some((_, changes))) = (std::str::from_utf8(&kv.key), pending.last_mut()) else {
                    continue;
                };
                let kept = kept(key);
                let value = (e.r#type == 0).then(|| (if kept { kv.value } else { Bytes::new() }, kv.lease));
                changes.push(Change { key: key.to_owned(), value });
            }
            // A revision that comes in pieces is one revision.
            if a.fragment {
                continue;
            }
            if quiet && now > self.mirror.revision() {
                pending.push((now, Vec::new()));
            }
            if !pending.is_empty() {
                self.mirror.apply(std::mem::take(&mut pending));
            }
        }
        Ok(())
    }
}
