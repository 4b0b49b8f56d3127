//! Telling a supervisor how things stand: systemd's protocol (`sd_notify`), over the socket in `NOTIFY_SOCKET`.

use std::os::unix::net::UnixDatagram;

/// The supervisor, when there is one.
pub struct Notify(Option<(UnixDatagram, String)>);

impl Notify {
    pub fn from_env() -> Self {
        let path = std::env::var("NOTIFY_SOCKET").unwrap_or_default();
        Self(UnixDatagram::unbound().ok().filter(|_| !path.is_empty()).map(|s| (s, path)))
    }
    fn send(&self, text: &str) {
        let Some((socket, path)) = &self.0 else { return };
        let sent = match path.strip_prefix('@') {
            // An abstract name, as systemd uses in user managers.
            Some(name) => {
                use std::os::linux::net::SocketAddrExt;
                std::os::unix::net::SocketAddr::from_abstract_name(name)
                    .and_then(|a| socket.send_to_addr(text.as_bytes(), &a))
            }
            None => socket.send_to(text.as_bytes(), path),
        };
        if let Err(e) = sent {
            tracing::debug!("the supervisor cannot be told: {e}");
        }
    }
    /// What is being done now, for people.
    pub fn status(&self, what: &str) {
        tracing::info!("{what}");
        self.send(&format!("STATUS={what}\n"));
    }
    pub fn ready(&self) {
        self.send("READY=1\nSTATUS=ready\n");
    }
    pub fn stopping(&self) {
        self.send("STOPPING=1\n");
    }
}
