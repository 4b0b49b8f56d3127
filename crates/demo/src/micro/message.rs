//! `message`: tells people things. `POST /messages` with `to=NAME&text=…` writes a line to the log, which is where
//! this service's letter box is; `GET /messages` says how many there were.

use super::{common, good_name, port};
use crate::http::{self, Answer, Request, quoted};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

static SENT: AtomicU64 = AtomicU64::new(0);

pub fn run(args: &[String]) -> Result<(), String> {
    http::listen(port(args)?, "message", Arc::new(answer))
}

fn answer(r: &Request) -> Answer {
    let path = r.path();
    if let Some(a) = common("message", path) {
        return a;
    }
    match (r.method.as_str(), path) {
        ("GET", "/messages") => {
            let host = quoted(&crate::tools::host_name());
            Answer::json(200, format!("{{\"sent\":{},\"by\":{host}}}\n", SENT.load(Ordering::Relaxed)))
        }
        ("POST", "/messages") => {
            let (to, text) = (r.field("to").unwrap_or_default(), r.field("text").unwrap_or_default());
            if !good_name(&to) || text.is_empty() {
                return Answer::error(400, "to=NAME&text=… is wanted");
            }
            println!("message to {to}: {}", quoted(&text));
            Answer::json(201, format!("{{\"number\":{}}}\n", SENT.fetch_add(1, Ordering::Relaxed) + 1))
        }
        _ => Answer::error(404, "GET /messages, POST /messages"),
    }
}
