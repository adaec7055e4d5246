//! The list of all allocators, each behind [`Contender`], which hides its type; and the choice among them.

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde::Serialize;

use crate::allocator::Peer;
use crate::clock::timed;
use crate::lock::version_of;
use crate::micro::{self, Case};
use crate::peers::bump::Bumpalo;
use crate::peers::c_library::CLibrary;
use crate::peers::emalloc::Emalloc;
use crate::peers::model::Model;
use crate::peers::null::Null;
use crate::peers::plugin::Plugin;
use crate::peers::system::{self, System};
use crate::peers::zend::Zend;
use crate::replay::{Touch, Trace};
use crate::settings::Setting;

/// How long a heap lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Lifetime {
    /// Made for each replay and ended after it, both within the time: a command that runs once
    New,
    /// Kept over all rounds: a server
    Kept,
}

/// Measuring one allocator, whichever it is.
pub trait Measured {
    /// Replays the trace once; processor time in nanoseconds, without a heap that lives longer.
    fn replay(&mut self, trace: &mut Trace, touch: Touch, lifetime: Lifetime) -> f64;

    /// Ends a heap that lived over rounds.
    fn finish(&mut self);

    /// So many pairs of a block of 64 bytes, allocated and freed at once.
    fn pairs(&mut self, pairs: usize);

    /// One round of a micro benchmark, in its unit; `None` if this allocator cannot.
    fn micro(&mut self, case: Case) -> Option<f64>;
}

struct Session<P: Peer> {
    heap: Option<P::Heap>,
    peer: P,
}

impl<P: Peer> Measured for Session<P> {
    fn replay(&mut self, trace: &mut Trace, touch: Touch, lifetime: Lifetime) -> f64 {
        match lifetime {
            Lifetime::New => timed(|| trace.replay(&mut self.peer.create(), touch)),
            Lifetime::Kept => {
                let heap = self.heap.get_or_insert_with(|| self.peer.create());
                timed(|| trace.replay(heap, touch))
            }
        }
    }

    fn finish(&mut self) {
        self.heap = None;
    }

    fn pairs(&mut self, pairs: usize) {
        micro::at_once::<_, 64>(&mut self.peer.create(), pairs);
    }

    fn micro(&mut self, case: Case) -> Option<f64> {
        micro::run(&self.peer, case)
    }
}

/// An allocator under its name.
pub struct Contender {
    /// `emalloc`, `zend`, ...
    pub name: &'static str,
    /// `default` for all but emalloc.
    pub setting: &'static str,
    /// Which one it is.
    pub version: String,
    /// What it can be asked.
    pub measured: Box<dyn Measured>,
}

impl Contender {
    fn new<P: Peer + 'static>(name: &'static str, version: impl Into<String>, peer: P) -> Self {
        Self {
            name,
            setting: "default",
            version: version.into(),
            measured: Box::new(Session { heap: None, peer }),
        }
    }

    /// `name`, which leaves out settings that are to be named, or `name:setting`.
    pub fn is(&self, choice: &str) -> bool {
        match choice.split_once(':') {
            Some((name, setting)) => self.name == name && self.setting == setting,
            None => self.name == choice && !self.is_by_name(),
        }
    }

    /// Whether it is measured only where its setting is named.
    fn is_by_name(&self) -> bool {
        self.setting == Setting::Sampled.name()
    }

    /// As [`is`](Self::is) takes it, without the setting where there is but one.
    pub fn label(&self) -> String {
        if self.name == "emalloc" {
            format!("{}:{}", self.name, self.setting)
        } else {
            self.name.to_owned()
        }
    }
}

/// Every name there is, in the order of reports.
const NAMES: [&str; 13] = [
    "null",
    "emalloc",
    "zend",
    "mimalloc2-heap",
    "mimalloc3-heap",
    "mimalloc2",
    "mimalloc3",
    "jemalloc",
    "snmalloc",
    "system",
    MODEL,
    BUMPALO,
    BY_NAME,
];

/// What is measured as a floor for time, and no rival: see `peers::model` and `peers::bump`.
pub const FLOORS: [&str; 2] = [MODEL, BUMPALO];
pub const MODEL: &str = "model";
pub const BUMPALO: &str = "bumpalo";

/// The same allocator once more, through its C library: for those who ask for it.
const BY_NAME: &str = "emalloc-c";

/// The allocators that `only` names, or all but that one; and what is missing, in words. The null allocator is always among them, and
/// first.
///
/// # Errors
/// `only` names something unknown.
pub fn contenders(only: &[String]) -> Result<(Vec<Contender>, Vec<String>)> {
    let name_of = |choice: &String| choice.split(':').next().unwrap_or_default().to_owned();
    if let Some(unknown) = only
        .iter()
        .map(name_of)
        .find(|name| !NAMES.contains(&name.as_str()))
    {
        bail!(
            "there is no allocator {unknown}; there are {}",
            NAMES.join(", ")
        );
    }
    let mut all = Vec::new();
    let mut missing = Vec::new();
    for name in NAMES {
        // Only what takes part is loaded at all.
        let asked = only.iter().any(|choice| name_of(choice) == name);
        if name != "null" && !asked && (!only.is_empty() || name == BY_NAME) {
            continue;
        }
        match open(name) {
            Ok(opened) => all.extend(opened),
            Err(error) => missing.push(format!("{name}: {error:#}")),
        }
    }
    let unknown = |choice: &&String| {
        let mut named = all
            .iter()
            .filter(|one| one.name == name_of(choice))
            .peekable();
        named.peek().is_some() && !named.any(|one| one.is(choice))
    };
    if let Some(choice) = only.iter().find(unknown) {
        let settings = Setting::ALL.map(Setting::name).join(", ");
        bail!("there is no {choice}; emalloc's settings are {settings}");
    }
    all.retain(|contender| {
        let named = only.iter().any(|choice| contender.is(choice));
        contender.name == "null" || named || only.is_empty() && !contender.is_by_name()
    });
    Ok((all, missing))
}

/// The allocator of that name, in all its settings.
fn open(name: &'static str) -> Result<Vec<Contender>> {
    let one = match name {
        "null" => Contender::new(name, "", Null::new()),
        "emalloc" => return Ok(Setting::ALL.map(emalloc).into()),
        "zend" => {
            let zend = Zend::open().context("not installed; Debian's libphp8.2-embed has it")?;
            Contender::new(name, zend.version(), zend)
        }
        "system" => Contender::new(name, system::version(), System),
        BY_NAME => Contender {
            setting: Setting::Recommended.name(),
            ..Contender::new(name, locked("emalloc"), CLibrary::open()?)
        },
        MODEL => Contender::new(name, "", Model::new()),
        BUMPALO => Contender::new(name, locked("bumpalo"), Bumpalo),
        _ => {
            let library = name.strip_suffix("-heap");
            let plugin = Plugin::open(library.unwrap_or(name))?;
            let version = plugin.version().unwrap_or_else(|| locked("snmalloc-sys"));
            match library {
                Some(_) => Contender::new(name, version, plugin.heaps()?),
                None => Contender::new(name, version, plugin.plain()),
            }
        }
    };
    Ok(vec![one])
}

fn locked(package: &str) -> String {
    version_of(package).unwrap_or_default().to_owned()
}

fn emalloc(setting: Setting) -> Contender {
    Contender {
        setting: setting.name(),
        ..Contender::new("emalloc", locked("emalloc"), Emalloc::new(setting))
    }
}
