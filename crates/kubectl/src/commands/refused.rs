//! What upstream's kubectl has and this one has not: each says so, and what to do instead.

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::Flag;

super::commands! {
    "kustomize" "DIR"
        "Build a kustomization target from a directory or URL"
        "kustomize build DIR | kubectl apply -f -"
        NONE, kustomize;
    "kuberc" ""
        "Manage kuberc configuration files"
        ""
        NONE, kuberc;
    "plugin" ""
        "Provides utilities for interacting with plugins"
        ""
        NONE, plugin;
    "alpha" ""
        "Commands for features in alpha"
        ""
        NONE, alpha;
}

const NONE: &[Flag] = &[];

async fn refuse(what: &str, instead: &str) -> Result<(), Error> {
    Err(Error::plain(format!("{what} is not part of this kubectl; {instead}")))
}
pub async fn kustomize(_: Cx) -> Result<(), Error> {
    refuse("kustomize", "build with the kustomize program and pipe the result to \"kubectl apply -f -\"")
        .await
}
pub async fn kuberc(_: Cx) -> Result<(), Error> {
    refuse("kuberc", "give the flags on the command line, or use an alias of your shell").await
}
pub async fn plugin(_: Cx) -> Result<(), Error> {
    refuse("plugin", "run the plugin's program (kubectl-NAME) itself").await
}
pub async fn alpha(_: Cx) -> Result<(), Error> {
    refuse("alpha", "it has no commands").await
}
