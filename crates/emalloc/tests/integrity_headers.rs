//! Headers of segments written over on purpose, byte by byte and as a whole: `check` says what is wrong and where,
//! follows nothing that is not sound, and ends. (Lists of free blocks: `integrity.rs`.)

#[path = "common/overwrite.rs"]
mod overwrite;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use emalloc::heap::{Heap, Invariant, Item, PageUse};
use emalloc::layout::{GRAIN, PAGE};
use emalloc::storage::{Capabilities, Grant, MALLOC, Storage, StorageError};
use overwrite::{bytes, with_bytes, with_word};

const SEGMENT: usize = 64 << 10;
const GRAINS: usize = SEGMENT / GRAIN;
/// Bytes of the map: it covers one page more than there are.
const MAP: usize = GRAINS + PAGE / GRAIN;
const HUGE: usize = 100_000;
const WORD: usize = size_of::<usize>();

/// `malloc` with every byte written, so that this test may read any of them.
struct Written;

// SAFETY: all memory is malloc's, handed through.
unsafe impl Storage for Written {
    fn name(&self) -> &str {
        "written"
    }

    fn capabilities(&self) -> Capabilities {
        MALLOC.capabilities()
    }

    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        let grant = MALLOC.allocate(size, align)?;
        // SAFETY: just granted.
        unsafe { grant.start.write_bytes(0, size) };
        Ok(grant)
    }

    unsafe fn free(&self, start: NonNull<u8>, size: usize, align: usize) {
        // SAFETY: granted by malloc above.
        unsafe { MALLOC.free(start, size, align) };
    }
}

/// A heap with everything in it, and the beginnings of segments to be broken.
struct Victim {
    heap: Heap,
    /// The one in which the heap itself lies.
    first: usize,
    /// One with blocks of all kinds, and one with a huge block. Neither is the first or the last in the list.
    pages: usize,
    huge: usize,
    /// Where page maps begin, from a segment's beginning.
    map: usize,
}

fn segments(heap: &Heap) -> Vec<(usize, bool)> {
    let mut segments = Vec::new();
    heap.walk(&mut |item| {
        if let Item::Segment { address, huge, .. } = item {
            segments.push((address, huge));
        }
    });
    segments
}

fn free(heap: &Heap, block: NonNull<u8>) {
    // SAFETY: callers free live blocks, once.
    unsafe { heap.free(block) };
}

fn victim(checked: bool) -> Victim {
    let heap = Heap::builder()
        .storage(Written)
        .segment_size(SEGMENT)
        .checked(checked)
        .build()
        .unwrap();
    let first = segments(&heap)[0].0;
    while heap.figures().free_pages > 0 {
        heap.allocate(PAGE);
    }
    // One block over a whole segment finds the map: all its pages but the first are marked alike.
    let whole = heap.allocate(SEGMENT - PAGE);
    let header = bytes(whole.as_ptr().expose_provenance() & !(SEGMENT - 1), PAGE);
    let rest = MAP - 3 * (PAGE / GRAIN);
    let alike = |window: &[u8]| window[0] != 0 && window.iter().all(|byte| *byte == window[0]);
    let map = header.windows(rest).position(alike).unwrap() - 2 * (PAGE / GRAIN);
    free(&heap, whole);

    heap.allocate(HUGE);
    let mut pages = 0;
    for size in [40, 2048, PAGE, 100, 2 * PAGE] {
        let blocks = [(); 3].map(|()| heap.allocate(size));
        free(&heap, blocks[1]);
        pages = blocks[0].as_ptr().expose_provenance() & !(SEGMENT - 1);
    }
    let huge = heap.allocate(2 * HUGE).as_ptr().expose_provenance() & !(SEGMENT - 1);
    heap.allocate(3 * HUGE);
    assert!(heap.figures().segments >= 2 && heap.figures().free_pages > 0);
    heap.check().unwrap();
    Victim {
        heap,
        first,
        pages,
        huge,
        map,
    }
}

/// What the check says while `bytes` are written over what lies at `address`; nothing if it has nothing to say.
#[track_caller]
fn said(heap: &Heap, address: usize, bytes: &[u8]) -> Option<(Invariant, usize)> {
    let answer = with_bytes(address, bytes, || {
        catch_unwind(AssertUnwindSafe(|| heap.check()))
    });
    let Ok(answer) = answer else {
        panic!("check panics on {bytes:02x?} at {address:#x}")
    };
    assert_eq!(heap.check(), Ok(()), "after {bytes:02x?} at {address:#x}");
    answer
        .err()
        .map(|corruption| (corruption.invariant, corruption.address))
}

#[test]
fn the_page_map() {
    for checked in [false, true] {
        let Victim {
            heap,
            first,
            pages,
            huge,
            map,
        } = victim(checked);
        for segment in [first, pages, huge] {
            for index in 0..MAP {
                let address = segment + map + index;
                let right = bytes(address, 1)[0];
                for wrong in (0..=u8::MAX).filter(|&byte| byte != right) {
                    let said = said(&heap, address, &[wrong]);
                    assert!(
                        said.is_some(),
                        "{right:#x} became {wrong:#x} for grain {index}"
                    );
                }
            }
        }
        // A page that belongs to nothing is named.
        for index in 0..GRAINS {
            let said = said(&heap, pages + map + index, &[0xFF]);
            let (invariant, address) = said.unwrap();
            assert_eq!(invariant, Invariant::PageMap);
            assert!((pages..=pages + index * GRAIN).contains(&address));
        }
    }
}

#[test]
fn the_map_of_the_nursery() {
    // The first segment of a heap whose segments are large enough for one.
    for checked in [false, true] {
        let map = victim(checked).map;
        let heap = Heap::builder()
            .storage(Written)
            .checked(checked)
            .build()
            .unwrap();
        for size in [8, 8, 24, 500, 1000] {
            heap.allocate(size);
        }
        heap.check().unwrap();
        let first = segments(&heap)[0].0;
        let mut uses = BTreeSet::new();
        for grain in 0..heap.segment_size() / GRAIN {
            let address = first + map + grain;
            let right = bytes(address, 1)[0];
            uses.insert(right);
            for wrong in (0..=u8::MAX).filter(|&byte| byte != right) {
                let said = said(&heap, address, &[wrong]);
                assert!(
                    said.is_some(),
                    "{right:#x} became {wrong:#x} for grain {grain}"
                );
            }
        }
        // The header, three short runs, what is left of the nursery, the reserve, a run of pages, free ones.
        assert_eq!(uses.len(), 8);
    }
}

#[test]
fn the_owner() {
    for checked in [false, true] {
        let Victim {
            heap,
            first,
            pages,
            huge,
            map,
        } = victim(checked);
        // The only word that is alike in all headers and leads into the first segment.
        let word = |segment, offset| {
            usize::from_ne_bytes(bytes(segment + offset, WORD).try_into().unwrap())
        };
        let owner = (0..map).step_by(WORD).find(|&offset| {
            let owner = word(first, offset);
            (first..first + SEGMENT).contains(&owner)
                && [pages, huge]
                    .iter()
                    .all(|segment| word(*segment, offset) == owner)
        });
        let owner = owner.unwrap();
        for segment in [first, pages, huge] {
            for wrong in [0, 8, first, usize::MAX] {
                let corruption = with_word(segment + owner, wrong, || heap.check()).unwrap_err();
                assert_eq!(
                    (corruption.invariant, corruption.address),
                    (Invariant::SegmentLinks, segment)
                );
                assert_eq!(heap.check(), Ok(()));
            }
        }
    }
}

#[test]
fn every_byte() {
    for checked in [false, true] {
        let Victim {
            heap,
            pages,
            huge,
            map,
            ..
        } = victim(checked);
        let mut unnoticed = BTreeSet::new();
        for (segment, end) in [(pages, PAGE), (huge, map + MAP)] {
            for offset in 0..end {
                let right = bytes(segment + offset, 1)[0];
                for wrong in [
                    0,
                    0xFF,
                    0x41,
                    right ^ 1,
                    right ^ 0x80,
                    right.wrapping_add(8),
                ] {
                    let hidden =
                        wrong != right && said(&heap, segment + offset, &[wrong]).is_none();
                    if hidden && offset < map {
                        unnoticed.insert(offset);
                    }
                }
            }
        }
        // There is room for an owner to come, and space between the fields and up to the alignment.
        assert!(unnoticed.len() <= 24, "{unnoticed:?} of {map}");
    }
}

#[test]
fn lists_of_free_runs() {
    const INFO: usize = 2 * WORD;
    for checked in [false, true] {
        let Victim {
            heap,
            pages,
            huge,
            map,
            ..
        } = victim(checked);
        let spans = pages + map + MAP;
        let span = |page: usize| spans + page * size_of::<u32>();
        let infos = span(GRAINS * GRAIN / PAGE).next_multiple_of(WORD);
        let info = |page: usize| infos + page * INFO;
        let (mut free, mut used) = (Vec::new(), Vec::new());
        heap.walk(&mut |item| {
            if let Item::Run {
                address,
                size,
                holds,
                ..
            } = item
                && (pages..pages + SEGMENT).contains(&address)
            {
                let run = ((address - pages) / PAGE, size / PAGE);
                if holds == PageUse::Free {
                    free.push(run)
                } else {
                    used.push(run)
                }
            }
        });
        let &(long, long_pages) = free.iter().find(|(_, pages)| *pages > 1).unwrap();
        let &(other, _) = free.iter().find(|(first, _)| *first != long).unwrap();
        let elsewhere = [
            // Itself, the inside of a free run, one of another list, no free run, between two.
            info(long),
            info(long + 1),
            info(other),
            info(used[1].0),
            info(long) + 1,
            info(long) + WORD,
            // The header and the pages, another kind of segment, memory of nobody.
            pages,
            pages + SEGMENT / 2,
            huge + (infos - pages) + INFO,
            1,
            PAGE,
            usize::MAX,
        ];
        for wrong in elsewhere {
            // Where the list goes on, and where it came from.
            for field in [info(long), info(long) + WORD] {
                let corruption = with_word(field, wrong, || heap.check()).unwrap_err();
                assert_eq!(corruption.invariant, Invariant::FreeRuns, "{wrong:#x}");
            }
        }
        // How long a run is, in its first and its last page.
        for length in [0u32, 1, 3, u32::MAX] {
            for field in [span(long), span(long + long_pages - 1)] {
                let corruption =
                    with_bytes(field, &length.to_ne_bytes(), || heap.check()).unwrap_err();
                assert_eq!(corruption.invariant, Invariant::PageMap);
            }
        }
        assert_eq!(heap.check(), Ok(()));
    }
}

#[test]
fn the_size_of_a_huge_block() {
    for checked in [false, true] {
        let Victim {
            heap, huge, map, ..
        } = victim(checked);
        let mut sizes = Vec::new();
        heap.walk(&mut |item| {
            if let Item::Block { address, size, .. } = item
                && address & !(SEGMENT - 1) == huge
            {
                sizes.push(size);
            }
        });
        let &[size] = sizes.as_slice() else {
            panic!("{sizes:?}")
        };
        let field = (0..map)
            .step_by(WORD)
            .find(|offset| bytes(huge + offset, WORD) == size.to_ne_bytes())
            .unwrap();
        // Nothing, more than the grant, no whole pages, less than half of it; and one that only the sum betrays.
        for (wrong, invariant) in [
            (0, Invariant::SegmentLinks),
            (size * 2, Invariant::SegmentLinks),
            (usize::MAX, Invariant::SegmentLinks),
            (usize::MAX - SEGMENT, Invariant::SegmentLinks),
            (size - 1, Invariant::SegmentLinks),
            (PAGE, Invariant::SegmentLinks),
            (size - PAGE, Invariant::Usage),
        ] {
            let said = said(&heap, huge + field, &wrong.to_ne_bytes());
            assert_eq!(
                said.map(|(invariant, _)| invariant),
                Some(invariant),
                "{wrong:#x}"
            );
        }
    }
}

#[test]
fn words_of_another_header() {
    // The grant and the ways to other segments, each by itself one that a header could have.
    const WORDS: usize = 7;
    for checked in [false, true] {
        let Victim { heap, .. } = victim(checked);
        let all = segments(&heap);
        for (segment, _) in &all {
            for (other, _) in &all {
                for offset in (0..WORDS * WORD).step_by(WORD) {
                    let word = bytes(other + offset, WORD);
                    if word != bytes(segment + offset, WORD) {
                        let said = said(&heap, segment + offset, &word);
                        assert!(said.is_some(), "{word:02x?} at {offset} of {segment:#x}");
                    }
                }
            }
        }
    }
}

#[test]
fn from_the_beginning_on() {
    for checked in [false, true] {
        let Victim {
            heap,
            first,
            pages,
            huge,
            map,
        } = victim(checked);
        for segment in [pages, huge] {
            for length in (WORD..PAGE).step_by(WORD) {
                for filler in [0x41, 0, 0xFF] {
                    let said = said(&heap, segment, &vec![filler; length]);
                    assert!(said.is_some(), "{length} bytes of {filler:#x}");
                }
            }
            for other in [first, pages, huge]
                .into_iter()
                .filter(|other| *other != segment)
            {
                for length in (WORD..=map).step_by(WORD) {
                    let copy = bytes(other, length);
                    assert!(
                        said(&heap, segment, &copy).is_some(),
                        "{length} bytes of another header"
                    );
                }
            }
        }
    }
}

#[test]
fn up_to_the_end() {
    // As a block that is written in front of its beginning would do it.
    for checked in [false, true] {
        let Victim {
            heap, pages, map, ..
        } = victim(checked);
        for length in (WORD..PAGE).step_by(WORD) {
            for filler in [0x41, 0, 0xFF] {
                let said = said(&heap, pages + PAGE - length, &vec![filler; length]);
                // Behind the infos there is nothing that could be wrong.
                let reaches_map = length > PAGE - map - MAP;
                assert!(
                    said.is_some() || !reaches_map,
                    "{length} bytes of {filler:#x}"
                );
            }
        }
    }
}
