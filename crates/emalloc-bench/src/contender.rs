//! The list of all allocators, each behind [`Contender`], which hides its type; and the choice among them.

use anyhow::{Result, ensure};

use crate::allocator::Peer;
use crate::clock::timed;
use crate::peers::bump::Bumpalo;
use crate::peers::emalloc::Emalloc;
use crate::peers::null::Null;
use crate::peers::system::{self, System};
use crate::peers::zend::Zend;
use crate::replay::{Touch, Trace};
use crate::settings::Setting;

/// How long a heap lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as the replay of one trace: a command that runs once.
    Replay,
    /// Over all rounds: a server.
    Rounds,
}

/// Measuring one allocator, whichever it is.
pub trait Measured {
    /// Replays the trace once; processor time in nanoseconds, without a heap that lives longer.
    fn replay(&mut self, trace: &mut Trace, touch: Touch, lifetime: Lifetime) -> f64;

    /// Ends a heap that lived over rounds.
    fn finish(&mut self);
}

struct Session<P: Peer> {
    heap: Option<P::Heap>,
    peer: P,
}

impl<P: Peer> Measured for Session<P> {
    fn replay(&mut self, trace: &mut Trace, touch: Touch, lifetime: Lifetime) -> f64 {
        match lifetime {
            Lifetime::Replay => timed(|| trace.replay(&mut self.peer.create(), touch)),
            Lifetime::Rounds => {
                let heap = self.heap.get_or_insert_with(|| self.peer.create());
                timed(|| trace.replay(heap, touch))
            }
        }
    }

    fn finish(&mut self) {
        self.heap = None;
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

    /// `name`, or `name:setting`.
    pub fn is(&self, choice: &str) -> bool {
        match choice.split_once(':') {
            Some((name, setting)) => self.name == name && self.setting == setting,
            None => self.name == choice,
        }
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

/// The allocators that `only` names, or all; and what is missing, in words. The null allocator is always among them, and
/// first.
///
/// # Errors
/// `only` names something unknown.
pub fn contenders(only: &[String]) -> Result<(Vec<Contender>, Vec<String>)> {
    const NAMES: [&str; 5] = ["null", "emalloc", "zend", "system", "bumpalo"];
    for choice in only {
        let name = choice.split(':').next().unwrap_or_default();
        ensure!(
            NAMES.contains(&name),
            "there is no allocator {name}; there are {}",
            NAMES.join(", ")
        );
    }
    let wanted = |name: &str| {
        only.is_empty()
            || only
                .iter()
                .any(|choice| choice.split(':').next() == Some(name))
    };
    let mut missing = Vec::new();
    let mut all = vec![Contender::new("null", "", Null)];
    for setting in Setting::ALL {
        all.push(Contender {
            setting: setting.name(),
            ..Contender::new("emalloc", "this tree", Emalloc::new(setting))
        });
    }
    if wanted("zend") {
        match Zend::open() {
            Ok(zend) => all.push(Contender::new("zend", zend.version(), zend)),
            Err(error) => missing.push(format!(
                "zend: not installed (Debian's libphp8.2-embed has it): {error}"
            )),
        }
    }
    all.push(Contender::new("system", system::version(), System));
    all.push(Contender::new("bumpalo", "", Bumpalo));
    all.retain(|contender| {
        contender.name == "null"
            || only.is_empty()
            || only.iter().any(|choice| contender.is(choice))
    });
    Ok((all, missing))
}
