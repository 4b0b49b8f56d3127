//! TLS, HTTP/1.1 and HTTP/2 serving, with connection upgrades and graceful shutdown.
