//! containerd's own events, for the releases before 1.7 whose CRI has no `GetContainerEvents`: same socket, other service.

use crate::{Error, Events, v1};
use futures::StreamExt;
use prost::Message;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;

#[derive(Clone, PartialEq, Message)]
struct SubscribeRequest {
    #[prost(string, repeated, tag = "1")]
    filters: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyMessage {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Envelope {
    #[prost(string, tag = "2")]
    namespace: String,
    #[prost(string, tag = "3")]
    topic: String,
    #[prost(message, optional, tag = "4")]
    event: Option<AnyMessage>,
}

/// The first fields of TaskStart, TaskExit and TaskOOM.
#[derive(Clone, PartialEq, Message)]
struct TaskEvent {
    #[prost(string, tag = "1")]
    container_id: String,
    /// The process; another than the container's is an exec.
    #[prost(string, tag = "2")]
    id: String,
}

/// Starts and ends of the `k8s.io` namespace's containers: the id and the kind are set, no more.
pub(crate) async fn events(channel: Channel) -> Result<Events, Error> {
    let fail = |s: &tonic::Status| Error::new("containerd events", s.code(), s.message());
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready()
        .await
        .map_err(|e| Error::new("containerd events", tonic::Code::Unavailable, e.to_string()))?;
    let codec = tonic_prost::ProstCodec::<SubscribeRequest, Envelope>::default();
    let path = PathAndQuery::from_static("/containerd.services.events.v1.Events/Subscribe");
    let filters =
        ["/tasks/start", "/tasks/exit"].iter().map(|t| format!("namespace==k8s.io,topic==\"{t}\"")).collect();
    let stream = grpc
        .server_streaming(tonic::Request::new(SubscribeRequest { filters }), path, codec)
        .await
        .map_err(|s| fail(&s))?
        .into_inner();
    Ok(stream
        .filter_map(|e| async move {
            match e {
                Ok(e) => decode(&e).map(Ok),
                Err(s) => Some(Err(Error::new("containerd events", s.code(), s.message()))),
            }
        })
        .boxed())
}

fn decode(e: &Envelope) -> Option<v1::ContainerEventResponse> {
    let kind = match e.topic.as_str() {
        "/tasks/start" => v1::ContainerEventType::ContainerStartedEvent,
        "/tasks/exit" => v1::ContainerEventType::ContainerStoppedEvent,
        _ => return None,
    };
    let t = TaskEvent::decode(e.event.as_ref()?.value.as_slice()).ok()?;
    if kind == v1::ContainerEventType::ContainerStoppedEvent && !t.id.is_empty() && t.id != t.container_id {
        return None; // a process that was executed in the container
    }
    Some(v1::ContainerEventResponse {
        container_id: t.container_id,
        container_event_type: kind as i32,
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn execs_are_left_out() {
        let event = |topic: &str, id: &str| Envelope {
            namespace: "k8s.io".into(),
            topic: topic.into(),
            event: Some(AnyMessage {
                type_url: "x".into(),
                value: TaskEvent { container_id: "c".into(), id: id.into() }.encode_to_vec(),
            }),
        };
        assert_eq!(decode(&event("/tasks/exit", "c")).unwrap().container_id, "c");
        assert!(decode(&event("/tasks/exit", "exec-1")).is_none());
        assert!(decode(&event("/tasks/start", "")).is_some());
        assert!(decode(&event("/tasks/oom", "c")).is_none());
    }
}
