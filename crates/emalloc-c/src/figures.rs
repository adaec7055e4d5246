//! Owns what a heap tells of itself and how it is looked after: limits, figures, collect, trim, check, walk.

use core::ffi::{c_char, c_int, c_void};
use core::ptr;
use std::ffi::CStr;

use emalloc::heap::{Item, Limit, PageUse};

use crate::error::EmallocError;
use crate::heap::{EmallocHeap, SoftLimitFn};
use crate::options::{NONE, limit};
use crate::sized::{self, Sized_};

/// `emalloc_figures`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EmallocFigures {
    /// Bytes of this struct that the caller knows.
    pub size: usize,
    /// Bytes in blocks.
    pub usage: usize,
    /// The most that was.
    pub peak: usize,
    /// Bytes held.
    pub real_usage: usize,
    /// The most that were.
    pub real_peak: usize,
    /// The limit.
    pub limit: usize,
    /// Bytes of a segment.
    pub segment_size: usize,
    /// Segments cut into pages.
    pub segments: usize,
    /// Blocks with a segment of their own.
    pub huge_blocks: usize,
    /// Bytes in empty segments.
    pub cached: usize,
    /// Bytes in free pages.
    pub free_pages: usize,
    /// Bytes of the longest run of free pages.
    pub longest_free_run: usize,
    /// Bytes in free small blocks.
    pub free_small: usize,
}

// SAFETY: `repr(C)` with its size in front, and numbers.
unsafe impl Sized_ for EmallocFigures {}

/// `emalloc_item`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EmallocItem {
    /// Of this struct.
    pub size: usize,
    /// 0: a segment, 1: a run, 2: a block.
    pub kind: c_int,
    /// Whether a segment holds one huge block.
    pub huge: c_int,
    /// The first byte.
    pub address: *mut c_void,
    /// How many.
    pub bytes: usize,
    /// What a run is for; else null.
    pub holds: *const c_char,
    /// Bytes of each block of a run.
    pub block_size: usize,
}

impl EmallocFigures {
    /// Where there is no heap.
    const NONE: Self = Self {
        size: size_of::<Self>(),
        usage: 0,
        peak: 0,
        real_usage: 0,
        real_peak: 0,
        limit: NONE,
        segment_size: 0,
        segments: 0,
        huge_blocks: 0,
        cached: 0,
        free_pages: 0,
        longest_free_run: 0,
        free_small: 0,
    };

    fn of(heap: &EmallocHeap) -> Self {
        let known = heap.view().figures();
        Self {
            size: size_of::<Self>(),
            usage: known.usage,
            peak: known.peak,
            real_usage: known.real_usage,
            real_peak: known.real_peak,
            limit: limit_of(heap),
            segment_size: known.segment_size,
            segments: known.segments,
            huge_blocks: known.huge_blocks,
            cached: known.cached,
            free_pages: known.free_pages,
            longest_free_run: known.longest_free_run,
            free_small: known.free_small,
        }
    }
}

/// The limit as C has it.
fn limit_of(heap: &EmallocHeap) -> usize {
    match heap.view().limit() {
        Limit::Unlimited => NONE,
        Limit::Bytes(bytes) => bytes,
    }
}

/// `emalloc_heap_owns`
///
/// # Safety
/// `heap` is null, or alive and this thread's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_owns(
    heap: *const EmallocHeap,
    address: *const c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    let heap = unsafe { EmallocHeap::given(heap) };
    heap.is_some_and(|heap| heap.view().owns(address.cast()))
        .into()
}

/// `emalloc_heap_set_limit`
///
/// # Safety
/// `heap` is null, or alive and this thread's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_set_limit(heap: *mut EmallocHeap, bytes: usize) -> c_int {
    // SAFETY: the caller's promise.
    match unsafe { EmallocHeap::given(heap) }.map(|heap| heap.view().set_limit(limit(bytes))) {
        None | Some(Ok(())) => 0,
        Some(Err(_)) => -1,
    }
}

/// `emalloc_heap_limit`
///
/// # Safety
/// `heap` is null, or alive and this thread's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_limit(heap: *const EmallocHeap) -> usize {
    // SAFETY: the caller's promise.
    unsafe { EmallocHeap::given(heap) }.map_or(NONE, limit_of)
}

/// `emalloc_heap_set_soft_limit`
///
/// # Safety
/// `heap` is null, or alive and this thread's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_set_soft_limit(
    heap: *mut EmallocHeap,
    bytes: usize,
    handler: Option<SoftLimitFn>,
    data: *mut c_void,
) {
    // SAFETY: the caller's promise.
    if let Some(heap) = unsafe { EmallocHeap::given(heap) } {
        heap.soft_limit.set((handler, data));
        heap.view().set_soft_limit(limit(bytes));
    }
}

/// `emalloc_heap_usage`
///
/// # Safety
/// `heap` is null, or alive and this thread's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_usage(heap: *const EmallocHeap, real: c_int) -> usize {
    // SAFETY: the caller's promise.
    let heap = unsafe { EmallocHeap::given(heap) };
    heap.map_or(0, |heap| match real {
        0 => heap.view().usage(),
        _ => heap.view().real_usage(),
    })
}

/// `emalloc_heap_peak`
///
/// # Safety
/// `heap` is null, or alive and this thread's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_peak(heap: *const EmallocHeap, real: c_int) -> usize {
    // SAFETY: the caller's promise.
    let heap = unsafe { EmallocHeap::given(heap) };
    heap.map_or(0, |heap| match real {
        0 => heap.view().peak(),
        _ => heap.view().real_peak(),
    })
}

/// `emalloc_heap_reset_peaks`
///
/// # Safety
/// `heap` is null, or alive and this thread's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_reset_peaks(heap: *mut EmallocHeap) {
    // SAFETY: the caller's promise.
    if let Some(heap) = unsafe { EmallocHeap::given(heap) } {
        heap.view().reset_peaks();
    }
}

/// `emalloc_heap_figures`
///
/// # Safety
/// `heap` is null, or alive and this thread's; `figures` is as large as its `size` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_figures(
    heap: *const EmallocHeap,
    figures: *mut EmallocFigures,
) {
    // SAFETY: the caller's promise.
    let heap = unsafe { EmallocHeap::given(heap) };
    let value = heap.map_or(EmallocFigures::NONE, EmallocFigures::of);
    // SAFETY: the caller's promise.
    unsafe { sized::write(&value, figures) };
}

/// `emalloc_heap_storage_name`
///
/// # Safety
/// `heap` is null, or alive and this thread's; `name` has room for `room` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_storage_name(
    heap: *const EmallocHeap,
    name: *mut c_char,
    room: usize,
) -> usize {
    // SAFETY: the caller's promise.
    let heap = unsafe { EmallocHeap::given(heap) }.map(EmallocHeap::view);
    let text = heap
        .as_ref()
        .map_or("", |heap| heap.storage_name())
        .as_bytes();
    if let Some(most) = room.checked_sub(1) {
        let copied = text.len().min(most);
        // SAFETY: there is room, with the NUL behind.
        unsafe { ptr::copy_nonoverlapping(text.as_ptr().cast(), name, copied) };
        // SAFETY: as above.
        unsafe { name.add(copied).write(0) };
    }
    text.len()
}

/// `emalloc_heap_collect`: custom handlers collect in the heap's place.
///
/// # Safety
/// `heap` is null, or alive and this thread's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_collect(heap: *mut EmallocHeap) -> usize {
    // SAFETY: the caller's promise.
    let Some(heap) = (unsafe { EmallocHeap::given(heap) }) else {
        return 0;
    };
    match heap.custom.get() {
        Some(handlers) => handlers
            .collect
            .map_or(0, |collect| collect(handlers.data, heap.address())),
        None => heap.view().collect().pages,
    }
}

/// `emalloc_heap_trim`
///
/// # Safety
/// `heap` is null, or alive and this thread's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_trim(heap: *mut EmallocHeap) -> usize {
    // SAFETY: the caller's promise.
    unsafe { EmallocHeap::given(heap) }.map_or(0, |heap| {
        let trimmed = heap.view().trim();
        trimmed.returned + trimmed.discarded
    })
}

/// `emalloc_heap_check`
///
/// # Safety
/// `heap` is null, or alive and this thread's; `error` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_check(
    heap: *const EmallocHeap,
    error: *mut EmallocError,
) -> c_int {
    // SAFETY: the caller's promise.
    let checked = unsafe { EmallocHeap::given(heap) }.map(|heap| heap.view().check());
    let Some(Err(corruption)) = checked else {
        return 0;
    };
    if !error.is_null() {
        // SAFETY: the caller's promise.
        unsafe { error.write(EmallocError::of_check(&corruption)) };
    }
    -1
}

/// In words, as the library says them.
fn words(holds: PageUse) -> &'static CStr {
    match holds {
        PageUse::Header => c"header",
        PageUse::Free => c"nothing",
        PageUse::Small => c"small blocks",
        PageUse::Large => c"a large block",
        PageUse::Huge => c"a huge block",
        PageUse::Reserve => c"the reserve",
        _ => c"something else",
    }
}

/// An item as C sees it.
fn item(met: Item) -> Option<EmallocItem> {
    let made = |kind, address: usize, bytes| EmallocItem {
        size: size_of::<EmallocItem>(),
        kind,
        huge: 0,
        address: ptr::without_provenance_mut(address),
        bytes,
        holds: ptr::null(),
        block_size: 0,
    };
    Some(match met {
        Item::Segment {
            address,
            size,
            huge,
        } => EmallocItem {
            huge: huge.into(),
            ..made(0, address, size)
        },
        Item::Run {
            address,
            size,
            holds,
            block_size,
            ..
        } => EmallocItem {
            holds: words(holds).as_ptr(),
            block_size,
            ..made(1, address, size)
        },
        Item::Block { address, size } => made(2, address, size),
        _ => return None,
    })
}

/// `emalloc_heap_walk`
///
/// # Safety
/// `heap` is null, or alive and this thread's; `visit` returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_walk(
    heap: *mut EmallocHeap,
    visit: extern "C" fn(*mut c_void, *const EmallocItem) -> c_int,
    data: *mut c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    let Some(heap) = (unsafe { EmallocHeap::given(heap) }) else {
        return 0;
    };
    let mut answer = 0;
    heap.view().walk(&mut |met| {
        if answer == 0
            && let Some(item) = item(met)
        {
            answer = visit(data, &item);
        }
    });
    answer
}
