//! Owns sampling as C uses it: a profile by place, cheap enough for production.

use core::ffi::{c_int, c_void};
use core::ptr;

use emalloc::heap::{Estimate, Sampling, SiteProfile};

use crate::heap::EmallocHeap;
use crate::site::EmallocSite;

/// `emalloc_estimate`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EmallocEstimate {
    /// Samples it is made of.
    pub samples: u64,
    /// Blocks.
    pub count: f64,
    /// Their bytes.
    pub bytes: f64,
}

impl From<Estimate> for EmallocEstimate {
    fn from(estimate: Estimate) -> Self {
        Self {
            samples: estimate.samples,
            count: estimate.count,
            bytes: estimate.bytes,
        }
    }
}

/// `emalloc_profile`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EmallocProfile {
    /// Of this struct.
    pub size: usize,
    /// The line that allocated.
    pub site: EmallocSite,
    /// Blocks alive.
    pub live: EmallocEstimate,
    /// All blocks since sampling began.
    pub allocated: EmallocEstimate,
    /// Blocks alive at resets.
    pub left: EmallocEstimate,
}

/// `emalloc_profile_fn`
pub type ProfileFn = extern "C" fn(*mut c_void, *const EmallocProfile);

impl From<&SiteProfile> for EmallocProfile {
    fn from(profile: &SiteProfile) -> Self {
        let (at, origin) = (profile.at, profile.origin);
        Self {
            size: size_of::<Self>(),
            site: EmallocSite {
                file: at.c_file(),
                orig_file: origin.map_or(ptr::null(), |origin| origin.c_file()),
                line: at.line(),
                orig_line: origin.map_or(0, |origin| origin.line()),
            },
            live: profile.live.into(),
            allocated: profile.allocated.into(),
            left: profile.left.into(),
        }
    }
}

/// `emalloc_heap_start_sampling`
///
/// # Safety
/// `heap` is null, or alive and this thread's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_start_sampling(
    heap: *mut EmallocHeap,
    bytes: usize,
) -> c_int {
    let sampling = match bytes {
        0 => Sampling::default(),
        bytes => Sampling::every(bytes),
    };
    // SAFETY: the caller's promise.
    let heap = unsafe { EmallocHeap::given(heap) };
    match heap.map(|heap| heap.view().start_sampling(sampling)) {
        Some(Ok(())) => 0,
        None | Some(Err(_)) => -1,
    }
}

/// `emalloc_heap_stop_sampling`
///
/// # Safety
/// `heap` is null, or alive and this thread's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_stop_sampling(heap: *mut EmallocHeap) {
    // SAFETY: the caller's promise.
    if let Some(heap) = unsafe { EmallocHeap::given(heap) } {
        heap.view().stop_sampling();
    }
}

/// `emalloc_heap_profile`
///
/// # Safety
/// `heap` is null, or alive and this thread's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_profile(
    heap: *mut EmallocHeap,
    visit: ProfileFn,
    data: *mut c_void,
) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { EmallocHeap::given(heap) }.map_or(0, |heap| {
        heap.view()
            .profile(&mut |profile| visit(data, &profile.into()))
    })
}
