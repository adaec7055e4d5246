//! What `cached` keeps: freed memory as a table of pieces, the last freed at its end. Owns how a piece is
//! found, cut and joined, and which ones go first. Used by `cached` only.

use core::mem;
use core::ptr::{self, NonNull};

use crate::layout::round_up;

/// The most pieces that are kept.
const MOST: usize = 128;

/// The least bytes that are worth a place in the table.
const LEAST: usize = 4 << 10;

/// Freed memory. It goes back with the size and the alignment it has here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) start: *mut u8,
    pub(super) size: usize,
    pub(super) align: usize,
    /// Whether its end is warmer than its beginning: where what was put last lies, and what is taken next.
    pub(super) warm_end: bool,
}

impl Piece {
    const NONE: Self = Self {
        start: ptr::null_mut(),
        size: 0,
        align: 0,
        warm_end: false,
    };

    /// Its first byte; `None` if there is no piece.
    pub(super) fn start(self) -> Option<NonNull<u8>> {
        NonNull::new(self.start)
    }

    fn end(self) -> usize {
        self.start.addr() + self.size
    }

    /// The part of it from `offset` on. Where joined grants border, only exposed provenance leads across.
    fn part(self, offset: usize, size: usize) -> Self {
        Self {
            start: ptr::with_exposed_provenance_mut(self.start.addr() + offset),
            size,
            ..self
        }
    }
}

/// What a search looks for.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub(super) size: usize,
    pub(super) align: usize,
}

/// How the storage inside lets its grants be treated.
#[derive(Clone, Copy)]
pub(super) struct Ways {
    /// In any parts, and joined with their neighbours.
    pub(super) divisible: bool,
    /// Cut at the end by a resize.
    pub(super) cut: bool,
    /// At multiples of this many bytes.
    pub(super) unit: usize,
    /// What goes back for good is cut off where the address is a multiple of this many bytes.
    pub(super) edge: usize,
}

/// The table.
#[derive(Debug)]
pub(super) struct Kept {
    pieces: [Piece; MOST],
    /// How many there are; fewer than [`MOST`] if there is a piece beside the table.
    count: usize,
    /// The piece put last, while nobody has asked for another one: as often as not it is asked for next.
    last: Piece,
    /// All that is kept.
    bytes: usize,
}

// SAFETY: what the pieces lead to belongs to the table and goes where it goes.
unsafe impl Send for Kept {}

impl Kept {
    pub(super) const fn new() -> Self {
        Self {
            pieces: [Piece::NONE; MOST],
            count: 0,
            last: Piece::NONE,
            bytes: 0,
        }
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    fn pieces(&self) -> &[Piece] {
        self.pieces.get(..self.count).unwrap_or_default()
    }

    /// Adds a piece, unless it is too small to be worth it. The table may be too full then.
    pub(super) fn put(&mut self, piece: Piece, ways: Ways) -> bool {
        self.enter_last(ways);
        if piece.size < LEAST {
            return false;
        }
        let _ = piece.start.expose_provenance();
        self.last = piece;
        self.bytes += piece.size;
        true
    }

    /// Whether there is no place in the table for the last piece: the coldest one has to go then.
    pub(super) fn is_too_full(&self) -> bool {
        self.count == MOST && self.last.size > 0
    }

    /// Whether there may be no place for one more piece than the last one.
    pub(super) fn is_nearly_full(&self) -> bool {
        self.count + 1 >= MOST
    }

    /// Takes the last piece, if there is one.
    fn take_last(&mut self) -> Option<Piece> {
        let piece = mem::replace(&mut self.last, Piece::NONE);
        self.bytes -= piece.size;
        (piece.size > 0).then_some(piece)
    }

    /// Enters the last piece into the table, joined with its neighbours if it may be.
    fn enter_last(&mut self, ways: Ways) {
        let Some(mut piece) = self.take_last() else {
            return;
        };
        if ways.divisible {
            let (start, end) = (piece.start.addr(), piece.end());
            let borders = |other: &Piece| other.end() == start || other.start.addr() == end;
            // One before and one behind, in whichever order they are found, from the last to the first.
            let mut end_of_search = self.count;
            while let Some(place) = self
                .pieces()
                .get(..end_of_search)
                .and_then(|pieces| pieces.iter().rposition(borders))
            {
                end_of_search = place;
                let other = self.remove(place);
                let behind = other.end() == start;
                let first = if behind { other } else { piece };
                piece = first.part(0, other.size + piece.size);
                piece.warm_end = behind;
            }
        }
        // There is a place: nobody leaves the table too full.
        if let Some(place) = self.pieces.get_mut(self.count) {
            *place = piece;
            self.count += 1;
            self.bytes += piece.size;
        }
    }

    /// Whether there is something that fits.
    pub(super) fn has(&mut self, wanted: Wanted, ways: Ways) -> bool {
        self.enter_last(ways);
        let fits = |piece: &Piece| {
            if ways.divisible {
                offset_in(*piece, wanted).is_some()
            } else {
                piece.align == wanted.align && piece.size == wanted.size
            }
        };
        self.pieces().iter().any(fits)
    }

    /// Takes what fits out of the table: of the very size, or to be cut down to it (then the answer is larger).
    pub(super) fn take(&mut self, wanted: Wanted, ways: Ways) -> Option<Piece> {
        // Segments are as large as they are aligned.
        let is_segment = wanted.size == wanted.align;
        let suits = if ways.divisible {
            (!is_segment || self.count == 0) && self.last.start.addr().is_multiple_of(wanted.align)
        } else {
            self.last.align == wanted.align
        };
        if suits && self.last.size == wanted.size {
            return self.take_last();
        }
        self.enter_last(ways);
        if !ways.divisible {
            let near = |piece: &Piece| ways.cut && piece.size - wanted.size <= wanted.size / 4;
            let fits = |piece: &Piece| piece.align == wanted.align && piece.size >= wanted.size;
            return self
                .position(|piece| fits(piece) && piece.size == wanted.size)
                .or_else(|| self.position(|piece| fits(piece) && near(piece)))
                .map(|place| self.remove(place));
        }
        // Segments come out of the lowest piece that is large enough once its beginning is aligned: so large pieces stay
        // whole elsewhere. All else comes out of the smallest.
        let mut best: Option<(usize, usize)> = None;
        for (place, piece) in self.pieces().iter().enumerate() {
            let fits = offset_in(*piece, wanted).is_some_and(|offset| {
                // What is left over before and behind needs places; one becomes free.
                let left = piece.size - offset - wanted.size;
                let places = usize::from(offset > 0) + usize::from(left > 0);
                self.count - 1 + places <= MOST
            });
            let rank = if is_segment {
                piece.start.addr()
            } else {
                piece.size
            };
            if fits && best.is_none_or(|(_, other)| rank <= other) {
                best = Some((place, rank));
            }
        }
        let piece = self.remove(best?.0);
        let skip = offset_in(piece, wanted)?;
        self.put_rest(piece, 0, skip);
        let end = skip + wanted.size;
        self.put_rest(piece, end, piece.size - end);
        Some(piece.part(skip, wanted.size))
    }

    /// Takes what is wanted off the beginning of a piece that has `least` bytes from there on: of the smallest that has four times
    /// what is wanted, so that there is room to grow, or else of the largest. What is behind stays kept.
    pub(super) fn take_roomy(&mut self, wanted: Wanted, least: usize, ways: Ways) -> Option<Piece> {
        self.enter_last(ways);
        let ample = wanted.size.saturating_mul(4);
        let mut best: Option<(usize, usize)> = None;
        for (place, piece) in self.pieces().iter().enumerate() {
            let room = round_up(piece.start.addr(), wanted.align)
                .and_then(|first| piece.end().checked_sub(first))
                .filter(|&room| room >= least);
            let Some(room) = room else {
                continue;
            };
            let is_better = |(_, other): (usize, usize)| {
                if other < ample {
                    room >= other
                } else {
                    (ample..=other).contains(&room)
                }
            };
            if best.is_none_or(is_better) {
                best = Some((place, room));
            }
        }
        // What is left over before and behind needs places, of which one becomes free.
        let (place, room) = best.filter(|_| self.count < MOST)?;
        let piece = self.remove(place);
        let skip = piece.size - room;
        let end = skip + wanted.size;
        self.put_rest(piece, 0, skip);
        self.put_rest(piece, end, piece.size - end);
        Some(piece.part(skip, wanted.size))
    }

    /// Takes the largest piece with an aligned beginning that is smaller than what is wanted, but no less than a
    /// quarter of it: to be made larger.
    pub(super) fn take_smaller(&mut self, wanted: Wanted, ways: Ways) -> Option<Piece> {
        self.enter_last(ways);
        let mut best: Option<(usize, usize)> = None;
        for (place, piece) in self.pieces().iter().enumerate() {
            // A grant goes back with the alignment it was made with, unless nobody keeps book of that.
            let aligned = if ways.divisible {
                piece.start.addr().is_multiple_of(wanted.align)
            } else {
                piece.align == wanted.align
            };
            if aligned
                && piece.size < wanted.size
                && piece.size >= wanted.size / 4
                && best.is_none_or(|(_, size)| piece.size >= size)
            {
                best = Some((place, piece.size));
            }
        }
        Some(self.remove(best?.0))
    }

    /// Whether the `size` bytes at `address` are kept, in one piece, and there are places for what lies around them and for
    /// as much again.
    pub(super) fn holds(&mut self, address: usize, size: usize, ways: Ways) -> bool {
        self.enter_last(ways);
        self.count + 2 <= MOST
            && self
                .position(|piece| covers(piece, address, size))
                .is_some()
    }

    /// Takes the `size` bytes at `address`, if they are kept, in one piece.
    pub(super) fn take_at(&mut self, address: usize, size: usize, ways: Ways) -> Option<Piece> {
        self.enter_last(ways);
        let place = self.position(|piece| covers(piece, address, size))?;
        let piece = *self.pieces.get(place)?;
        let (before, behind) = (address - piece.start.addr(), piece.end() - address - size);
        if before > 0 && behind > 0 && self.count == MOST {
            return None;
        }
        self.remove(place);
        self.put_rest(piece, 0, before);
        self.put_rest(piece, before + size, behind);
        Some(piece.part(before, size))
    }

    /// Takes at least `bytes` out, or all that there is, coldest first. Answers one piece of it, or
    /// `None` if `bytes` is 0 or nothing is left. From a table that is too full it is a whole one in any case.
    pub(super) fn take_cold(&mut self, bytes: usize, ways: Ways) -> Option<Piece> {
        if self.is_too_full() {
            return Some(self.remove(0));
        }
        if bytes == 0 {
            return None;
        }
        self.enter_last(ways);
        let coldest = *self.pieces().first()?;
        self.remove(0);
        // Its end goes: what remains begins where it did, and can be made larger again.
        let end = coldest.end().saturating_sub(bytes) & !(ways.edge - 1);
        let keep = end.saturating_sub(coldest.start.addr()) & !(ways.unit - 1);
        if !ways.divisible || keep < LEAST {
            return Some(coldest);
        }
        self.put_rest(coldest, 0, keep);
        Some(coldest.part(keep, coldest.size - keep))
    }

    /// `size` bytes of the piece at the highest address: those of which segments are taken last. `None` if nothing that long is
    /// kept.
    pub(super) fn needed_last(&self, size: usize, ways: Ways) -> Option<(NonNull<u8>, usize)> {
        let last = Some(&self.last).filter(|last| last.size > 0);
        let highest = self
            .pieces()
            .iter()
            .chain(last)
            .max_by_key(|piece| piece.start.addr())?;
        let size = size.next_multiple_of(ways.unit);
        let rest = highest.size.checked_sub(size)?;
        let offset = if highest.warm_end { 0 } else { rest };
        Some((highest.part(offset, size).start()?, size))
    }

    /// Puts a part of a piece back that was taken out whole, in the place of the coldest: it was there before.
    fn put_rest(&mut self, piece: Piece, offset: usize, size: usize) {
        if size == 0 {
            return;
        }
        if let Some(place) = self.pieces.get_mut(self.count) {
            *place = piece.part(offset, size);
            self.count += 1;
            self.bytes += size;
            self.pieces[..self.count].rotate_right(1);
        }
    }

    /// The last piece that is so.
    fn position(&self, is: impl Fn(&Piece) -> bool) -> Option<usize> {
        self.pieces().iter().rposition(is)
    }

    fn remove(&mut self, place: usize) -> Piece {
        let piece = self.pieces[place];
        self.pieces.copy_within(place + 1..self.count, place);
        self.count -= 1;
        self.bytes -= piece.size;
        piece
    }
}

/// Where in a piece what is wanted is cut out: at the first multiple of its alignment or, if the end is warmer, at the
/// last one that leaves room for it. `None` if it does not fit.
fn offset_in(piece: Piece, wanted: Wanted) -> Option<usize> {
    let first = round_up(piece.start.addr(), wanted.align)? - piece.start.addr();
    let spare = piece.size.checked_sub(first.checked_add(wanted.size)?)?;
    Some(if piece.warm_end {
        first + (spare & !(wanted.align - 1))
    } else {
        first
    })
}

/// Whether the `size` bytes at `address` are part of a piece.
fn covers(piece: &Piece, address: usize, size: usize) -> bool {
    piece.start.addr() <= address && piece.end() - address.min(piece.end()) >= size
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAYS: Ways = Ways {
        divisible: true,
        cut: true,
        unit: LEAST,
        edge: LEAST,
    };

    #[test]
    fn what_is_needed_last_is_the_colder_end_of_the_highest_piece() {
        let piece = |start, warm_end| Piece {
            start: ptr::without_provenance_mut(start),
            size: 4 * LEAST,
            align: LEAST,
            warm_end,
        };
        let [low, high] = [16 * LEAST, 32 * LEAST];
        for (warm_end, place) in [(false, high + 3 * LEAST), (true, high)] {
            let mut kept = Kept::new();
            assert_eq!(kept.needed_last(LEAST, WAYS), None);
            kept.put(piece(high, warm_end), WAYS);
            kept.put(piece(low, !warm_end), WAYS);
            let (start, size) = kept.needed_last(LEAST, WAYS).unwrap();
            assert_eq!((start.addr().get(), size), (place, LEAST));
            assert_eq!(kept.needed_last(5 * LEAST, WAYS), None);
        }
    }

    #[test]
    fn nothing_is_held_unless_there_are_places_for_what_lies_around_two_parts() {
        // Apart from each other, so that none are joined.
        let at = |number: usize| (number + 1) * 8 * LEAST;
        let mut kept = Kept::new();
        for number in 0..MOST {
            let holds = kept.holds(at(0) + LEAST, LEAST, WAYS);
            assert_eq!(holds, (1..=MOST - 2).contains(&number), "{number}");
            if number == MOST - 2 {
                let bytes = kept.bytes();
                for number in [0, 1] {
                    let part = kept.take_at(at(number) + LEAST, LEAST, WAYS).unwrap();
                    assert_eq!((part.start.addr(), part.size), (at(number) + LEAST, LEAST));
                    kept.put(part, WAYS);
                }
                assert_eq!(kept.bytes(), bytes);
            }
            let piece = Piece {
                start: ptr::without_provenance_mut(at(number)),
                size: 3 * LEAST,
                align: LEAST,
                warm_end: false,
            };
            assert!(kept.put(piece, WAYS));
        }
    }
}
