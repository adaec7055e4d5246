//! Owns the settings a program can be given from outside: `EMALLOC_*`, and the
//! original's variables with the original's texts. Read once, when a thread
//! first needs its own heap, or by a program that asks.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

use super::debug_settings;
use super::size::parse_size;
use crate::heap::{Builder, Debug, DefaultHandler, Heap, HeapError, LeakFormat, Limit, Sampling};
use crate::layout::{DEFAULT_SEGMENT, MAX_SEGMENT, MIN_SEGMENT};
use crate::storage::StorageError;
use crate::storage::registry::{self, AnyStorage, OpenError};

/// The settings of the heaps that threads make for themselves.
///
/// | variable | the original's | meaning |
/// |---|---|---|
/// | `EMALLOC_STORAGE` | `ZEND_MM_MEM_TYPE` | the storage's name |
/// | `EMALLOC_SEGMENT_SIZE` | `ZEND_MM_SEG_SIZE` | bytes of a segment: a power of two, 64K to 1G |
/// | `EMALLOC_COMPACT` | `ZEND_MM_COMPACT` | a reset after more than so many bytes were held trims the storage; 0: never, as with 2M for a [default storage that heaps share](registry::DEFAULT_IS_SHARED) |
/// | `EMALLOC_ENABLED` | `USE_ZEND_ALLOC` | 0: no heap, the ten functions are the system's malloc |
/// | `EMALLOC_LIMIT` | | the limit, in bytes, or `unlimited` |
/// | `EMALLOC_SOFT_LIMIT` | | the soft limit, likewise |
/// | `EMALLOC_RESERVE` | | bytes set aside for the handler of an error |
/// | `EMALLOC_CHECKED` | | 1: checked mode |
/// | `EMALLOC_DEBUG` | | 1: [debug mode](struct@Debug), or a list of its settings: `guards=16,fill=0xaa,free_fill=0x5a,quarantine=1M,quarantine_blocks=4096,check_every=1000,guard_pages,on_error=continue` (or `exit`, `abort`) |
/// | `EMALLOC_LEAKS` | `ZEND_ALLOC_PRINT_LEAKS=0` | `text` or `json`: debug mode, and leaks are reported so; 0: they are not |
/// | `EMALLOC_SAMPLE` | | a sample every so many bytes that are allocated, such as 512K; 0: none |
///
/// Where both are set, ours wins. Ours take sizes as [`parse_size`] reads them; the original's
/// also hexadecimal and octal ones, as there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Whether there are heaps at all.
    pub enabled: bool,
    /// The storage's name in the registry.
    pub storage: String,
    /// Bytes of a segment.
    pub segment_size: usize,
    /// See [`Builder::compact`].
    pub compact: usize,
    /// See [`Builder::limit`].
    pub limit: Limit,
    /// See [`Builder::soft_limit`].
    pub soft_limit: Limit,
    /// See [`Builder::reserve`]; `None`: the builder's own.
    pub reserve: Option<usize>,
    /// See [`Builder::checked`].
    pub checked: bool,
    /// See [`Builder::debug`]; `None`: no debug mode.
    pub debug: Option<Debug>,
    /// Bytes between samples (see [`Builder::sampling`]); 0: none are taken.
    pub sample: usize,
}

/// A setting that cannot be. The texts are the original's where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsError {
    /// No storage has this name.
    UnknownStorage(String),
    /// The storage could not be set up.
    Storage {
        /// Its name.
        name: String,
        /// Why.
        error: StorageError,
    },
    /// The segment size is no power of two.
    NotPowerOfTwo(&'static str),
    /// The segment size is below 64K, or no number at all.
    TooSmall(&'static str),
    /// The segment size is above 1G.
    TooLarge(&'static str),
    /// The value is not what the variable takes.
    Value {
        /// The variable.
        variable: &'static str,
        /// What it was set to.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
    /// The heap could not be made with these settings.
    Heap(HeapError),
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownStorage(name) => registry::UnknownStorage { name }.fmt(f),
            Self::Storage { name, .. } => write!(f, "Cannot initialize zend_mm storage [{name}]"),
            Self::NotPowerOfTwo(variable) => write!(f, "{variable} must be a power of two"),
            Self::TooSmall(variable) => write!(f, "{variable} is too small"),
            Self::TooLarge(variable) => write!(f, "{variable} is too large"),
            Self::Value {
                variable,
                value,
                expected,
            } => write!(f, "{variable} is '{value}', but must be {expected}"),
            Self::Heap(error) => {
                let variables = match error {
                    HeapError::LimitTooLow { .. } => "EMALLOC_LIMIT: ",
                    HeapError::SegmentSizeTooSmall { .. } => {
                        "EMALLOC_SEGMENT_SIZE, EMALLOC_RESERVE: "
                    }
                    _ => "",
                };
                write!(f, "{variables}{error}")
            }
        }
    }
}

impl core::error::Error for SettingsError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Storage { error, .. } => Some(error),
            // The heap's error is in the text already.
            _ => None,
        }
    }
}

const SIZE: &str = "a size in bytes, such as 262144 or 256K";
const SEGMENT: &str = "a power of two from 64K to 1G";
const LIMIT: &str = "a size in bytes, such as 64M, or 'unlimited'";
const SWITCH: &str = "0 or 1";

/// The original's default for `ZEND_MM_COMPACT`.
const DEFAULT_COMPACT: usize = 2 << 20;

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            storage: registry::default_entry().name.to_owned(),
            segment_size: DEFAULT_SEGMENT,
            compact: DEFAULT_COMPACT,
            limit: Limit::Unlimited,
            soft_limit: Limit::Unlimited,
            reserve: None,
            checked: false,
            debug: None,
            sample: 0,
        }
    }
}

impl Settings {
    /// Reads the settings from the process's environment.
    ///
    /// # Errors
    /// The first variable with nonsense in it.
    #[cfg(feature = "std")]
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::from_lookup(|name| {
            std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
        })
    }

    /// Reads the settings from anything that maps names to values.
    ///
    /// # Errors
    /// The first variable with nonsense in it.
    ///
    /// ```
    /// use emalloc::interface::Settings;
    /// let settings = Settings::from_lookup(|name| (name == "ZEND_MM_SEG_SIZE").then(|| "1M".into()))?;
    /// assert_eq!(settings.segment_size, 1 << 20);
    /// let error = Settings::from_lookup(|name| (name == "ZEND_MM_SEG_SIZE").then(|| "3M".into())).unwrap_err();
    /// assert_eq!(error.to_string(), "ZEND_MM_SEG_SIZE must be a power of two");
    /// # Ok::<(), emalloc::interface::SettingsError>(())
    /// ```
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        let value = |variable| lookup(variable).map(|value| (variable, value));
        if let Some((_, name)) = value("EMALLOC_STORAGE").or_else(|| value("ZEND_MM_MEM_TYPE")) {
            if registry::find(&name).is_err() {
                return Err(SettingsError::UnknownStorage(name));
            }
            settings.storage = name;
        }
        if let Some((variable, text)) = value("EMALLOC_SEGMENT_SIZE") {
            let size = own_size(variable, text.clone())?;
            if segment_size(variable, size as u64).is_err() {
                return Err(bad(variable, text, SEGMENT));
            }
            settings.segment_size = size;
        } else if let Some((variable, text)) = value("ZEND_MM_SEG_SIZE") {
            // With the original's texts, which do not repeat what was set. No number at all is 0 there, and too small.
            let size = zend_size(variable, &text)?.unwrap_or(0);
            settings.segment_size = segment_size(variable, size)?;
        }
        if let Some((variable, text)) = value("EMALLOC_COMPACT") {
            settings.compact = own_size(variable, text)?;
        } else if let Some((variable, text)) = value("ZEND_MM_COMPACT") {
            let size = zend_size(variable, &text)?.ok_or_else(|| bad(variable, text, SIZE))?;
            settings.compact = usize::try_from(size).unwrap_or(usize::MAX);
        }
        if let Some((variable, text)) = value("EMALLOC_ENABLED") {
            settings.enabled = switch(variable, text)?;
        } else if let Some((_, text)) = value("USE_ZEND_ALLOC") {
            // As there: whatever begins with a number other than 0 leaves it on.
            settings.enabled = leading_number(&text).0.is_some_and(|number| number != 0);
        }
        if let Some((variable, text)) = value("EMALLOC_LIMIT") {
            settings.limit = limit(variable, text)?;
        }
        if let Some((variable, text)) = value("EMALLOC_SOFT_LIMIT") {
            settings.soft_limit = limit(variable, text)?;
        }
        if let Some((variable, text)) = value("EMALLOC_RESERVE") {
            settings.reserve = Some(own_size(variable, text)?);
        }
        if let Some((variable, text)) = value("EMALLOC_CHECKED") {
            settings.checked = switch(variable, text)?;
        }
        if let Some((_, text)) = value("EMALLOC_DEBUG") {
            settings.debug = debug_settings::debug(&text)?;
        }
        if let Some((_, text)) = value("EMALLOC_LEAKS") {
            let format = debug_settings::leaks(&text)?;
            // Who wants to see leaks wants the mode in which they are known.
            let wanted = settings.debug.is_some() || format != LeakFormat::Silent;
            let debug = settings.debug.unwrap_or_default();
            settings.debug = wanted.then(|| debug.leaks(format));
        } else if let Some((_, text)) = value("ZEND_ALLOC_PRINT_LEAKS")
            && leading_number(&text).0.is_none_or(|number| number == 0)
        {
            settings.debug = settings.debug.map(|debug| debug.leaks(LeakFormat::Silent));
        }
        if let Some((variable, text)) = value("EMALLOC_SAMPLE") {
            settings.sample = own_size(variable, text)?;
        }
        Ok(settings)
    }

    /// A builder with these settings, its storage set up.
    ///
    /// # Errors
    /// The storage is unknown or could not be set up.
    pub fn builder(&self) -> Result<Builder<AnyStorage, DefaultHandler>, SettingsError> {
        let default = registry::default_entry().name;
        let opened = if self.storage == default {
            registry::open_default().map_err(|error| OpenError::Failed {
                name: default,
                error,
            })
        } else {
            registry::open(&self.storage)
        };
        let storage = opened.map_err(|error| match error {
            OpenError::Unknown(unknown) => SettingsError::UnknownStorage(unknown.name.to_owned()),
            OpenError::Failed { name, error } => SettingsError::Storage {
                name: name.to_owned(),
                error,
            },
        })?;
        // What all heaps share has a bound of its own. One heap's reset empties it only if somebody said so.
        let shared = self.storage == default && registry::DEFAULT_IS_SHARED;
        let compact = if shared && self.compact == DEFAULT_COMPACT {
            0
        } else {
            self.compact
        };
        let mut builder = Heap::builder()
            .storage(storage)
            .segment_size(self.segment_size)
            .compact(compact)
            .limit(self.limit)
            .soft_limit(self.soft_limit)
            .checked(self.checked);
        if self.sample != 0 {
            builder = builder.sampling(Sampling::every(self.sample));
        }
        let builder = match self.reserve {
            Some(bytes) => builder.reserve(bytes),
            None => builder,
        };
        Ok(match self.debug {
            Some(debug) => builder.debug(debug),
            None => builder,
        })
    }

    /// A heap with these settings. (`zend_mm_startup`)
    ///
    /// # Errors
    /// As [`builder`](Self::builder) and [`Builder::build`].
    pub fn start(&self) -> Result<Heap, SettingsError> {
        self.builder()?.build().map_err(SettingsError::Heap)
    }
}

fn bad(variable: &'static str, value: String, expected: &'static str) -> SettingsError {
    SettingsError::Value {
        variable,
        value,
        expected,
    }
}

fn own_size(variable: &'static str, text: String) -> Result<usize, SettingsError> {
    parse_size(&text).map_err(|_| bad(variable, text, SIZE))
}

fn limit(variable: &'static str, text: String) -> Result<Limit, SettingsError> {
    if text == "unlimited" {
        return Ok(Limit::Unlimited);
    }
    parse_size(&text)
        .map(Limit::Bytes)
        .map_err(|_| bad(variable, text, LIMIT))
}

fn switch(variable: &'static str, text: String) -> Result<bool, SettingsError> {
    match text.as_str() {
        "1" => Ok(true),
        "0" => Ok(false),
        _ => Err(bad(variable, text, SWITCH)),
    }
}

fn segment_size(variable: &'static str, size: u64) -> Result<usize, SettingsError> {
    // In the original's order: nothing at all is too small, the rest is asked for a power of two first.
    if size == 0 {
        return Err(SettingsError::TooSmall(variable));
    }
    if !size.is_power_of_two() {
        return Err(SettingsError::NotPowerOfTwo(variable));
    }
    if size < MIN_SEGMENT as u64 {
        return Err(SettingsError::TooSmall(variable));
    }
    usize::try_from(size)
        .ok()
        .filter(|&size| size <= MAX_SEGMENT)
        .ok_or(SettingsError::TooLarge(variable))
}

/// The number a text begins with, if it does, as C's `strtol` with base 0 reads it, and what follows.
fn leading_number(text: &str) -> (Option<i64>, &str) {
    let trimmed = text.trim_start();
    let (negative, digits) = match trimmed.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    let hexadecimal = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"));
    let (digits, base) = match hexadecimal {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_hexdigit()) => (rest, 16),
        _ if digits.starts_with('0') => (digits, 8),
        _ => (digits, 10),
    };
    let end = digits
        .find(|c: char| !c.is_digit(base))
        .unwrap_or(digits.len());
    let (number, rest) = digits.split_at(end);
    if number.is_empty() {
        return (None, rest);
    }
    let value = i64::from_str_radix(number, base).unwrap_or(i64::MAX);
    (Some(if negative { -value } else { value }), rest)
}

/// A size as the original reads it: a number, and `k`, `m` or `g` at the end; `None` without a number. Where the
/// original would quietly misread what is in between ("256KB" is 256 bytes to it), this is an error.
fn zend_size(variable: &'static str, text: &str) -> Result<Option<u64>, SettingsError> {
    let (Some(number), rest) = leading_number(text) else {
        return Ok(None);
    };
    let shift = match rest.trim() {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        _ => return Err(bad(variable, text.to_owned(), SIZE)),
    };
    // A negative number is no power of two, nor any other size.
    let number = u64::try_from(number).unwrap_or(u64::MAX);
    Ok(Some(number.saturating_mul(1 << shift)))
}
