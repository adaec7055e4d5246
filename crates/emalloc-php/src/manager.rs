//! Owns the process's heap as PHP sees it: its start from the environment, its end, its limit and its figures.

use alloc::boxed::Box;
use alloc::string::String;
use core::cell::OnceCell;
use core::ffi::{CStr, c_int};

use emalloc::heap::Retain;
use emalloc::interface::{Settings, SettingsError};
use emalloc::storage::{Cached, MmapAnon};
use emalloc::{Heap, HeapError, sys};

use crate::current::{self, started};
use crate::faults::Faults;
use crate::heaps::{SEGMENT_TEXT, zend_mm_shutdown};
use crate::large_pages::{self, LargePages};
use crate::record::Record;
use crate::refusal::say;
use crate::tracked::Tracked;

/// Where the segments of PHP's heaps come from, and where they wait between requests.
static SEGMENTS: Cached<LargePages<MmapAnon>> = Cached::new(LargePages(MmapAnon));

/// What the environment says, and what PHP's heaps do where it says nothing.
pub(crate) struct PhpSettings {
    settings: Settings,
    /// The environment names a storage.
    named: bool,
    tracked: bool,
    large_pages: bool,
}

/// A variable of the environment. What is not UTF-8 in it becomes the sign for that.
fn value(name: &str) -> Option<String> {
    // Zeros behind the name end it. `alloc`'s own text for C would bring a personality for unwinding along, and the lossy
    // `String` likewise.
    let mut terminated = [0; 64];
    let room = terminated.len() - 1;
    terminated[..room]
        .get_mut(..name.len())?
        .copy_from_slice(name.as_bytes());
    // SAFETY: the name ends with a NUL. PHP starts before it has threads, so nobody changes the environment meanwhile.
    let value = unsafe { libc::getenv(terminated.as_ptr().cast()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: it ends with a NUL and stays as it is for the duration of this.
    let value = unsafe { CStr::from_ptr(value) };
    let mut text = String::new();
    for chunk in value.to_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    Some(text)
}

impl PhpSettings {
    fn from_env() -> Result<Self, SettingsError> {
        let is_set = |names: [&str; 2]| names.iter().any(|name| value(name).is_some());
        let segment_named = is_set(["EMALLOC_SEGMENT_SIZE", "ZEND_MM_SEG_SIZE"]);
        let settings = Settings::from_lookup(|name| match name {
            "EMALLOC_SEGMENT_SIZE" if !segment_named => Some(SEGMENT_TEXT.into()),
            // PHP's errors need no reserve: while one is reported no limit is enforced.
            "EMALLOC_RESERVE" => value(name).or_else(|| Some("0".into())),
            _ => value(name),
        })?;
        // As PHP reads numbers: what does not begin with one is 0.
        let is_on = |name| {
            value(name).is_some_and(|text| {
                let digits = text.trim_start().trim_start_matches(['+', '-', '0']);
                digits.starts_with(|c: char| c.is_ascii_digit())
            })
        };
        Ok(Self {
            settings,
            named: is_set(["EMALLOC_STORAGE", "ZEND_MM_MEM_TYPE"]),
            tracked: is_on("USE_TRACKED_ALLOC"),
            large_pages: is_on("USE_ZEND_ALLOC_HUGE_PAGES"),
        })
    }

    /// A heap with these settings.
    pub(crate) fn start(&self) -> Result<Heap, HeapError> {
        let settings = &self.settings;
        let builder = settings.builder().unwrap_or_else(|error| refuse(&error));
        // For output buffers, which come and go; and the heap has its storage to itself.
        let builder = builder.handler(Faults).keep_buffer(true).keep_filled(true);
        if self.named {
            return builder.build();
        }
        let builder = builder.compact(0).retain(Retain::Bytes(0));
        if self.large_pages {
            large_pages::want();
        }
        builder.storage(&SEGMENTS).build()
    }
}

/// Nonsense in the environment ends the process as the original does: a text on standard error, status 255.
fn refuse(error: &SettingsError) -> ! {
    say(error);
    sys::exit(255)
}

struct Once(OnceCell<PhpSettings>);

// SAFETY: PHP without threads uses its allocator on one thread only, as it does the original.
unsafe impl Sync for Once {}

/// The environment's settings, read once.
pub(crate) fn settings() -> &'static PhpSettings {
    static SETTINGS: Once = Once(OnceCell::new());
    SETTINGS
        .0
        .get_or_init(|| PhpSettings::from_env().unwrap_or_else(|error| refuse(&error)))
}

/// Makes the process's heap and makes it current. Ends the process if there is no memory for it.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn start_memory_manager() {
    let settings = settings();
    let record = if !settings.settings.enabled {
        Record::of_system(settings.tracked.then(Tracked::default))
    } else {
        match settings.start() {
            Ok(heap) => Record::of_heap(heap, core::ptr::null_mut()),
            Err(error) => {
                say(&format_args!("Can't initialize heap: {error}"));
                sys::exit(255)
            }
        }
    };
    current::set(Box::into_raw(Box::new(record)));
}

/// Ends a request, or, with `full`, the process's heap.
///
/// # Safety
/// Nothing in the heap is used any more; with `full`, nor is the heap.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn shutdown_memory_manager(silent: bool, full: bool) {
    let record = current::record();
    if !record.is_null() {
        // SAFETY: the current record is alive; the rest is the caller's promise.
        unsafe { zend_mm_shutdown(record, full, silent) }
    }
}

/// Whether PHP's memory is in a heap that a shutdown empties at once: nothing stands in its place.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn is_zend_mm() -> bool {
    started().handlers().is_none()
}

/// Whether `address` lies in the current heap, or, where blocks are tracked, begins one.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn is_zend_ptr(address: *const u8) -> bool {
    let record = started();
    match (record.tracked(), record.handlers(), record.heap()) {
        (Some(tracked), ..) => tracked.holds(address.addr()),
        (None, None, Some(heap)) => heap.owns(address),
        _ => false,
    }
}

/// Changes the limit on what is held. 0 if it was set; -1 if more is held, even after collecting.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn zend_set_memory_limit(limit: usize) -> c_int {
    if started().set_limit(limit) { 0 } else { -1 }
}

/// Bytes in blocks, or, with `real`, held from the storage. (`memory_get_usage`)
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn zend_memory_usage(real: bool) -> usize {
    started().usage(real).0
}

/// The most there were since the request began, or since the peaks were reset. (`memory_get_peak_usage`)
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn zend_memory_peak_usage(real: bool) -> usize {
    started().usage(real).1
}

/// Makes the peaks begin anew at what is used now. (`memory_reset_peak_usage`)
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn zend_memory_reset_peak_usage() {
    started().reset_peaks();
}
