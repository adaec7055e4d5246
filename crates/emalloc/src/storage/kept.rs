//! What `cached` keeps: freed memory in a list whose nodes are its own first bytes, the last
//! freed in front. Also how much of it to let go, and when. Used by `cached.rs` only.

use core::ptr::{self, NonNull};

/// Entries that a search looks at before it gives up.
const SEARCH: usize = 32;

/// The first bytes of a kept piece.
pub(super) struct Node {
    pub(super) next: *mut Node,
    prev: *mut Node,
    pub(super) size: usize,
    /// The alignment it was granted with; it goes back with the same.
    pub(super) align: usize,
}

impl Node {
    /// Whether a piece has room for a node.
    pub(super) fn fits(start: NonNull<u8>, size: usize) -> bool {
        size >= size_of::<Self>() && start.cast::<Self>().is_aligned()
    }
}

/// What a search looks for.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub(super) size: usize,
    pub(super) align: usize,
    /// A piece that is up to a quarter larger is welcome, as it can be cut.
    pub(super) may_cut: bool,
}

impl Wanted {
    const fn is_near(self, size: usize) -> bool {
        self.may_cut && size > self.size && size - self.size <= self.size / 4
    }
}

/// The list. Every node in it is this list's alone to read and write.
#[derive(Debug)]
pub(super) struct Kept {
    head: *mut Node,
    tail: *mut Node,
    bytes: usize,
    /// The fewest bytes there were since the last decay: that much nobody needed.
    low: usize,
    decayed: u64,
}

// SAFETY: the nodes belong to the list and go where it goes.
unsafe impl Send for Kept {}

impl Kept {
    pub(super) const fn new() -> Self {
        Self {
            head: ptr::null_mut(),
            tail: ptr::null_mut(),
            bytes: 0,
            low: 0,
            decayed: 0,
        }
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts a piece in front.
    ///
    /// # Safety
    /// A whole grant with the size and alignment it is to be freed with, nobody's, with room for a node.
    pub(super) unsafe fn put(&mut self, start: NonNull<u8>, size: usize, align: usize) {
        let node: *mut Node = start.as_ptr().cast();
        let described = Node {
            next: self.head,
            prev: ptr::null_mut(),
            size,
            align,
        };
        // SAFETY: the caller's piece has room for a node.
        unsafe { node.write(described) };
        if self.head.is_null() {
            self.tail = node;
        } else {
            // SAFETY: a node of the list.
            unsafe { (*self.head).prev = node };
        }
        self.head = node;
        self.bytes += size;
    }

    /// Takes a piece that fits, with its size: the warmest of the very size among the first few, else the
    /// warmest that can be cut.
    pub(super) fn take(&mut self, wanted: Wanted) -> Option<(NonNull<u8>, usize)> {
        let mut near = None;
        let mut at = self.head;
        for _ in 0..SEARCH {
            let Some(node) = NonNull::new(at) else { break };
            // SAFETY: a node of the list.
            let entry = unsafe { node.as_ref() };
            if entry.align == wanted.align {
                if entry.size == wanted.size {
                    near = Some(node);
                    break;
                }
                if near.is_none() && wanted.is_near(entry.size) {
                    near = Some(node);
                }
            }
            at = entry.next;
        }
        let node = near?;
        Some((node.cast(), self.unlink(node)))
    }

    /// Empties the list. Answers its nodes, chained by `next`.
    pub(super) fn take_all(&mut self) -> *mut Node {
        let chain = self.head;
        self.head = ptr::null_mut();
        self.tail = ptr::null_mut();
        self.bytes = 0;
        self.low = 0;
        chain
    }

    /// Takes half of what nobody needed out at the cold end, if the last time is `interval`
    /// milliseconds ago (twice the interval: half of the other half too, and so on).
    /// Answers the nodes, chained by `next`.
    pub(super) fn decay(&mut self, now: u64, interval: u64) -> *mut Node {
        self.low = self.low.min(self.bytes);
        let halvings = now.saturating_sub(self.decayed) / interval.max(1);
        let mut chain = ptr::null_mut();
        if halvings == 0 {
            return chain;
        }
        self.decayed = now;
        let keep = u32::try_from(halvings)
            .ok()
            .and_then(|halvings| self.low.checked_shr(halvings))
            .unwrap_or(0);
        let mut spare = self.low;
        while let Some(node) = NonNull::new(self.tail) {
            // SAFETY: a node of the list.
            let size = unsafe { node.as_ref() }.size;
            if spare <= keep || size > spare {
                break;
            }
            spare -= size;
            self.unlink(node);
            // SAFETY: out of the list, so nobody else's.
            unsafe { (*node.as_ptr()).next = chain };
            chain = node.as_ptr();
        }
        self.low = self.bytes;
        chain
    }

    /// Takes a node of the list out of it. Answers its size.
    fn unlink(&mut self, node: NonNull<Node>) -> usize {
        // SAFETY: a node of the list.
        let Node {
            next, prev, size, ..
        } = unsafe { node.read() };
        if prev.is_null() {
            self.head = next;
        } else {
            // SAFETY: a node of the list.
            unsafe { (*prev).next = next };
        }
        if next.is_null() {
            self.tail = prev;
        } else {
            // SAFETY: a node of the list.
            unsafe { (*next).prev = prev };
        }
        self.bytes -= size;
        size
    }
}
