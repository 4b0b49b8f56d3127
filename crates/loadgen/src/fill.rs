//! Makes a number of pods, as fast as the server takes them.

use crate::Args;
use crate::net::{Call, Conn, Target};
use crate::objects::{Encoding, Kind, object};
use crate::stat::Span;
use http::Method;
use serde_json::Value;

pub async fn run(args: &Args) -> Result<Value, String> {
    let target = Target::kubeconfig(args.text("kubeconfig")?)?;
    let (first, count) = (args.number("first", 0)?, args.number("count", 10_000)?);
    let span = Span::start(&args.servers());
    let make = move |mut conn: Conn, i: u64| async move {
        let i = first + i;
        // One in a hundred carries the label that lists select.
        let mark = if i.is_multiple_of(100) { "chosen" } else { "other" };
        let body = object(Kind::Pod, Encoding::Proto, "default", &format!("fill-{i:06}"), mark);
        let media = Encoding::Proto.media();
        let path = "/api/v1/namespaces/default/pods";
        conn.call(Call { method: Method::POST, path, content: media, accept: media, body }).await.map(drop)
    };
    target.each(args.number("clients", 64)?, count, make).await?;
    Ok(span.end(count, Vec::new()))
}
