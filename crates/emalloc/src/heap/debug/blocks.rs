//! Owns the ways in and out of a heap in debug mode: a block inside a raw one that the
//! heap hands out as always, its record, and what is verified before anything is done to it.

use core::ptr::{self, NonNull};

use super::record::{RECORD, Record, life};
use super::shape::{Raw, Shape, alignment};
use super::{Debugging, Finding};
use crate::heap::error::AllocError;
use crate::heap::fault::{Fault, FaultKind};
use crate::heap::site::Site;
use crate::heap::state::State;
use crate::layout::{MIN_ALIGN, PAGE};

/// A block of so many bytes grows where it is while there is room behind it, and gets some when it has to move: copied
/// at each step, what is written bit by bit would take hours.
const STAYS: usize = 64 << 10;

/// What a new block holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::heap) enum Content {
    /// The fill.
    Filled,
    /// Zeros.
    Zeroed,
    /// What the caller writes at once, up to so many bytes; the fill behind.
    Copied(usize),
}

impl State {
    /// A block for a call at `at`. Null after `refuse`.
    pub(in crate::heap) fn allocate_debugged(
        &self,
        debugging: &Debugging,
        (size, align): (usize, usize),
        content: Content,
        at: Site<'_>,
    ) -> *mut u8 {
        self.count_operation(debugging, at);
        self.allocate_spared(debugging, (size, align, 0), content, at)
    }

    /// As [`allocate_debugged`](Self::allocate_debugged), with room for `spare` bytes more behind the block.
    fn allocate_spared(
        &self,
        debugging: &Debugging,
        (size, align, spare): (usize, usize, usize),
        content: Content,
        at: Site<'_>,
    ) -> *mut u8 {
        let too_large = AllocError::too_large(size, align);
        let spared = size.checked_add(spare);
        let Some(shape) = spared.and_then(|bytes| Shape::new(&debugging.options, bytes, align))
        else {
            return self.refuse(too_large);
        };
        let mut start = self.allocate_unseen(shape.total, shape.align);
        if start.is_null() && debugging.held.blocks.get() > 0 {
            // What is held back is no reason to refuse anything.
            self.release_held(debugging, (0, 0), at);
            start = self.allocate_unseen(shape.total, shape.align);
        }
        let Some(start) = NonNull::new(start) else {
            return self.refuse_debugged(size, too_large);
        };
        let bytes = self.usable_raw(start);
        let raw = Raw { start, bytes };
        let mut record = Record::new(size, shape.front, at);
        if shape.guard_page > 0 {
            record.guard_page = shape.guard_page;
            if !raw.shut_guard_page(&record) {
                record.guard_page = 0;
                debugging.unguarded.set(debugging.unguarded.get() + 1);
            }
        }
        raw.write_guards(&record);
        match (content, debugging.options.fill) {
            (Content::Zeroed, _) => raw.fill(&record, 0, 0),
            (Content::Filled, Some(byte)) => raw.fill(&record, 0, byte),
            (Content::Copied(bytes), Some(byte)) => raw.fill(&record, bytes, byte),
            _ => {}
        }
        if content != Content::Zeroed {
            raw.hand_out(&record, 0);
        }
        raw.write(record);
        raw.block(&record).as_ptr()
    }

    /// Names what the caller asked for in the last refusal, and not the raw block.
    fn refuse_debugged(&self, size: usize, too_large: AllocError) -> *mut u8 {
        let mut refusal = self.take_refusal();
        match &mut refusal {
            AllocError::Limit { requested, .. } | AllocError::Storage { requested, .. } => {
                *requested = size;
            }
            AllocError::TooLarge { .. } => refusal = too_large,
            _ => {}
        }
        self.refuse(refusal)
    }

    /// Bytes of a raw block that was just handed out.
    fn usable_raw(&self, start: NonNull<u8>) -> usize {
        let place = self.locate(start);
        place.map_or(0, |place| self.size_of_place(place))
    }

    /// The live block at `block`: its raw block and its record.
    pub(super) fn identify(
        &self,
        debugging: &Debugging,
        block: NonNull<u8>,
        at: Site<'_>,
    ) -> Result<(Raw, Record), Fault> {
        let address = block.addr().get();
        let raw = self.raw_around(address)?;
        let record = match raw.record() {
            Some(record) => record,
            None => self.renew_record(debugging, raw, Some(at)),
        };
        let start = raw.block(&record);
        if start != block {
            return Err(self.inside(address, start, record.size));
        }
        if record.life != life::LIVE {
            let block_size = record.size;
            let kind = FaultKind::DoubleFree { block_size };
            return Err(Fault { address, kind });
        }
        Ok((raw, record))
    }

    /// Reports a record that was overwritten, and who may have done it, and puts a new one in its place: the usual
    /// one for a block that fills its raw block.
    pub(super) fn renew_record(
        &self,
        debugging: &Debugging,
        raw: Raw,
        at: Option<Site<'_>>,
    ) -> Record {
        let options = &debugging.options;
        if options.guard_pages {
            // Nobody knows any more which of them cannot be touched. If the system refuses, they stay so.
            raw.open_all();
        }
        raw.give_up();
        let front = Shape::new(options, 0, MIN_ALIGN).map_or(RECORD, |shape| shape.front);
        let size = raw.bytes.saturating_sub(front + options.guards);
        let record = Record::new(size, front.min(raw.bytes - size), Site::UNKNOWN);
        raw.write(record);
        raw.write_guards(&record);
        if let Ok(before) = self.raw_around(raw.start.addr().get() - 1)
            && let Some(neighbour) = before.record()
        {
            self.check_guards(debugging, before, &neighbour, at);
        }
        let address = raw.block(&record).addr().get();
        self.found(debugging, Finding::RecordOverwritten, address, None, at);
        record
    }

    /// As [`identify`](Self::identify), with the guards verified: what was found is reported, and set right.
    fn verify(
        &self,
        debugging: &Debugging,
        block: NonNull<u8>,
        at: Site<'_>,
    ) -> Result<(Raw, Record), Fault> {
        let (raw, record) = self.identify(debugging, block, at)?;
        if self.check_guards(debugging, raw, &record, Some(at)) == 0 {
            return Ok((raw, record));
        }
        // The handler may have used the heap.
        self.identify(debugging, block, at)
    }

    /// Frees the block at `block`: it is held back for a while.
    pub(in crate::heap) fn free_debugged(
        &self,
        debugging: &Debugging,
        block: NonNull<u8>,
        named: Option<usize>,
        at: Site<'_>,
    ) -> Result<(), Fault> {
        self.count_operation(debugging, at);
        let (raw, record) = self.verify(debugging, block, at)?;
        if let Some(named) = named
            && named != record.size
        {
            let (address, block_size) = (block.addr().get(), record.size);
            let kind = FaultKind::WrongSize { named, block_size };
            return Err(Fault { address, kind });
        }
        self.hold(debugging, raw, record, at);
        Ok(())
    }

    /// Makes the block at `block` hold `size` bytes: elsewhere, unless it becomes smaller by less than half, or is large
    /// and there is room behind it. Null after `refuse`.
    pub(in crate::heap) fn resize_debugged(
        &self,
        debugging: &Debugging,
        block: NonNull<u8>,
        (size, align): (usize, usize),
        at: Site<'_>,
    ) -> *mut u8 {
        self.count_operation(debugging, at);
        let (raw, record) = match self.verify(debugging, block, at) {
            Ok(found) => found,
            Err(fault) => return self.refuse(AllocError::BadPointer(fault)),
        };
        let aligned = block.addr().get().is_multiple_of(alignment(size, align));
        let fits = size <= record.size && aligned;
        if fits && size >= record.size / 2 && (record.guard_page == 0 || size == record.size) {
            return self.cut_debugged(raw, record, size, at);
        }
        let grows = size > record.size && record.size >= STAYS && record.guard_page == 0;
        let room = debugging.options.guards.saturating_add(record.front);
        if grows && aligned && size <= raw.bytes.saturating_sub(room) {
            let before = record.size;
            let block = self.cut_debugged(raw, record, size, at);
            if let Some(record) = raw.record() {
                if let Some(byte) = debugging.options.fill {
                    raw.fill(&record, before, byte);
                }
                raw.hand_out(&record, before);
            }
            return block;
        }
        let bytes = size.min(record.size);
        let content = Content::Copied(bytes);
        // At the beginning of a page it is aligned as any size it comes to asks for.
        let mut new = match grows {
            true => self.allocate_spared(debugging, (size, align.max(PAGE), size / 8), content, at),
            false => ptr::null_mut(),
        };
        if new.is_null() {
            new = self.allocate_spared(debugging, (size, align, 0), content, at);
        }
        if new.is_null() {
            // There is no room for a copy, but the block is large enough as it is.
            return match fits {
                true => self.cut_debugged(raw, record, size, at),
                false => new,
            };
        }
        // SAFETY: both blocks have that many bytes; the new one overlaps nothing alive.
        unsafe { ptr::copy_nonoverlapping(block.as_ptr(), new, bytes) };
        self.hold(debugging, raw, record, at);
        new
    }

    /// Makes a block of its raw block end at `size` bytes.
    fn cut_debugged(&self, raw: Raw, mut record: Record, size: usize, at: Site<'_>) -> *mut u8 {
        record.size = size;
        record.allocated = at.keep();
        raw.write_guards(&record);
        raw.write(record);
        raw.block(&record).as_ptr()
    }

    /// Bytes the block at `block` was asked for with.
    pub(in crate::heap) fn size_debugged(
        &self,
        debugging: &Debugging,
        block: NonNull<u8>,
        at: Site<'_>,
    ) -> Result<usize, Fault> {
        let (_, record) = self.identify(debugging, block, at)?;
        Ok(record.size)
    }
}
