//! Files of the downward API.

use super::Context;
use super::atomic::{File, Payload};
use crate::pod::fields::{self, Node};
use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, Pod};

pub fn files(
    pod: &Pod,
    items: &[DownwardAPIVolumeFile],
    default_mode: i32,
    cx: &Context,
) -> Result<Payload, String> {
    let node = Node { allocatable: Some(&cx.allocatable), ..Default::default() };
    let mut out = Payload::new();
    for i in items {
        let text = if let Some(f) = &i.field_ref {
            fields::field(pod, &f.field_path, &node)?
        } else if let Some(r) = &i.resource_field_ref {
            let divisor = r.divisor.as_ref().map_or("", |d| d.0.as_str());
            fields::resource(
                pod,
                None,
                r.container_name.as_deref().unwrap_or(""),
                &r.resource,
                divisor,
                &node,
            )?
        } else {
            continue;
        };
        let mode = u32::try_from(i.mode.unwrap_or(default_mode)).unwrap_or(0o644);
        out.insert(i.path.clone(), File { data: text.into_bytes(), mode, user: None });
    }
    Ok(out)
}
