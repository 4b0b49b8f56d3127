//! Cluster DNS: the UDP and TCP loop around dnsplan.
