//! Owns where things lie in a raw block: record, guard, the program's block, guard, and
//! the page behind that nobody can touch; writing guards and fills, and finding what was
//! written over them. Used inside `debug`.

use core::ptr::{self, NonNull};
use core::slice;

use super::options::Debug;
use super::record::{RECORD, Record, life};
use super::report::{BlockInfo, Change};
use crate::layout::{MIN_ALIGN, PAGE, round_up};
use crate::sys;

/// How a raw block for a request must be.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// Bytes from its beginning to the block.
    pub front: usize,
    /// Bytes up to the guard page; 0 without.
    pub guard_page: usize,
    /// Its bytes and alignment.
    pub total: usize,
    pub align: usize,
}

/// What a block is aligned to: as asked, and as a heap promises for its size.
pub(super) fn alignment(size: usize, align: usize) -> usize {
    let promised = match size {
        0 => MIN_ALIGN,
        _ => 1 << size.trailing_zeros().min(PAGE.trailing_zeros()),
    };
    align.max(promised).max(MIN_ALIGN)
}

/// The unit in which pages can be shut.
pub(super) fn unit() -> usize {
    PAGE.max(sys::page_size())
}

impl Shape {
    /// `None` if it is more than an address can count.
    pub fn new(options: &Debug, size: usize, align: usize) -> Option<Self> {
        let align = alignment(size, align);
        let raw_align = align.max(align_of::<Record>());
        let shape = if options.guard_pages {
            // The record has a page of its own, so that those of the block can be shut.
            let (unit, raw_align) = (unit(), raw_align.max(unit()));
            let block = round_up(size, align)?;
            let body = round_up(block.checked_add(unit)?, raw_align)?;
            Self {
                front: body - block,
                guard_page: body,
                total: body.checked_add(unit)?,
                align: raw_align,
            }
        } else {
            let front = round_up(RECORD.checked_add(options.guards)?, raw_align)?;
            Self {
                front,
                guard_page: 0,
                // Also a block of no bytes begins inside its own raw block.
                total: front
                    .checked_add(size.max(1))?
                    .checked_add(options.guards)?,
                align: raw_align,
            }
        };
        (shape.total <= isize::MAX as usize).then_some(shape)
    }
}

/// Bytes that are written and compared at once.
const STRETCH: usize = 32;

/// What a guard holds, from any place in the first half on: no byte that a text or a number likes to end with, and
/// neighbours differ.
static GUARD: [u8; 2 * STRETCH] = guard();

const fn guard() -> [u8; 2 * STRETCH] {
    let mut bytes = [0; 2 * STRETCH];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = 0xE0 | (at % STRETCH) as u8;
        at += 1;
    }
    bytes
}

/// A part of a raw block, from and to, in bytes from its beginning.
type Part = (usize, usize);

/// A raw block: what the heap itself hands out.
#[derive(Clone, Copy)]
pub(super) struct Raw {
    pub start: NonNull<u8>,
    /// Bytes it has.
    pub bytes: usize,
}

impl Raw {
    pub fn place(self) -> NonNull<Record> {
        self.start.cast()
    }

    /// Its record, if that is sound.
    pub fn record(self) -> Option<Record> {
        // SAFETY: raw blocks begin with a record's room.
        let record = unsafe { Record::read(self.place()) }?;
        let end = record.front.checked_add(record.size)?;
        (end <= self.bytes).then_some(record)
    }

    pub fn write(self, record: Record) {
        // SAFETY: as above.
        unsafe { record.write(self.place()) };
        self.close(&record);
    }

    /// Tells the tools that watch the program that the heap is about to look at a part, or to write there.
    fn open(self, (from, to): Part) {
        let start = self.start.as_ptr().wrapping_add(from);
        // SAFETY: parts lie inside the raw block.
        unsafe { sys::allow(start, to.saturating_sub(from)) };
    }

    /// Tells them what is not the program's: all around its block, and the block as well while it is held back.
    fn close(self, record: &Record) {
        let forbid = |(from, to): Part| {
            let start = self.start.as_ptr().wrapping_add(from);
            // SAFETY: as in `open`.
            unsafe { sys::forbid(start, to - from) };
        };
        if record.life == life::HELD {
            forbid((0, self.bytes));
        } else {
            forbid((0, record.front));
            forbid((record.front + record.size, self.bytes));
        }
    }

    /// Tells them that the program has the block from byte `from` on, and has written nothing there yet.
    pub fn hand_out(self, record: &Record, from: usize) {
        let start = self.block(record).as_ptr().wrapping_add(from);
        // SAFETY: the block lies inside the raw block.
        unsafe { sys::hand_out(start, record.size - from) };
    }

    /// Tells them nothing of the raw block any more.
    pub fn give_up(self) {
        self.open((0, self.bytes));
    }

    pub fn block(self, record: &Record) -> NonNull<u8> {
        // SAFETY: it lies inside the raw block.
        unsafe { self.start.add(record.front) }
    }

    /// What reports say of the block.
    pub fn info(self, record: &Record) -> BlockInfo<'_> {
        BlockInfo {
            address: self.block(record).addr().get(),
            size: record.size,
            allocated: record.allocated.view(),
            freed: (record.life == life::HELD).then(|| record.freed.view()),
        }
    }

    /// Where the guards lie. No more than a page of each: what aligns a block can be long.
    fn guards(self, record: &Record) -> (Part, Part) {
        let end = record.front + record.size;
        let last = match record.guard_page {
            0 => self.bytes,
            page => page,
        };
        (
            (RECORD.max(record.front.saturating_sub(PAGE)), record.front),
            (end, last.min(end + PAGE)),
        )
    }

    /// What lies in a part.
    fn content(&self, (from, to): Part) -> &[u8] {
        // SAFETY: parts lie inside the raw block, and are looked at only while they can be touched and nobody writes.
        unsafe { slice::from_raw_parts(self.start.as_ptr().add(from), to.saturating_sub(from)) }
    }

    /// Writes both guards.
    pub fn write_guards(self, record: &Record) {
        let (front, back) = self.guards(record);
        for (from, to) in [front, back] {
            self.open((from, to));
            for at in (from..to).step_by(STRETCH) {
                let piece = &GUARD[at % STRETCH..][..STRETCH.min(to - at)];
                // SAFETY: as in `content`; the constant overlaps nothing.
                unsafe {
                    ptr::copy_nonoverlapping(
                        piece.as_ptr(),
                        self.start.as_ptr().add(at),
                        piece.len(),
                    )
                };
            }
        }
        self.close(record);
    }

    /// Fills the block from byte `from` on.
    pub fn fill(self, record: &Record, from: usize, byte: u8) {
        if from < record.size {
            self.open((record.front + from, record.front + record.size));
            // SAFETY: inside the block.
            unsafe {
                ptr::write_bytes(
                    self.block(record).as_ptr().add(from),
                    byte,
                    record.size - from,
                )
            };
            self.close(record);
        }
    }

    /// What differs in `part` from `expected`, which is repeated from the raw block's beginning on.
    fn change(self, part: Part, expected: &[u8; 2 * STRETCH]) -> Option<Change> {
        let (from, to) = part;
        let starts = (from..to).step_by(STRETCH);
        let differs = |at: &usize| {
            let end = to.min(at + STRETCH);
            self.content((*at, end)) != &expected[at % STRETCH..][..end - at]
        };
        // Nearly always there is none.
        let near = starts.clone().find(differs)?;
        let byte = |at: usize| expected[at % STRETCH];
        let content = self.content((near, to));
        let mut differing = (near..to).filter(|&at| content[at - near] != byte(at));
        let first = differing.next()?;
        let (last, bytes) = differing.fold((first, 1), |(_, count), at| (at, count + 1));
        let mut change = Change {
            address: self.start.addr().get() + first,
            reach: (first - from, last + 1 - from),
            bytes,
            to_the_end: last + 1 == to,
            from_the_start: first == from,
            found: [0; 8],
            expected: [0; 8],
            shown: (to - first).min(8),
        };
        for (index, at) in (first..first + change.shown).enumerate() {
            change.found[index] = content[at - near];
            change.expected[index] = byte(at);
        }
        Some(change)
    }

    /// What was written in front of the block, and behind it.
    pub fn guard_changes(self, record: &Record) -> (Option<Change>, Option<Change>) {
        let (front, back) = self.guards(record);
        self.open(front);
        self.open(back);
        let changes = (self.change(front, &GUARD), self.change(back, &GUARD));
        self.close(record);
        changes
    }

    /// What was written into a block that is filled with `byte`.
    pub fn fill_change(self, record: &Record, byte: u8) -> Option<Change> {
        let part = (record.front, record.front + record.size);
        self.open(part);
        let change = self.change(part, &[byte; _]);
        self.close(record);
        change
    }

    /// The pages that are the block's alone, its guard page included.
    fn pages(self, record: &Record) -> (*mut u8, usize) {
        let unit = unit();
        let start = self.start.as_ptr().wrapping_add(unit);
        (start, record.guard_page)
    }

    /// Makes the guard page one that cannot be touched. Says whether it is.
    pub fn shut_guard_page(self, record: &Record) -> bool {
        let page = self.start.as_ptr().wrapping_add(record.guard_page);
        // SAFETY: the page lies in the raw block, and holds nothing.
        unsafe { sys::shut(page, unit()) }
    }

    /// Makes all pages of the block ones that cannot be touched. Says whether they are.
    pub fn shut_pages(self, record: &Record) -> bool {
        let (start, bytes) = self.pages(record);
        // SAFETY: the pages lie in the raw block, which is the program's no more.
        unsafe { sys::shut(start, bytes) }
    }

    /// Makes all pages behind the record's ones that can be touched again.
    pub fn open_all(self) -> bool {
        let start = self.start.as_ptr().wrapping_add(unit());
        // SAFETY: as in `open_pages`.
        unsafe { sys::open(start, self.bytes.saturating_sub(unit())) }
    }

    /// Makes all pages of the block ones that can be touched again. Says whether they can.
    pub fn open_pages(self, record: &Record) -> bool {
        let (start, bytes) = self.pages(record);
        // SAFETY: the pages lie in the raw block, whose memory is the heap's to read and write.
        unsafe { sys::open(start, bytes) }
    }
}
