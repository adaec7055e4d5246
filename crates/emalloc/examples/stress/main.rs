//! Random walks over everything that can be done with heaps and storages, for as long as one likes. `scripts/stress.sh`
//! builds and runs it; as a test it takes some walks only.
//!
//! A walk follows from its number. What it looks at: the bytes in every block, what a storage that watches is given
//! back and how, what [`Heap::check`](emalloc::Heap::check) says, and that nothing panics.
//!
//! `main` owns the command line and the watching: walks run in a process of their own, so that whatever ends it, it is
//! told which walks were under way, and how to see their last steps.

mod acts;
mod arena;
mod blocks;
mod callbacks;
mod random;
mod shared;
mod spans;
mod stores;
mod walk;
mod world;

use std::collections::{BTreeSet, VecDeque};
use std::env;
use std::io::{BufRead, BufReader};
use std::panic;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const USAGE: &str = "usage: stress [--seconds N] [--seed S] [--threads T] [--walks N] [--trace]

Walks number S and those that follow it (default 1), on T threads at once (default 1), for N seconds (default 60) or
N walks. --trace prints each step. Ends with 1 when a walk fails, having said which, and with its last steps.";

/// A walk that takes longer than this hangs.
const LONGEST: Duration = Duration::from_secs(300);

/// The last steps that are shown of a walk that fails.
const SHOWN: usize = 12;

#[derive(Clone, Debug)]
struct Options {
    seconds: u64,
    seed: u64,
    threads: u64,
    walks: u64,
    trace: bool,
    /// This is the process that walks.
    child: bool,
}

fn options() -> Option<Options> {
    let mut options = Options {
        seconds: 60,
        seed: 1,
        threads: 1,
        walks: u64::MAX,
        trace: false,
        child: false,
    };
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        let number = match word.as_str() {
            "--seconds" => &mut options.seconds,
            "--seed" => &mut options.seed,
            "--threads" => &mut options.threads,
            "--walks" => &mut options.walks,
            "--trace" => {
                options.trace = true;
                continue;
            }
            "--child" => {
                options.child = true;
                continue;
            }
            _ => return None,
        };
        *number = words.next()?.parse().ok()?;
    }
    Some(options)
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if options.child {
        return walks(&options);
    }
    let end = watch(&options);
    println!("{} walks from {}, {:?}", end.walks, options.seed, end.time);
    if end.well {
        return ExitCode::SUCCESS;
    }
    for walk in end.under_way {
        println!("walk {walk} was under way; to see it: --seed {walk} --walks 1 --trace");
        let alone = Options {
            seed: walk,
            walks: 1,
            trace: true,
            ..options
        };
        if !watch(&alone).well {
            return ExitCode::FAILURE;
        }
        println!("alone it does well");
    }
    ExitCode::FAILURE
}

/// Walks on some threads, and says when each begins and ends.
fn walks(options: &Options) -> ExitCode {
    world::TRACE.store(options.trace, Ordering::Relaxed);
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let (seed, step) = world::world(|world| (world.seed.get(), world.step.get()));
        eprintln!("walk {seed} fails in step {step}:");
        usual(info);
    }));
    let (next, failed, since) = (AtomicU64::new(0), AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..options.threads {
            scope.spawn(|| {
                while since.elapsed().as_secs() < options.seconds && !failed.load(Ordering::Relaxed)
                {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= options.walks {
                        break;
                    }
                    let walk = options.seed.wrapping_add(number);
                    println!("begin {walk}");
                    if panic::catch_unwind(|| walk::run(walk)).is_err() {
                        failed.store(true, Ordering::Relaxed);
                        break;
                    }
                    println!("end {walk}");
                }
            });
        }
    });
    ExitCode::from(u8::from(failed.into_inner()))
}

/// What became of the process that walks.
struct End {
    well: bool,
    walks: u64,
    time: Duration,
    /// Walks that have begun and not ended.
    under_way: BTreeSet<u64>,
}

/// Runs these walks in a process of their own, and follows what it says.
fn watch(options: &Options) -> End {
    let program = env::current_exe().expect("it is running");
    let number = |name: &str, number: u64| [name.to_owned(), number.to_string()];
    let mut command = Command::new(program);
    command
        .arg("--child")
        .args(number("--seconds", options.seconds))
        .args(number("--seed", options.seed))
        .args(number("--threads", options.threads))
        .args(number("--walks", options.walks))
        .args(options.trace.then_some("--trace"));
    let since = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .expect("it can be started");
    let said = BufReader::new(child.stdout.take().expect("it is piped"));
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in said.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let (mut under_way, mut walks, mut hangs) = (BTreeSet::new(), 0, false);
    let mut last = VecDeque::new();
    loop {
        let line = match lines.recv_timeout(LONGEST) {
            Ok(line) => line,
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                println!("nothing has ended for {LONGEST:?}");
                hangs = true;
                // It may have ended by itself just now.
                drop(child.kill());
                break;
            }
        };
        let mut words = line.split(' ');
        match (
            words.next(),
            words.next().and_then(|walk| walk.parse().ok()),
        ) {
            (Some("begin"), Some(walk)) => {
                under_way.insert(walk);
            }
            (Some("end"), Some(walk)) => {
                under_way.remove(&walk);
                walks += 1;
            }
            _ => {
                last.push_back(line);
                if last.len() > SHOWN {
                    last.pop_front();
                }
            }
        }
    }
    let status = child.wait().expect("it was started");
    let well = status.success() && !hangs;
    if !well {
        last.iter().for_each(|line| println!("{line}"));
        println!("{status}");
    }
    End {
        well,
        walks,
        time: since.elapsed(),
        under_way,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str) -> Option<u64> {
        env::var(name).ok()?.parse().ok()
    }

    /// As many walks as there are cases of properties; fewer if nobody says how many.
    #[test]
    fn some_walks_do_well() {
        let first = told("STRESS_SEED").unwrap_or(0);
        for walk in first..first + told("PROPTEST_CASES").unwrap_or(32) {
            println!("walk {walk}");
            walk::run(walk);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "walks enough are taken above")]
    fn a_walk_follows_from_its_number() {
        let last = |walk| {
            walk::run(walk);
            let step = world::world(|world| world.step.get());
            (world::below(usize::MAX), step)
        };
        for walk in 0..4 {
            assert_eq!(last(walk), last(walk), "walk {walk}");
        }
    }
}
