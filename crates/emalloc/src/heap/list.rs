//! Owns [`List`]: free small blocks of one class, each of which leads to the next. Used by all that takes free blocks or puts
//! them somewhere.
//!
//! The block that will be taken next is fetched ahead: its first word has to be read then, and the program writes to it
//! anyway. To do so without a test, the end of a list is no null but an odd address, which may be fetched as well: somewhere in
//! memory that is in use, best in the list itself. (Where no memory is, fetching takes as long as ten instructions.)

use core::cell::Cell;
use core::ptr;

use crate::sys;

/// A free small block: its first word leads to the next one.
#[repr(transparent)]
pub(super) struct FreeBlock {
    pub next: Cell<Link>,
}

/// Leads to a free block that is alive as long as it is free, or is the end of a list.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Link(*mut FreeBlock);

impl Link {
    /// The end of a list; what lies at `near`, an even address, is fetched there.
    pub const fn end(near: *const u8) -> Self {
        Self(near.cast_mut().wrapping_add(1).cast())
    }

    /// To a free block, whose address is even.
    #[inline(always)]
    pub fn to(block: *mut u8) -> Self {
        debug_assert!(!block.is_null() && block.addr().is_multiple_of(2));
        Self(block.cast())
    }

    /// To a free block, or the end if that is null.
    pub fn to_any(block: *mut u8, near: *const u8) -> Self {
        if block.is_null() {
            Self::end(near)
        } else {
            Self::to(block)
        }
    }

    #[inline(always)]
    pub fn is_end(self) -> bool {
        self.0.addr() & 1 != 0
    }

    /// The address of the block, or an odd one.
    #[inline(always)]
    pub fn addr(self) -> usize {
        self.0.addr()
    }

    /// The block that it leads to; null if it is the end.
    #[inline(always)]
    pub fn block(self) -> *mut u8 {
        if self.is_end() {
            return ptr::null_mut();
        }
        self.0.cast()
    }

    /// The block that it leads to, to go on from there; none at the end.
    #[inline(always)]
    pub fn node<'a>(self) -> Option<&'a FreeBlock> {
        if self.is_end() {
            return None;
        }
        // SAFETY: it leads to a free block, which has room and alignment for a node and is alive.
        Some(unsafe { &*self.0 })
    }

    /// Makes a free block at `block` that leads here.
    #[inline(always)]
    pub fn follow(self, block: *mut u8) -> Self {
        let next = Cell::new(self);
        // SAFETY: the block is not in use, and it has room and alignment for a node.
        unsafe { block.cast::<FreeBlock>().write(FreeBlock { next }) };
        Self::to(block)
    }
}

/// Free blocks of one class.
#[repr(transparent)]
pub(super) struct List {
    /// The block last put on it.
    pub head: Cell<Link>,
}

impl List {
    pub const fn new() -> Self {
        Self {
            head: Cell::new(Link::end(ptr::null())),
        }
    }

    /// Makes it empty, with its end in the list itself: so a list that is empty most of the time is fastest.
    pub fn clear(&self) {
        self.head.set(Link::end(ptr::from_ref(self).cast()));
    }

    /// What is on it; it is empty then.
    pub fn take(&self) -> Self {
        let head = self.head.clone();
        self.clear();
        Self { head }
    }

    /// Makes it hold what `other` holds.
    pub fn set(&self, other: Self) {
        self.head.set(other.head.get());
    }

    pub fn is_empty(&self) -> bool {
        self.head.get().is_end()
    }

    /// Puts a block on the list.
    #[inline(always)]
    pub fn push(&self, block: *mut u8) {
        self.head.set(self.head.get().follow(block));
    }

    /// Takes the block last put on the list; null if there is none.
    #[inline(always)]
    pub fn pop(&self) -> *mut u8 {
        let first = self.head.get();
        let Some(node) = first.node() else {
            return ptr::null_mut();
        };
        let next = node.next.get();
        self.head.set(next);
        sys::prefetch(next.0.cast());
        first.0.cast()
    }

    /// Puts on the list what follows the block of `size` bytes at `first`, as far as `bytes` from there go, so that it
    /// is handed out by rising address. Answers the bytes of all these blocks, the first one included.
    #[inline(always)]
    pub fn link(&self, first: *mut u8, size: usize, bytes: usize) -> usize {
        let write_to_next = |block: *mut u8| {
            let next = block.wrapping_add(size);
            Link::to(next).follow(block);
            next
        };
        let mut block = first.wrapping_add(size);
        if 2 * size <= bytes {
            let rest = self.head.replace(Link::to(block));
            // The last place where a block can begin.
            let last = first.wrapping_add(bytes - size);
            // Four at a time: there may be hundreds.
            while last.addr() - block.addr() >= 4 * size {
                for _ in 0..4 {
                    block = write_to_next(block);
                }
            }
            while block < last {
                block = write_to_next(block);
            }
            rest.follow(block);
            block = block.wrapping_add(size);
        }
        block.addr() - first.addr()
    }
}
