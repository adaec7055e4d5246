//! Owns the names of places: PHP's call stacks, each kept once and known by a number.

use core::fmt;
use std::borrow::{Cow, ToOwned};
use std::boxed::Box;
use std::string::String;
use std::vec::Vec;

use hashbrown::HashMap;

use crate::host::Frame;

/// One level of a stack.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// With its class, as PHP writes it; `{main}` outside of functions.
    pub function: Box<str>,
    /// The script; empty for a function that is PHP's own.
    pub file: Box<str>,
    pub line: u32,
}

/// All places and stacks met so far.
#[derive(Default)]
pub struct Stacks {
    places: Vec<Place>,
    place_numbers: HashMap<Place, u32>,
    stacks: Vec<Box<[u32]>>,
    stack_numbers: HashMap<Box<[u32]>, u32>,
}

impl Stacks {
    /// The number of a stack, the innermost call first.
    ///
    /// # Safety
    /// The texts of the frames are there.
    pub unsafe fn number(&mut self, frames: &[Frame]) -> u32 {
        let numbers: Vec<u32> = frames
            .iter()
            // SAFETY: the caller's promise.
            .map(|frame| unsafe { self.place_number(frame) })
            .collect();
        if let Some(&number) = self.stack_numbers.get(numbers.as_slice()) {
            return number;
        }
        let number = self.stacks.len() as u32;
        let stack = numbers.into_boxed_slice();
        self.stacks.push(stack.clone());
        self.stack_numbers.insert(stack, number);
        number
    }

    unsafe fn place_number(&mut self, frame: &Frame) -> u32 {
        // SAFETY: the caller's promise, here and below.
        let class = unsafe { frame.class.read() };
        // SAFETY: as above.
        let function = match unsafe { frame.function.read() } {
            name if name.is_empty() => Cow::Borrowed("{main}"),
            name if class.is_empty() => name,
            name => Cow::Owned([&*class, "::", &*name].concat()),
        };
        let place = Place {
            function: Box::from(function.into_owned()),
            // SAFETY: as above.
            file: Box::from(unsafe { frame.file.read() }.into_owned()),
            line: frame.line,
        };
        let next = self.places.len() as u32;
        let number = *self.place_numbers.entry(place.clone()).or_insert(next);
        if number == next {
            self.places.push(place);
        }
        number
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
