//! kube-scheduler: the thin loop around the scheduling framework.
