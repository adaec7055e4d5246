//! Owns observers written in C: functions of the program that are told what a heap has done.

use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;

use emalloc::heap::{Event, Heap, Observer, ObserverNode};

use crate::heap::{EmallocHeap, of_raw};
use crate::site::EmallocSite;

type AllocatedFn =
    extern "C" fn(*mut c_void, *mut EmallocHeap, *mut c_void, usize, usize, *const EmallocSite);
type FreedFn = extern "C" fn(*mut c_void, *mut EmallocHeap, *mut c_void, usize, *const EmallocSite);
type ResizedFn = extern "C" fn(
    *mut c_void,
    *mut EmallocHeap,
    *mut c_void,
    usize,
    *mut c_void,
    usize,
    usize,
    *const EmallocSite,
);
type ResetFn = extern "C" fn(*mut c_void, *mut EmallocHeap);
type CollectedFn = extern "C" fn(*mut c_void, *mut EmallocHeap, usize);

/// Words that the header sets aside for the library.
const RESERVED: usize = 4;

/// `emalloc_observer`
#[repr(C)]
pub struct EmallocObserver {
    /// Bytes of this struct.
    pub size: usize,
    /// Given to each call.
    pub data: *mut c_void,
    /// The heap handed out a block: its address, the bytes asked for, the bytes it can hold.
    pub allocated: Option<AllocatedFn>,
    /// The heap took one back that could hold so many bytes.
    pub freed: Option<FreedFn>,
    /// The heap resized one: where it was and what it could hold, then as for a new one.
    pub resized: Option<ResizedFn>,
    /// The heap threw everything away.
    pub reset: Option<ResetFn>,
    /// Somebody had it collect, which freed so many bytes of pages.
    pub collected: Option<CollectedFn>,
    /// The library's link.
    pub reserved: Reserved,
}

/// Room for the library's link, which changes while others are added and removed.
pub type Reserved = UnsafeCell<MaybeUninit<[usize; RESERVED]>>;

const _: () = assert!(
    size_of::<ObserverNode>() <= size_of::<Reserved>()
        && align_of::<ObserverNode>() <= align_of::<Reserved>()
);

impl Observer for EmallocObserver {
    fn told(&self, heap: &Heap, event: &Event<'_>) {
        // SAFETY: only heaps of this library have such observers.
        let heap = unsafe { of_raw(heap.as_raw()) }.address();
        let data = self.data;
        match *event {
            Event::Allocated {
                block,
                size,
                usable,
                at,
            } => {
                if let Some(tell) = self.allocated {
                    tell(data, heap, block.as_ptr().cast(), size, usable, &at.into());
                }
            }
            Event::Freed { block, usable, at } => {
                if let Some(tell) = self.freed {
                    tell(data, heap, block.as_ptr().cast(), usable, &at.into());
                }
            }
            Event::Resized {
                old,
                old_usable,
                block,
                size,
                usable,
                at,
            } => {
                if let Some(tell) = self.resized {
                    let (old, block) = (old.as_ptr().cast(), block.as_ptr().cast());
                    tell(data, heap, old, old_usable, block, size, usable, &at.into());
                }
            }
            Event::Reset => {
                if let Some(tell) = self.reset {
                    tell(data, heap);
                }
            }
            Event::Collected(collected) => {
                if let Some(tell) = self.collected {
                    tell(data, heap, collected.pages);
                }
            }
            // C is told of what its header knows.
            _ => {}
        }
    }
}

/// Where the link of an observer lies.
///
/// # Safety
/// `observer` can be read.
unsafe fn node_of(observer: *mut EmallocObserver) -> *mut ObserverNode {
    // SAFETY: the caller's promise.
    unsafe { (&raw mut (*observer).reserved).cast() }
}

/// `emalloc_heap_add_observer`
///
/// # Safety
/// `heap` is null, or alive and this thread's; the observer is on no other heap's list, and stays as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_add_observer(
    heap: *mut EmallocHeap,
    observer: *mut EmallocObserver,
) {
    // SAFETY: the caller's promise.
    let Some(heap) = (unsafe { EmallocHeap::given(heap) }) else {
        return;
    };
    // SAFETY: the caller's promise.
    let node = unsafe { node_of(observer) };
    // On the list twice it would make a ring of it.
    heap.view().remove_observer(node);
    // SAFETY: the caller's promise; the room is the library's.
    unsafe { node.write(ObserverNode::new(&*observer)) };
    // SAFETY: the caller's promise.
    unsafe { heap.view().add_observer(node) };
}

/// `emalloc_heap_remove_observer`
///
/// # Safety
/// `heap` is null, or alive and this thread's; `observer` can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_remove_observer(
    heap: *mut EmallocHeap,
    observer: *mut EmallocObserver,
) -> c_int {
    // SAFETY: the caller's promise.
    let Some(heap) = (unsafe { EmallocHeap::given(heap) }) else {
        return 0;
    };
    // SAFETY: the caller's promise.
    let node = unsafe { node_of(observer) };
    heap.view().remove_observer(node).into()
}
