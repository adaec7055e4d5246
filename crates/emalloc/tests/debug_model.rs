//! In debug mode a heap behaves as a plain one does, and finds nothing where nothing is wrong.

#[path = "common/reports.rs"]
mod reports;

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ptr::NonNull;

use emalloc::heap::{Debug, Heap, Item, Limit};
use proptest::prelude::*;
use reports::{Keeping, told};

#[derive(Clone, Debug)]
enum Step {
    Allocate(usize, u32, bool),
    Free(usize, bool),
    Resize(usize, usize),
    Collect,
    Limit(usize),
    Check,
    Reset,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = || prop_oneof![8 => 0usize..=300, 3 => 0usize..=9000, 1 => 0usize..=300_000];
    let align = prop_oneof![6 => Just(3u32), 3 => 0u32..=12, 1 => 13u32..=17];
    let step = prop_oneof![
        12 => (size(), align, any::<bool>()).prop_map(|(s, a, z)| Step::Allocate(s, a, z)),
        9 => (any::<usize>(), any::<bool>()).prop_map(|(which, sized)| Step::Free(which, sized)),
        6 => (any::<usize>(), size()).prop_map(|(which, size)| Step::Resize(which, size)),
        1 => Just(Step::Collect),
        1 => (0usize..4_000_000).prop_map(Step::Limit),
        1 => Just(Step::Check),
        1 => Just(Step::Reset),
    ];
    proptest::collection::vec(step, 1..100)
}

struct Block {
    start: NonNull<u8>,
    layout: Layout,
    seed: u8,
}

impl Block {
    fn new(start: NonNull<u8>, layout: Layout, seed: u8) -> Self {
        assert_eq!(start.addr().get() % layout.align(), 0);
        // SAFETY: just handed out.
        unsafe { start.write_bytes(seed, layout.size()) };
        Self {
            start,
            layout,
            seed,
        }
    }

    fn verify(&self, heap: &Heap, bytes: usize) {
        // SAFETY: alive, and so much was written.
        let content = unsafe { std::slice::from_raw_parts(self.start.as_ptr(), bytes) };
        assert!(content.iter().all(|&byte| byte == self.seed));
        // SAFETY: alive.
        let usable = unsafe { heap.usable_size(self.start) };
        assert_eq!(usable, Ok(self.layout.size()));
    }
}

fn verify(heap: &Heap, blocks: &[Block]) {
    heap.check().unwrap();
    assert_eq!(heap.check_blocks(), 0);
    let mut met = BTreeMap::new();
    heap.walk(&mut |item| {
        if let Item::Block { address, size } = item {
            met.insert(address, size);
        }
    });
    let expected = blocks
        .iter()
        .map(|block| (block.start.addr().get(), block.layout.size()))
        .collect();
    assert_eq!(met, expected);
    let bytes = blocks.iter().map(|block| block.layout.size()).sum();
    heap.leaks(&mut |leaks| {
        let total = leaks.total();
        assert_eq!((total.count, total.bytes), (blocks.len(), bytes));
    });
    if let Limit::Bytes(limit) = heap.limit() {
        assert!(heap.real_usage() <= limit);
    }
}

fn run(steps: Vec<Step>, debug: Debug, shift: u32) {
    let mut heap = Heap::builder()
        .segment_size(1 << shift)
        .handler(Keeping)
        .debug(debug)
        .build()
        .unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    for (number, step) in steps.into_iter().enumerate() {
        let seed = number as u8 | 1;
        match step {
            Step::Allocate(size, shift, zeroed) => {
                let layout = Layout::from_size_align(size, 1 << shift).unwrap();
                let start = if zeroed {
                    heap.try_allocate_zeroed(layout)
                } else {
                    heap.try_allocate_layout(layout)
                };
                let Ok(start) = start else { continue };
                if zeroed {
                    // SAFETY: just handed out.
                    let content = unsafe { std::slice::from_raw_parts(start.as_ptr(), size) };
                    assert!(content.iter().all(|&byte| byte == 0));
                }
                blocks.push(Block::new(start, layout, seed));
            }
            Step::Free(which, sized) if !blocks.is_empty() => {
                let block = blocks.swap_remove(which % blocks.len());
                block.verify(&heap, block.layout.size());
                // SAFETY: alive, and forgotten.
                unsafe {
                    if sized {
                        heap.free_sized(block.start, block.layout);
                    } else {
                        heap.free(block.start);
                    }
                }
            }
            Step::Resize(which, size) if !blocks.is_empty() => {
                let index = which % blocks.len();
                let block = &mut blocks[index];
                let old = block.layout.size();
                // SAFETY: alive; the old pointer is forgotten if it moves.
                let new =
                    unsafe { heap.try_resize_aligned(block.start, size, block.layout.align()) };
                if let Ok(new) = new {
                    block.start = new;
                    block.layout = Layout::from_size_align(size, block.layout.align()).unwrap();
                    block.verify(&heap, old.min(size));
                    *block = Block::new(new, block.layout, seed);
                } else {
                    block.verify(&heap, old);
                }
            }
            Step::Collect => {
                heap.collect();
            }
            // Below what is held it is refused.
            Step::Limit(bytes) => drop(heap.set_limit(Limit::Bytes(bytes))),
            Step::Check => verify(&heap, &blocks),
            Step::Reset => {
                blocks.clear();
                heap.reset_silently();
                assert_eq!(heap.usage(), 0);
            }
            Step::Free(..) | Step::Resize(..) => {}
        }
    }
    verify(&heap, &blocks);
    for block in blocks {
        block.verify(&heap, block.layout.size());
        // SAFETY: alive, and used no more.
        unsafe { heap.free(block.start) };
    }
    drop(heap);
    let told = told();
    assert_eq!((told.reports, told.leaks), (vec![], vec![]));
}

fn debugs() -> impl Strategy<Value = Debug> {
    let fill = || proptest::option::of(any::<u8>());
    let quarantine = prop_oneof![Just(0), 0usize..100_000, Just(1 << 20)];
    (
        0usize..40,
        fill(),
        fill(),
        quarantine,
        0usize..10,
        any::<bool>(),
    )
        .prop_map(|(guards, fill, free_fill, quarantine, every, pages)| {
            Debug::new()
                .guards(guards)
                .fill(fill)
                .free_fill(free_fill)
                .quarantine(quarantine)
                .check_every(every)
                .guard_pages(pages)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn behaves_as_a_plain_heap(steps in steps(), debug in debugs(), shift in 16u32..=19) {
        run(steps, debug, shift);
    }
}
