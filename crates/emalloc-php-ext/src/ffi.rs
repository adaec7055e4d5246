//! Owns the functions that the glue calls. All of them are called on PHP's one thread; but for the first two, after
//! [`emalloc_ext_start`].

use core::ffi::c_void;
use core::ptr::{self, NonNull};
use std::boxed::Box;
use std::format;
use std::string::ToString;
use std::vec::Vec;

use emalloc::heap::Heap;
use emalloc_php::refusal::{Hook, emalloc_php_set_reporting};

use crate::config::Config;
pub use crate::config::{Mode, Settings};
use crate::direct::{self, Code};
use crate::handlers::Handlers;
use crate::host::{Host, Output, Text};
use crate::leaks::{By, lines, lines_since};
use crate::own::{self, own};
use crate::summary::{self, Request};
use crate::watch::{Sum, watch};
use crate::{collapsed, figures, pprof};

/// Reads the settings and begins. If the heap cannot be made, that is warned of, and the mode is off. Answers the mode.
///
/// # Safety
/// The texts of the settings are there; the functions of `host` do what they say, as long as handlers are in.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_ext_start(settings: &Settings, host: &Host) -> Mode {
    // SAFETY: the caller's promise.
    let mut config = unsafe { Config::read(settings) };
    let ours = config.mode == Mode::Heap;
    if let Err(error) = own::start(*host, config.clone(), ours) {
        let text = format!("there is no heap, and emalloc.mode is off: {error}");
        // SAFETY: it is the glue's function, and the text is there meanwhile.
        unsafe { (settings.warn)(Text::new(&text)) };
        config.mode = Mode::Off;
        // Without a heap nothing can be refused.
        let _ = own::start(*host, config.clone(), false);
    }
    if config.mode != Mode::Off {
        watch().begin(config.every);
    }
    config.mode
}

/// Others have put handlers in below ours.
///
/// # Safety
/// As [`emalloc_ext_start`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_ext_set_host(host: &Host) {
    own().set_host(*host);
}

/// PHP ends. Blocks that the last request has left are reported, if that is wanted, and dropped. Says whether our heap is
/// empty: if not, somebody may still free what is in it, and the handlers had better stay.
#[unsafe(no_mangle)]
pub extern "C" fn emalloc_ext_finish() -> bool {
    own::finish();
    watch().begin(0);
    own().heap.as_ref().is_none_or(|heap| heap.usage() == 0)
}

/// Gives everything back.
///
/// # Safety
/// The handlers are out.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_ext_stop() {
    own::stop();
}

/// The handlers for our heap, or for the original's. `careful`: others had handlers in before us.
#[unsafe(no_mangle)]
pub extern "C" fn emalloc_ext_handlers(ours: bool, careful: bool) -> Handlers {
    let watched = watch().read(|_| ()).is_some();
    Handlers::choose(ours, watched, careful)
}

/// Lets PHP's own functions lead to our heap, if that can be: `other` is the original's, `hook` is told of requests that
/// cannot be served. Only in *heap* mode, with our handlers in and nobody else's, while all blocks of PHP's lie in one
/// chunk. Says why not, if `why` may be told; no text: they do.
///
/// # Safety
/// As [`emalloc_ext_start`], for the functions of `code`, and for `hook`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_ext_enter(
    code: &Code,
    other: NonNull<c_void>,
    hook: Hook,
    why: unsafe extern "C" fn(Text),
) -> bool {
    let entered = direct::enter(code, other, hook);
    if let Err(reason) = &entered {
        // SAFETY: the caller's promise, and the text is there meanwhile.
        unsafe { why(Text::new(reason)) };
    }
    entered.is_ok()
}

/// Gives PHP's functions back. Says no if that cannot be; then they stay as they are.
///
/// # Safety
/// Our heap is empty.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_ext_leave() -> bool {
    direct::leave()
}

/// Says that PHP is reporting that the limit was reached; meanwhile our heap has none.
#[unsafe(no_mangle)]
pub extern "C" fn emalloc_ext_set_reporting(reporting: bool) {
    emalloc_php_set_reporting(reporting);
}

/// Whether blocks left by a request are reported, so that the handlers are to stay in to its very end.
#[unsafe(no_mangle)]
pub extern "C" fn emalloc_ext_reports_leaks() -> bool {
    own().config.leaks
}

/// A request has begun: what is counted, is counted from here.
#[unsafe(no_mangle)]
pub extern "C" fn emalloc_ext_request_begins() {
    // In heap mode, and where leaks are reported, the first block of the request has done that.
    own::end_request();
    watch().reset_counts();
}

/// The script has ended. Writes what `emalloc.report` and `emalloc.profile` ask for.
///
/// # Safety
/// The text is there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_ext_script_ended(script: Text, peak: usize, real_peak: usize) {
    let own = own();
    // SAFETY: the caller's promise.
    let script = unsafe { script.read() };
    if own.config.leaks {
        *own.script.borrow_mut() = (*script).to_string();
    }
    if let Some(path) = &own.config.report {
        // SAFETY: it is the glue's function.
        let limit = unsafe { (own.host().limit)() };
        let text = summary::text(&Request {
            script: &script,
            peak,
            real_peak,
            limit,
        });
        write(path, text.as_bytes(), true);
    }
    if let Some(path) = &own.config.profile {
        let text = [".txt", ".collapsed", ".folded"]
            .iter()
            .any(|end| path.ends_with(end));
        let profile = watch().read(|book| match text {
            true => collapsed::encode(book, By::Allocated).into_bytes(),
            false => pprof::encode(book),
        });
        if let Some(profile) = profile {
            write(path, &profile, false);
        }
    }
}

fn write(path: &str, content: &[u8], append: bool) {
    if let Err(error) = summary::write(path, content, append) {
        let text = format!("emalloc: cannot write '{path}': {error}\n");
        // SAFETY: it is the glue's function, and the text is there meanwhile.
        unsafe { (own().host().say)(Text::new(&text)) };
    }
}

/// PHP has run its modules' ends for a request; it frees more, and then no more. `broken`: it ended with a fatal error.
#[unsafe(no_mangle)]
pub extern "C" fn emalloc_ext_request_ended(broken: bool) {
    own::request_ended(broken);
}

/// `memory_limit` has changed. Says no if more is held; then the old one stays.
#[unsafe(no_mangle)]
pub extern "C" fn emalloc_ext_set_limit(bytes: usize) -> bool {
    own::set_limit(bytes)
}

/// Usage, or its peak, of our heap; `real`: what it holds. Only in *heap* mode.
#[unsafe(no_mangle)]
pub extern "C" fn emalloc_ext_usage(real: bool, peak: bool) -> usize {
    let figure = match (real, peak) {
        (false, false) => Heap::usage,
        (false, true) => Heap::peak,
        (true, false) => Heap::real_usage,
        (true, true) => Heap::real_peak,
    };
    own().heap.as_ref().map_or(0, figure)
}

/// Both peaks begin anew. Only in *heap* mode.
#[unsafe(no_mangle)]
pub extern "C" fn emalloc_ext_reset_peaks() {
    if let Some(heap) = &own().heap {
        heap.reset_peaks();
    }
}

/// Collects; answers the bytes of pages that are free now. Only in *heap* mode.
#[unsafe(no_mangle)]
pub extern "C" fn emalloc_ext_collect() -> usize {
    own().heap.as_ref().map_or(0, |heap| heap.collect().pages)
}

/// Whether an address lies in our heap.
#[unsafe(no_mangle)]
pub extern "C" fn emalloc_ext_owns(block: *const u8) -> bool {
    own::owns(block)
}

/// Fills the array of `Emalloc\stats()`.
#[unsafe(no_mangle)]
pub extern "C" fn emalloc_ext_stats(output: &Output) {
    figures::stats(output);
}

/// Fills the array of `Emalloc\map()`.
#[unsafe(no_mangle)]
pub extern "C" fn emalloc_ext_map(output: &Output) {
    figures::map(output);
}

/// The number of the next sample.
#[unsafe(no_mangle)]
pub extern "C" fn emalloc_ext_mark() -> u64 {
    watch().read(|book| book.serial).unwrap_or(0)
}

/// Fills the array of `Emalloc\leaks()`: lines whose blocks are alive, of samples from `since` on.
#[unsafe(no_mangle)]
pub extern "C" fn emalloc_ext_leaks(output: &Output, since: u64) {
    let found = watch().read(|book| lines_since(book, since));
    list(output, found.unwrap_or_default());
}

/// Fills the array of `Emalloc\top()`. Says no if there is no such figure as `by`.
///
/// # Safety
/// The text is there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_ext_top(output: &Output, by: Text, most: usize) -> bool {
    // SAFETY: the caller's promise.
    let Some(by) = By::named(&unsafe { by.read() }) else {
        return false;
    };
    let mut found = watch().read(|book| lines(book, by)).unwrap_or_default();
    found.truncate(most);
    list(output, found);
    true
}

fn list(output: &Output, lines: Vec<(crate::stacks::Line, Sum)>) {
    for (line, sum) in &lines {
        output.array("", |output| {
            output.string("file", &line.file);
            output.number("line", line.line as usize);
            output.string("function", &line.function);
            output.number("bytes", sum.bytes.round() as usize);
            output.number("blocks", sum.blocks.round() as usize);
        });
    }
}

/// Whether samples are taken.
#[unsafe(no_mangle)]
pub extern "C" fn emalloc_ext_is_sampling() -> bool {
    watch().read(|_| ()).is_some()
}

/// Begins to sample anew, one block every `every` bytes; 0 ends it.
#[unsafe(no_mangle)]
pub extern "C" fn emalloc_ext_sample(every: usize) {
    watch().begin(every);
}

/// As the settings say.
#[unsafe(no_mangle)]
pub extern "C" fn emalloc_ext_sample_as_set() {
    let config = &own().config;
    watch().begin(match config.mode {
        Mode::Off => 0,
        _ => config.every,
    });
}

/// The profile so far, in memory that [`emalloc_ext_drop`] takes back. No bytes: the format or the figure is unknown,
/// or nothing is sampled.
///
/// # Safety
/// The texts are there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_ext_profile(format: Text, by: Text) -> Text {
    // SAFETY: the caller's promise.
    let (format, by) = unsafe { (format.read(), by.read()) };
    let profile = watch().read(|book| match (&*format, By::named(&by)) {
        ("pprof", Some(_)) => Some(pprof::encode(book)),
        ("collapsed", Some(by)) => Some(collapsed::encode(book, by).into_bytes()),
        _ => None,
    });
    let Some(profile) = profile.flatten() else {
        return Text::EMPTY;
    };
    let profile = Box::leak(profile.into_boxed_slice());
    Text {
        start: profile.as_ptr(),
        length: profile.len(),
    }
}

/// Takes back what [`emalloc_ext_profile`] answered.
///
/// # Safety
/// It did, and it is used no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_ext_drop(profile: Text) {
    if !profile.start.is_null() {
        let bytes = ptr::slice_from_raw_parts_mut(profile.start.cast_mut(), profile.length);
        // SAFETY: it came from a box of such a slice.
        drop(unsafe { Box::from_raw(bytes) });
    }
}

/// Writes what `phpinfo()` shows of the settings: a row for each call of `row`.
///
/// # Safety
/// `row` takes two texts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn emalloc_ext_info(row: unsafe extern "C" fn(Text, Text)) {
    let config = &own().config;
    let every = match config.every {
        0 => "none".to_string(),
        1 => "every block".to_string(),
        every => format!("one every {every} bytes"),
    };
    let mut rows = Vec::from([("Samples", every)]);
    if let Some(heap) = &own().heap {
        rows.push(("Storage", config.storage.clone()));
        rows.push(("Segment size", heap.segment_size().to_string()));
        rows.push(("Held now", heap.real_usage().to_string()));
    }
    rows.push((
        "Version of the library",
        env!("CARGO_PKG_VERSION").to_string(),
    ));
    for (name, value) in &rows {
        // SAFETY: the caller's promise; the texts are there meanwhile.
        unsafe { row(Text::new(name), Text::new(value)) };
    }
}
