//! `/swagger-ui/` (`--enable-swagger-ui`): a page that shows the API from its own description, and lets one read it.
//!
//! The page asks for `/openapi/v3` and what one clicks on with the credentials of whoever looks; it loads nothing from
//! anywhere else, and its policy forbids it to.

use crate::respond;
use crate::server::no_such_path;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderValue, Response, StatusCode};
use serve::Body;

const PAGE: &str = include_str!("swagger.html");
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The path as it was asked for.
pub fn serve(path: &str) -> crate::Result<Response<Body>> {
    match path {
        "/swagger-ui" => respond::redirect("/swagger-ui/"),
        "/swagger-ui/" | "/swagger-ui/index.html" => {
            let mut r = respond::bytes(StatusCode::OK, "text/html; charset=utf-8", PAGE);
            for (name, value) in [
                (CONTENT_SECURITY_POLICY, POLICY),
                (X_CONTENT_TYPE_OPTIONS, "nosniff"),
                (X_FRAME_OPTIONS, "DENY"),
                (CACHE_CONTROL, "no-cache"),
            ] {
                r.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            Ok(r)
        }
        _ => Ok(no_such_path()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_asks_nobody_else() {
        let r = serve("/swagger-ui/").unwrap_or_else(|_| panic!("no page"));
        assert_eq!(r.status(), StatusCode::OK);
        assert!(r.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("default-src 'none'"));
        for outside in ["http://", "https://", "src=", "@import", "innerHTML", "<link"] {
            assert!(!PAGE.contains(outside), "{outside}");
        }
    }

    #[test]
    fn other_paths() {
        let status = |p: &str| serve(p).map(|r| r.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(status("/swagger-ui"), StatusCode::MOVED_PERMANENTLY);
        assert_eq!(status("/swagger-ui/x"), StatusCode::NOT_FOUND);
    }
}
