//! Discovery and OpenAPI documents, derived from the facts table and from custom resource schemas.
