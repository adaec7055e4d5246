//! The end of the process where files are ELF: after all that the program and C++ have registered for it.

use crate::current::process_ends;

extern "C" fn at_end() {
    process_ends();
}

#[used]
#[unsafe(link_section = ".fini_array")]
static AT_END: extern "C" fn() = at_end;

/// Sees to it that [`process_ends`] is called.
pub fn arm() {
    // A linker that keeps only what is used must see this.
    core::hint::black_box(&AT_END);
}
