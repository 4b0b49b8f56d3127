//! Tests of typed calls against the server in memory.

use super::*;
use crate::fake::FakeApi;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Preconditions};
use serde_json::json;

fn map(ns: &str, name: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.into()), namespace: Some(ns.into()), ..ObjectMeta::default() },
        ..ConfigMap::default()
    }
}

#[tokio::test]
async fn create_read_update_delete() {
    let api = FakeApi::new();
    let c = Client::new(Arc::new(api.clone()));
    let mut made = c.create(&map("ns", "a")).await.unwrap();
    assert!(c.create(&map("ns", "a")).await.unwrap_err().is_already_exists());
    let stale = made.clone();
    made.data = Some([("k".to_owned(), "v".to_owned())].into());
    c.replace(&made).await.unwrap();
    assert!(c.replace(&stale).await.unwrap_err().is_conflict());
    let p = json!({"data": {"k": null, "l": "w"}});
    let patched: ConfigMap = c.patch(Some("ns"), "a", "", PatchKind::Merge, &p).await.unwrap();
    assert_eq!(patched.data, Some([("l".to_owned(), "w".to_owned())].into()));
    c.create(&map("other", "a")).await.unwrap();
    let all: Vec<ConfigMap> = c.list(None, &ListParams::default()).await.unwrap();
    assert_eq!(all.len(), 2);
    let one = ListParams { field_selector: "metadata.namespace=ns".into(), ..ListParams::default() };
    assert_eq!(c.list::<ConfigMap>(None, &one).await.unwrap().len(), 1);
    let wrong = DeleteOptions {
        preconditions: Some(Preconditions { uid: Some("x".into()), ..Preconditions::default() }),
        ..DeleteOptions::default()
    };
    assert!(c.delete::<ConfigMap>(Some("ns"), "a", &wrong).await.unwrap_err().is_conflict());
    c.delete::<ConfigMap>(Some("ns"), "a", &DeleteOptions::default()).await.unwrap();
    let e = c.get::<ConfigMap>(Some("ns"), "a").await.unwrap_err();
    assert_eq!(e.to_string(), "configmaps \"a\" not found");
    assert!(matches!(c.get::<Namespace>(None, "").await, Err(Error::Config(_))));
}

#[tokio::test]
async fn conflicts_are_tried_again() {
    let api = FakeApi::new();
    let c = Client::new(Arc::new(api.clone()));
    c.create(&map("ns", "a")).await.unwrap();
    let left = Arc::new(std::sync::atomic::AtomicI32::new(3));
    api.react(move |r| {
        let n = left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
        (r.method() == Method::PUT && n > 0).then(|| meta::Status::failure(meta::Reason::Conflict, "no"))
    });
    crate::retry_on_conflict(|| async {
        let m: ConfigMap = c.get(Some("ns"), "a").await?;
        c.replace(&m).await
    })
    .await
    .unwrap();
}

#[test]
fn answers_without_a_status() {
    let mut h = http::HeaderMap::new();
    h.insert("retry-after", http::HeaderValue::from_static("7"));
    let Error::Status(s) = failure(StatusCode::SERVICE_UNAVAILABLE, &h, b" proxy down\n") else { panic!() };
    assert_eq!(
        (s.message.as_str(), s.code, s.details.unwrap().retry_after_seconds),
        ("the server is currently unable to handle the request (proxy down)", 503, 7)
    );
    let e = failure(StatusCode::NOT_FOUND, &http::HeaderMap::new(), b"");
    assert!(e.is_not_found());
    assert_eq!(e.to_string(), "the server could not find the requested resource");
}
