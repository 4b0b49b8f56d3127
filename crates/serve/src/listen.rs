//! Listeners: TCP and Unix sockets.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// An address is taken or may not be bound. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(
        "address already in use: {0}: another process listens there; stop it (`ss -ltnp 'sport = :{port}'` shows it) \
         or choose another port",
        port = .0.port()
    )]
    InUse(SocketAddr),
    #[error("no permission to listen on {0}: ports below 1024 need root or CAP_NET_BIND_SERVICE")]
    Permission(SocketAddr),
    #[error("{0} is no address of this host: use one that `ip address` shows, or 0.0.0.0")]
    NotLocal(SocketAddr),
    #[error("cannot listen on {0}")]
    Tcp(SocketAddr, #[source] io::Error),
    #[error("cannot listen on socket {0}")]
    Unix(PathBuf, #[source] io::Error),
    #[error("another process listens on socket {0}: stop it or choose another path")]
    UnixInUse(PathBuf),
}

/// What a server accepts connections from.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Where a connection came from, or where a listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addr {
    Tcp(SocketAddr),
    Unix,
}

impl Addr {
    pub fn ip(&self) -> Option<std::net::IpAddr> {
        match self {
            Self::Tcp(a) => Some(a.ip()),
            Self::Unix => None,
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(a) => a.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(l: TcpListener) -> Self {
        Self::Tcp(l)
    }
}
impl From<UnixListener> for Listener {
    fn from(l: UnixListener) -> Self {
        Self::Unix(l)
    }
}

pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    /// Binds a TCP address; port 0 takes a free one.
    pub async fn bind(addr: SocketAddr) -> Result<Self, BindError> {
        match TcpListener::bind(addr).await {
            Ok(l) => Ok(Self::Tcp(l)),
            Err(e) => Err(match e.kind() {
                io::ErrorKind::AddrInUse => BindError::InUse(addr),
                io::ErrorKind::PermissionDenied => BindError::Permission(addr),
                io::ErrorKind::AddrNotAvailable => BindError::NotLocal(addr),
                _ => BindError::Tcp(addr, e),
            }),
        }
    }

    /// Binds a Unix socket; a socket file that nobody listens on any more is replaced.
    pub async fn bind_unix(path: &Path) -> Result<Self, BindError> {
        let err = |e| BindError::Unix(path.to_owned(), e);
        match UnixListener::bind(path) {
            Ok(l) => Ok(Self::Unix(l)),
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
                if UnixStream::connect(path).await.is_ok() {
                    return Err(BindError::UnixInUse(path.to_owned()));
                }
                std::fs::remove_file(path).map_err(err)?;
                UnixListener::bind(path).map(Self::Unix).map_err(err)
            }
            Err(e) => Err(err(e)),
        }
    }

    /// The bound TCP address.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(l) => l.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<(Stream, Addr)> {
        match self {
            Self::Tcp(l) => {
                let (s, a) = l.accept().await?;
                // Small frames (watch events) must not wait for an acknowledgement.
                if let Err(e) = s.set_nodelay(true) {
                    tracing::debug!(error = %e, "setting TCP_NODELAY");
                }
                Ok((Stream::Tcp(s), Addr::Tcp(a)))
            }
            Self::Unix(l) => {
                let (s, _) = l.accept().await?;
                Ok((Stream::Unix(s), Addr::Unix))
            }
        }
    }
}
