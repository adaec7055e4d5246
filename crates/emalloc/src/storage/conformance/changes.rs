//! The parts of the suite about grants that become larger or smaller. Used by `checks.rs` only.

use super::Failure;
use super::piece::Piece;
use super::run::{Run, Verdict};

/// From and to, in units of 64 KiB.
const CHANGES: [(usize, usize); 8] = [
    (1, 2),
    (2, 1),
    (4, 8),
    (8, 4),
    (4, 5),
    (5, 1),
    (16, 40),
    (40, 16),
];

/// Two pieces, the second one only to watch. `act` is told the first and the size it is to get.
fn for_each_change(run: &Run, act: impl Fn(Piece, usize) -> Result<Piece, Failure>) -> Verdict {
    for align in [4 << 10, 64 << 10, 256 << 10] {
        for (from, to) in CHANGES {
            let old = run.rounded(from * (64 << 10));
            let new = run.rounded(to * (64 << 10));
            let watch = run.allocate(64 << 10, 4 << 10, 77, old.max(new))?;
            let held = new.saturating_sub(old) + watch.map_or(0, |piece| piece.size);
            if let Some(piece) = run.allocate(old, align, from ^ to, held)? {
                run.free(act(piece, new)?);
            }
            if let Some(watch) = watch {
                run.intact(&watch, "a change of one grant leaves the others alone")?;
                run.free(watch);
            }
        }
    }
    Ok(())
}

/// What must hold after a refused change: everything as before, and still usable.
pub(super) fn unchanged(run: &Run, piece: Piece) -> Result<Piece, Failure> {
    run.intact(&piece, "a refused change leaves the content as it was")?;
    let again = Piece {
        seed: piece.seed + 1,
        ..piece
    };
    again.mark(0);
    run.intact(&again, "a refused change leaves the grant usable")?;
    Ok(again)
}

pub(super) fn resize(run: &Run) -> Verdict {
    let capabilities = run.capabilities();
    for_each_change(run, |piece, new| {
        let can = if new > piece.size {
            capabilities.grow_in_place
        } else {
            capabilities.shrink_in_place
        };
        // SAFETY: a live grant of this storage; what is cut off is used no more.
        let answer = unsafe {
            run.storage
                .resize(piece.start, piece.size, new, piece.align)
        };
        if let Err(error) = answer {
            if !can && new != piece.size {
                run.ensure_cannot(error, &piece, new)?;
            }
            return unchanged(run, piece);
        }
        run.ensure_piece(
            can || new == piece.size,
            "a storage that can resize in place says so",
            &piece,
        )?;
        let kept = piece.size.min(new);
        run.ensure_piece(
            piece.is_intact_between(0, kept),
            "a resize keeps the content",
            &piece,
        )?;
        let resized = Piece { size: new, ..piece };
        resized.mark(0);
        run.intact(&resized, "a resized grant is usable")?;
        Ok(resized)
    })
}

pub(super) fn grow(run: &Run) -> Verdict {
    let can = run.capabilities().grow_in_place;
    for_each_change(run, |piece, new| {
        if new <= piece.size {
            return Ok(piece);
        }
        // What a storage keeps may be where it grows to.
        if let Some(kept) = run.allocate(new, piece.align, 78, 2 * piece.size)? {
            run.free(kept);
        }
        // SAFETY: a live grant of this storage; only the address that is answered is used on success.
        let answer = unsafe { run.storage.grow(piece.start, piece.size, new, piece.align) };
        let start = match answer {
            Ok(start) => start,
            Err(error) => {
                if !can {
                    run.ensure_cannot(error, &piece, new)?;
                }
                return unchanged(run, piece);
            }
        };
        run.ensure_piece(can, "a storage that can grow says so", &piece)?;
        let grown = Piece {
            start,
            size: new,
            ..piece
        };
        run.ensure_piece(
            start.addr().get().is_multiple_of(piece.align),
            "a grown grant is aligned as it was",
            &grown,
        )?;
        let arrived = Piece { start, ..piece };
        run.intact(&arrived, "growing keeps the content")?;
        grown.mark(0);
        run.intact(&grown, "a grown grant is usable")?;
        Ok(grown)
    })
}

pub(super) fn move_resize(run: &Run) -> Verdict {
    let can = run.capabilities().move_without_copy;
    for_each_change(run, |piece, new| {
        // SAFETY: a live grant of this storage; the old address is used no more on success.
        let answer = unsafe {
            run.storage
                .move_resize(piece.start, piece.size, new, piece.align)
        };
        let grant = match answer {
            Ok(grant) => grant,
            Err(error) => {
                if !can {
                    run.ensure_cannot(error, &piece, new)?;
                }
                return unchanged(run, piece);
            }
        };
        run.ensure_piece(can, "a storage that can move says so", &piece)?;
        let moved = Piece {
            start: grant.start,
            size: new,
            ..piece
        };
        run.ensure_piece(
            moved.start.addr().get().is_multiple_of(moved.align),
            "a moved grant is aligned as the old one was",
            &moved,
        )?;
        let kept = piece.size.min(new);
        let arrived = Piece {
            size: piece.size,
            ..moved
        };
        run.ensure_piece(
            arrived.is_intact_between(0, kept),
            "a move brings the content along",
            &moved,
        )?;
        if grant.zeroed {
            run.ensure_piece(
                moved.is_zero(kept, new),
                "memory said to be zero is zero",
                &moved,
            )?;
        }
        moved.mark(0);
        run.intact(&moved, "a moved grant is usable")?;
        Ok(moved)
    })
}
