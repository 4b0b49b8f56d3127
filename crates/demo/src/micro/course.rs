//! `course`: what is taught. `GET /courses`, `GET /courses/ID`, `POST /courses/ID/join` with `user=NAME`. The list is a
//! file of lines `ID TITLE` (`COURSES`); users are asked of `user`, and told by `message`.

use super::{ask, common, good_name, port};
use crate::http::{self, Answer, Request, quoted};
use std::sync::Arc;

const LIST: &str = "containers Containers from the inside\nclusters A cluster by hand\n";

pub fn run(args: &[String]) -> Result<(), String> {
    http::listen(port(args)?, "course", Arc::new(|r| answer(&list(), r)))
}

/// Read at each request: a ConfigMap's file follows its object.
fn list() -> String {
    std::env::var("COURSES")
        .ok()
        .and_then(|p| std::fs::read_to_string(p).ok())
        .unwrap_or_else(|| LIST.to_owned())
}

fn answer(list: &str, r: &Request) -> Answer {
    let path = r.path();
    if let Some(a) = common("course", path) {
        return a;
    }
    let courses: Vec<(&str, &str)> = list.lines().filter_map(|l| l.trim().split_once(' ')).collect();
    let shown = |(id, title): &(&str, &str)| {
        format!(
            "{{\"id\":{},\"title\":{},\"version\":{}}}",
            quoted(id),
            quoted(title),
            quoted(crate::version())
        )
    };
    if path == "/courses" {
        return Answer::json(200, format!("[{}]\n", courses.iter().map(shown).collect::<Vec<_>>().join(",")));
    }
    let Some(rest) = path.strip_prefix("/courses/") else {
        return Answer::error(404, "GET /courses, GET /courses/ID, POST /courses/ID/join");
    };
    let (id, action) = rest.split_once('/').unwrap_or((rest, ""));
    let Some(course) = courses.iter().find(|(i, _)| *i == id) else {
        return Answer::error(404, &format!("no course {id}"));
    };
    match (r.method.as_str(), action) {
        ("GET", "") => Answer::json(200, shown(course) + "\n"),
        ("POST", "join") => join(course, &r.field("user").unwrap_or_default()),
        _ => Answer::error(404, "GET /courses/ID or POST /courses/ID/join"),
    }
}

fn join((id, title): &(&str, &str), user: &str) -> Answer {
    if !good_name(user) {
        return Answer::error(400, "user=… is missing");
    }
    match ask("user", "GET", &format!("/users/{user}"), b"") {
        Ok((200, _)) => {}
        Ok((404, _)) => return Answer::error(404, &format!("{user} is not registered")),
        Ok((s, _)) => return Answer::error(502, &format!("user answered {s}")),
        Err(e) => return Answer::error(502, &e),
    }
    let text = format!("to={user}&text=welcome+to:+{}", title.replace(' ', "+"));
    match ask("message", "POST", "/messages", text.as_bytes()) {
        Ok((201, _)) => {
            Answer::json(201, format!("{{\"user\":{},\"course\":{}}}\n", quoted(user), quoted(id)))
        }
        Ok((s, _)) => Answer::error(502, &format!("message answered {s}")),
        Err(e) => Answer::error(502, &e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn courses_are_listed_and_found() {
        let get = |target: &str| {
            let r = Request {
                method: "GET".into(),
                target: target.into(),
                body: Vec::new(),
                client: String::new(),
            };
            let a = answer(LIST, &r);
            (a.status, a.body)
        };
        assert!(get("/courses").1.contains("\"id\":\"clusters\""));
        assert_eq!(get("/courses/clusters?x=1").0, 200);
        assert_eq!(get("/courses/none").0, 404);
        assert_eq!(get("/healthz").0, 200);
        assert_eq!(get("/else").0, 404);
    }
}
