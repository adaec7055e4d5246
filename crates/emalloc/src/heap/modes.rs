//! Owns which modes a heap is in, and what they do to the ways in and out. In a mode
//! the fast paths are shut: free blocks lie in lists they do not see, and the gate
//! leads freeing nowhere. Outside all modes nothing here is ever asked.

use core::cell::Cell;
use core::ptr::NonNull;

use super::debug::Content;
use super::error::AllocError;
use super::fault::{Fault, FaultKind};
use super::list::List;
use super::observers::Event;
use super::place::Place;
use super::site::Site;
use super::state::{Lists, State};

/// The modes, as bits.
pub(super) mod mode {
    /// Pointers given back are verified.
    pub const CHECKED: u8 = 1;
    /// Somebody is told of what is done.
    pub const OBSERVED: u8 = 2;
    /// The heap is being walked and hands out nothing.
    pub const WALKING: u8 = 4;
    /// Blocks have records and guards.
    pub const DEBUGGED: u8 = 8;
}

/// The modes a heap is in.
pub(super) struct Modes {
    on: Cell<u8>,
    /// Free blocks by class while there is any mode. They lie behind the state and hold nothing before.
    hidden: NonNull<Lists>,
}

impl Modes {
    /// None yet. `hidden` is room that lives as long as the state.
    pub fn none(hidden: NonNull<Lists>) -> Self {
        Self {
            on: Cell::new(0),
            hidden,
        }
    }

    pub fn is_any(&self) -> bool {
        self.on.get() != 0
    }

    pub fn is_on(&self, mode: u8) -> bool {
        self.on.get() & mode != 0
    }

    /// Whether a request must go through what this file owns: to be checked is `locate`'s business alone.
    #[inline(always)]
    pub fn concern_requests(&self) -> bool {
        self.on.get() & !mode::CHECKED != 0
    }

    pub fn is_walking(&self) -> bool {
        self.is_on(mode::WALKING)
    }

    /// The lists of free blocks while there is any mode.
    fn hidden(&self) -> Option<&Lists> {
        if self.on.get() == 0 {
            return None;
        }
        // SAFETY: they were written when the first mode began, beside the state, and live as long as it does.
        Some(unsafe { self.hidden.as_ref() })
    }
}

impl State {
    /// The free blocks of `class`, wherever they are listed.
    #[inline]
    pub fn list(&self, class: usize) -> &List {
        match self.modes.hidden() {
            Some(lists) => &lists[class],
            None => &self.bins[class].list,
        }
    }

    /// Begins or ends a mode, and shuts or opens the fast paths if it is the first or was the last one.
    pub fn set_mode(&self, mode: u8, on: bool) {
        let before = self.modes.on.get();
        let after = if on { before | mode } else { before & !mode };
        if before == 0 && after != 0 {
            // No mode knows of cold runs.
            if self.cold.is_on() {
                self.sort_lists();
                self.merge_lists();
            }
            let lists = core::array::from_fn(|class| self.bins[class].list.take());
            // SAFETY: the builder gave them a place of their own behind the state.
            unsafe { self.modes.hidden.write(lists) };
            self.gate.shut(self);
        } else if before != 0 && after == 0 {
            for class in 0..self.bins.len() {
                let list = self.list(class).take();
                self.bins[class].list.set(list);
            }
            self.gate.open(self.geometry.segment_size);
        }
        self.modes.on.set(after);
        self.settle_sized();
    }

    /// Lets blocks be freed by their size alone, unless somebody has to look at more.
    pub fn settle_sized(&self) {
        let is_plain = self.samples.get().is_none() && !self.cold.is_on();
        self.gate.set_sized(is_plain && !self.gate.is_shut());
    }

    /// A block of at least `size` bytes, aligned to `align`, of a call at `at`. Null after `refuse`.
    #[cold]
    pub fn allocate_in_mode(
        &self,
        size: usize,
        align: usize,
        zeroed: bool,
        at: Site<'_>,
    ) -> *mut u8 {
        if self.modes.is_walking() {
            return self.refuse(AllocError::Walking);
        }
        let block = match (self.debugging(), zeroed) {
            (Some(debugging), zeroed) => {
                let content = match zeroed {
                    true => Content::Zeroed,
                    false => Content::Filled,
                };
                self.allocate_debugged(debugging, (size, align), content, at)
            }
            (None, true) => self.allocate_zeroed_unseen(size, align),
            (None, false) => self.allocate_unseen(size, align),
        };
        if let Some(block) = NonNull::new(block) {
            self.tell(|| Event::Allocated {
                block,
                size,
                usable: self.usable_size(block, at).unwrap_or(0),
                at,
            });
        }
        block
    }

    /// Frees the block at `block`, of a call at `at` that named size and alignment if `named` says so.
    #[cold]
    pub fn free_in_mode(
        &self,
        block: NonNull<u8>,
        named: Option<(usize, usize)>,
        at: Site<'_>,
    ) -> Result<(), Fault> {
        if self.modes.is_walking() {
            let address = block.addr().get();
            let kind = FaultKind::Walking;
            return Err(Fault { address, kind });
        }
        let usable = self.usable_for_observers(block, at);
        if let Some(debugging) = self.debugging() {
            let named = named.map(|(size, _)| size);
            self.free_debugged(debugging, block, named, at)?;
        } else {
            let place = self.locate_named(block, named)?;
            self.free_place(block, place)?;
        }
        self.tell_for_good(|| Event::Freed { block, usable, at });
        Ok(())
    }

    /// Makes the block at `block` hold `size` bytes at a multiple of `align`, of a call at `at`. Null after `refuse`.
    #[cold]
    pub fn resize_in_mode(
        &self,
        block: NonNull<u8>,
        size: usize,
        align: usize,
        at: Site<'_>,
    ) -> *mut u8 {
        if self.modes.is_walking() {
            return self.refuse(AllocError::Walking);
        }
        let old_usable = self.usable_for_observers(block, at);
        let resized = match self.debugging() {
            Some(debugging) => self.resize_debugged(debugging, block, (size, align), at),
            None => self.resize_unseen(block, size, align),
        };
        if let Some(new) = NonNull::new(resized) {
            self.tell_for_good(|| Event::Resized {
                old: block,
                old_usable,
                block: new,
                size,
                usable: self.usable_size(new, at).unwrap_or(0),
                at,
            });
        }
        resized
    }

    /// As [`usable_size`](Self::usable_size), if there are observers to be told; a wrong pointer is not their business.
    fn usable_for_observers(&self, block: NonNull<u8>, at: Site<'_>) -> usize {
        match self.modes.is_on(mode::OBSERVED) {
            true => self.usable_size(block, at).unwrap_or(0),
            false => 0,
        }
    }

    /// Bytes that the block at `block` can hold, of a call at `at`.
    pub fn usable_size(&self, block: NonNull<u8>, at: Site<'_>) -> Result<usize, Fault> {
        match self.debugging() {
            Some(debugging) => self.size_debugged(debugging, block, at),
            None => Ok(self.size_of_place(self.locate(block)?)),
        }
    }

    /// The end of all blocks: in debug mode they are verified, and those left over reported. [`give_up_blocks`] follows.
    ///
    /// [`give_up_blocks`]: Self::give_up_blocks
    pub fn end_blocks(&self, silent: bool) {
        if let Some(debugging) = self.debugging() {
            self.end_debugged(debugging, silent);
        }
    }

    /// Makes the memory of all blocks plain memory again, which in debug mode it is not.
    pub fn give_up_blocks(&self) {
        if let Some(debugging) = self.debugging() {
            self.give_up_debugged(debugging);
        }
    }

    /// What `block` is, if it also is what a caller that named size and alignment says.
    pub fn locate_named(
        &self,
        block: NonNull<u8>,
        named: Option<(usize, usize)>,
    ) -> Result<Place, Fault> {
        let place = self.locate(block)?;
        let address = block.addr().get();
        if let Some((size, align)) = named
            && !self.may_be_named(place, size, align)
        {
            let (named, block_size) = (size, self.size_of_place(place));
            let kind = FaultKind::WrongSize { named, block_size };
            return Err(Fault { address, kind });
        }
        Ok(place)
    }
}
