//! PHP's side of a refusal, for tests: it notes what it is told, and answers as it is set.

use std::ffi::{CStr, c_int};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};

use emalloc_php::refusal::{Refusal, emalloc_php_set_hook};

/// What the hook was told since somebody asked.
static TOLD: Mutex<Vec<(c_int, String)>> = Mutex::new(Vec::new());

/// What it answers.
static ANSWER: AtomicI32 = AtomicI32::new(0);

unsafe extern "C" fn hook(refusal: &Refusal) -> c_int {
    // SAFETY: the library's text has a NUL behind.
    let text = unsafe { CStr::from_ptr(refusal.text) };
    let text = text.to_str().unwrap().to_owned();
    TOLD.lock().unwrap().push((refusal.kind, text));
    ANSWER.load(Ordering::Relaxed)
}

/// Registers the hook, with this answer.
pub fn answer(answer: c_int) {
    ANSWER.store(answer, Ordering::Relaxed);
    emalloc_php_set_hook(Some(hook));
}

/// What it was told, once.
pub fn told() -> Vec<(c_int, String)> {
    std::mem::take(&mut TOLD.lock().unwrap())
}
