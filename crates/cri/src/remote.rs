//! The client of a runtime behind a Unix socket: one lazy channel that reconnects by itself.

use crate::v1::image_service_client::ImageServiceClient;
use crate::v1::runtime_service_client::RuntimeServiceClient;
use crate::{Call, Error, Events, Limit, Runtime, calls, v1};
use futures::StreamExt;
use futures::future::BoxFuture;
use hyper_util::rt::TokioIo;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

/// As large as upstream's: lists of many containers.
const MAX_MESSAGE: usize = 16 << 20;

/// A runtime (and image service) at Unix sockets. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Remote {
    rt: RuntimeServiceClient<Channel>,
    img: ImageServiceClient<Channel>,
    channel: Channel,
    timeout: Duration,
}

impl Remote {
    /// `endpoint` is `unix:///path` or a path; `image_endpoint` may be empty for the same socket. Nothing is dialled
    /// until the first call.
    pub fn new(endpoint: &str, image_endpoint: &str, timeout: Duration) -> Result<Self, Error> {
        let rt = channel(endpoint)?;
        let img = if image_endpoint.is_empty() || image_endpoint == endpoint {
            rt.clone()
        } else {
            channel(image_endpoint)?
        };
        Ok(Self {
            channel: rt.clone(),
            rt: RuntimeServiceClient::new(rt).max_decoding_message_size(MAX_MESSAGE),
            img: ImageServiceClient::new(img).max_decoding_message_size(MAX_MESSAGE),
            timeout,
        })
    }
}

/// The socket's path in a `unix://` URL or plain path.
fn socket_path(endpoint: &str) -> Result<PathBuf, Error> {
    let path = endpoint.strip_prefix("unix://").unwrap_or(endpoint);
    if path.contains("://") || !path.starts_with('/') {
        return Err(Error::new(
            "connect",
            tonic::Code::InvalidArgument,
            format!("runtime endpoint {endpoint:?}: want unix:///path/to/socket"),
        ));
    }
    Ok(PathBuf::from(path))
}

fn channel(endpoint: &str) -> Result<Channel, Error> {
    let path = socket_path(endpoint)?;
    // The authority is not used; a Unix socket has none.
    Ok(Endpoint::from_static("http://localhost").connect_with_connector_lazy(Connector(path)))
}

/// Dials the socket, whatever the URI.
#[derive(Clone)]
struct Connector(PathBuf);

impl tower_service::Service<http::Uri> for Connector {
    type Response = TokioIo<UnixStream>;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, _: http::Uri) -> Self::Future {
        let path = self.0.clone();
        Box::pin(async move { dial(&path).await.map(TokioIo::new) })
    }
}

async fn dial(path: &Path) -> std::io::Result<UnixStream> {
    UnixStream::connect(path)
        .await
        .map_err(|e| std::io::Error::new(e.kind(), format!("dial unix {}: {e}", path.display())))
}

/// A failure as the caller sees it; a transport failure names its cause.
fn failure(method: &'static str, s: &tonic::Status) -> Error {
    let mut message = s.message().to_owned();
    let mut source = std::error::Error::source(s);
    while let Some(e) = source {
        let text = e.to_string();
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        source = e.source();
    }
    Error { method, code: s.code(), message }
}

async fn limited<T>(
    method: &'static str,
    usual: Duration,
    limit: Limit,
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, Error> {
    let within = match limit {
        Limit::Usual => usual,
        Limit::Double => usual * 2,
        Limit::Plus(d) => usual + d,
        Limit::None => {
            return call.await.map(tonic::Response::into_inner).map_err(|s| failure(method, &s));
        }
    };
    match tokio::time::timeout(within, call).await {
        Ok(r) => r.map(tonic::Response::into_inner).map_err(|s| failure(method, &s)),
        Err(_) => Err(Error::new(method, tonic::Code::DeadlineExceeded, "context deadline exceeded")),
    }
}

macro_rules! implement {
    ($($name:ident($req:ident) -> $res:ident, $svc:ident, |$r:ident| $limit:expr;)*) => {
        impl Runtime for Remote {
            $(fn $name(&self, req: v1::$req) -> Call<'_, v1::$res> {
                let mut c = self.$svc.clone();
                Box::pin(async move {
                    let limit = { let $r = &req; $limit };
                    limited(stringify!($name), self.timeout, limit, c.$name(req)).await
                })
            })*
            fn container_events(&self) -> Call<'_, Events> {
                let mut c = self.rt.clone();
                let channel = self.channel.clone();
                Box::pin(async move {
                    let call = c.get_container_events(v1::GetEventsRequest {});
                    match limited("container_events", self.timeout, Limit::None, call).await {
                        Ok(s) => Ok(s.map(|e| e.map_err(|s| failure("container_events", &s))).boxed()),
                        // containerd before 1.7, which has events of its own; other runtimes answer the same again.
                        Err(e) if e.is_unimplemented() => crate::containerd::events(channel).await,
                        Err(e) => Err(e),
                    }
                })
            }
        }
    };
}
calls!(implement);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        for (endpoint, want) in [
            ("unix:///run/containerd/containerd.sock", Some("/run/containerd/containerd.sock")),
            ("/run/crio/crio.sock", Some("/run/crio/crio.sock")),
            ("tcp://127.0.0.1:1", None),
            ("relative.sock", None),
        ] {
            assert_eq!(socket_path(endpoint).ok(), want.map(PathBuf::from), "{endpoint}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_unavailable() {
        let r = Remote::new("unix:///nonexistent/cri.sock", "", Duration::from_secs(5)).unwrap();
        let e = r.version(v1::VersionRequest::default()).await.unwrap_err();
        assert_eq!(e.code, tonic::Code::Unavailable);
        assert!(e.message.contains("/nonexistent/cri.sock"), "{}", e.message);
    }
}
