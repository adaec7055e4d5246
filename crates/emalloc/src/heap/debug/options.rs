//! Owns [`Debug`]: what a heap in debug mode does.

use crate::layout::PAGE;

/// What happens after a report was given to the [`Handler`](crate::heap::Handler).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnError {
    /// The program goes on. What was wrong is undone as far as that can be, so it is reported once.
    #[default]
    Continue,
    /// The process ends with status 255.
    Exit,
    /// The process aborts.
    Abort,
}

/// How the blocks that are left over are reported when a heap is reset or dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeakFormat {
    /// In the original's text.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
    /// Not at all, unless the handler does.
    Silent,
}

/// The settings of debug mode: what is put around and into blocks, how long freed ones are held back, what
/// happens when something is found.
///
/// ```
/// use emalloc::heap::{Debug, Heap, OnError};
/// let debug = Debug::new().guards(32).quarantine(4 << 20).on_error(OnError::Abort);
/// let heap = Heap::builder().debug(debug).build()?;
/// let block = heap.allocate(100);
/// // SAFETY: the block is alive.
/// assert_eq!(unsafe { heap.usable_size(block) }, Ok(100), "what was asked for");
/// # unsafe { heap.free(block) };
/// # Ok::<(), emalloc::heap::HeapError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Debug {
    pub(in crate::heap) guards: usize,
    pub(in crate::heap) fill: Option<u8>,
    pub(in crate::heap) free_fill: Option<u8>,
    pub(in crate::heap) quarantine: usize,
    pub(in crate::heap) quarantine_blocks: usize,
    pub(in crate::heap) check_every: usize,
    pub(in crate::heap) guard_pages: bool,
    pub(in crate::heap) on_error: OnError,
    pub(in crate::heap) leaks: LeakFormat,
    pub(in crate::heap) script: &'static str,
}

impl Default for Debug {
    fn default() -> Self {
        Self::new()
    }
}

impl Debug {
    /// The defaults: as said with each setting.
    pub const fn new() -> Self {
        Self {
            guards: 16,
            fill: Some(0xAA),
            free_fill: Some(0x5A),
            quarantine: 1 << 20,
            quarantine_blocks: 4096,
            check_every: 0,
            guard_pages: false,
            on_error: OnError::Continue,
            leaks: LeakFormat::Text,
            script: "-",
        }
    }

    /// The most bytes a guard can have: no more than a page of it is written and looked at.
    pub const MAX_GUARDS: usize = PAGE;

    /// Bytes of a guard on each side of a block, at least; 16. More than [`MAX_GUARDS`](Self::MAX_GUARDS) are refused when
    /// the heap is made.
    pub const fn guards(mut self, bytes: usize) -> Self {
        self.guards = bytes;
        self
    }

    /// What a new block is filled with; 0xAA. `None`: it holds what it held.
    pub const fn fill(mut self, byte: Option<u8>) -> Self {
        self.fill = byte;
        self
    }

    /// What a freed block is filled with; 0x5A, as in the original. `None`: nothing, and writes after a free are not found.
    pub const fn free_fill(mut self, byte: Option<u8>) -> Self {
        self.free_fill = byte;
        self
    }

    /// How many bytes of freed blocks are held back before they are used again; 1M. 0: none.
    pub const fn quarantine(mut self, bytes: usize) -> Self {
        self.quarantine = bytes;
        self
    }

    /// How many freed blocks are held back; 4096.
    pub const fn quarantine_blocks(mut self, blocks: usize) -> Self {
        self.quarantine_blocks = blocks;
        self
    }

    /// After so many operations all blocks are checked; 0, for never.
    pub const fn check_every(mut self, operations: usize) -> Self {
        self.check_every = operations;
        self
    }

    /// Whether each block ends at a page that nobody can touch, and blocks held back cannot be touched at all: the
    /// processor stops whoever does. Off. A block then takes three pages or more.
    ///
    /// Where the system does not do it (more than it allows, or no system), a block has its guards only:
    /// [`DebugFigures::unguarded`](crate::heap::DebugFigures) counts those.
    pub const fn guard_pages(mut self, on: bool) -> Self {
        self.guard_pages = on;
        self
    }

    /// What happens after a report; the program goes on.
    pub const fn on_error(mut self, then: OnError) -> Self {
        self.on_error = then;
        self
    }

    /// How leaks are reported; in the original's text.
    pub const fn leaks(mut self, format: LeakFormat) -> Self {
        self.leaks = format;
        self
    }

    /// The program's name in reports (`script=…`); `-`.
    pub const fn script(mut self, name: &'static str) -> Self {
        self.script = name;
        self
    }
}
