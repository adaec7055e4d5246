//! A handler that unwinds with what it was told, so that a test can look at it.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use emalloc::heap::{AllocError, Fault, Handler, Heap, Recovery, Site};

/// What a handler was told.
#[derive(Debug, PartialEq, Eq)]
pub enum What {
    Refused(AllocError),
    Fault(Fault),
}

/// The same, and where the call was.
#[derive(Debug)]
pub struct Told {
    pub what: What,
    pub file: String,
    pub line: u32,
}

/// Unwinds with a [`Told`], past the panic hook, so that nothing is printed.
pub struct Telling;

impl Handler for Telling {
    fn out_of_memory(&self, _heap: &Heap, error: &AllocError, at: Site<'_>) -> Recovery {
        unwind(What::Refused(*error), at)
    }
    fn fault(&self, _heap: &Heap, fault: &Fault, at: Site<'_>) {
        unwind(What::Fault(*fault), at)
    }
}

fn unwind(what: What, at: Site<'_>) -> ! {
    let (file, line) = (at.file().to_owned(), at.line());
    let told = Told { what, file, line };
    // Shown if the test that caused it did not expect it.
    eprintln!("{:?} at {}:{}", told.what, told.file, told.line);
    resume_unwind(Box::new(told))
}

/// What the handler was told while `body` ran, which must have unwound because of it.
#[track_caller]
pub fn told<R>(body: impl FnOnce() -> R) -> Told {
    let Err(payload) = catch_unwind(AssertUnwindSafe(body)) else {
        panic!("nobody was told anything");
    };
    match payload.downcast() {
        Ok(told) => *told,
        Err(other) => resume_unwind(other),
    }
}
