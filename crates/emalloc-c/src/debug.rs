//! Owns debug mode as C chooses it, and its answers as C is told them: reports, and blocks left over, by the line that asked for
//! them.

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use core::ptr::{self, NonNull};

use emalloc::heap::{Debug, Finding, Leak, LeakFormat, Leaks, OnError, Relayed, Report, Site};

use crate::error::{BadOption, write_text};
use crate::heap::EmallocHeap;
use crate::site::{EmallocSite, sited};
use crate::sized::Sized_;

/// `emalloc_debug`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EmallocDebug {
    /// Bytes of this struct that the caller knows.
    pub size: usize,
    /// Bytes of a guard.
    pub guards: usize,
    /// What is held back of freed blocks, in bytes.
    pub quarantine: usize,
    /// And how many of them.
    pub quarantine_blocks: usize,
    /// Operations from one check of everything to the next; 0: none.
    pub check_every: usize,
    /// The program's name in reports; null: `-`.
    pub script: *const c_char,
    /// What new blocks are filled with; -1: nothing.
    pub fill: c_int,
    /// What freed blocks are filled with; -1: nothing.
    pub free_fill: c_int,
    /// 1: a page behind each block that nobody can touch.
    pub guard_pages: c_int,
    /// 0: the program goes on after a report, 1: it exits, 2: it aborts.
    pub on_error: c_int,
    /// How leaks are written: 0: text, 1: JSON, 2: not at all.
    pub leaks: c_int,
}

// SAFETY: `repr(C)` with its size in front, numbers and a pointer that may be null.
unsafe impl Sized_ for EmallocDebug {}

/// A byte to fill with, as C gives it; -1 is none.
fn fill(option: &'static str, byte: c_int) -> Result<Option<u8>, BadOption> {
    match u8::try_from(byte) {
        Ok(byte) => Ok(Some(byte)),
        Err(_) if byte == -1 => Ok(None),
        Err(_) => Err(BadOption {
            option,
            value: byte,
            wanted: "a byte, or -1 for none",
        }),
    }
}

/// One of three choices, numbered from 0 on.
fn one_of<T>(option: &'static str, choices: [T; 3], number: c_int) -> Result<T, BadOption> {
    let choice = usize::try_from(number).unwrap_or(choices.len());
    choices.into_iter().nth(choice).ok_or(BadOption {
        option,
        value: number,
        wanted: "0, 1 or 2",
    })
}

impl EmallocDebug {
    /// As the library has it.
    ///
    /// # Errors
    /// A number that means nothing.
    ///
    /// # Safety
    /// `script` is null or a string that stays for as long as the process runs.
    pub unsafe fn to_debug(self) -> Result<Debug, BadOption> {
        let endings = [OnError::Continue, OnError::Exit, OnError::Abort];
        let formats = [LeakFormat::Text, LeakFormat::Json, LeakFormat::Silent];
        let debug = Debug::new()
            .guards(self.guards)
            .fill(fill("fill", self.fill)?)
            .free_fill(fill("free_fill", self.free_fill)?)
            .quarantine(self.quarantine)
            .quarantine_blocks(self.quarantine_blocks)
            .check_every(self.check_every)
            .guard_pages(self.guard_pages != 0)
            .on_error(one_of("on_error", endings, self.on_error)?)
            .leaks(one_of("leaks", formats, self.leaks)?);
        Ok(match NonNull::new(self.script.cast_mut()) {
            Some(script) => {
                // SAFETY: the caller's promise.
                let script: &'static CStr = unsafe { CStr::from_ptr(script.as_ptr()) };
                debug.script(script.to_str().unwrap_or("?"))
            }
            None => debug,
        })
    }
}

/// Bytes that the text of a report can have, with its NUL.
const TEXT: usize = 1024;

/// `emalloc_report`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EmallocReport {
    /// Of this struct.
    pub size: usize,
    /// What is wrong: 0: overrun, 1: underrun, 2: written after the free, 3: its record was overwritten, 4: the pointer.
    pub finding: c_int,
    /// 1: it may have been more bytes than are told.
    pub at_least: c_int,
    /// The pointer that was given, or the block.
    pub address: *mut c_void,
    /// The call in which it was found.
    pub site: EmallocSite,
    /// The block there, null if none is known; and what is known of it.
    pub block: *mut c_void,
    /// What was asked for.
    pub block_size: usize,
    /// Who asked.
    pub allocated: EmallocSite,
    /// Who freed it.
    pub freed: EmallocSite,
    /// Bytes behind its end, in front of its beginning, or from there on.
    pub distance: usize,
    /// The first byte that was changed; null if none was.
    pub changed: *mut c_void,
    /// How many were.
    pub changed_bytes: usize,
    /// How many are shown.
    pub shown: c_uint,
    /// What is there.
    pub found: [u8; 8],
    /// What had to be.
    pub expected: [u8; 8],
    /// The text, ended by a NUL.
    pub text: [c_char; TEXT],
}

/// `emalloc_report_fn`
pub type ReportFn = extern "C" fn(*mut c_void, *mut EmallocHeap, *const EmallocReport) -> c_int;

impl EmallocReport {
    /// As C is told it.
    pub fn new(report: &Report<'_>) -> Self {
        let site = |at: Option<Site<'_>>| at.map_or(EmallocSite::NONE, EmallocSite::from);
        let address = |address: usize| ptr::without_provenance_mut(address);
        let (finding, distance, at_least, change) = match report.finding {
            Finding::Overrun {
                over,
                at_least,
                change,
            } => (0, over, at_least, Some(change)),
            Finding::Underrun {
                under,
                at_least,
                change,
            } => (1, under, at_least, Some(change)),
            Finding::WriteAfterFree { offset, change } => (2, offset, false, Some(change)),
            Finding::RecordOverwritten => (3, 0, false, None),
            // What is yet to come is named by its text.
            _ => (4, 0, false, None),
        };
        let mut told = Self {
            size: size_of::<Self>(),
            finding,
            at_least: at_least.into(),
            address: address(report.address),
            site: site(report.at),
            block: address(report.block.map_or(0, |block| block.address)),
            block_size: report.block.map_or(0, |block| block.size),
            allocated: site(report.block.map(|block| block.allocated)),
            freed: site(report.block.and_then(|block| block.freed)),
            distance,
            changed: address(change.map_or(0, |change| change.address)),
            changed_bytes: change.map_or(0, |change| change.bytes),
            shown: 0,
            found: [0; 8],
            expected: [0; 8],
            text: [0; TEXT],
        };
        if let Some(change) = change {
            for (to, from) in told.found.iter_mut().zip(change.found()) {
                *to = *from;
                told.shown += 1;
            }
            for (to, from) in told.expected.iter_mut().zip(change.expected()) {
                *to = *from;
            }
        }
        write_text(&mut told.text, report);
        told
    }
}

/// `emalloc_leak`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EmallocLeak {
    /// Of this struct.
    pub size: usize,
    /// The line that asked for them.
    pub site: EmallocSite,
    /// How many blocks.
    pub count: usize,
    /// What was asked for with all of them.
    pub bytes: usize,
    /// The first one.
    pub address: *mut c_void,
    /// What was asked for with it.
    pub block_size: usize,
}

/// `emalloc_leak_fn`
pub type LeakFn = extern "C" fn(*mut c_void, *mut EmallocHeap, *const EmallocLeak);

impl From<&Leak<'_>> for EmallocLeak {
    fn from(leak: &Leak<'_>) -> Self {
        Self {
            size: size_of::<Self>(),
            site: leak.at.into(),
            count: leak.count,
            bytes: leak.bytes,
            address: ptr::without_provenance_mut(leak.address),
            block_size: leak.size,
        }
    }
}

/// Tells C of all lines that leak.
pub fn tell_leaks(heap: &EmallocHeap, (handler, data): (LeakFn, *mut c_void), leaks: &Leaks<'_>) {
    leaks.for_each(&mut |leak| handler(data, heap.address(), &leak.into()));
}

/// `emalloc_heap_set_report_handler`
///
/// # Safety
/// `heap` is null, or alive and this thread's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_set_report_handler(
    heap: *mut EmallocHeap,
    handler: Option<ReportFn>,
    data: *mut c_void,
) {
    // SAFETY: the caller's promise.
    if let Some(heap) = unsafe { EmallocHeap::given(heap) } {
        heap.report.set(handler.map(|handler| (handler, data)));
    }
}

/// `emalloc_heap_set_leak_handler`
///
/// # Safety
/// `heap` is null, or alive and this thread's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_set_leak_handler(
    heap: *mut EmallocHeap,
    handler: Option<LeakFn>,
    data: *mut c_void,
) {
    // SAFETY: the caller's promise.
    if let Some(heap) = unsafe { EmallocHeap::given(heap) } {
        heap.leaks.set(handler.map(|handler| (handler, data)));
    }
}

/// `emalloc_heap_leaks`
///
/// # Safety
/// `heap` is null, or alive and this thread's; `handler` returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_heap_leaks(
    heap: *mut EmallocHeap,
    handler: Option<LeakFn>,
    data: *mut c_void,
) -> usize {
    // SAFETY: the caller's promise.
    let Some(heap) = (unsafe { EmallocHeap::given(heap) }) else {
        return 0;
    };
    let mut count = 0;
    heap.view().leaks(&mut |leaks| {
        count = leaks.total().count;
        match handler {
            Some(handler) => tell_leaks(heap, (handler, data), leaks),
            None => leaks.print(),
        }
    });
    count
}

sited! {
    /// `full_mem_check`
    fn emalloc_heap_check_blocks_at, emalloc_heap_check_blocks_rel(heap: *mut EmallocHeap) -> usize =
        // SAFETY: the caller's promise.
        |at| unsafe { EmallocHeap::given(heap) }.map_or(0, |heap| heap.view().check_blocks_at(at));
}
