//! What several test files need: a plain [`Model`] of a heap, ways to set heaps up, ways to look inside them.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod model;
pub mod probe;
