//! Owns the settings: what the ini entries say, and a warning for each that cannot be.

use std::borrow::ToOwned;
use std::format;
use std::string::String;

use emalloc::interface::parse_size;
use emalloc::layout::MIN_SEGMENT;
use emalloc::storage::registry;

use crate::host::Text;
use crate::storage;

/// The ini entries as PHP read them. (Fields in the order of `struct emalloc_settings`.)
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Settings {
    /// `emalloc.mode`
    pub mode: Text,
    /// `emalloc.entry`
    pub entry: Text,
    /// `emalloc.storage`
    pub storage: Text,
    /// `emalloc.segment_size`
    pub segment_size: Text,
    /// `emalloc.sample`
    pub sample: Text,
    /// `emalloc.report`
    pub report: Text,
    /// `emalloc.profile`
    pub profile: Text,
    /// `emalloc.debug`
    pub debug: bool,
    /// `emalloc.leaks`
    pub leaks: bool,
    /// Is told of each entry that cannot be; what it says instead is used.
    pub warn: unsafe extern "C" fn(Text),
}

/// Whose heap the requests live on, and who looks on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub enum Mode {
    /// PHP's, and nobody.
    #[default]
    Off,
    /// PHP's; blocks are sampled.
    Watch,
    /// Ours.
    Heap,
}

/// How PHP comes to our heap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// Directly if that can be, else by handlers.
    #[default]
    Auto,
    /// Directly; where that cannot be it is warned of.
    Direct,
    /// By handlers.
    Handlers,
}

/// The most a segment can have: the original's chunks have as much. What lies before a block of theirs, within
/// so much, can be read (see `own`).
pub const MAX_SEGMENT: usize = 2 << 20;

/// One sample per so many bytes, unless told: in *watch* mode, and where lines are to be reported.
pub const DEFAULT_EVERY: usize = 512 << 10;

/// The settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    pub mode: Mode,
    pub way: Way,
    pub storage: String,
    pub segment_size: usize,
    pub debug: bool,
    pub leaks: bool,
    /// One sample per so many bytes; 1: every block; 0: none.
    pub every: usize,
    pub report: Option<String>,
    pub profile: Option<String>,
}

/// Where a report goes to, that is no file.
pub const STDERR: &str = "stderr";

impl Config {
    /// Reads the settings; `warn` hears of each that cannot be.
    ///
    /// # Safety
    /// The texts are there.
    pub unsafe fn read(settings: &Settings) -> Self {
        // SAFETY: it is the glue's function, and the text is there meanwhile.
        let warn = |text: &str| unsafe { (settings.warn)(Text::new(text)) };
        let text = |text: Text| {
            // SAFETY: the caller's promise.
            let read = unsafe { text.read() };
            read.trim().to_owned()
        };
        let mode = match text(settings.mode).as_str() {
            "heap" => Mode::Heap,
            "watch" => Mode::Watch,
            "off" | "" | "0" => Mode::Off,
            other => {
                warn(&format!(
                    "emalloc.mode is '{other}', but must be heap, watch or off; it is off"
                ));
                Mode::Off
            }
        };
        let way = match text(settings.entry).as_str() {
            "direct" => Way::Direct,
            "handlers" => Way::Handlers,
            "auto" | "" => Way::Auto,
            other => {
                warn(&format!(
                    "emalloc.entry is '{other}', but must be auto, direct or handlers; it is auto"
                ));
                Way::Auto
            }
        };
        let name = text(settings.storage);
        let known = name == storage::DEFAULT || registry::find(&name).is_ok();
        let storage = if known || name.is_empty() {
            Some(name).filter(|_| known)
        } else {
            warn(&format!(
                "emalloc.storage is '{name}', but must be {}; it is '{}'",
                names(),
                storage::DEFAULT
            ));
            None
        };
        let size = text(settings.segment_size);
        let segment_size = parse_size(&size)
            .ok()
            .filter(|size| size.is_power_of_two())
            .filter(|size| (MIN_SEGMENT..=MAX_SEGMENT).contains(size))
            .unwrap_or_else(|| {
                warn(&format!("emalloc.segment_size is '{size}', but must be a power of two from 64K to 2M; it is 2M"));
                MAX_SEGMENT
            });
        let path = |value: Text| Some(text(value)).filter(|path| !path.is_empty());
        let (report, profile) = (path(settings.report), path(settings.profile));
        let leaks = settings.leaks || settings.debug;
        let unless_told = match mode {
            _ if leaks => 1,
            Mode::Off => 0,
            Mode::Watch => DEFAULT_EVERY,
            // What is to be said of lines is known by samples only.
            Mode::Heap if report.is_some() || profile.is_some() => DEFAULT_EVERY,
            Mode::Heap => 0,
        };
        let sample = text(settings.sample);
        let every = match parse_size(&sample) {
            Ok(every) => every,
            Err(_) => {
                if !sample.is_empty() {
                    warn(&format!(
                        "emalloc.sample is '{sample}', but must be a size in bytes, such as 512K; it is {unless_told}"
                    ));
                }
                unless_told
            }
        };
        // Who left what is only known of blocks that were noted.
        let every = if leaks { 1 } else { every };
        if let (Some(profile), 0) = (&profile, every)
            && mode != Mode::Off
        {
            warn(&format!(
                "emalloc.profile is '{profile}', but emalloc.sample is 0, so there is nothing to write"
            ));
        }
        Self {
            mode,
            way,
            storage: storage.unwrap_or_else(|| storage::DEFAULT.to_owned()),
            segment_size,
            debug: settings.debug,
            leaks,
            every,
            report,
            profile,
        }
    }
}

/// The storages there are, as a sentence lists them.
fn names() -> String {
    let mut names = format!("'{}'", storage::DEFAULT);
    for entry in registry::entries() {
        names += &format!(", '{}'", entry.name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::vec::Vec;

    static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

    unsafe extern "C" fn warn(text: Text) {
        // SAFETY: `Config::read` lends it.
        let text = unsafe { text.read() };
        WARNINGS.lock().unwrap().push(text.into_owned());
    }

    #[test]
    fn what_cannot_be_is_named_and_replaced() {
        let read_with_profile = |mode, storage, size, sample, leaks, profile| {
            let settings = Settings {
                mode: Text::new(mode),
                entry: Text::new(if mode == "Heap" { "door" } else { "direct" }),
                storage: Text::new(storage),
                segment_size: Text::new(size),
                sample: Text::new(sample),
                report: Text::EMPTY,
                profile: Text::new(profile),
                debug: false,
                leaks,
                warn,
            };
            // SAFETY: the texts are static.
            let config = unsafe { Config::read(&settings) };
            (config, core::mem::take(&mut *WARNINGS.lock().unwrap()))
        };
        let read = |mode, storage, size, sample, leaks| {
            read_with_profile(mode, storage, size, sample, leaks, "")
        };
        let (config, warnings) = read("watch", "malloc", "256K", "", false);
        assert_eq!(config.every, DEFAULT_EVERY);
        assert_eq!((config.mode, config.segment_size), (Mode::Watch, 256 << 10));
        assert_eq!((config.storage.as_str(), warnings.len()), ("malloc", 0));
        let (config, warnings) = read("heap", "", "2M", "4096", true);
        assert_eq!((config.every, warnings.len()), (1, 0));
        assert_eq!(config.storage, storage::DEFAULT);
        assert_eq!(read("heap", "", "2M", "", false).0.every, 0);
        let profiled = |sample| read_with_profile("heap", "", "2M", sample, false, "a.folded");
        assert_eq!(profiled("").0.every, DEFAULT_EVERY);
        let (config, warnings) = profiled("0");
        assert_eq!(config.every, 0);
        assert!(warnings[0].starts_with("emalloc.profile is 'a.folded', but emalloc.sample is 0"));
        for size in ["3M", "32K", "4M", "x"] {
            let (config, warnings) = read("heap", "", size, "", false);
            assert_eq!(config.segment_size, MAX_SEGMENT);
            assert!(warnings[0].starts_with(&format!("emalloc.segment_size is '{size}'")));
        }
        let (config, warnings) = read("Heap", "tape", "2M", "often", false);
        assert_eq!((config.mode, config.every), (Mode::Off, 0));
        let named = |word: &str| warnings.iter().any(|text| text.contains(word));
        assert_eq!(config.way, Way::Auto);
        assert!(
            named("'door'")
                && named("'Heap'")
                && named("'tape'")
                && named("'malloc'")
                && named("'often'")
        );
    }
}
