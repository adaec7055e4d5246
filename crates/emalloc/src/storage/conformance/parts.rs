//! The part of the suite about grants that are divisible: freed in parts, resized in parts, and two at once.
//! Used by `checks.rs` only.

use super::checks::Pieces;
use super::piece::Piece;
use super::run::{Run, Verdict};

/// Parts of a grant.
const PARTS: usize = 8;

/// `count` parts of a piece from part `first` on, marked anew.
fn part_of(piece: &Piece, first: usize, count: usize) -> Option<Piece> {
    let size = piece.size / PARTS;
    let start = piece.start.as_ptr().wrapping_add(first * size);
    let part = Piece {
        start: core::ptr::NonNull::new(start)?,
        size: count * size,
        // What a part is aligned to by itself.
        align: 64,
        seed: piece.seed + first + 1,
    };
    part.mark(0);
    Some(part)
}

pub(super) fn divide(run: &Run) -> Verdict {
    if !run.capabilities().divisible {
        return Ok(());
    }
    for turn in 0..4 {
        in_parts(run, turn)?;
        two_as_one(run)?;
    }
    Ok(())
}

/// A grant goes back in parts of one and two, in an order that leaves holes; one part is made smaller first.
fn in_parts(run: &Run, turn: usize) -> Verdict {
    let size = run.rounded(64 << 10).saturating_mul(PARTS);
    let Some(piece) = run.allocate(size, 64 << 10, 31 + turn, 0)? else {
        return Ok(());
    };
    let mut parts = [(0, 1), (1, 2), (3, 1), (4, 2), (6, 2)]
        .map(|(first, count)| part_of(&piece, first, count));
    for step in 0..parts.len() {
        let Some(part) = parts[(step * 2 + turn) % parts.len()].take() else {
            continue;
        };
        run.intact(&part, "a part keeps its content while others are freed")?;
        run.free(shrunk(run, part)?);
        for other in parts.iter().flatten() {
            run.intact(other, "a part that is freed leaves the others alone")?;
        }
    }
    Ok(())
}

/// A part of two, made one of one if the storage can do that.
fn shrunk(run: &Run, part: Piece) -> Result<Piece, super::Failure> {
    let single = run.rounded(64 << 10);
    if part.size == single {
        return Ok(part);
    }
    // SAFETY: a part of a live grant; what is cut off is used no more.
    let answer = unsafe {
        run.storage
            .resize(part.start, part.size, single, part.align)
    };
    if answer.is_err() {
        return super::changes::unchanged(run, part);
    }
    run.ensure_piece(
        part.is_intact_between(0, single),
        "a part that is cut keeps its content",
        &part,
    )?;
    Ok(Piece {
        size: single,
        ..part
    })
}

/// Of many grants, two that lie side by side go back as one.
fn two_as_one(run: &Run) -> Verdict {
    let size = run.rounded(64 << 10);
    let mut pieces: Pieces = Pieces::default();
    let mut held = 0;
    for (seed, place) in pieces.iter_mut().enumerate() {
        *place = run.allocate(size, 4 << 10, seed, held)?;
        held += place.map_or(0, |piece| piece.size);
    }
    while let Some((left, right)) = side_by_side(&pieces) {
        let (Some(first), Some(second)) = (pieces[left].take(), pieces[right].take()) else {
            break;
        };
        run.free(Piece {
            size: first.size + second.size,
            ..first
        });
        for other in pieces.iter().flatten() {
            run.intact(other, "two grants freed as one leave the others alone")?;
        }
    }
    pieces
        .into_iter()
        .flatten()
        .for_each(|piece| run.free(piece));
    Ok(())
}

/// The places of two pieces of which the second begins where the first ends.
fn side_by_side(pieces: &Pieces) -> Option<(usize, usize)> {
    let place_of = |address: usize| {
        pieces
            .iter()
            .position(|piece| piece.is_some_and(|piece| piece.start.addr().get() == address))
    };
    pieces.iter().enumerate().find_map(|(left, piece)| {
        let end = piece.as_ref()?.start.addr().get() + piece.as_ref()?.size;
        Some((left, place_of(end)?))
    })
}
