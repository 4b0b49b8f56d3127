//! Certificates, keys, kubeconfigs and data directory of a cluster.
