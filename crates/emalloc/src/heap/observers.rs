//! Owns observers: who is told of what a heap has done, after it was done. Any number
//! of them, in memory of the caller's, added and removed while the heap is used.
//! The figures and the limit do not know them.

use core::cell::Cell;
use core::fmt;
use core::mem;
use core::ptr::{self, NonNull};

use super::Heap;
use super::collect::Collected;
use super::handler::say;
use super::modes::mode;
use super::site::Site;
use super::state::State;
use crate::sys;

/// What a heap has done. Sizes are in bytes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// It handed out a block.
    Allocated {
        /// The block.
        block: NonNull<u8>,
        /// What was asked for.
        size: usize,
        /// What the block can hold.
        usable: usize,
        /// Who asked.
        at: Site<'a>,
    },
    /// It took a block back. The address may have a new owner soon.
    Freed {
        /// Where the block was.
        block: NonNull<u8>,
        /// What it could hold.
        usable: usize,
        /// Who gave it back.
        at: Site<'a>,
    },
    /// It made a block larger or smaller.
    Resized {
        /// Where the block was.
        old: NonNull<u8>,
        /// What it could hold.
        old_usable: usize,
        /// Where it is now; maybe the same place.
        block: NonNull<u8>,
        /// What was asked for.
        size: usize,
        /// What it can hold now.
        usable: usize,
        /// Who asked.
        at: Site<'a>,
    },
    /// It threw all blocks away.
    Reset,
    /// [`Heap::collect`] or [`Heap::trim`] was called. What the heap collects by itself is not told.
    Collected(Collected),
}

/// Who wants to know what a heap does.
///
/// It is told after the fact, and may use the heap; of what it does itself no observer is told. It may unwind, but not
/// when it is told that a block was freed or resized: whoever has that block could not know that it is gone, and a
/// container would use it once more. The process is ended then.
pub trait Observer {
    /// `heap` has done what `event` says.
    fn told(&self, heap: &Heap, event: &Event<'_>);
}

impl<F: Fn(&Heap, &Event<'_>)> Observer for F {
    fn told(&self, heap: &Heap, event: &Event<'_>) {
        self(heap, event);
    }
}

/// The link by which a heap knows an observer: memory of the caller's.
pub struct ObserverNode {
    observer: *const (),
    tell: unsafe fn(*const (), &Heap, &Event<'_>),
    next: Cell<*const ObserverNode>,
}

impl ObserverNode {
    /// A node for `observer`, not added to any heap yet.
    pub fn new<O: Observer>(observer: &O) -> Self {
        /// # Safety
        /// `observer` is an `O` that is alive.
        unsafe fn tell<O: Observer>(observer: *const (), heap: &Heap, event: &Event<'_>) {
            // SAFETY: the caller's promise.
            unsafe { &*observer.cast::<O>() }.told(heap, event);
        }
        Self {
            observer: ptr::from_ref(observer).cast(),
            tell: tell::<O>,
            next: Cell::new(ptr::null()),
        }
    }
}

impl fmt::Debug for ObserverNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObserverNode")
            .field("observer", &self.observer)
            .finish_non_exhaustive()
    }
}

/// Who observes a heap.
pub(super) struct Observers {
    first: Cell<*const ObserverNode>,
    /// While events are told: the node whose turn comes next.
    turn: Cell<*const ObserverNode>,
    telling: Cell<bool>,
}

impl Observers {
    pub const fn none() -> Self {
        Self {
            first: Cell::new(ptr::null()),
            turn: Cell::new(ptr::null()),
            telling: Cell::new(false),
        }
    }

    /// The link that leads to `node`, if it is here.
    fn link_to(&self, node: *const ObserverNode) -> Option<&Cell<*const ObserverNode>> {
        let mut link = &self.first;
        while !ptr::eq(link.get(), node) {
            // SAFETY: nodes are alive as long as they are on the list.
            link = &unsafe { link.get().as_ref() }?.next;
        }
        Some(link)
    }
}

impl State {
    /// Tells the observers, if there are any and none of them is at work, of the event that `event` makes.
    pub fn tell<'a>(&self, event: impl FnOnce() -> Event<'a>) {
        /// Ends the telling, also when an observer unwinds.
        struct Telling<'a>(&'a Observers);
        impl Drop for Telling<'_> {
            fn drop(&mut self) {
                self.0.telling.set(false);
            }
        }

        if !self.modes.is_on(mode::OBSERVED) || self.observers.telling.get() {
            return;
        }
        let event = event();
        self.observers.telling.set(true);
        let _telling = Telling(&self.observers);
        self.observers.turn.set(self.observers.first.get());
        // SAFETY: nodes are alive as long as they are on the list; removing one takes care of `turn`.
        while let Some(node) = unsafe { self.observers.turn.get().as_ref() } {
            self.observers.turn.set(node.next.get());
            let (observer, tell) = (node.observer, node.tell);
            // SAFETY: whoever added the node promised that its observer is alive.
            self.as_heap(|heap| unsafe { tell(observer, heap, &event) });
        }
    }

    /// As [`tell`](Self::tell), of what the caller has to hear of: a block is gone. Ends the process if an observer unwinds.
    pub fn tell_for_good<'a>(&self, event: impl FnOnce() -> Event<'a>) {
        struct Unwinding;
        impl Drop for Unwinding {
            fn drop(&mut self) {
                say(&"an observer unwinds that was told of a block freed or resized");
                sys::abort();
            }
        }
        let unwinding = Unwinding;
        self.tell(event);
        mem::forget(unwinding);
    }
}

/// Observing.
impl Heap {
    /// Tells `observer` of everything the heap does while `body` runs.
    ///
    /// Observers nest: the one added last is told first.
    ///
    /// ```
    /// # use emalloc::heap::{Event, Heap};
    /// # use std::cell::Cell;
    /// let heap = Heap::new()?;
    /// let bytes = Cell::new(0);
    /// let count = |_: &Heap, event: &Event<'_>| {
    ///     if let Event::Allocated { size, .. } = event {
    ///         bytes.set(bytes.get() + size);
    ///     }
    /// };
    /// heap.observe(&count, || {
    ///     heap.allocate(100);
    ///     heap.alloc_str("text");
    /// });
    /// assert_eq!(bytes.get(), 104);
    /// # Ok::<(), emalloc::heap::HeapError>(())
    /// ```
    pub fn observe<R>(&self, observer: &impl Observer, body: impl FnOnce() -> R) -> R {
        struct Added<'a>(&'a Heap, &'a ObserverNode);
        impl Drop for Added<'_> {
            fn drop(&mut self) {
                self.0.remove_observer(self.1);
            }
        }
        let node = ObserverNode::new(observer);
        let _added = Added(self, &node);
        // SAFETY: `_added` takes it out before the node goes, and the heap, which is borrowed, stays on this thread.
        unsafe { self.add_observer(&node) };
        body()
    }

    /// Adds an observer by its node, for as long as the caller likes. Nothing is allocated; while there are observers,
    /// all requests take the slow path.
    ///
    /// # Safety
    /// The node is on no heap's list. Until it is [removed](Self::remove_observer) or the heap dropped, it and its
    /// observer stay alive and where they are. If the heap moves to another thread, the observer is one that can be
    /// told there.
    pub unsafe fn add_observer(&self, node: *const ObserverNode) {
        let state = self.state();
        // SAFETY: the caller says that it is alive.
        unsafe { &*node }.next.set(state.observers.first.get());
        state.observers.first.set(node);
        state.set_mode(mode::OBSERVED, true);
    }

    /// Takes an observer out again. Says whether it was there.
    pub fn remove_observer(&self, node: *const ObserverNode) -> bool {
        let state = self.state();
        let Some(link) = state.observers.link_to(node) else {
            return false;
        };
        // SAFETY: what the link leads to is on the list, so it is alive; or it is the last link, if somebody asks for null.
        let Some(removed) = (unsafe { link.get().as_ref() }) else {
            return false;
        };
        let next = removed.next.get();
        link.set(next);
        if ptr::eq(state.observers.turn.get(), node) {
            state.observers.turn.set(next);
        }
        if state.observers.first.get().is_null() {
            state.set_mode(mode::OBSERVED, false);
        }
        true
    }
}
