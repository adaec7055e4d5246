//! Owns [`Record`]: what is known of a block, in front of it in its raw block, and the
//! seal by which a record is told from what was written over it. Used inside `debug`.

use core::ptr::{self, NonNull};

use crate::heap::site::{Relayed, Site};
use crate::sys;

/// What a record says of its block. The values are the original's.
pub(super) mod life {
    /// It is the program's.
    pub const LIVE: usize = 0x7312_F8DC;
    /// It was freed and is held back.
    pub const HELD: usize = 0x9995_4317;
}

/// What is known of a block.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub(super) struct Record {
    /// Held back: the block that was freed next. While leaks are reported: the next one. Not sealed: who follows it
    /// looks first where it leads.
    pub link: *mut Record,
    /// What was asked for, in bytes.
    pub size: usize,
    /// Bytes from here to the block.
    pub front: usize,
    pub allocated: Relayed,
    /// Of a block that is held back.
    pub freed: Relayed,
    pub life: usize,
    /// Bytes from the block's raw beginning up to its guard page; 0 if it has none.
    pub guard_page: usize,
    /// 1 if the pages of a block that is held back cannot be touched.
    pub shut: usize,
    seal: usize,
}

/// Bytes of a record.
pub(super) const RECORD: usize = size_of::<Record>();

impl Record {
    pub fn new(size: usize, front: usize, at: Site<'_>) -> Self {
        Self {
            link: ptr::null_mut(),
            size,
            front,
            allocated: at.keep(),
            freed: Relayed::UNKNOWN,
            life: life::LIVE,
            guard_page: 0,
            shut: 0,
            seal: 0,
        }
    }

    fn seal_at(&self, place: *mut Self) -> usize {
        let mut hash = place.addr() as u64;
        let words = [self.size, self.front, self.life, self.guard_page, self.shut];
        let sites = [self.allocated.words(), self.freed.words()];
        for word in words.into_iter().chain(sites.into_iter().flatten()) {
            hash = (hash.rotate_left(23) ^ word as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        }
        (hash >> 32 ^ hash) as usize
    }

    /// Writes it, sealed.
    ///
    /// # Safety
    /// `place` is the beginning of a raw block of ours, which is large enough.
    pub unsafe fn write(mut self, place: NonNull<Self>) {
        self.seal = self.seal_at(place.as_ptr());
        // SAFETY: the caller's promise.
        unsafe { sys::allow(place.as_ptr().cast(), RECORD) };
        // SAFETY: the caller's promise.
        unsafe { place.write(self) };
        // SAFETY: the caller's promise.
        unsafe { sys::forbid(place.as_ptr().cast(), RECORD) };
    }

    /// What lies at `place`.
    ///
    /// # Safety
    /// `place` is the beginning of a raw block of ours, which is large enough.
    pub unsafe fn look(place: NonNull<Self>) -> Self {
        // SAFETY: the caller's promise.
        unsafe { sys::allow(place.as_ptr().cast(), RECORD) };
        // SAFETY: the caller's promise; all of a record is numbers and pointers, which may be anything.
        let record = unsafe { place.read() };
        // SAFETY: the caller's promise.
        unsafe { sys::forbid(place.as_ptr().cast(), RECORD) };
        record
    }

    /// The record at `place`, if it is as it was written.
    ///
    /// # Safety
    /// `place` is the beginning of a raw block of ours, which is large enough.
    pub unsafe fn read(place: NonNull<Self>) -> Option<Self> {
        // SAFETY: the caller's promise.
        let record = unsafe { Self::look(place) };
        (record.seal == record.seal_at(place.as_ptr())).then_some(record)
    }

    /// Makes the record at `place` lead to `next`.
    ///
    /// # Safety
    /// There is a record at `place`, of a raw block of ours.
    pub unsafe fn lead(place: NonNull<Self>, next: *mut Self) {
        // SAFETY: the caller's promise.
        unsafe { sys::allow(place.as_ptr().cast(), RECORD) };
        // SAFETY: the caller's promise.
        unsafe { (*place.as_ptr()).link = next };
        // SAFETY: the caller's promise.
        unsafe { sys::forbid(place.as_ptr().cast(), RECORD) };
    }
}
