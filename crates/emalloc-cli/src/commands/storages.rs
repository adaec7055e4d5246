//! `emalloc storages`: what is here, what it can do, and whether it keeps its promises.

use std::io::{self, Write};

use emalloc::storage::conformance::{self, ALL_BYTES};
use emalloc::storage::registry::{self, AnyStorage};
use emalloc::storage::{
    Budget, Cached, Capabilities, Counting, Fixed, Limit, Regions, Storage, StorageError,
};
use serde::Serialize;

use crate::args::StoragesArgs;
use crate::exit::Exit;
use crate::output::{json, size, table};

/// Bytes of the buffer that `fixed` is tested with: so much that nothing has to be skipped.
const BUFFER: usize = ALL_BYTES;

/// What can be set up again and again.
type Make = Box<dyn Fn() -> Result<Box<dyn Storage>, StorageError>>;

/// A line of the answer, before the test.
struct Candidate {
    name: String,
    about: String,
    default: bool,
    make: Make,
}

#[derive(Serialize)]
struct Answer {
    storages: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    name: String,
    about: String,
    default: bool,
    capabilities: Option<Can>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conformance: Option<Verdict>,
}

#[derive(Serialize)]
struct Can {
    granularity: usize,
    zeroed: bool,
    grow_in_place: bool,
    shrink_in_place: bool,
    discard: bool,
    move_without_copy: bool,
    divisible: bool,
}

#[derive(Serialize)]
struct Verdict {
    passed: bool,
    checks: usize,
    grants: usize,
    skipped: usize,
    failure: Option<String>,
}

/// Lists the storages, tests them, and writes the answer.
pub fn run(args: &StoragesArgs, out: &mut dyn Write) -> io::Result<Exit> {
    let listed: Vec<Listed> = candidates()
        .iter()
        .map(|candidate| list(candidate, !args.no_test))
        .collect();
    let passed = listed
        .iter()
        .filter_map(|listed| listed.conformance.as_ref())
        .all(|verdict| verdict.passed);
    if args.json {
        json::write(out, "storages", &Answer { storages: listed })?;
    } else {
        write_text(&listed, out)?;
    }
    Ok(if passed { Exit::Fine } else { Exit::Found })
}

fn candidates() -> Vec<Candidate> {
    let default = registry::default_entry();
    let mut all: Vec<Candidate> = registry::entries()
        .map(|entry| Candidate {
            name: entry.name.to_owned(),
            about: entry.about.to_owned(),
            default: entry.name == default.name,
            make: Box::new(|| Ok(Box::new((entry.open)()?))),
        })
        .collect();
    all.push(Candidate {
        name: "fixed".to_owned(),
        about: format!("inside one buffer (here {})", size::display(BUFFER)),
        default: false,
        make: Box::new(|| Ok(Box::new(Fixed::with_capacity(BUFFER)?))),
    });
    let base = || (default.open)();
    all.push(wrapper(
        "cached",
        "keeps what is freed for the next",
        move || Ok(Cached::new(base()?)),
    ));
    all.push(wrapper(
        "regions",
        "cuts grants out of few large ones",
        move || Ok(Regions::new(base()?)),
    ));
    all.push(wrapper(
        "budget",
        "a limit that many heaps share",
        move || Ok(Budget::new(base()?, Limit::Bytes(ALL_BYTES))),
    ));
    all.push(wrapper(
        "counting",
        "says what was asked of it",
        move || Ok(Counting::<AnyStorage>::new(base()?)),
    ));
    all
}

fn wrapper<S: Storage + 'static>(
    name: &str,
    about: &str,
    make: impl Fn() -> Result<S, StorageError> + 'static,
) -> Candidate {
    let inner = registry::default_entry().name;
    Candidate {
        name: format!("{name}({inner})"),
        about: about.to_owned(),
        default: false,
        make: Box::new(move || Ok(Box::new(make()?))),
    }
}

fn list(candidate: &Candidate, test: bool) -> Listed {
    let conformance = test.then(|| {
        let report = conformance::run(ALL_BYTES, &candidate.make);
        Verdict {
            passed: report.passed(),
            checks: report.checks,
            grants: report.served,
            skipped: report.skipped,
            failure: report.failure.map(|failure| failure.to_string()),
        }
    });
    Listed {
        name: candidate.name.clone(),
        about: candidate.about.clone(),
        default: candidate.default,
        // One that cannot be set up has none; the suite says why.
        capabilities: (candidate.make)()
            .ok()
            .map(|storage| can(storage.capabilities())),
        conformance,
    }
}

fn can(capabilities: Capabilities) -> Can {
    Can {
        granularity: capabilities.granularity,
        zeroed: capabilities.zeroed,
        grow_in_place: capabilities.grow_in_place,
        shrink_in_place: capabilities.shrink_in_place,
        discard: capabilities.discard,
        move_without_copy: capabilities.move_without_copy,
        divisible: capabilities.divisible,
    }
}

fn write_text(listed: &[Listed], out: &mut dyn Write) -> io::Result<()> {
    let mut rows = table::table(
        [
            "storage",
            "granularity",
            "zeroed",
            "grow",
            "shrink",
            "discard",
            "move",
            "parts",
            "conformance",
        ],
        &[0, 2, 3, 4, 5, 6, 7, 8],
    );
    for storage in listed {
        rows.add_row(row(storage));
    }
    write!(out, "{}", table::lines(&rows))?;
    writeln!(out, "\n* the default")?;
    for Listed {
        name, conformance, ..
    } in listed
    {
        if let Some(failure) = conformance
            .as_ref()
            .and_then(|verdict| verdict.failure.as_ref())
        {
            writeln!(out, "{name}: {failure}")?;
        }
    }
    Ok(())
}

fn row(storage: &Listed) -> [String; 9] {
    let yes = |can: fn(&Can) -> bool| match &storage.capabilities {
        Some(capabilities) if can(capabilities) => "yes".to_owned(),
        Some(_) => "-".to_owned(),
        None => "?".to_owned(),
    };
    let mark = if storage.default { " *" } else { "" };
    [
        format!("{}{mark}", storage.name),
        storage
            .capabilities
            .as_ref()
            .map_or_else(|| "?".to_owned(), |can| size::display(can.granularity)),
        yes(|can| can.zeroed),
        yes(|can| can.grow_in_place),
        yes(|can| can.shrink_in_place),
        yes(|can| can.discard),
        yes(|can| can.move_without_copy),
        yes(|can| can.divisible),
        match &storage.conformance {
            None => "not run".to_owned(),
            Some(verdict) if !verdict.passed => "FAILED".to_owned(),
            Some(verdict) if verdict.skipped == 0 => {
                format!("passed, {} checks", size::grouped(verdict.checks as u64))
            }
            Some(verdict) => format!(
                "passed, {} checks, {} skipped",
                size::grouped(verdict.checks as u64),
                verdict.skipped
            ),
        },
    ]
}
