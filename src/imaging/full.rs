//! (full)
