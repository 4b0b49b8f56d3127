//! The applet `kube-apiserver`.

use crate::notify::Notify;
use runtime::Runtime;
use std::process::ExitCode;

pub fn main(args: Vec<String>) -> ExitCode {
    crate::block_on(async {
        let rt = Runtime::new();
        let signals = rt.clone();
        rt.spawn_until_stop("signals", async move {
            runtime::tasks::terminated().await;
            Notify::from_env().stopping();
            signals.stop_token().cancel();
        });
        let ready = rt.ready.clone();
        rt.spawn_until_stop("notify", async move {
            // The last of the objects that the API server makes by itself.
            ready.wait_for("apiserver/autoregister-completion").await;
            Notify::from_env().ready();
        });
        apiserver::run(args, rt).await
    })
}
