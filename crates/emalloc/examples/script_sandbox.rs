//! A host that runs scripts, each in a heap of 8 MiB. A script that takes more gets an error and is gone; the host
//! and the other scripts go on. Half way to the limit the host is told (the soft limit).
//!
//! The language is a stack machine of seven instructions. All values of a script lie in its heap and borrow it, so none can
//! be used after the reset.
//!
//! `cargo run -p emalloc --example script_sandbox`

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use emalloc::heap::{AllocError, Handler, Heap, HeapError, Limit, SoftLimitEvent};

/// What a script consists of.
enum Instruction {
    /// Puts a number on the stack.
    Number(i64),
    /// Puts a text on the stack.
    Text(&'static str),
    /// Replaces two numbers by their sum, two texts by both behind one another.
    Add,
    /// Puts what is on top there once more.
    Copy,
    /// Takes a number off, and goes back to this instruction while it is not zero, having put it back less one.
    Repeat(usize),
    /// Replaces what is on top by its length.
    Length,
    /// Swaps the two on top.
    Swap,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Value<'h> {
    Number(i64),
    Text(&'h [u8]),
}

/// A place of the stack, which is a list in the heap.
struct Place<'h> {
    value: Value<'h>,
    below: Option<&'h Place<'h>>,
}

#[derive(Debug)]
enum ScriptError {
    Memory(AllocError),
    /// The script does something that makes no sense at this instruction.
    Nonsense(usize),
}

impl From<AllocError> for ScriptError {
    fn from(error: AllocError) -> Self {
        Self::Memory(error)
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(error) => error.fmt(f),
            Self::Nonsense(at) => write!(f, "instruction {at} makes no sense there"),
        }
    }
}

/// Runs a script and answers what is on top of the stack at its end.
fn run<'h>(heap: &'h Heap, script: &[Instruction]) -> Result<Value<'h>, ScriptError> {
    let mut stack: Option<&Place<'h>> = None;
    let mut at = 0;
    while let Some(instruction) = script.get(at) {
        let nonsense = ScriptError::Nonsense(at);
        let top = stack.map(|place| place.value);
        let below = stack.and_then(|place| place.below);
        let (value, below) = match (instruction, top, below.map(|place| place.value)) {
            (Instruction::Number(number), ..) => (Value::Number(*number), stack),
            (Instruction::Text(text), ..) => {
                (Value::Text(heap.try_alloc_slice(text.as_bytes())?), stack)
            }
            (Instruction::Add, Some(Value::Number(right)), Some(Value::Number(left))) => (
                Value::Number(left.wrapping_add(right)),
                below.and_then(|place| place.below),
            ),
            (Instruction::Add, Some(Value::Text(right)), Some(Value::Text(left))) => {
                // Not by a buffer of the host's: that would be memory without a limit.
                let letter = |index: usize| match left.get(index) {
                    Some(letter) => *letter,
                    None => right[index - left.len()],
                };
                let both = heap.try_alloc_slice_with(left.len() + right.len(), letter)?;
                (Value::Text(both), below.and_then(|place| place.below))
            }
            (Instruction::Copy, Some(value), _) => (value, stack),
            (Instruction::Length, Some(Value::Text(text)), _) => {
                (Value::Number(text.len() as i64), below)
            }
            (Instruction::Repeat(from), Some(Value::Number(times)), _) => {
                if times == 0 {
                    stack = below;
                    at += 1;
                    continue;
                }
                at = *from;
                stack = Some(heap.try_alloc(Place {
                    value: Value::Number(times - 1),
                    below,
                })?);
                continue;
            }
            (Instruction::Swap, Some(value), Some(second)) => {
                let rest = below.and_then(|place| place.below);
                let value = heap.try_alloc(Place { value, below: rest })?;
                (second, Some(&*value))
            }
            _ => return Err(nonsense),
        };
        stack = Some(heap.try_alloc(Place { value, below })?);
        at += 1;
    }
    stack
        .map(|place| place.value)
        .ok_or(ScriptError::Nonsense(at))
}

/// Is told when a script holds much.
struct Watch(Arc<AtomicUsize>);

impl Handler for Watch {
    fn soft_limit(&self, _: &Heap, event: &SoftLimitEvent) {
        self.0.fetch_add(1, Ordering::Relaxed);
        println!(
            "  (the script is about to hold {} bytes)",
            event.held + event.requested
        );
    }
}

/// Runs the scripts one after the other in one heap. Answers how many failed, and how often the host was warned.
fn host(scripts: &[(&str, Vec<Instruction>)]) -> Result<(usize, usize), HeapError> {
    let warnings = Arc::new(AtomicUsize::new(0));
    let mut heap = Heap::builder()
        .limit(Limit::Bytes(8 << 20))
        .soft_limit(Limit::Bytes(4 << 20))
        .handler(Watch(Arc::clone(&warnings)))
        .build()?;
    let mut failed = 0;
    for (name, script) in scripts {
        println!("{name}:");
        match run(&heap, script) {
            Ok(Value::Number(number)) => println!("  {number}"),
            Ok(Value::Text(text)) => println!("  {}", String::from_utf8_lossy(text)),
            Err(error) => {
                failed += 1;
                println!("  failed: {error}");
            }
        }
        println!("  {} bytes held at most", heap.real_peak());
        heap.reset();
    }
    Ok((failed, warnings.load(Ordering::Relaxed)))
}

fn scripts() -> [(&'static str, Vec<Instruction>); 5] {
    use Instruction::{Add, Copy, Length, Number, Repeat, Swap, Text};
    // Doubles a text as often as the number says.
    let double = |times| {
        vec![
            Text("ha"),
            Number(times),
            Swap,
            Copy,
            Add,
            Swap,
            Repeat(2),
            Length,
        ]
    };
    [
        ("adds", vec![Number(40), Number(2), Add]),
        ("doubles a text ten times", double(10)),
        ("doubles a text for ever", double(i64::MAX)),
        ("adds what cannot be added", vec![Text("a"), Number(1), Add]),
        (
            "is not disturbed by the others",
            vec![Text("all "), Text("well"), Add],
        ),
    ]
}

fn main() -> Result<(), HeapError> {
    let (failed, warnings) = host(&scripts())?;
    println!("{failed} scripts failed, the host was warned {warnings} times");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs() {
        assert_eq!(host(&scripts()).unwrap(), (2, 1));
        let heap = Heap::builder()
            .limit(Limit::Bytes(8 << 20))
            .build()
            .unwrap();
        let [adds, doubles, forever, ..] = scripts();
        assert_eq!(run(&heap, &adds.1).unwrap(), Value::Number(42));
        assert_eq!(run(&heap, &doubles.1).unwrap(), Value::Number(2 << 11));
        let error = run(&heap, &forever.1).unwrap_err();
        assert!(
            matches!(error, ScriptError::Memory(AllocError::Limit { .. })),
            "{error}"
        );
    }
}
