//! `gateway`: the one door. `/api/users…`, `/api/courses…` and `/api/messages…` go to the services behind; `/` says who
//! is there.

use super::{ask, common, port};
use crate::http::{self, Answer, Request};
use std::sync::Arc;

/// The first word of a path, and whose it is.
const ROUTES: [(&str, &str); 3] = [("users", "user"), ("courses", "course"), ("messages", "message")];

pub fn run(args: &[String]) -> Result<(), String> {
    http::listen(port(args)?, "gateway", Arc::new(answer))
}

fn route(path: &str) -> Option<&'static str> {
    let word = path.strip_prefix("/api/")?.split('/').next()?;
    ROUTES.iter().find(|(w, _)| *w == word).map(|(_, s)| *s)
}

fn answer(r: &Request) -> Answer {
    let path = r.path();
    if path == "/" {
        let mut text = format!("gateway {} {}\n", crate::version(), crate::tools::host_name());
        for (_, service) in ROUTES {
            text += &ask(service, "GET", "/version", b"").map_or_else(|e| format!("{e}\n"), |(_, t)| t);
        }
        return Answer::text(text);
    }
    if let Some(a) = common("gateway", path) {
        return a;
    }
    let Some(service) = route(path) else {
        return Answer::error(404, "/, /api/users, /api/courses, /api/messages");
    };
    let target = r.target.strip_prefix("/api").unwrap_or("/");
    match ask(service, &r.method, target, &r.body) {
        Ok((status, body)) => Answer::json(status, body),
        Err(e) => Answer::error(502, &e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::micro::{store::Store, user};

    #[test]
    fn routes() {
        assert_eq!(route("/api/users"), Some("user"));
        assert_eq!(route("/api/courses/x/join"), Some("course"));
        for none in ["/", "/api/", "/api/usersx", "/users"] {
            assert_eq!(route(none), None, "{none}");
        }
    }

    #[test]
    fn users_are_registered_once() {
        let dir = std::env::temp_dir().join(format!("demo-user-{}", std::process::id()));
        let store = Store::open(&dir.join("users")).unwrap();
        let send = |method: &str, target: &str, body: &str| {
            let r = Request {
                method: method.into(),
                target: target.into(),
                body: body.into(),
                client: String::new(),
            };
            user::answer(&store, &r).status
        };
        assert_eq!(send("POST", "/users", "name=ann"), 201);
        assert_eq!(send("POST", "/users?name=ann", ""), 409);
        assert_eq!(send("POST", "/users", "name=a/b"), 400);
        assert_eq!(send("GET", "/users/ann", ""), 200);
        assert_eq!(send("GET", "/users/bob", ""), 404);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
