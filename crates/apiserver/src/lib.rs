//! kube-apiserver: the one entrance, and alone in touching the store.
