//! A handler that keeps what debug mode tells it, for the test to look at.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::cell::RefCell;

use emalloc::heap::{Debug, Finding, Handler, Heap, Leaks, Report, Site};

/// What was told, without addresses: one line each.
#[derive(Default)]
pub struct Told {
    pub reports: Vec<String>,
    /// The same as it would have been printed.
    pub texts: Vec<String>,
    pub leaks: Vec<String>,
    pub leak_text: String,
    pub leak_json: String,
}

thread_local! {
    static TOLD: RefCell<Told> = RefCell::default();
}

/// Keeps what it is told with the thread.
pub struct Keeping;

impl Handler for Keeping {
    fn report(&self, _heap: &Heap, report: &Report<'_>) {
        let line = |at: Site<'_>| format!("{}:{}", at.file(), at.line());
        let mut text = match report.finding {
            Finding::Overrun { over, at_least, .. } => format!("overrun {over} {at_least}"),
            Finding::Underrun {
                under, at_least, ..
            } => format!("underrun {under} {at_least}"),
            Finding::WriteAfterFree { offset, change } => {
                format!("written {} at {offset}", change.bytes)
            }
            Finding::RecordOverwritten => "record".into(),
            Finding::Pointer(kind) => format!("{kind:?}"),
            other => panic!("{other:?}"),
        };
        if let Some(block) = report.block {
            text += &format!("; {} from {}", block.size, line(block.allocated));
            if let Some(freed) = block.freed {
                text += &format!(", freed {}", line(freed));
            }
        }
        if let Some(at) = report.at {
            text += &format!("; at {}", line(at));
        }
        TOLD.with_borrow_mut(|told| {
            told.reports.push(text);
            told.texts.push(report.to_string());
        });
    }

    fn leaks(&self, _heap: &Heap, leaks: &Leaks<'_>) {
        TOLD.with_borrow_mut(|told| {
            leaks.for_each(&mut |leak| {
                let (file, line, count, bytes) =
                    (leak.at.file(), leak.at.line(), leak.count, leak.bytes);
                let text = format!("{file}:{line} {count} {bytes}");
                told.leaks.push(text);
            });
            leaks.write_text(&mut told.leak_text).unwrap();
            leaks.write_json(&mut told.leak_json).unwrap();
        });
    }
}

/// What was told on this thread since the last call.
pub fn told() -> Told {
    TOLD.take()
}

/// The reports since the last call.
pub fn reports() -> Vec<String> {
    told().reports
}

/// A line of a C program.
pub fn c(line: u32) -> Site<'static> {
    // SAFETY: a C string that stays.
    unsafe { Site::from_c(c"a.c".as_ptr(), line) }
}

pub const SEGMENT: usize = 64 << 10;

pub fn heap(debug: Debug) -> Heap {
    Heap::builder()
        .segment_size(SEGMENT)
        .handler(Keeping)
        .debug(debug)
        .build()
        .unwrap()
}
