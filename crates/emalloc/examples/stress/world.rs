//! Owns [`World`]: what the walk on this thread knows: its seed and step, the blocks it has and the bytes in them.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

use emalloc::Heap;
use emalloc::heap::Limit;

use crate::random::{Random, SCALE};

/// Whether steps are printed.
pub static TRACE: AtomicBool = AtomicBool::new(false);

/// A block that is alive, and what it was asked for with.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    pub start: NonNull<u8>,
    pub size: usize,
    pub align: usize,
    /// What its bytes follow from.
    pub mark: u8,
}

impl Block {
    /// The places that are looked at: of large blocks not all.
    fn places(size: usize, to: usize) -> impl Iterator<Item = usize> {
        let step = if size < 1500 / SCALE { 1 } else { 89 };
        (0..to)
            .step_by(step)
            .chain(to.checked_sub(1).filter(move |_| to == size))
    }

    fn byte(&self, place: usize) -> u8 {
        let low = place as u8;
        self.mark.wrapping_add(low.wrapping_mul(31)) ^ (place >> 8) as u8
    }

    pub fn write(&self) {
        for place in Self::places(self.size, self.size) {
            // SAFETY: inside of a block that is the walk's.
            unsafe { self.start.add(place).write(self.byte(place)) };
        }
    }

    /// The first `bytes` bytes are as they were written.
    #[track_caller]
    pub fn verify(&self, bytes: usize) {
        for place in Self::places(self.size, bytes) {
            // SAFETY: inside of a block that is the walk's.
            let found = unsafe { self.start.add(place).read() };
            assert_eq!(found, self.byte(place), "byte {place} of {self:?}");
        }
    }
}

/// What is special about the heap that is used now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kind {
    /// Wrong pointers are found.
    pub checked: bool,
    pub debug: bool,
    /// What heaps call unwinds now and then.
    pub unwinds: bool,
    /// Samples may begin and end.
    pub samples: bool,
}

/// See the head of this file.
pub struct World {
    random: RefCell<Random>,
    pub seed: Cell<u64>,
    pub step: Cell<usize>,
    pub kind: Cell<Kind>,
    pub blocks: RefCell<Vec<Block>>,
    /// Where blocks were, some of them.
    pub freed: RefCell<Vec<NonNull<u8>>>,
    /// How many acts are inside of each other.
    pub depth: Cell<usize>,
    /// Acts so far.
    pub acts: Cell<usize>,
    /// What the heap held when it was looked at last: more than its limit only if it was held before that was in force.
    pub held: Cell<usize>,
    /// Walks over the heap that are under way.
    walking: Cell<usize>,
}

thread_local! {
    static WORLD: World = World {
        random: RefCell::new(Random::new(0)),
        seed: Cell::new(0),
        step: Cell::new(0),
        kind: Cell::default(),
        blocks: RefCell::default(),
        freed: RefCell::default(),
        depth: Cell::new(0),
        acts: Cell::new(0),
        held: Cell::new(0),
        walking: Cell::new(0),
    };
}

/// This thread's world.
pub fn world<R>(body: impl FnOnce(&World) -> R) -> R {
    WORLD.with(body)
}

/// This thread's chance.
pub fn random<R>(body: impl FnOnce(&mut Random) -> R) -> R {
    world(|world| body(&mut world.random.borrow_mut()))
}

pub fn below(end: usize) -> usize {
    random(|random| random.below(end))
}

pub fn one_in(n: usize) -> bool {
    random(|random| random.one_in(n))
}

pub fn kind() -> Kind {
    world(|world| world.kind.get())
}

/// Begins a walk of that seed on this thread; `chance` is what its numbers follow from.
pub fn begin(seed: u64, chance: u64) {
    world(|world| {
        *world.random.borrow_mut() = Random::new(chance);
        world.seed.set(seed);
        world.step.set(0);
        world.depth.set(0);
        world.acts.set(0);
        world.held.set(usize::MAX);
        world.walking.set(0);
    });
    forget();
}

/// All blocks are gone.
pub fn forget() {
    world(|world| {
        world.blocks.borrow_mut().clear();
        world.freed.borrow_mut().clear();
    });
}

pub fn put(block: Block) {
    world(|world| world.blocks.borrow_mut().push(block));
}

/// Any block, which is the world's no more.
pub fn take() -> Option<Block> {
    let count = count();
    let which = below(count);
    world(|world| (count > 0).then(|| world.blocks.borrow_mut().swap_remove(which)))
}

/// The largest of some blocks, which is the world's no more.
pub fn take_large() -> Option<Block> {
    let count = count();
    let some = [(); 24].map(|()| below(count));
    world(|world| {
        let mut blocks = world.blocks.borrow_mut();
        let size = |&which: &usize| blocks.get(which).map(|block| block.size);
        let which = some.into_iter().max_by_key(size)?;
        (which < count).then(|| blocks.swap_remove(which))
    })
}

/// The block that was put last, which is the world's no more.
pub fn take_last() -> Option<Block> {
    world(|world| world.blocks.borrow_mut().pop())
}

/// How many blocks there are.
pub fn count() -> usize {
    world(|world| world.blocks.borrow().len())
}

/// Any block.
pub fn look() -> Option<Block> {
    let which = below(count());
    world(|world| world.blocks.borrow().get(which).copied())
}

/// The heap holds no more than its limit, or than it held before that was in force. To be looked at right before and
/// right after a limit changes.
#[track_caller]
pub fn is_within_its_limit(heap: &Heap) {
    let now = heap.real_usage();
    let before = world(|world| world.held.replace(now));
    if let Limit::Bytes(limit) = heap.limit()
        && !std::thread::panicking()
    {
        assert!(
            now <= limit.max(before),
            "{now} of {limit}, {before} before"
        );
    }
}

/// The heap is at rest as long as this lives.
pub struct AtRest(());

impl AtRest {
    pub fn begin() -> Self {
        world(|world| world.walking.set(world.walking.get() + 1));
        Self(())
    }
}

impl Drop for AtRest {
    fn drop(&mut self) {
        world(|world| world.walking.set(world.walking.get() - 1));
    }
}

pub fn is_at_rest() -> bool {
    world(|world| world.walking.get() > 0)
}

/// What unwinds on purpose.
struct OnPurpose;

/// Unwinds, if the walk does that at all.
pub fn unwind() -> ! {
    panic::resume_unwind(Box::new(OnPurpose))
}

/// Runs `body`, which may unwind on purpose.
pub fn guarded(body: impl FnOnce()) {
    if let Err(cause) = panic::catch_unwind(AssertUnwindSafe(body)) {
        let cause: Box<dyn Any + Send> = cause;
        if !cause.is::<OnPurpose>() {
            panic::resume_unwind(cause);
        }
        // A block may be lost that the heap had made for an act that was broken off: one freed before may lie there.
        world(|world| world.freed.borrow_mut().clear());
    }
}

/// Prints what is done, if steps are printed.
pub fn say(what: &str) {
    if TRACE.load(Ordering::Relaxed) {
        world(|world| {
            let (seed, step, depth) = (world.seed.get(), world.step.get(), world.depth.get());
            println!("walk {seed}, step {step}: {:1$}{what}", "", 2 * depth);
        });
    }
}
