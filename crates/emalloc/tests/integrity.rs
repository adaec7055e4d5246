//! Lists of free blocks broken on purpose: `check` says what is wrong and where, follows nothing that is not
//! sound, and ends. (What is written over headers: `integrity_headers.rs`.)

#[path = "common/overwrite.rs"]
mod overwrite;

use std::ptr::{self, NonNull};

use emalloc::heap::{Corruption, Heap, Invariant};
use emalloc::layout::PAGE;
use emalloc::storage::Malloc;
use overwrite::with_word;

const SEGMENT: usize = 64 << 10;
const HUGE: usize = 100_000;

fn heap(checked: bool) -> Heap {
    Heap::builder()
        .storage(Malloc)
        .segment_size(SEGMENT)
        .checked(checked)
        .build()
        .unwrap()
}

fn address(block: NonNull<u8>) -> usize {
    block.as_ptr().expose_provenance()
}

/// A heap with blocks of 40 bytes in one run, as many as are carved by then, every second one free. The list leads from the last free one to the
/// first. (A check that gets as far as the counts turns it around, so each break wants a new heap.)
struct Broken {
    heap: Heap,
    free: Vec<usize>,
    live: Vec<usize>,
}

impl Broken {
    fn new(checked: bool) -> Self {
        let heap = heap(checked);
        let blocks: Vec<_> = (0..64).map(|_| heap.allocate(40)).collect();
        let (mut free, mut live) = (Vec::new(), Vec::new());
        for pair in blocks.chunks(2) {
            free.push(address(pair[0]));
            live.push(address(pair[1]));
            // SAFETY: alive, 40 bytes; the first one is freed once.
            unsafe {
                pair[1].write_bytes(1, 40);
                heap.free(pair[0]);
            }
        }
        Self { heap, free, live }
    }

    /// What the check says when the free block `holder` leads to `wrong`.
    fn check(&self, holder: usize, wrong: usize) -> Result<(), Corruption> {
        with_word(holder, wrong, || self.heap.check())
    }
}

fn broken(
    invariant: Invariant,
    address: usize,
    expected: usize,
    found: usize,
) -> Result<(), Corruption> {
    Err(Corruption {
        invariant,
        address,
        expected,
        found,
    })
}

#[test]
fn a_list_that_leads_elsewhere() {
    for checked in [false, true] {
        let victim = Broken::new(checked);
        let Broken { heap, free, .. } = &victim;
        let other = self::heap(checked);
        let large = address(heap.allocate(2 * PAGE));
        let huge = address(heap.allocate(HUGE));
        let small = heap.allocate(64);
        // SAFETY: just allocated.
        unsafe { heap.free(small) };
        let local = [0usize; 8];
        let run = free[0] & !(PAGE - 1);
        let tail = run + PAGE / 40 * 40;
        let elsewhere = [
            address(small),
            address(other.allocate(40)),
            ptr::from_ref(&local).addr(),
            large,
            large + PAGE,
            huge,
            huge + 8,
            huge + HUGE,
            free[0] + 8,
            free[3] + 38,
            // The end of the run that makes no block, and a block that was never carved.
            tail,
            tail - 40,
            // The header, its segment's beginning and end.
            (run & !(SEGMENT - 1)) + 64,
            run & !(SEGMENT - 1),
            (run | (SEGMENT - 1)) + 1,
            // Mapped nowhere, most of them.
            0,
            8,
            PAGE,
            SEGMENT,
            usize::MAX / 2 + 1,
            usize::MAX - 7,
            0x4242_4242,
        ];
        for wrong in elsewhere {
            for holder in [free[0], free[10], free[24]] {
                assert_eq!(
                    victim.check(holder, wrong),
                    broken(Invariant::FreeList, wrong, 0, 0),
                    "{wrong:#x} in {holder:#x}"
                );
            }
        }
        assert_eq!(heap.check(), Ok(()));
    }
}

#[test]
fn a_list_that_leads_back() {
    for checked in [false, true] {
        let Broken { heap, free, .. } = Broken::new(checked);
        for holder in [0, 1, 5, 24] {
            for back in holder..free.len() {
                // To itself, or to one from which the list came.
                let answer = with_word(free[holder], free[back], || heap.check());
                let corruption = answer.unwrap_err();
                assert_eq!(corruption.invariant, Invariant::FreeList);
                let circle = &free[holder..=back];
                assert!(circle.contains(&corruption.address), "{corruption}");
            }
        }
        assert_eq!(heap.check(), Ok(()));
    }
}

#[test]
fn a_list_that_loses_blocks_or_holds_live_ones() {
    // A link of the list, where it leads now, and what the check says with and without live bits.
    type Case = fn(&Broken) -> (usize, usize, usize, isize);
    let cases: [Case; 6] = [
        // It ends too early, as at any odd address: what is lost looks as if it were in use.
        |victim| (victim.free[10], 1, victim.free[0], 10),
        |victim| (victim.free[10], victim.free[3] + 39, victim.free[0], 10),
        |victim| (victim.free[10], usize::MAX, victim.free[0], 10),
        |victim| (victim.free[10], 0x4141_4141, victim.free[0], 10),
        // It leaves out a few.
        |victim| (victim.free[10], victim.free[5], victim.free[6], 4),
        // A live block, whose content happens to end a list, is on it.
        |victim| (victim.free[0], victim.live[3], victim.live[3], -1),
    ];
    for case in cases {
        for checked in [false, true] {
            let victim = Broken::new(checked);
            let (holder, wrong, first, live) = case(&victim);
            let usage = victim.heap.usage();
            let expected = if checked {
                broken(Invariant::LiveBits, first, 0, 0)
            } else {
                let counted = usage.wrapping_add_signed(40 * live);
                broken(Invariant::Usage, 0, counted, usage)
            };
            assert_eq!(victim.check(holder, wrong), expected);
        }
    }
}
