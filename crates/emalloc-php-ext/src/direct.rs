//! Owns the *direct* way into our heap: a jump at the entry of each of PHP's functions on memory, to the function of
//! `emalloc-php` that does the same with our heap. No detour is left, and PHP finds its memory manager in order.
//!
//! The original's heap keeps our handlers in meanwhile. So code of PHP's that does not come by an entry, because the
//! compiler has put a copy of the function there, reaches our heap as well.

use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::slice;
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

/// An entry, as it is to be.
struct Change {
    at: usize,
    /// While blocks from before us may be freed, and later.
    early: Bytes,
    late: Bytes,
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
        let at = symbol.start.expose_provenance();
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
            at,
            early: jump(early)?,
            late: jump(function)?,
        }))
    }
}

/// The code from the first entry to the last, as it was and as it is to be: written at once, that takes no time.
struct Images {
    at: *const u8,
    before: Vec<u8>,
    early: Vec<u8>,
    late: Vec<u8>,
}

/// PHP's functions on memory are one file of its source. In so much code they lie.
const MOST: usize = 1 << 20;

impl Images {
    fn of(changes: &[Change]) -> Result<Self, String> {
        let places = || changes.iter().map(|change| change.at);
        let (Some(first), Some(last)) = (places().min(), places().max()) else {
            return Err("there is nothing to be taken".into());
        };
        let length = last - first + LOOKED_AT;
        if length > MOST {
            return Err("PHP's functions lie far apart".into());
        }
        let at = ptr::with_exposed_provenance::<u8>(first);
        // SAFETY: all between functions of one file's code can be read, and nobody writes there.
        let before = unsafe { slice::from_raw_parts(at, length) }.to_vec();
        let with = |code: fn(&Change) -> &Bytes| {
            let mut image = before.clone();
            for change in changes {
                // Behind a jump the next function may begin.
                for (offset, &byte) in (change.at - first..).zip(code(change)) {
                    if byte != before[offset] {
                        image[offset] = byte;
                    }
                }
            }
            image
        };
        Ok(Self {
            at,
            early: with(|change| &change.early),
            late: with(|change| &change.late),
            before,
        })
    }

    /// Whether this is there, and nothing else.
    fn stands(&self, image: &[u8]) -> bool {
        // SAFETY: as in `of`; it is read anew, for it may have been written since.
        (0..image.len())
            .all(|offset| unsafe { self.at.add(offset).read_volatile() } == image[offset])
    }

    /// Writes one of the three over another one.
    fn write(&self, writer: &Writer, from: &[u8], to: &[u8]) -> bool {
        // What somebody else has changed since stays.
        self.stands(from) && {
            // SAFETY: PHP runs an extension's code, so none of these functions; the code is its own, or jumps.
            let written = unsafe { writer.write(self.at.addr(), to) };
            written.is_ok() && self.stands(to)
        }
    }
}

struct Direct {
    images: Images,
    writer: Writer,
    is_late: bool,
}

static DIRECT: Single<Option<Direct>> = Single::new(None);

fn direct() -> &'static mut Option<Direct> {
    // SAFETY: PHP's one thread; the functions here do not call each other while they hold it.
    unsafe { &mut *DIRECT.get() }
}

impl Direct {
    /// What stands there now.
    fn present(&self) -> &[u8] {
        match self.is_late {
            true => &self.images.late,
            false => &self.images.early,
        }
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
    let mut is_old = false;
    for entry in takeover::entries() {
        let change = Change::plan(&entry, code)?;
        is_old |= change.is_none();
        changes.extend(change);
    }
    if is_old {
        changes.extend(Change::plan(&takeover::reporting(), code)?);
    }
    let images = Images::of(&changes)?;
    let writer = Writer::new().map_err(|error| format!("PHP's code cannot be written: {error}"))?;
    emalloc_php_set_hook(Some(hook));
    // SAFETY: `leave` ends that before the heap ends. The glue has seen to the rest.
    unsafe { takeover::begin(heap, other) };
    if !images.write(&writer, &images.before, &images.early) {
        // SAFETY: just begun.
        unsafe { takeover::end() };
        return Err("PHP's code cannot be written".into());
    }
    *direct() = Some(Direct {
        images,
        writer,
        is_late: false,
    });
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
    if !(taken.images).write(&taken.writer, taken.present(), &taken.images.before) {
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
        && !taken.is_late
    {
        // The original would forget all blocks now: none of its is freed any more.
        taken.is_late =
            (taken.images).write(&taken.writer, &taken.images.early, &taken.images.late);
    }
    if !full && manager::is_zend_mm() {
        own::end_request();
    }
    // SAFETY: the caller's promise.
    unsafe { manager::shutdown_memory_manager(silent, full) }
}
