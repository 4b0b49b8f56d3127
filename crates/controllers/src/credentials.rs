//! A service account for each controller (`--use-service-account-credentials`), with tokens asked for and renewed.

use crate::config::ClientFor;
use bytes::Bytes;
use client::config::Auth;
use client::raw::{Body, RawList, RawStream};
use client::{Client, Config, Error, HttpTransport, ListWatch, Transport};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::ServiceAccount;
use runtime::Runtime;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Mutex as Turn;

const NAMESPACE: &str = "kube-system";
/// Of a token, in seconds; it is exchanged when a fifth of that is left.
const LIFE: i64 = 3600;

/// Clients by account. One that acts for an account asks for its token when it is first needed.
pub fn per_account(own: Client, connection: Config, rt: &Runtime) -> ClientFor {
    let made: Mutex<HashMap<String, Client>> = Mutex::default();
    let rt = rt.clone();
    Arc::new(move |account| {
        if account.is_empty() {
            return own.clone();
        }
        let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let t = Account {
                own: own.clone(),
                connection: connection.clone(),
                name: account.to_owned(),
                current: Turn::new(None),
                rt: rt.clone(),
            };
            Client::new(Arc::new(t)).named(account)
        };
        made.entry(account.to_owned()).or_insert_with(make).clone()
    })
}

struct Account {
    own: Client,
    connection: Config,
    name: String,
    /// The transport with a token, and when to have a new one, in Unix seconds.
    current: Turn<Option<(Arc<HttpTransport>, i64)>>,
    rt: Runtime,
}

impl Account {
    async fn transport(&self) -> Result<Arc<HttpTransport>, Error> {
        let mut current = self.current.lock().await;
        let now = self.rt.clock.unix_seconds();
        if let Some((t, until)) = &*current
            && now < *until
        {
            return Ok(t.clone());
        }
        let token = self.token().await?;
        let config = Config { auth: Auth::Token(token), client_cert: None, ..self.connection.clone() };
        let made = Arc::new(HttpTransport::new(config, &self.rt)?);
        *current = Some((made.clone(), now + LIFE * 4 / 5));
        Ok(made)
    }

    async fn token(&self) -> Result<String, Error> {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{}/token", self.name);
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": LIFE}});
        let ask = async || self.own.request(http::Method::POST, &path, Some(&body)).await;
        let answer = match ask().await {
            Err(e) if e.is_not_found() => {
                self.make().await?;
                ask().await?
            }
            other => other?,
        };
        let token = answer.pointer("/status/token").and_then(Value::as_str);
        token.map(str::to_owned).ok_or_else(|| Error::Config(format!("no token came for {}", self.name)))
    }

    async fn make(&self) -> Result<(), Error> {
        let mut account = ServiceAccount::default();
        account.metadata.name = Some(self.name.clone());
        account.metadata.namespace = Some(NAMESPACE.into());
        match self.own.create(&account).await {
            Err(e) if !e.is_already_exists() => Err(e),
            _ => Ok(()),
        }
    }
}

impl Transport for Account {
    fn call(&self, req: http::Request<Bytes>) -> BoxFuture<'_, Result<http::Response<Body>, Error>> {
        Box::pin(async move { self.transport().await?.call(req).await })
    }
    fn list(&self, what: ListWatch) -> BoxFuture<'_, Result<RawList, Error>> {
        Box::pin(async move { self.transport().await?.list(what).await })
    }
    fn watch(&self, what: ListWatch, rv: u64) -> BoxFuture<'_, Result<RawStream, Error>> {
        Box::pin(async move { self.transport().await?.watch(what, rv).await })
    }
}
