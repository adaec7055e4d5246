//! Owns our heap in debug mode (`emalloc.debug`): each call is told with the line of the script, and every address is
//! looked up before it is touched.

use core::ffi::CStr;
use core::ptr;
use std::boxed::Box;
use std::ffi::CString;

use emalloc::heap::{AllocError, Site};
use hashbrown::HashMap;

use crate::handlers::{Source, resize_foreign};
use crate::host::Frame;
use crate::own::{self, heap, own};
use crate::single::Single;

/// The names of scripts, kept to the end of the process: the heap notes where they lie.
type Files = HashMap<Box<[u8]>, &'static CStr>;

static FILES: Single<Option<Files>> = Single::new(None);

/// Calls that are looked through for one of a script.
const NEAR: usize = 8;

/// Where PHP is; `freeing` as the glue wants to know it.
fn site(freeing: bool) -> Site<'static> {
    let mut frames = [Frame::EMPTY; NEAR];
    // SAFETY: it is the glue's function, and there is room for so many.
    let depth = unsafe { (own().host().frames)(frames.as_mut_ptr(), NEAR, freeing) };
    let script = frames[..depth]
        .iter()
        .find(|frame| frame.file.text.length > 0);
    let Some(frame) = script else {
        return Site::UNKNOWN;
    };
    // SAFETY: the glue wrote it just now.
    let name = unsafe { frame.file.text.bytes() };
    // SAFETY: only this uses it, and does not call itself.
    let files = unsafe { (*FILES.get()).get_or_insert_default() };
    let file = match files.get(name) {
        Some(file) => file,
        None => {
            // A name of a file has no NUL in it.
            let kept: &'static CStr =
                Box::leak(CString::new(name).unwrap_or_default().into_boxed_c_str());
            files.insert(Box::from(name), kept);
            kept
        }
    };
    // SAFETY: it is kept for good.
    unsafe { Site::from_c(file.as_ptr(), frame.line) }
}

/// Our heap, in debug mode.
pub struct Debugged;

fn allocate(size: usize) -> Result<*mut u8, AllocError> {
    let block = heap().try_allocate_at(size, site(false))?;
    Ok(block.as_ptr())
}

fn resize(block: *mut u8, size: usize) -> Result<*mut u8, AllocError> {
    let Some(old) = own::ours::<true>(block) else {
        return Ok(resize_foreign(block, size));
    };
    // SAFETY: checked mode is part of debug mode: any pointer may be given.
    let new = unsafe { heap().try_resize_at(old, size, 1, site(false)) }?;
    Ok(new.as_ptr())
}

impl Source for Debugged {
    unsafe fn allocate(size: usize) -> *mut u8 {
        allocate(size).unwrap_or_else(|error| {
            own::refused(error, size, || allocate(size).unwrap_or(ptr::null_mut()))
        })
    }

    unsafe fn free(block: *mut u8) {
        match own::ours::<true>(block) {
            // SAFETY: as above.
            Some(block) => unsafe { heap().free_at(block, site(true)) },
            None => own::free_foreign(block),
        }
    }

    unsafe fn resize(block: *mut u8, size: usize) -> *mut u8 {
        resize(block, size).unwrap_or_else(|error| match error {
            AllocError::BadPointer(fault) => own::tell_fault(&fault),
            _ => own::refused(error, size, || {
                resize(block, size).unwrap_or(ptr::null_mut())
            }),
        })
    }

    unsafe fn size(block: *mut u8) -> usize {
        own::ours::<true>(block).map_or(0, |block| {
            // SAFETY: as above.
            unsafe { heap().usable_size(block) }.unwrap_or(0)
        })
    }
}
