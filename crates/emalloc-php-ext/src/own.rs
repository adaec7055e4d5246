//! Owns the heap that requests live on in *heap* mode, its limit and its resets,
//! and beside it the original's heap, whose blocks come to our free, too.
//!
//! Which of the two a block is of, its address tells: the word before which our segments note their owner is
//! read, at most 2 MiB before the block. A chunk of the original's begins there at the earliest, so it can be
//! read; only a huge block of the original's begins its own chunk, and no block of ours lies at a multiple of
//! 2 MiB. Where others had handlers in before us, their blocks may lie anywhere: then the heap is asked by its index.

use core::cell::{Cell, RefCell};
use core::ffi::c_int;
use core::ptr::{self, NonNull};
use std::format;
use std::string::{String, ToString};

use emalloc::heap::{
    AllocError, Builder, Debug, Fault, FaultKind, Handler, Heap, LeakFormat, Limit, OnError, Site,
};
use emalloc::interface::Settings;
use emalloc_php::refusal::{Text, Why};

use crate::config::{Config, MAX_SEGMENT};
use crate::host::{self, Host};
use crate::single::Single;
use crate::{direct, leaks, storage, watch};

/// The heap's side of the extension.
pub struct Own {
    host: Cell<Host>,
    pub config: Config,
    /// In *heap* mode.
    pub heap: Option<Heap>,
    /// A request has ended; what is asked for once PHP has freed its last block is the next one's.
    pub ending: Cell<bool>,
    /// That request ended with a fatal error: what is left over is nobody's fault.
    pub broken: Cell<bool>,
    /// The script of the request that ended, for reports.
    pub script: RefCell<String>,
    /// Requests so far, and bytes the last one left in blocks.
    pub requests: Cell<usize>,
    pub left: Cell<usize>,
}

impl Own {
    /// The glue's functions, and the original's heap.
    #[inline(always)]
    pub fn host(&self) -> Host {
        self.host.get()
    }

    /// Others have handlers in now, below ours.
    pub fn set_host(&self, host: Host) {
        self.host.set(host);
    }
}

static OWN: Single<Option<Own>> = Single::new(None);

/// The heap's side, once it is there.
#[inline(always)]
pub fn own() -> &'static Own {
    // SAFETY: handlers and functions are only called between `start` and `stop`, on PHP's one thread; what changes
    // in between are cells, and the heap by `next_request`, which nobody else uses meanwhile.
    unsafe { (*OWN.get()).as_ref().unwrap_unchecked() }
}

/// Our heap, in *heap* mode.
#[inline(always)]
pub fn heap() -> &'static Heap {
    // SAFETY: the handlers that call this are only handed out in heap mode.
    unsafe { own().heap.as_ref().unwrap_unchecked() }
}

/// Begins; an error says why there is no heap.
pub fn start(host: Host, config: Config, with_heap: bool) -> Result<(), String> {
    let heap = match with_heap {
        true => Some(build(&config)?),
        false => None,
    };
    let own = Own {
        host: Cell::new(host),
        config,
        heap,
        ending: Cell::new(false),
        broken: Cell::new(false),
        script: RefCell::default(),
        requests: Cell::new(0),
        left: Cell::new(0),
    };
    // SAFETY: nobody uses it yet.
    unsafe { *OWN.get() = Some(own) };
    set_limit(php_limit());
    Ok(())
}

/// Ends; the heap's memory is given back.
pub fn stop() {
    // SAFETY: the handlers are out, so nobody uses it any more.
    unsafe { *OWN.get() = None };
}

fn build(config: &Config) -> Result<Heap, String> {
    let built = if config.storage == storage::DEFAULT {
        storage::build_default(settle(Heap::builder(), config))
    } else {
        let mut settings = Settings::default();
        settings.storage.clone_from(&config.storage);
        let builder = settings.builder().map_err(|error| error.to_string())?;
        settle(builder, config).build()
    };
    built.map_err(|error| error.to_string())
}

fn settle<S, H>(builder: Builder<S, H>, config: &Config) -> Builder<S, Report> {
    // The reserve is for handlers that recover; PHP's error may use all it needs.
    let builder = builder
        .segment_size(config.segment_size)
        .reserve(0)
        .keep_buffer(true)
        .keep_filled(true)
        .handler(Report);
    if !config.debug {
        return builder;
    }
    // What is left over, we report by line and function (`leaks`).
    // PHP reads the line of a call before it is written (see `line_of` in frames.c), and copes with 0.
    let debug = Debug::new().fill(Some(0)).on_error(OnError::Abort);
    builder.debug(debug.leaks(LeakFormat::Silent))
}

fn php_limit() -> usize {
    // SAFETY: it is the glue's function.
    unsafe { (own().host().limit)() }
}

/// Bounds the heap by `memory_limit`, like the original never to less than a segment. Says no if more is held.
pub fn set_limit(bytes: usize) -> bool {
    own().heap.as_ref().is_none_or(|heap| {
        let bytes = bytes.max(heap.segment_size());
        heap.set_limit(Limit::Bytes(bytes)).is_ok()
    })
}

/// What becomes of a request that the heap refused; `again` makes it once more.
///
/// The report may jump out of here (PHP's bail-out): nothing here needs to be dropped.
#[cold]
#[inline(never)]
pub fn refused(error: AllocError, size: usize, again: impl Fn() -> *mut u8) -> *mut u8 {
    if !tell(Why::new(heap(), error), size) {
        return ptr::null_mut();
    }
    // The limit is in force for the next one.
    let block = heap().with_limit(Limit::Unlimited, |_| again());
    if block.is_null() {
        tell(Why::out_of_memory(heap(), size), size);
    }
    block
}

/// Has the glue report a refusal. Says whether to serve the request all the same.
fn tell(why: Why, size: usize) -> bool {
    let text = Text::new(&why);
    // SAFETY: it is the glue's function, and the text is there meanwhile.
    unsafe { (own().host().refused)(why.kind as c_int, text.as_ptr(), why.limit(), size) }
}

/// The block, unless it is certainly not ours, or none.
#[inline(always)]
pub fn ours<const CAREFUL: bool>(block: *mut u8) -> Option<NonNull<u8>> {
    if block.addr().is_multiple_of(MAX_SEGMENT) || CAREFUL && !heap().owns(block) {
        return None;
    }
    // SAFETY: null is such a multiple.
    Some(unsafe { NonNull::new_unchecked(block) })
}

/// Frees a block of the original's that nobody can free any more: nothing is done. Others are wrong.
fn free_from_before(block: *mut u8, fault: &Fault) {
    if !NonNull::new(block).is_some_and(direct::is_from_before) {
        tell_fault(fault)
    }
}

/// Frees a block of the original's, or null.
#[cold]
#[inline(never)]
pub fn free_foreign(block: *mut u8) {
    let host = own().host();
    // So PHP ends a heap that has handlers: its own, which is no block.
    if host.heap.addr() != block.addr() {
        // SAFETY: it is not ours, so it is theirs.
        unsafe { (host.free)(host.heap, block) };
    }
}

/// Hears what the heap says of blocks that are not its own, or wrong.
pub struct Report;

impl Handler for Report {
    fn fault(&self, _: &Heap, fault: &Fault, _: Site<'_>) {
        if fault.kind == FaultKind::Foreign {
            let block = ptr::with_exposed_provenance_mut(fault.address);
            return match direct::is_in() {
                true => free_from_before(block, fault),
                false => free_foreign(block),
            };
        }
        tell_fault(fault)
    }
}

/// Ends the process, saying what was wrong with a pointer.
#[cold]
pub fn tell_fault(fault: &Fault) -> ! {
    let text = format!("zend_mm_heap corrupted: {fault}");
    // SAFETY: it is the glue's function, and the text is there meanwhile.
    unsafe { (own().host().fault)(host::Text::new(&text)) }
}

/// The request that ends leaves nothing; `broken` if it ended with a fatal error.
pub fn request_ended(broken: bool) {
    own().ending.set(true);
    own().broken.set(broken);
    watch::watch().hurry();
}

/// Begins the next request, if one has ended and PHP has freed its last block. To be called where memory is asked for.
#[cold]
#[inline(never)]
pub fn next_request() {
    // SAFETY: it is the glue's function.
    if !own().ending.get() || !unsafe { (own().host().request_is_over)() } {
        return;
    }
    end_request();
    reset();
    set_limit(php_limit());
}

/// Drops all blocks of the request that ended. PHP has freed its last one.
fn reset() {
    // SAFETY: as in `own`; no block is in use any more.
    let heap = unsafe { (*OWN.get()).as_mut().and_then(|own| own.heap.as_mut()) };
    match heap {
        Some(heap) => heap.reset(),
        // SAFETY: it is the glue's function, and as above.
        None => unsafe { (own().host().reset_original)() },
    }
}

/// Ends the last request, if there was one.
pub fn finish() {
    if own().ending.get() {
        end_request();
        reset();
    }
}

/// Counts the request that ended, and says what it left, if that is wanted.
pub fn end_request() {
    let own = own();
    if !own.ending.replace(false) {
        return;
    }
    own.requests.set(own.requests.get() + 1);
    own.left.set(own.heap.as_ref().map_or(0, Heap::usage));
    if own.config.leaks && !own.broken.get() {
        leaks::report();
    }
    watch::watch().forget_all();
}

/// Whether the block is one of our heap's; any address may be asked for.
pub fn owns(block: *const u8) -> bool {
    own().heap.as_ref().is_some_and(|heap| heap.owns(block))
}
