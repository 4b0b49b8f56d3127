//! Verifiers of a request's identity: certificates, bearer tokens, service accounts; issuing of tokens.
