//! The original's ten functions, as a C extension uses them, on a heap that is made current with `scope`. What is not
//! freed is gone at the end of the request.
//!
//! `cargo run -p emalloc --example zend_style`

use std::ffi::{CStr, c_char};

use emalloc::heap::{Heap, HeapError, Limit};
use emalloc::{
    ecalloc, efree, emalloc, erealloc, erealloc_recoverable, estrdup, estrndup, mem_block_size,
    safe_emalloc, safe_erealloc, scope,
};

/// A list of texts that grows, the C way.
#[repr(C)]
struct List {
    texts: *mut *mut c_char,
    count: usize,
    room: usize,
}

/// Puts a copy of `text` at the end.
///
/// # Safety
/// `list` was made by `ecalloc` on the heap that is current, and filled by this only.
unsafe fn append(list: *mut List, text: &CStr) {
    // SAFETY: the caller's promise; a list of zeros is empty.
    let list = unsafe { &mut *list };
    if list.count == list.room {
        list.room = (list.room * 2).max(4);
        // SAFETY: null or the block of an earlier call, which is given up for the new one.
        let grown =
            unsafe { safe_erealloc(list.texts.cast(), list.room, size_of::<*mut c_char>(), 0) };
        list.texts = grown.cast();
    }
    // SAFETY: there is room for `room` texts, which is more than `count`.
    unsafe { list.texts.add(list.count).write(estrdup(text)) };
    list.count += 1;
}

/// All texts with a comma between, in a block of its own.
///
/// # Safety
/// As `append`.
unsafe fn join(list: *const List) -> *mut c_char {
    // SAFETY: the caller's promise.
    let list = unsafe { &*list };
    let mut joined = estrndup(b"").cast::<u8>();
    let mut length = 0;
    for index in 0..list.count {
        // SAFETY: `count` texts were written, each a copy with a closing NUL.
        let text = unsafe { CStr::from_ptr(list.texts.add(index).read()) }.to_bytes();
        // SAFETY: the old block is given up; the new one has room for both texts, the comma and the NUL.
        unsafe {
            joined = erealloc(joined, length + text.len() + 2);
            if length > 0 {
                joined.add(length).write(b',');
                length += 1;
            }
            joined
                .add(length)
                .copy_from_nonoverlapping(text.as_ptr(), text.len());
            length += text.len();
            joined.add(length).write(0);
        }
    }
    joined.cast()
}

/// One request: answers what it printed.
fn request(words: &[&CStr]) -> String {
    let list = ecalloc(1, size_of::<List>()).cast::<List>();
    for word in words {
        // SAFETY: made above.
        unsafe { append(list, word) };
    }
    // SAFETY: made and filled above.
    let joined = unsafe { join(list) };
    // SAFETY: `join` closes its text with a NUL; it is copied before its block is freed.
    let text = unsafe { CStr::from_ptr(joined) }
        .to_string_lossy()
        .into_owned();
    // SAFETY: alive, and used no more. The list and its texts are left to the end of the request.
    unsafe { efree(joined.cast()) };
    text
}

/// What the functions do at the borders. Answers the lines to print.
fn borders() -> Vec<String> {
    let (small, table) = (emalloc(0), safe_emalloc(100, 24, 8));
    // SAFETY: both are alive; the limit is in the way of the growth, so the old block stays ours.
    unsafe {
        let sizes = (mem_block_size(small), mem_block_size(table));
        let refused = erealloc_recoverable(table, 16 << 20).is_null();
        efree(small);
        efree(table);
        vec![
            format!(
                "blocks of 0 and of 2408 bytes hold {} and {}",
                sizes.0, sizes.1
            ),
            format!("growing one beyond the limit answers null: {refused}"),
        ]
    }
}

fn run() -> Result<Vec<String>, HeapError> {
    let mut heap = Heap::builder().limit(Limit::Bytes(8 << 20)).build()?;
    let mut lines = Vec::new();
    let requests: [&[&CStr]; 3] = [&[c"one"], &[c"one", c"two", c"three"], &[c"last"; 6]];
    for words in requests {
        lines.push(scope(&heap, || request(words)));
        lines.push(format!(
            "  left to the end of the request: {} bytes",
            heap.usage()
        ));
        heap.reset();
    }
    lines.extend(scope(&heap, borders));
    Ok(lines)
}

fn main() -> Result<(), HeapError> {
    run()?.iter().for_each(|line| println!("{line}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_runs() {
        let lines = super::run().unwrap();
        assert_eq!(lines[2], "one,two,three");
        assert_eq!(lines[4], "last,last,last,last,last,last");
        assert_eq!(lines[6], "blocks of 0 and of 2408 bytes hold 8 and 2560");
        assert_eq!(lines[7], "growing one beyond the limit answers null: true");
    }
}
