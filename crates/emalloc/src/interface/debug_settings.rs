//! Owns how debug mode is switched on from outside: `EMALLOC_DEBUG` and `EMALLOC_LEAKS`.

use alloc::borrow::ToOwned;

use super::settings::SettingsError;
use super::size::parse_size;
use crate::heap::{Debug, LeakFormat, OnError};

/// The variable whose items these are.
const DEBUG: &str = "EMALLOC_DEBUG";
const LEAKS: &str = "EMALLOC_LEAKS";

const KEYS: &str = "0, 1, or a list with commas of guards=, fill=, free_fill=, quarantine=, quarantine_blocks=, check_every=, \
    guard_pages and on_error=";
/// [`Debug::MAX_GUARDS`] in words.
const GUARDS: &str = "a size in bytes of at most 4096, such as 16";
const SIZE: &str = "a size in bytes, such as 16 or 1M";
const NUMBER: &str = "a number";
const BYTE: &str = "a byte, such as 0x5a or 90, or 'none'";
const SWITCH: &str = "0 or 1";
const THEN: &str = "'continue', 'exit' or 'abort'";
const FORMAT: &str = "'text' (or 1), 'json' or 0";

fn bad(variable: &'static str, value: &str, expected: &'static str) -> SettingsError {
    SettingsError::Value {
        variable,
        value: value.to_owned(),
        expected,
    }
}

/// What `EMALLOC_DEBUG` says: `None` for 0.
pub(super) fn debug(text: &str) -> Result<Option<Debug>, SettingsError> {
    if text == "0" {
        return Ok(None);
    }
    let set = |debug, item: &str| match item.trim() {
        // An item of nothing would name nothing.
        "" => Err(bad(DEBUG, text, KEYS)),
        item => item_of(debug, item),
    };
    text.split(',').try_fold(Debug::new(), set).map(Some)
}

/// One item of the list, such as `guards=16`.
fn item_of(debug: Debug, item: &str) -> Result<Debug, SettingsError> {
    let wrong = |expected| bad(DEBUG, item, expected);
    let size = |text| parse_size(text).map_err(|_| wrong(SIZE));
    let number = |text: &str| text.parse().map_err(|_| wrong(NUMBER));
    let byte = |text| byte(text).ok_or_else(|| wrong(BYTE));
    Ok(match item.split_once('=').unwrap_or((item, "")) {
        ("1", "") => debug,
        ("guards", text) => {
            let bytes = parse_size(text)
                .ok()
                .filter(|&bytes| bytes <= Debug::MAX_GUARDS);
            debug.guards(bytes.ok_or_else(|| wrong(GUARDS))?)
        }
        ("fill", text) => debug.fill(byte(text)?),
        ("free_fill", text) => debug.free_fill(byte(text)?),
        ("quarantine", text) => debug.quarantine(size(text)?),
        ("quarantine_blocks", text) => debug.quarantine_blocks(number(text)?),
        ("check_every", text) => debug.check_every(number(text)?),
        ("guard_pages", "" | "1") => debug.guard_pages(true),
        ("guard_pages", "0") => debug.guard_pages(false),
        ("guard_pages", _) => return Err(wrong(SWITCH)),
        ("on_error", "continue") => debug.on_error(OnError::Continue),
        ("on_error", "exit") => debug.on_error(OnError::Exit),
        ("on_error", "abort") => debug.on_error(OnError::Abort),
        ("on_error", _) => return Err(wrong(THEN)),
        _ => return Err(wrong(KEYS)),
    })
}

/// A byte in decimal or, with `0x`, in hexadecimal; `none` is `Some(None)`.
fn byte(text: &str) -> Option<Option<u8>> {
    if text == "none" {
        return Some(None);
    }
    let byte = match text.strip_prefix("0x") {
        Some(digits) => u8::from_str_radix(digits, 16),
        None => text.parse(),
    };
    byte.ok().map(Some)
}

/// What `EMALLOC_LEAKS` says.
pub(super) fn leaks(text: &str) -> Result<LeakFormat, SettingsError> {
    match text {
        "text" | "1" => Ok(LeakFormat::Text),
        "json" => Ok(LeakFormat::Json),
        "0" => Ok(LeakFormat::Silent),
        _ => Err(bad(LEAKS, text, FORMAT)),
    }
}
