//! Markers and what they refuse.
