//! Owns the *direct* way into our heap: a jump at the entry of each of PHP's functions on memory, to the function of
//! `emalloc-php` that does the same with our heap. No detour is left, and PHP finds its memory manager in order.
//!
//! The original's heap keeps our handlers in meanwhile. So code of PHP's that does not come by an entry, because the
//! compiler has put a copy of the function there, reaches our heap as well.

use core::ffi::c_void;
use core::ptr::{self, NonNull};
use std::format;
use std::string::String;
use std::vec::Vec;

use emalloc_php::refusal::{Hook, emalloc_php_set_hook};
use emalloc_php::{manager, takeover};

use crate::config::Way;
use crate::entry::{self, LOOKED_AT, Writer};
use crate::host::Text;
use crate::own::{self, own};
use crate::single::Single;

/// Where a function of PHP's is. (`struct emalloc_symbol`)
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Symbol {
    /// Its entry; null if there is no such function.
    pub start: *const u8,
    /// Bytes of its code.
    pub size: usize,
}

/// What the glue knows of PHP's code.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Code {
    /// Finds a function by its name.
    pub find: unsafe extern "C" fn(Text) -> Symbol,
    /// Whether an address lies in the program or library that PHP is.
    pub holds: unsafe extern "C" fn(*const c_void) -> bool,
}

type Bytes = [u8; LOOKED_AT];

/// An entry, as it was and as it is to be.
struct Change {
    at: *const u8,
    before: Bytes,
    /// While blocks from before us may be freed, and later.
    early: Bytes,
    late: Bytes,
}

struct Direct {
    changes: Vec<Change>,
    writer: Writer,
    late: bool,
}

static DIRECT: Single<Option<Direct>> = Single::new(None);

fn direct() -> &'static mut Option<Direct> {
    // SAFETY: PHP's one thread; the functions here do not call each other while they hold it.
    unsafe { &mut *DIRECT.get() }
}

impl Change {
    fn plan(entry: &takeover::Entry, code: &Code) -> Result<Option<Self>, String> {
        let name = entry.name;
        // SAFETY: it is the glue's function, and the text is there meanwhile.
        let symbol = unsafe { (code.find)(Text::new(name)) };
        if symbol.start.is_null() {
            return match entry.optional {
                true => Ok(None),
                false => Err(format!("PHP does not export {name}()")),
            };
        }
        // SAFETY: it is the glue's function.
        let is_php = |address: *const c_void| unsafe { (code.holds)(address) };
        if !is_php(symbol.start.cast()) {
            return Err(format!("{name}() is not PHP's own"));
        }
        let leads_away = |address: usize| !is_php(ptr::without_provenance(address));
        // SAFETY: a function's code can be read, and functions begin so many bytes apart at least or end their page.
        let before = unsafe { symbol.start.cast::<Bytes>().read_unaligned() };
        let at = symbol.start.addr();
        let jump = |target: *const ()| {
            entry::with_jump(before, symbol.size, target.addr(), leads_away, at)
                .map_err(|why| format!("no jump can be put into {name}(): {why}"))
        };
        let function = match name {
            "shutdown_memory_manager" => shutdown as *const (),
            _ => entry.function,
        };
        let early = match ptr::eq(entry.early, entry.function) {
            true => function,
            false => entry.early,
        };
        Ok(Some(Self {
            at: symbol.start,
            before,
            early: jump(early)?,
            late: jump(function)?,
        }))
    }

    /// Writes one of the three.
    fn write(&self, writer: &Writer, code: &Bytes) -> bool {
        // SAFETY: PHP runs an extension's code, so none of these functions; the code is its own, or the jump for it.
        let written = unsafe { writer.write(self.at.addr(), code) };
        // SAFETY: as in `plan`; nobody but us has written there.
        written.is_ok() && unsafe { self.at.cast::<Bytes>().read_volatile() } == *code
    }
}

impl Direct {
    fn write(&self, which: impl Fn(&Change) -> &Bytes) -> bool {
        self.changes
            .iter()
            .all(|change| change.write(&self.writer, which(change)))
    }
}

/// Takes PHP's functions, if that can be; the heap at `other` is the original's. An error says why not.
pub fn enter(code: &Code, other: NonNull<c_void>, hook: Hook) -> Result<(), String> {
    let config = &own().config;
    let heap = own().heap.as_ref().ok_or("there is no heap")?;
    if config.way == Way::Handlers {
        return Err("emalloc.entry says so".into());
    }
    if config.every > 0 {
        return Err("blocks are noted".into());
    }
    let mut changes = Vec::new();
    for entry in takeover::entries() {
        changes.extend(Change::plan(&entry, code)?);
    }
    let writer = Writer::new().map_err(|error| format!("PHP's code cannot be written: {error}"))?;
    let new = Direct {
        changes,
        writer,
        late: false,
    };
    emalloc_php_set_hook(Some(hook));
    // SAFETY: `leave` ends that before the heap ends. The glue has seen to the rest.
    unsafe { takeover::begin(heap, other) };
    if !new.write(|change| &change.early) {
        // What was not changed is written as it is.
        let undone = new.write(|change| &change.before);
        debug_assert!(undone);
        // SAFETY: just begun.
        unsafe { takeover::end() };
        return Err("PHP's code cannot be written".into());
    }
    *direct() = Some(new);
    Ok(())
}

/// Whether PHP's functions are taken.
pub fn is_in() -> bool {
    direct().is_some()
}

/// Whether a foreign block is one from before us.
pub fn is_from_before(block: NonNull<u8>) -> bool {
    takeover::is_others(block)
}

/// Gives PHP's functions back. Says no if that cannot be.
pub fn leave() -> bool {
    let Some(taken) = direct() else { return true };
    if !taken.write(|change| &change.before) {
        return false;
    }
    *direct() = None;
    // SAFETY: `enter` began that, and nobody has put another record in its place: PHP has no way to.
    unsafe { takeover::end() };
    true
}

/// `shutdown_memory_manager`: the end of PHP's start, of a request, or of PHP.
unsafe extern "C" fn shutdown(silent: bool, full: bool) {
    if let Some(taken) = direct()
        && !taken.late
    {
        // The original would forget all blocks now: none of its is freed any more.
        taken.late = taken.write(|change| &change.late);
    }
    if !full && manager::is_zend_mm() {
        own::end_request();
    }
    // SAFETY: the caller's promise.
    unsafe { manager::shutdown_memory_manager(silent, full) }
}
