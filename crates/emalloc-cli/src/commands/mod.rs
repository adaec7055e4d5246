//! The commands, one module each. Each has a `run` that writes its answer and says how it ended.

pub mod explain;
pub mod replay;
pub mod shell;
pub mod storages;
