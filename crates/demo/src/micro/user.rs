//! `user`: who is registered. `GET /users`, `GET /users/NAME`, `POST /users` with `name=NAME`. Kept in `DATA`.

use super::store::Store;
use super::{common, good_name, port};
use crate::http::{self, Answer, Request, quoted};
use std::path::PathBuf;
use std::sync::Arc;

pub fn run(args: &[String]) -> Result<(), String> {
    let dir = PathBuf::from(std::env::var("DATA").unwrap_or_else(|_| "/data".to_owned()));
    let store = Store::open(&dir.join("users"))?;
    println!("{} users in {}", store.keys().len(), dir.display());
    http::listen(port(args)?, "user", Arc::new(move |r| answer(&store, r)))
}

pub fn answer(store: &Store, r: &Request) -> Answer {
    let path = r.path();
    if let Some(a) = common("user", path) {
        return a;
    }
    match (r.method.as_str(), path, path.strip_prefix("/users/")) {
        ("GET", "/users", _) => {
            let names: Vec<String> = store.keys().iter().map(|n| quoted(n)).collect();
            Answer::json(200, format!("[{}]\n", names.join(",")))
        }
        ("GET", _, Some(name)) => match store.get(name) {
            Some(since) => {
                Answer::json(200, format!("{{\"name\":{},\"since\":{}}}\n", quoted(name), quoted(&since)))
            }
            None => Answer::error(404, &format!("no user {name}")),
        },
        ("POST", "/users", _) => {
            let name = r.field("name").unwrap_or_default();
            if !good_name(&name) {
                return Answer::error(400, "name=… wants letters, digits, - and _, 32 at most");
            }
            let since = std::time::SystemTime::UNIX_EPOCH.elapsed().map(|d| d.as_secs()).unwrap_or(0);
            match store.add(&name, &since.to_string()) {
                Ok(true) => Answer::json(201, format!("{{\"name\":{}}}\n", quoted(&name))),
                Ok(false) => Answer::error(409, &format!("{name} is registered already")),
                Err(e) => Answer::error(503, &e),
            }
        }
        _ => Answer::error(404, "GET /users, GET /users/NAME, POST /users"),
    }
}
