//! kube-apiserver: the one entrance to the cluster's state.
//!
//! [`ApiServer`] takes requests from the network ([`ApiServer::serve`]) and from components of the same process
//! ([`ApiServer::transport`]); both go the same way: [`chain`] (who, may they, not too many) → [`dispatch`] (which
//! resource, which verb) → [`read`], [`watch`], [`write`], [`delete`] over a [`storage::Storage`]. What a resource is,
//! the [`registry`] says; what is particular to a kind, `kinds` and the files of [`sub`].

pub mod admit;
pub mod aggregate;
pub mod alloc;
pub mod audit;
pub mod auth;
pub mod body;
pub mod bootstrap;
pub mod chain;
pub mod config;
pub mod connect;
pub mod crd;
pub mod custom;
pub mod cx;
pub mod delete;
pub mod discovery;
pub mod dispatch;
pub mod encode;
pub mod fair;
pub mod flags;
pub mod health;
pub mod hooks;
pub mod list;
pub mod lookup;
pub mod managed;
pub mod metrics;
pub mod negotiate;
pub mod nonresource;
pub mod object;
mod old;
pub mod openapi_docs;
pub mod options;
pub mod outside;
pub mod patching;
pub mod policy;
pub mod prepare;
pub mod query;
pub mod read;
pub mod registry;
pub mod request;
pub mod respond;
pub mod rules;
pub mod run;
pub mod select;
pub mod server;
pub mod sub;
mod swagger;
pub mod table;
pub mod transport;
mod upstream;
pub mod version;
pub mod watch;
pub mod webhooks;
pub mod write;

pub use config::Config;
pub use run::run;
pub use server::ApiServer;

/// A request that failed, as the client will see it.
pub type Failure = Box<meta::Status>;
pub type Result<T> = std::result::Result<T, Failure>;
