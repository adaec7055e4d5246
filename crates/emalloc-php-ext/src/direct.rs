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

/// An entry: as it was and as it is to be.
struct Change {
    at: usize,
    before: Bytes,
    /// While blocks from before us may be freed, and later.
    early: Bytes,
    late: Bytes,
}

/// One of the three.
type Form = fn(&Change) -> &Bytes;

const BEFORE: Form = |change| &change.before;
const EARLY: Form = |change| &change.early;
const LATE: Form = |change| &change.late;

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
            before,
            early: jump(early)?,
            late: jump(function)?,
        }))
    }

    /// The bytes that are ours, in a form: behind a jump the next function may begin.
    fn bytes(&self, form: Form) -> impl Iterator<Item = (usize, u8)> {
        (0..LOOKED_AT)
            .filter(|&offset| {
                let before = self.before[offset];
                self.early[offset] != before || self.late[offset] != before
            })
            .map(move |offset| (self.at + offset, form(self)[offset]))
    }
}

/// All entries. Only what changes is kept: the code from the first to the last is a hundred times as much.
struct Entries {
    at: usize,
    length: usize,
    changes: Vec<Change>,
}

/// PHP's functions on memory are one file of its source. In so much code they lie.
const MOST: usize = 1 << 20;

impl Entries {
    fn of(changes: Vec<Change>) -> Result<Self, String> {
        let places = || changes.iter().map(|change| change.at);
        let (Some(at), Some(last)) = (places().min(), places().max()) else {
            return Err("there is nothing to be taken".into());
        };
        let length = last - at + LOOKED_AT;
        if length > MOST {
            return Err("PHP's functions lie far apart".into());
        }
        Ok(Self {
            at,
            length,
            changes,
        })
    }

    /// Our bytes in a form, by their place in the code.
    fn bytes(&self, form: Form) -> impl Iterator<Item = (usize, u8)> {
        (self.changes.iter())
            .flat_map(move |change| change.bytes(form))
            .map(|(address, byte)| (address - self.at, byte))
    }

    /// A byte of the code as it stands there now.
    fn byte(&self, offset: usize) -> u8 {
        let at = ptr::with_exposed_provenance::<u8>(self.at + offset);
        // SAFETY: all between functions of one file's code can be read. It is read anew, for it may have been written since.
        unsafe { at.read_volatile() }
    }

    /// Whether the entries are in this form.
    fn stand(&self, form: Form) -> bool {
        self.bytes(form)
            .all(|(offset, byte)| self.byte(offset) == byte)
    }

    /// Writes one form over another one: all at once, that takes no time.
    fn write(&self, writer: &Writer, from: Form, to: Form) -> bool {
        // What somebody else has changed since stays.
        self.stand(from) && {
            let mut code: Vec<u8> = (0..self.length).map(|offset| self.byte(offset)).collect();
            for (offset, byte) in self.bytes(to) {
                code[offset] = byte;
            }
            // SAFETY: PHP runs an extension's code, so none of these functions; the code is its own, or jumps.
            let written = unsafe { writer.write(self.at, &code) };
            written.is_ok() && self.stand(to)
        }
    }
}

struct Direct {
    entries: Entries,
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
    fn present(&self) -> Form {
        match self.is_late {
            true => LATE,
            false => EARLY,
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
    let entries = Entries::of(changes)?;
    let writer = Writer::new().map_err(|error| format!("PHP's code cannot be written: {error}"))?;
    emalloc_php_set_hook(Some(hook));
    // SAFETY: `leave` ends that before the heap ends. The glue has seen to the rest.
    unsafe { takeover::begin(heap, other) };
    if !entries.write(&writer, BEFORE, EARLY) {
        // SAFETY: just begun.
        unsafe { takeover::end() };
        return Err("PHP's code cannot be written".into());
    }
    *direct() = Some(Direct {
        entries,
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
    if !(taken.entries).write(&taken.writer, taken.present(), BEFORE) {
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
        taken.is_late = (taken.entries).write(&taken.writer, EARLY, LATE);
    }
    if !full && manager::is_zend_mm() {
        own::end_request();
    }
    // SAFETY: the caller's promise.
    unsafe { manager::shutdown_memory_manager(silent, full) }
}
