//! The gRPC health check (grpc.health.v1), for probes. Here because this crate is the one that speaks gRPC.

use prost::Message;
use std::time::Duration;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;

#[derive(Clone, PartialEq, Message)]
struct CheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct CheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// Asks once; `Err` is the probe's output as upstream words it.
pub async fn check(host: &str, port: u16, service: &str, timeout: Duration) -> Result<(), String> {
    let addr = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let limit = go_duration(timeout);
    let late =
        || format!("timeout: failed to connect service {addr:?} within {limit}: context deadline exceeded");
    let endpoint = Endpoint::from_shared(format!("http://{addr}"))
        .map_err(|e| format!("error: failed to connect service at {addr:?}: {e}"))?
        .user_agent("kube-probe/1.37")
        .map_err(|e| e.to_string())?
        .connect_timeout(timeout);
    let end = tokio::time::Instant::now() + timeout;
    let channel = match tokio::time::timeout_at(end, endpoint.connect()).await {
        Ok(Ok(c)) => c,
        // Go's blocking dial tries again until the time is over.
        Ok(Err(_)) | Err(_) => return Err(late()),
    };
    let mut grpc = tonic::client::Grpc::new(channel);
    let call = async {
        grpc.ready().await.map_err(|e| tonic::Status::unavailable(e.to_string()))?;
        let codec = tonic_prost::ProstCodec::<CheckRequest, CheckResponse>::default();
        let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
        grpc.unary(tonic::Request::new(CheckRequest { service: service.to_owned() }), path, codec).await
    };
    let answer = match tokio::time::timeout_at(end, call).await {
        Err(_) => return Err(format!("timeout: health rpc did not complete within {limit}")),
        Ok(r) => r,
    };
    match answer {
        Ok(r) => match r.into_inner().status {
            1 => Ok(()),
            n => {
                let name = match n {
                    0 => "UNKNOWN",
                    2 => "NOT_SERVING",
                    3 => "SERVICE_UNKNOWN",
                    _ => "?",
                };
                Err(format!("service unhealthy (responded with {name:?})"))
            }
        },
        Err(s) if s.code() == tonic::Code::Unimplemented => Err(format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {}",
            s.message()
        )),
        Err(s) => Err(format!(
            "error: health rpc probe failed: rpc error: code = {} desc = {}",
            crate::code_name(s.code()),
            s.message()
        )),
    }
}

fn go_duration(d: Duration) -> String {
    if d.subsec_millis() == 0 { format!("{}s", d.as_secs()) } else { format!("{}ms", d.as_millis()) }
}
