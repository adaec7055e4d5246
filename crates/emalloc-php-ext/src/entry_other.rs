//! Owns the entry of a function where nobody has written down how it reads: it stays as it is.

use std::io;

pub const LOOKED_AT: usize = 1;

pub fn with_jump(
    _code: [u8; LOOKED_AT],
    _size: usize,
    _target: usize,
    _leads_away: impl Fn(usize) -> bool,
    _at: usize,
) -> Result<[u8; LOOKED_AT], &'static str> {
    Err("that is not known for this system")
}

pub struct Writer;

impl Writer {
    pub fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// # Safety
    /// None is needed: nothing is written.
    pub unsafe fn write(&self, _at: usize, _code: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
