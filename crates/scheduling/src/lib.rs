//! The scheduling framework: queue, snapshot, and one file per plugin. Pure.
