//! kube-controller-manager: one folder per controller, a pure plan and a thin loop.
