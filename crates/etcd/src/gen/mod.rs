//! The wire, generated.

pub mod authpb;
pub mod etcdserverpb;
pub mod mvccpb;
