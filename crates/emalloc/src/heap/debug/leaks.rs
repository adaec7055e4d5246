//! Owns the list of blocks that are left over: grouped by line, in the original's text
//! and as JSON. It is made in the blocks' own records and allocates nothing.

use core::fmt::{self, Write};
use core::ptr::{self, NonNull};

use super::Debugging;
use super::options::LeakFormat;
use super::record::{Record, life};
use super::report::{File, Place, head};
use super::shape::Raw;
use crate::heap::Heap;
use crate::heap::handler::Stderr;
use crate::heap::site::Site;
use crate::heap::state::State;

/// The blocks that one line of the program asked for and nobody has freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leak<'a> {
    /// The line, and what it was relayed from in the first of them.
    pub at: Site<'a>,
    /// How many blocks.
    pub count: usize,
    /// What was asked for with all of them, in bytes.
    pub bytes: usize,
    /// Where the first one lies, and what was asked for with it.
    pub address: usize,
    /// See `address`.
    pub size: usize,
}

/// What [`Leaks`] are together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeakTotal {
    /// How many blocks.
    pub count: usize,
    /// What was asked for with all of them, in bytes.
    pub bytes: usize,
}

/// All blocks that are in use, by the line that asked for them.
#[derive(Clone, Copy)]
pub struct Leaks<'a> {
    /// Records linked by line, then by address.
    first: Option<NonNull<Record>>,
    debugging: &'a Debugging,
}

impl fmt::Debug for Leaks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaks")
            .field("total", &self.total())
            .finish_non_exhaustive()
    }
}

/// The record at `place`.
fn record(place: NonNull<Record>) -> Record {
    // SAFETY: the list leads to records that were sound when it was made; the heap is at rest since.
    unsafe { Record::look(place) }
}

/// Whether `a` comes before `b`: by file and line, then by address.
fn is_before(a: NonNull<Record>, b: NonNull<Record>) -> bool {
    let order = record(a).allocated.at.compare(&record(b).allocated.at);
    order.then(a.addr().cmp(&b.addr())).is_lt()
}

/// Makes the record at `place` lead to `next`.
fn link(place: NonNull<Record>, next: Option<NonNull<Record>>) {
    let next = next.map_or(ptr::null_mut(), NonNull::as_ptr);
    // SAFETY: it is a live block's record.
    unsafe { Record::lead(place, next) };
}

fn next(place: NonNull<Record>) -> Option<NonNull<Record>> {
    NonNull::new(record(place).link)
}

/// One sorted list of two.
fn merge(
    mut a: Option<NonNull<Record>>,
    mut b: Option<NonNull<Record>>,
) -> Option<NonNull<Record>> {
    let mut first = None;
    let mut last: Option<NonNull<Record>> = None;
    loop {
        let taken = match (a, b) {
            (Some(low), Some(high)) if is_before(low, high) => {
                a = next(low);
                low
            }
            (_, Some(high)) => {
                b = next(high);
                high
            }
            (Some(low), None) => {
                a = next(low);
                low
            }
            (None, None) => return first,
        };
        match last.replace(taken) {
            Some(last) => link(last, Some(taken)),
            None => first = Some(taken),
        }
    }
}

impl State {
    /// The live blocks, sorted. The heap is at rest as long as they are looked at.
    fn leaks<'a>(&self, debugging: &'a Debugging) -> Leaks<'a> {
        // Lists of one block, two, four and so on, as in counting.
        let mut sorted: [Option<NonNull<Record>>; usize::BITS as usize] = [None; _];
        self.each_raw(&mut |raw: Raw| {
            if raw.record().is_none_or(|record| record.life != life::LIVE) {
                return;
            }
            let mut list = Some(raw.place());
            link(raw.place(), None);
            for slot in &mut sorted {
                match slot.take() {
                    None => {
                        *slot = list;
                        return;
                    }
                    earlier => list = merge(earlier, list),
                }
            }
        });
        let first = sorted.into_iter().fold(None, merge);
        Leaks { first, debugging }
    }

    /// Tells the handler of the blocks that are left over, if there are any.
    pub(super) fn report_leaks(&self, debugging: &Debugging) {
        let leaks = self.leaks(debugging);
        if leaks.first.is_some() {
            self.as_heap(|heap| self.handler().leaks(heap, &leaks));
        }
    }
}

impl Leaks<'_> {
    /// Visits the lines that asked for blocks, sorted by file and line.
    pub fn for_each(&self, visit: &mut dyn FnMut(&Leak<'_>)) {
        let mut place = self.first;
        while let Some(first) = place {
            let found = record(first);
            let at = found.allocated.view();
            let mut leak = Leak {
                at,
                count: 0,
                bytes: 0,
                address: first.addr().get() + found.front,
                size: found.size,
            };
            while let Some(other) =
                place.filter(|&other| record(other).allocated.at.is_same_line(&at))
            {
                leak.count += 1;
                leak.bytes += record(other).size;
                place = next(other);
            }
            visit(&leak);
        }
    }

    /// How many blocks there are, and their bytes.
    pub fn total(&self) -> LeakTotal {
        let mut total = LeakTotal::default();
        self.for_each(&mut |leak| {
            total.count += leak.count;
            total.bytes += leak.bytes;
        });
        total
    }

    /// Writes the original's text: for each line the first block and how often it is repeated, and the total.
    ///
    /// # Errors
    /// What `out` answers.
    pub fn write_text(&self, out: &mut dyn Write) -> fmt::Result {
        let script = self.debugging.options.script;
        let mut result = Ok(());
        self.for_each(&mut |leak| {
            result = result.and_then(|()| write_leak(out, leak, script));
        });
        result?;
        let count = self.total().count;
        writeln!(out, "=== Total {count} memory leaks detected ===")
    }

    /// Writes a JSON object per line of the program, each on a line, and one with the total.
    ///
    /// # Errors
    /// What `out` answers.
    pub fn write_json(&self, out: &mut dyn Write) -> fmt::Result {
        let mut result = Ok(());
        self.for_each(&mut |leak| {
            result = result.and_then(|()| write_json(out, leak));
        });
        result?;
        let LeakTotal { count, bytes } = self.total();
        writeln!(out, r#"{{"total":{count},"bytes":{bytes}}}"#)
    }

    /// Writes them to standard error as the heap's settings say: what a handler does by default.
    pub fn print(&self) {
        // Standard error never answers an error.
        let _ = match self.debugging.options.leaks {
            LeakFormat::Text => self.write_text(&mut Stderr),
            LeakFormat::Json => self.write_json(&mut Stderr),
            LeakFormat::Silent => Ok(()),
        };
    }
}

fn write_leak(out: &mut dyn Write, leak: &Leak<'_>, script: &str) -> fmt::Result {
    head(out, script)?;
    let (place, address, size) = (Place(leak.at), leak.address, leak.size);
    writeln!(
        out,
        "{place} :  Freeing 0x{address:08X} ({size} bytes), script={script}"
    )?;
    if let Some(origin) = leak.at.origin() {
        let place = Place(origin);
        writeln!(out, "{place} : Actual location (location was relayed)")?;
    }
    match leak.count - 1 {
        0 => Ok(()),
        1 => writeln!(out, "Last leak repeated 1 time"),
        more => writeln!(out, "Last leak repeated {more} times"),
    }
}

fn write_json(out: &mut dyn Write, leak: &Leak<'_>) -> fmt::Result {
    let place = |out: &mut dyn Write, at: Site<'_>| {
        out.write_str(r#""file":""#)?;
        write!(Escaped(out), "{}", File(at))?;
        write!(out, r#"","line":{}"#, at.line())
    };
    out.write_char('{')?;
    place(out, leak.at)?;
    if let Some(origin) = leak.at.origin() {
        out.write_str(r#","origin":{"#)?;
        place(out, origin)?;
        out.write_char('}')?;
    }
    let (count, bytes, address, size) = (leak.count, leak.bytes, leak.address, leak.size);
    writeln!(
        out,
        r#","count":{count},"bytes":{bytes},"address":"{address:#x}","size":{size}}}"#
    )
}

/// Writes what is inside a JSON string.
struct Escaped<'a>(&'a mut dyn Write);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            match letter {
                '"' | '\\' => write!(self.0, "\\{letter}")?,
                '\0'..' ' => write!(self.0, "\\u{:04x}", u32::from(letter))?,
                _ => self.0.write_char(letter)?,
            }
        }
        Ok(())
    }
}

/// Leaks.
impl Heap {
    /// Shows all blocks in use, in debug mode, by the line that asked for them; outside of it none. Meanwhile the heap
    /// is at rest, as during a [`walk`](Self::walk).
    ///
    /// ```
    /// # use emalloc::heap::{Debug, Heap};
    /// let heap = Heap::builder().debug(Debug::new()).build()?;
    /// let blocks = [heap.allocate(100), heap.allocate(50)];
    /// let mut lines = 0;
    /// heap.leaks(&mut |leaks| {
    ///     let total = leaks.total();
    ///     assert_eq!((total.count, total.bytes), (2, 150));
    ///     leaks.for_each(&mut |leak| lines += leak.count);
    /// });
    /// assert_eq!(lines, 2);
    /// # for block in blocks { unsafe { heap.free(block) } }
    /// # Ok::<(), emalloc::heap::HeapError>(())
    /// ```
    pub fn leaks(&self, show: &mut dyn FnMut(&Leaks<'_>)) {
        let state = self.state();
        if let Some(debugging) = state.debugging() {
            state.at_rest(|| show(&state.leaks(debugging)));
        }
    }
}
