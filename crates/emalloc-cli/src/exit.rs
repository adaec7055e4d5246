//! The exit codes, the same for every command. A later one outweighs an earlier one.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// All is well.
    Fine = 0,
    /// Something was found: a refusal, a failed check.
    Found = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Input cannot be read, or output not be written.
    Unreadable = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
