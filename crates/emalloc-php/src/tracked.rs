//! Owns [`Tracked`]: the system's malloc with every block noted, so that the limit holds, figures are true and the end of
//! a script frees what it left. (`USE_ZEND_ALLOC=0 USE_TRACKED_ALLOC=1`; meant for sanitizers and fuzzing)

use alloc::collections::BTreeMap;
use core::cell::{Cell, RefCell};
use core::ffi::c_void;
use core::ptr;

use emalloc::heap::AllocError;
use emalloc::sys;

use crate::current::started;
use crate::handlers::Handlers;
use crate::persistent::{__zend_malloc, __zend_realloc};
use crate::record::Record;
use crate::refusal::{BEYOND, Kind, say, tell, zend_alloc_in_memory_limit_error_reporting};

/// The live blocks, with the size that was asked for.
#[derive(Default)]
pub struct Tracked {
    blocks: RefCell<BTreeMap<usize, usize>>,
    usage: Cell<usize>,
    peak: Cell<usize>,
    /// So many more allocations until one is treated as if it were beyond the limit; 0: never.
    allocations_left: Cell<u64>,
    ran_out: Cell<bool>,
}

impl Tracked {
    /// The handlers that note everything in the current record.
    pub const HANDLERS: Handlers = Handlers {
        malloc: Some(allocate),
        free: Some(release),
        realloc: Some(resize),
    };

    /// Bytes asked for and not freed.
    pub fn usage(&self) -> usize {
        self.usage.get()
    }

    /// The most there were.
    pub fn peak(&self) -> usize {
        self.peak.get()
    }

    pub fn reset_peak(&self) {
        self.peak.set(self.usage.get());
    }

    /// Whether a block begins at `address`.
    pub fn holds(&self, address: usize) -> bool {
        self.blocks.borrow().contains_key(&address)
    }

    /// Lets the `most`-th allocation from now be treated as if it were beyond the limit; 0: none.
    pub fn set_most(&self, most: u64) {
        self.allocations_left.set(most);
        self.ran_out.set(false);
    }

    /// Whether that has happened.
    pub fn ran_out(&self) -> bool {
        self.ran_out.get()
    }

    /// Forgets all blocks, and frees them if their owners did not want to.
    ///
    /// # Safety
    /// With `free`, none of them is used any more.
    pub unsafe fn clear(&self, free: bool) {
        for (block, _) in self.blocks.take() {
            if free {
                // SAFETY: the block is the system's, was not freed, and the caller says that nobody uses it.
                unsafe { libc::free(ptr::with_exposed_provenance_mut(block)) };
            }
        }
        self.usage.set(0);
    }

    fn enter(&self, block: *mut c_void, size: usize) {
        self.blocks
            .borrow_mut()
            .insert(block.expose_provenance(), size);
        self.usage.set(self.usage.get() + size);
        self.peak.set(self.peak.get().max(self.usage.get()));
    }

    /// Takes a block out. One that is not there ends the process: it is not of this allocator.
    fn leave(&self, block: *mut c_void) -> usize {
        let size = self.blocks.borrow_mut().remove(&block.addr());
        let Some(size) = size else {
            say(&"Trying to free pointer not allocated through ZendMM");
            sys::abort()
        };
        self.usage.set(self.usage.get() - size);
        size
    }

    /// Whether this allocation is the one to be treated as if it were beyond the limit.
    fn counts_out(&self) -> bool {
        let left = self.allocations_left.get();
        self.allocations_left.set(left.saturating_sub(1));
        self.ran_out.set(self.ran_out.get() || left == 1);
        left == 1
    }
}

/// Whether `more` bytes may be in use on top. Nothing is borrowed: PHP may jump out.
fn may_use(record: &Record, tracked: &Tracked, more: usize) -> bool {
    let beyond = |limit: usize| tracked.usage().saturating_add(more) > limit;
    let over = beyond(record.limit()) && !zend_alloc_in_memory_limit_error_reporting();
    if !over && !tracked.counts_out() {
        return true;
    }
    let error = AllocError::Limit {
        limit: record.limit(),
        held: tracked.usage(),
        requested: more,
    };
    if tell(Kind::Limit, record.fallible(), &error) != BEYOND {
        return false;
    }
    let hard = record.hard_limit();
    if beyond(hard) {
        let text = format_args!(
            "Hard memory limit of {hard} bytes exhausted (tried to allocate {more} bytes)"
        );
        tell(Kind::HardLimit, record.fallible(), &text);
        return false;
    }
    true
}

/// The current record and its blocks.
fn current<'a>() -> (&'a Record, &'a Tracked) {
    let record = started();
    let Some(tracked) = record.tracked() else {
        // Only somebody who took these handlers for another heap comes here.
        say(&"the current heap does not track its blocks");
        sys::abort()
    };
    (record, tracked)
}

extern "C" fn allocate(size: usize) -> *mut c_void {
    let (record, tracked) = current();
    if !may_use(record, tracked, size) {
        return ptr::null_mut();
    }
    // The least size is 1, so that each block has an address of its own.
    let block = __zend_malloc(size.max(1));
    tracked.enter(block, size);
    block
}

unsafe extern "C" fn release(block: *mut c_void) {
    if block.is_null() {
        return;
    }
    current().1.leave(block);
    // SAFETY: the block is the system's, and the caller uses it no more.
    unsafe { libc::free(block) };
}

unsafe extern "C" fn resize(block: *mut c_void, size: usize) -> *mut c_void {
    if block.is_null() {
        return allocate(size);
    }
    let (record, tracked) = current();
    let old = tracked.blocks.borrow().get(&block.addr()).copied();
    let more = size.saturating_sub(old.unwrap_or(0));
    if more > 0 && !may_use(record, tracked, more) {
        return ptr::null_mut();
    }
    tracked.leave(block);
    // SAFETY: the block is the system's, and the caller uses the old pointer no more.
    let block = unsafe { __zend_realloc(block, size.max(1)) };
    tracked.enter(block, size);
    block
}
