//! A unary gRPC call, message in and message out, for the calls that are made most: without the codecs, streams and boxes
//! that the general way (`tonic`) needs for calls of any shape. What is compressed goes the general way.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use prost::Message;
use serve::{Body, BoxError};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::Status;

/// Before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Whether a request can be answered here.
pub fn plain(r: &Request<Incoming>) -> bool {
    let h = r.headers();
    h.get("grpc-encoding").is_none_or(|e| e == "identity")
}

/// Reads a request of at most `limit` bytes, has it answered, and makes the response.
pub async fn answer<Q, A, F>(body: Incoming, limit: usize, call: impl FnOnce(Q) -> F) -> Response<Body>
where
    Q: Message + Default,
    A: Message,
    F: Future<Output = Result<A, Status>>,
{
    let asked = read(body, limit).await;
    match asked.and_then(|b| Q::decode(b).map_err(|e| Status::internal(e.to_string()))) {
        Ok(q) => match call(q).await {
            Ok(a) => reply(&a),
            Err(s) => crate::server::grpc(s),
        },
        Err(s) => crate::server::grpc(s),
    }
}

async fn read(mut body: Incoming, limit: usize) -> Result<Bytes, Status> {
    let mut all = Bytes::new();
    let mut parts = BytesMut::new();
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        let frame = frame.map_err(|e| Status::internal(format!("reading the request: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if all.is_empty() && parts.is_empty() {
            // Nearly always the only one.
            all = data;
        } else {
            if parts.is_empty() {
                let whole = length(&all, limit)?.map_or(0, |n| n + PREFIX);
                parts.reserve(whole.max(all.len() + data.len()));
                parts.extend_from_slice(&std::mem::take(&mut all));
            }
            parts.extend_from_slice(&data);
        }
        let have = if parts.is_empty() { &all[..] } else { &parts[..] };
        if let Some(n) = length(have, limit)?
            && have.len() > n + PREFIX
        {
            return Err(Status::internal("a unary call has one message, and more came"));
        }
    }
    let mut all = if parts.is_empty() { all } else { parts.freeze() };
    match length(&all, limit)? {
        Some(n) if all.len() == n + PREFIX => Ok(all.split_off(PREFIX)),
        None if all.is_empty() => Err(Status::internal("Missing request message.")),
        _ => Err(Status::internal("Unexpected EOF decoding stream.")),
    }
}

/// The message's length, when its prefix is there.
fn length(b: &[u8], limit: usize) -> Result<Option<usize>, Status> {
    let Some((prefix, _)) = b.split_first_chunk::<PREFIX>() else { return Ok(None) };
    if prefix[0] != 0 {
        return Err(Status::internal(
            "protocol error: received message with compressed-flag but no grpc-encoding was specified",
        ));
    }
    let len = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
    if len > limit {
        return Err(Status::out_of_range(format!(
            "Error, decoded message length too large: found {len} bytes, the limit is: {limit} bytes"
        )));
    }
    Ok(Some(len))
}

fn reply(m: &impl Message) -> Response<Body> {
    let len = m.encoded_len();
    let Ok(prefix) = u32::try_from(len) else {
        return crate::server::grpc(Status::resource_exhausted("the answer is larger than 4 GiB"));
    };
    let mut out = BytesMut::with_capacity(PREFIX + len);
    out.put_u8(0);
    out.put_u32(prefix);
    m.encode_raw(&mut out);
    let mut r = Response::new(Reply(Left::Message(out.freeze())).boxed_unsync());
    let grpc = HeaderValue::from_static("application/grpc");
    r.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
    r
}

enum Left {
    Message(Bytes),
    Status,
    Nothing,
}

/// A message, then the status that all went well.
struct Reply(Left);

impl http_body::Body for Reply {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(match std::mem::replace(&mut self.0, Left::Nothing) {
            Left::Message(m) => {
                self.0 = Left::Status;
                Some(Ok(Frame::data(m)))
            }
            Left::Status => {
                let mut end = HeaderMap::with_capacity(1);
                end.insert("grpc-status", HeaderValue::from_static("0"));
                Some(Ok(Frame::trailers(end)))
            }
            Left::Nothing => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Left::Nothing)
    }
}
