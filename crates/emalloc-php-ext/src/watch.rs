//! Owns the sampling: which blocks are noted, and the sums by stack that profiles and reports are made of.
//!
//! One block in so many *bytes* is noted, at distances drawn from the exponential distribution, so that each byte
//! has the same chance; each sample then stands for as many blocks of its size as its chance says. With a distance of
//! 1 every block is noted, and all sums are exact.

use core::cell::{Cell, RefCell};

use std::vec::Vec;

use crate::host::Frame;
use crate::live::{Filter, Live, Sample};
use crate::own::own;
use crate::single::Single;
use crate::stacks::{DEPTH, Stacks};

/// Blocks and their bytes; of samples, as many as they stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    pub blocks: f64,
    pub bytes: f64,
}

impl Sum {
    /// What a sample of `size` bytes stands for when one is taken every `every` bytes.
    fn of(size: usize, every: usize) -> Self {
        if every <= 1 {
            return Self {
                blocks: 1.0,
                bytes: size as f64,
            };
        }
        let size = size.max(1) as f64;
        let chance = 1.0 - (-size / every as f64).exp();
        Self {
            blocks: 1.0 / chance,
            bytes: size / chance,
        }
    }

    pub fn add(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.bytes += other.bytes;
    }

    fn take(&mut self, other: Self) {
        self.blocks -= other.blocks;
        self.bytes -= other.bytes;
    }
}

/// The sums of a stack.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    /// All that was allocated.
    pub allocated: Sum,
    /// What is alive.
    pub live: Sum,
    /// What was alive when most was (of what was sampled, within 2 %).
    pub peak: Sum,
}

/// Everything that was noted since sampling began.
#[derive(Default)]
pub struct Book {
    pub stacks: Stacks,
    pub live: Live,
    pub every: usize,
    /// By number of the stack.
    pub sums: Vec<Sums>,
    /// Samples taken.
    pub serial: u64,
    /// Bytes alive now, at most ever, and when `peak` was last written down.
    now: f64,
    most: f64,
    written: f64,
}

impl Book {
    fn enter(&mut self, filter: &Filter, block: *mut u8, sample: Sample) {
        if let Some(lost) = self.live.enter(filter, block, sample) {
            self.count_freed(lost);
        }
        let sum = Sum::of(sample.size, self.every);
        self.sums[sample.stack as usize].live.add(sum);
        self.now += sum.bytes;
        self.most = self.most.max(self.now);
    }

    fn count_freed(&mut self, sample: Sample) {
        // The peak is over: write it down, unless it is hardly more than the last one.
        if self.now == self.most && self.most > self.written * 1.02 {
            self.write_peak();
        }
        let sum = Sum::of(sample.size, self.every);
        self.sums[sample.stack as usize].live.take(sum);
        self.now -= sum.bytes;
    }

    fn write_peak(&mut self) {
        self.written = self.most;
        for sums in &mut self.sums {
            sums.peak = sums.live;
        }
    }

    /// Brings the peaks up to date, for a reader.
    pub fn settle(&mut self) {
        if self.now == self.most && self.most > self.written {
            self.write_peak();
        }
    }

    /// What one sample stands for.
    pub fn sum_of(&self, sample: &Sample) -> Sum {
        Sum::of(sample.size, self.every)
    }
}

/// The sampling.
pub struct Watch {
    /// Bytes to go to the next sample; negative: it is due.
    left: Cell<i64>,
    /// What was drawn last, and bytes counted before that.
    drawn: Cell<i64>,
    bytes: Cell<u64>,
    blocks: Cell<u64>,
    /// What was left when somebody asked to be called at the next block.
    hurried: Cell<Option<i64>>,
    random: Cell<u64>,
    filter: Filter,
    book: RefCell<Option<Book>>,
}

static WATCH: Single<Watch> = Single::new(Watch {
    left: Cell::new(i64::MAX),
    drawn: Cell::new(i64::MAX),
    bytes: Cell::new(0),
    blocks: Cell::new(0),
    hurried: Cell::new(None),
    random: Cell::new(0x9E37_79B9_7F4A_7C15),
    filter: Filter::new(),
    book: RefCell::new(None),
});

/// The sampling.
#[inline(always)]
pub fn watch() -> &'static Watch {
    // SAFETY: it is only ever shared, on PHP's one thread.
    unsafe { &*WATCH.get() }
}

impl Watch {
    /// Begins anew, with one sample every `every` bytes; 0: none.
    pub fn begin(&self, every: usize) {
        let book = (every > 0).then(|| Book {
            every,
            ..Book::default()
        });
        if let Some(mut old) = self.book.replace(book) {
            old.live.clear(&self.filter);
        }
        self.bytes.set(0);
        self.blocks.set(0);
        self.hurried.set(None);
        self.draw();
    }

    /// Counts a block of `size` bytes. Says whether something is to be done about it.
    #[inline(always)]
    pub fn count(&self, size: usize) -> bool {
        self.blocks.set(self.blocks.get() + 1);
        self.count_grown(size)
    }

    /// Counts `size` bytes more in a block. Says whether something is to be done about it.
    #[inline(always)]
    pub fn count_grown(&self, size: usize) -> bool {
        let left = self.left.get().wrapping_sub(size as i64);
        self.left.set(left);
        left < 0
    }

    pub fn is_due(&self) -> bool {
        self.left.get() < 0
    }

    /// Whether the block may be a sample.
    #[inline(always)]
    pub fn may_know(&self, block: *mut u8) -> bool {
        self.filter.may_know(block)
    }

    /// Has the next block of any size reported as due.
    pub fn hurry(&self) {
        let left = self.left.get();
        if left >= 0 {
            self.hurried.set(Some(left));
            self.left.set(-1);
        }
    }

    /// Blocks counted, and their bytes.
    pub fn counted(&self) -> (u64, u64) {
        let left = self.hurried.get().unwrap_or(self.left.get());
        let since = self.drawn.get().wrapping_sub(left);
        (
            self.blocks.get(),
            self.bytes.get().wrapping_add(since as u64),
        )
    }

    /// Begins counting anew, for the next request.
    pub fn reset_counts(&self) {
        let (blocks, bytes) = self.counted();
        self.blocks.set(self.blocks.get() - blocks);
        self.bytes.set(self.bytes.get().wrapping_sub(bytes));
    }

    fn draw(&self) {
        let every = self.book.borrow().as_ref().map_or(0, |book| book.every);
        let drawn = match every {
            0 => i64::MAX,
            // So that blocks of no bytes are due, too.
            1 => -1,
            every => {
                let mut random = self.random.get();
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                self.random.set(random);
                // In (0, 1].
                let unit = ((random >> 11) + 1) as f64 / (1u64 << 53) as f64;
                (-unit.ln() * every as f64) as i64
            }
        };
        self.drawn.set(drawn);
        self.left.set(drawn);
    }

    /// Takes a sample of the block of `size` bytes at `block`, for which `count` said of its last `grown` bytes that
    /// something is due.
    #[cold]
    pub fn sample(&self, block: *mut u8, size: usize, grown: usize) {
        if let Some(left) = self.hurried.take() {
            self.left.set(left.wrapping_sub(grown as i64));
            if own().ending.get() {
                self.hurry();
                return;
            }
            if self.left.get() >= 0 {
                return;
            }
        }
        let since = self.drawn.get().wrapping_sub(self.left.get());
        self.bytes.set(self.bytes.get().wrapping_add(since as u64));
        self.draw();
        // What a report of samples asks for itself is not sampled.
        let Ok(mut book) = self.book.try_borrow_mut() else {
            return;
        };
        let Some(book) = book.as_mut().filter(|_| !block.is_null()) else {
            return;
        };
        let mut frames = [Frame::EMPTY; DEPTH];
        // SAFETY: it is the glue's function, and there is room for so many.
        let depth = unsafe { (own().host().frames)(frames.as_mut_ptr(), DEPTH, false) };
        // SAFETY: the glue wrote them just now; the texts are PHP's, which is not running.
        let stack = unsafe { book.stacks.number(&frames[..depth]) };
        book.sums.resize(book.stacks.len(), Sums::default());
        let sample = Sample {
            size,
            stack,
            serial: book.serial,
        };
        book.serial += 1;
        let mut sum = Sum::of(grown, book.every);
        if grown < size {
            // The block was counted when it was made.
            sum.blocks = 0.0;
        }
        book.sums[stack as usize].allocated.add(sum);
        book.enter(&self.filter, block, sample);
    }

    /// A block is freed: its sample, if it was one, is no more.
    #[cold]
    pub fn forget(&self, block: *mut u8) -> Option<Sample> {
        let mut book = self.book.try_borrow_mut().ok()?;
        let book = book.as_mut()?;
        let sample = book.live.remove(&self.filter, block)?;
        book.count_freed(sample);
        Some(sample)
    }

    /// Takes back that a block was freed.
    pub fn remember(&self, block: *mut u8, sample: Option<Sample>) {
        let mut book = self.book.borrow_mut();
        if let (Some(book), Some(sample)) = (book.as_mut(), sample) {
            book.enter(&self.filter, block, sample);
        }
    }

    /// All blocks are gone.
    pub fn forget_all(&self) {
        let mut book = self.book.borrow_mut();
        let Some(book) = book.as_mut() else { return };
        book.settle();
        book.live.clear(&self.filter);
        book.sums
            .iter_mut()
            .for_each(|sums| sums.live = Sum::default());
        book.now = 0.0;
    }

    /// What was noted, for a reader; nothing while there is no sampling. Nothing is sampled meanwhile.
    pub fn read<R>(&self, reader: impl FnOnce(&Book) -> R) -> Option<R> {
        let mut book = self.book.borrow_mut();
        let book = book.as_mut()?;
        book.settle();
        Some(reader(book))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_stands_for_as_many_bytes_as_its_chance_says() {
        assert_eq!(Sum::of(40, 1).bytes, 40.0);
        // Small against the distance: one distance. Large: itself.
        assert!((Sum::of(8, 1 << 20).bytes / (1 << 20) as f64 - 1.0).abs() < 0.01);
        assert!((Sum::of(100 << 20, 1 << 20).blocks - 1.0).abs() < 0.01);
    }
}
