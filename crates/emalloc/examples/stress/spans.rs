//! Owns [`Spans`], a set of numbers kept as what lies between beginnings and ends, and [`other_than`], which looks
//! through much memory.

use std::collections::BTreeMap;

/// Ends by their beginnings. No two spans touch.
#[derive(Debug, Default)]
pub struct Spans(BTreeMap<usize, usize>);

impl Spans {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The parts of what lies between `from` and `to` that are in the set, the last one first.
    pub fn parts(&self, from: usize, to: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let before_end = self.0.range(..to).rev();
        let meeting = before_end.take_while(move |&(_, &end)| end > from);
        meeting.map(move |(&start, &end)| (start.max(from), end.min(to)))
    }

    /// Whether all of it is in the set.
    pub fn covers(&self, from: usize, to: usize) -> bool {
        self.parts(from, to).next() == Some((from, to))
    }

    pub fn remove(&mut self, from: usize, to: usize) {
        let meeting: Vec<_> = self.parts(from, to).collect();
        for (part, end) in meeting {
            let (&start, &old) = self.0.range(..=part).next_back().expect("it was there");
            self.0.remove(&start);
            if start < part {
                self.0.insert(start, part);
            }
            if end < old {
                self.0.insert(end, old);
            }
        }
    }

    pub fn add(&mut self, mut from: usize, mut to: usize) {
        self.remove(from, to);
        if let Some((&start, &end)) = self.0.range(..from).next_back()
            && end == from
        {
            self.0.remove(&start);
            from = start;
        }
        if let Some(end) = self.0.remove(&to) {
            to = end;
        }
        self.0.insert(from, to);
    }
}

/// The first of the bytes that is another one.
pub fn other_than(byte: u8, bytes: &[u8]) -> Option<usize> {
    let same = [byte; 4096];
    // Most are as they should be: slices are compared faster than bytes.
    let odd = |part: &[u8]| *part != same[..part.len()];
    let part = bytes.chunks(same.len()).position(odd)?;
    let begin = part * same.len();
    let found = bytes[begin..].iter().position(|&found| found != byte);
    found.map(|place| begin + place)
}
