//! Owns the names of places: PHP's call stacks, each kept once and known by a number.

use core::fmt;
use std::borrow::ToOwned;
use std::boxed::Box;
use std::string::String;
use std::vec::Vec;

use hashbrown::hash_table::Entry;
use hashbrown::{HashMap, HashTable};

use crate::host::Frame;

/// Levels of calls that are noted; more are cut off at the outer end.
pub const DEPTH: usize = 64;

/// One level of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// With its class, as PHP writes it; `{main}` outside of functions.
    pub function: Box<str>,
    /// The script; empty for a function that is PHP's own.
    pub file: Box<str>,
    pub line: u32,
    /// Function, class and file as they came, to know them again.
    bytes: [Box<[u8]>; 3],
}

impl Place {
    /// # Safety
    /// The texts of the frame are there.
    unsafe fn new(frame: &Frame) -> Self {
        let names = [frame.function, frame.class, frame.file];
        // SAFETY: the caller's promise.
        let [function, class, file] = names.map(|name| unsafe { name.text.read() });
        let function = match (&*function, &*class) {
            ("", _) => "{main}".to_owned(),
            (name, "") => name.to_owned(),
            (name, class) => [class, "::", name].concat(),
        };
        Self {
            function: function.into_boxed_str(),
            file: file.into_owned().into_boxed_str(),
            line: frame.line,
            // SAFETY: the caller's promise.
            bytes: names.map(|name| Box::from(unsafe { name.text.bytes() })),
        }
    }

    /// # Safety
    /// The texts of the frame are there.
    unsafe fn is(&self, frame: &Frame) -> bool {
        let names = [frame.function, frame.class, frame.file];
        self.line == frame.line
            // SAFETY: the caller's promise.
            && names.iter().zip(&self.bytes).all(|(name, bytes)| unsafe { name.text.bytes() } == &**bytes)
    }
}

/// All places and stacks met so far.
#[derive(Default)]
pub struct Stacks {
    places: Vec<Place>,
    /// Numbers of places, and the hashes they are found by.
    place_numbers: HashTable<(u64, u32)>,
    stacks: Vec<Box<[u32]>>,
    stack_numbers: HashMap<Box<[u32]>, u32>,
}

impl Stacks {
    /// The number of a stack, the innermost call first.
    ///
    /// # Safety
    /// The texts of the frames are there; there are at most [`DEPTH`].
    pub unsafe fn number(&mut self, frames: &[Frame]) -> u32 {
        let mut numbers = [0; DEPTH];
        for (number, frame) in numbers.iter_mut().zip(frames) {
            // SAFETY: the caller's promise.
            *number = unsafe { self.place_number(frame) };
        }
        let numbers = &numbers[..frames.len()];
        if let Some(&number) = self.stack_numbers.get(numbers) {
            return number;
        }
        let number = self.stacks.len() as u32;
        self.stacks.push(Box::from(numbers));
        self.stack_numbers.insert(Box::from(numbers), number);
        number
    }

    unsafe fn place_number(&mut self, frame: &Frame) -> u32 {
        // PHP has hashed the names already.
        let mut hash = u64::from(frame.line);
        for name in [frame.function, frame.class, frame.file] {
            hash = (hash ^ name.hash).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            hash ^= hash >> 32;
        }
        let places = &mut self.places;
        let known = self.place_numbers.entry(
            hash,
            // SAFETY: the caller's promise.
            |&(of, number)| of == hash && unsafe { places[number as usize].is(frame) },
            |&(of, _)| of,
        );
        match known {
            Entry::Occupied(known) => known.get().1,
            Entry::Vacant(free) => {
                let number = places.len() as u32;
                free.insert((hash, number));
                // SAFETY: the caller's promise.
                places.push(unsafe { Place::new(frame) });
                number
            }
        }
    }

    /// How many stacks there are; their numbers are less.
    pub fn len(&self) -> usize {
        self.stacks.len()
    }

    /// The places of a stack, the innermost first.
    pub fn stack(&self, number: usize) -> impl DoubleEndedIterator<Item = &Place> {
        self.stacks[number]
            .iter()
            .map(|&place| &self.places[place as usize])
    }

    /// The line of a script that a stack's block is of, and the function called there.
    pub fn line(&self, number: usize) -> Line {
        let mut stack = self.stack(number);
        let innermost = stack.next();
        let function = innermost.map_or(String::new(), |place| (*place.function).to_owned());
        let scripts = innermost.into_iter().chain(stack);
        let (file, line) = scripts
            .filter(|place| !place.file.is_empty())
            .map(|place| ((*place.file).to_owned(), place.line))
            .next()
            .unwrap_or_default();
        Line {
            file,
            line,
            function,
        }
    }
}

/// A line of a script, and the function that asked for memory there. Without a script: PHP itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    pub file: String,
    pub line: u32,
    pub function: String,
}

/// As an editor takes it, and the function behind it.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.file.is_empty() {
            return f.write_str(&self.function);
        }
        write!(f, "{}:{} {}", self.file, self.line, self.function)
    }
}
