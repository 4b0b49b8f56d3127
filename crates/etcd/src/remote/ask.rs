//! Questions to the cluster: one member after the other, until one answers.

use super::dial::{Members, Servers};
use super::{MESSAGE, pb};
use bytes::Bytes;
use pb::kv_client::KvClient;
use std::future::Future;
use std::time::Duration;
use storage::Error;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// How long a request is tried before it fails: longer than a cluster needs to choose another leader.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How long the first member asked has to answer; each next one has twice the time.
pub const ATTEMPT: Duration = Duration::from_secs(2);
const PROBE: Bytes = Bytes::from_static(b"/registry/health");
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Why an attempt came to nothing.
pub enum Failed {
    /// etcd said no.
    No(Error),
    /// No answer, or one that does not say whether the request was carried out.
    Unknown(Error),
}

pub fn failure(s: &Status) -> Error {
    let text = s.message();
    if text.contains("request is too large") {
        return Error::TooLarge(0);
    }
    if text.contains("requested lease not found") {
        return Error::NoLease(0);
    }
    let cause = std::error::Error::source(s).map(chain).unwrap_or_default();
    let all = match (text, cause.as_str()) {
        (t, c) if c.contains(t) => c.to_owned(),
        (t, "") => t.to_owned(),
        (t, c) => format!("{t}: {c}"),
    };
    Error::Io(format!("etcd: {all}{}", advice(&all)))
}

/// What to look at, for mistakes that are made.
fn advice(error: &str) -> String {
    let all = [
        ("UnknownIssuer", "its certificate is not signed by --etcd-cafile"),
        ("not valid for name", "its certificate lacks the host that --etcd-servers has"),
        ("certificate expired", "a certificate has expired, or a clock is wrong"),
        (
            "certificate not valid yet",
            "a clock is wrong, or the certificate was made on a host whose clock was",
        ),
        (
            "a client certificate is needed",
            "--etcd-certfile and --etcd-keyfile must be of its --trusted-ca-file",
        ),
        ("CertificateRequired", "it wants --etcd-certfile and --etcd-keyfile"),
        ("UnknownCA", "--etcd-certfile is not of its --trusted-ca-file"),
        ("InvalidContentType", "it speaks no TLS: --etcd-servers must be http://"),
        ("stream closed because of a broken pipe", "does it speak TLS? then --etcd-servers must be https://"),
        ("frame with invalid size", "does it speak TLS? then --etcd-servers must be https://"),
    ];
    let found = all.iter().find(|(mark, _)| error.contains(mark));
    found.map(|(_, text)| format!(" ({text})")).unwrap_or_default()
}

/// An error and what is behind it, without what it says twice.
fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut at = e.source();
    while let Some(e) = at {
        let more = e.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        at = e.source();
    }
    text
}

fn failed(s: &Status) -> Failed {
    let e = failure(s);
    let overloaded = s.message().contains("too many requests");
    match s.code() {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Unknown
        | Code::Cancelled
        | Code::Internal
        | Code::Aborted => Failed::Unknown(e),
        _ if overloaded => Failed::Unknown(e),
        _ => Failed::No(e),
    }
}

pub fn kv(channel: Channel) -> KvClient<Channel> {
    KvClient::new(channel).max_decoding_message_size(MESSAGE).max_encoding_message_size(MESSAGE)
}

pub struct Cluster {
    pub members: Members,
}

impl Cluster {
    pub fn new(servers: &Servers) -> Result<Self, String> {
        Ok(Self { members: Members::new(servers)? })
    }

    /// Asks one member. When it does not answer, the next is asked from now on.
    pub async fn once<T, F>(&self, within: Duration, f: impl Fn(Channel) -> F) -> Result<T, Failed>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let (n, channel) = self.members.now();
        let answer = match tokio::time::timeout(within, f(channel)).await {
            Ok(Ok(r)) => return Ok(r.into_inner()),
            Ok(Err(s)) => failed(&s),
            Err(_) => Failed::Unknown(Error::Io("etcd: request timed out".into())),
        };
        if matches!(answer, Failed::Unknown(_)) {
            self.members.next(n);
        }
        Err(answer)
    }

    /// Why no member answers now; `None`: one does.
    pub async fn silent(&self) -> Option<Error> {
        let mut last = None;
        for _ in 0..self.members.len().max(1) {
            let ask = pb::RangeRequest { key: PROBE, count_only: true, ..pb::RangeRequest::default() };
            match self.once(ATTEMPT, |c| async { kv(c).range(ask.clone()).await }).await {
                Ok(_) => return None,
                Err(Failed::No(e) | Failed::Unknown(e)) => last = Some(e),
            }
        }
        last
    }

    /// Asks until there is an answer: for what may be done twice.
    pub async fn ask<T, F>(&self, f: impl Fn(Channel) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let mut patience = Patience::new(self.members.len());
        loop {
            match self.once(patience.attempt(), &f).await {
                Ok(t) => return Ok(t),
                Err(Failed::No(e)) => return Err(e),
                Err(Failed::Unknown(e)) => patience.or(e).await?,
            }
        }
    }
}

/// How long one request goes on being tried.
pub struct Patience {
    end: Instant,
    tries: usize,
    members: usize,
    attempt: Duration,
    pause: Duration,
}

impl Patience {
    pub fn new(members: usize) -> Self {
        Self { end: Instant::now() + PATIENCE, tries: 0, members, attempt: ATTEMPT, pause: PAUSE }
    }
    /// How long the next attempt may take.
    pub fn attempt(&self) -> Duration {
        self.attempt
    }
    /// After an attempt that failed: waits a little once every member was asked. The error, when that was all.
    pub async fn or(&mut self, e: Error) -> Result<(), Error> {
        tracing::debug!("{e}; trying again");
        self.tries += 1;
        self.attempt = (self.attempt * 2).min(PATIENCE);
        if Instant::now() >= self.end {
            return Err(e);
        }
        if self.tries.is_multiple_of(self.members) {
            tokio::time::sleep(self.pause).await;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        Ok(())
    }
}
