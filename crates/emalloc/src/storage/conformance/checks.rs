//! The parts of the suite, in the order they run. Each gets a fresh storage.

use super::Failure;
use super::changes::{grow, move_resize, resize, unchanged};
use super::parts::divide;
use super::piece::Piece;
use super::run::{Run, Verdict};

/// Pieces that are alive at once.
const MANY: usize = 16;

/// The smallest piece: marks have room.
const SMALL: usize = 64;

const ALIGNS: [usize; 8] = [
    SMALL,
    4 << 10,
    16 << 10,
    64 << 10,
    256 << 10,
    1 << 20,
    2 << 20,
    4 << 20,
];

const SIZES: [usize; 8] = [
    SMALL,
    4 << 10,
    12 << 10,
    64 << 10,
    256 << 10,
    320 << 10,
    1 << 20,
    4 << 20,
];

pub(super) type Pieces = [Option<Piece>; MANY];

/// A part: with the storage in its place, or with the storage moved in the middle.
#[derive(Clone, Copy)]
pub(super) enum Check {
    Still(fn(&Run) -> Verdict),
    Moving(
        fn(&Run) -> Result<Pieces, Failure>,
        fn(&Run, Pieces) -> Verdict,
    ),
}

pub(super) const CHECKS: [(&str, Check); 12] = [
    ("identity", Check::Still(identity)),
    ("zeroed", Check::Still(zeroed)),
    ("alignment", Check::Still(alignment)),
    ("overlap", Check::Still(overlap)),
    ("move of the value", Check::Moving(hold_many, find_again)),
    ("resize", Check::Still(resize)),
    ("grow", Check::Still(grow)),
    ("move_resize", Check::Still(move_resize)),
    ("discard", Check::Still(discard)),
    ("parts", Check::Still(divide)),
    ("refusal", Check::Still(refusal)),
    ("trim", Check::Still(trim)),
];

fn identity(run: &Run) -> Verdict {
    run.ensure(!run.storage.name().is_empty(), "a storage has a name")
}

fn zeroed(run: &Run) -> Verdict {
    let size = run.rounded(64 << 10);
    if size > run.max_bytes {
        run.skip();
        return Ok(());
    }
    if let Ok(grant) = run.storage.allocate(size, 4 << 10) {
        run.ensure_of(
            grant.zeroed || !run.capabilities().zeroed,
            "a storage with zeroed memory says so of a fresh grant",
            size,
            4 << 10,
            None,
        )?;
        // SAFETY: granted above with this size and alignment, used no more.
        unsafe { run.storage.free(grant.start, size, 4 << 10) };
    }
    // Used memory that comes back must not be called zero (`allocate` looks).
    for seed in 0..4 {
        if let Some(piece) = run.allocate(size, 4 << 10, seed, 0)? {
            run.free(piece);
        }
    }
    Ok(())
}

fn alignment(run: &Run) -> Verdict {
    for align in ALIGNS {
        for size in SIZES {
            if let Some(piece) = run.allocate(size, align, size ^ align, 0)? {
                run.free(piece);
            }
        }
    }
    Ok(())
}

/// Pieces of all sizes and alignments, each checked against those before it.
fn hold_many(run: &Run) -> Result<Pieces, Failure> {
    let mut pieces: Pieces = [None; MANY];
    let mut held = 0;
    for at in 0..MANY {
        let (size, align) = (SIZES[at * 5 % 7], ALIGNS[at * 3 % 7]);
        let Some(piece) = run.allocate(size, align, at + 1, held)? else {
            continue;
        };
        for other in pieces.iter().flatten() {
            run.ensure_piece(!piece.overlaps(other), "grants do not overlap", &piece)?;
        }
        held += piece.size;
        pieces[at] = Some(piece);
    }
    let alive = pieces.iter().flatten().count();
    run.ensure(alive >= 2, "two grants can be had at once")?;
    Ok(pieces)
}

/// Gives pieces back in a mixed order, looking at the others each time.
fn find_again(run: &Run, mut pieces: Pieces) -> Verdict {
    for turn in 0..MANY {
        for piece in pieces.iter().flatten() {
            run.intact(piece, "a grant keeps its content while others come and go")?;
        }
        if let Some(piece) = pieces[turn * 7 % MANY].take() {
            run.free(piece);
        }
    }
    Ok(())
}

fn overlap(run: &Run) -> Verdict {
    for _ in 0..2 {
        let pieces = hold_many(run)?;
        find_again(run, pieces)?;
    }
    Ok(())
}

fn discard(run: &Run) -> Verdict {
    let can = run.capabilities().discard;
    let part = run.rounded(64 << 10);
    let Some(piece) = run.allocate(part.saturating_mul(4), 64 << 10, 5, 0)? else {
        return Ok(());
    };
    let middle = piece.start.as_ptr().wrapping_add(part);
    let given = core::ptr::NonNull::new(middle).is_some_and(|middle| {
        // SAFETY: the second quarter of a live grant, a multiple of the granularity.
        unsafe { run.storage.discard(middle, part) }
    });
    run.ensure_piece(can || !given, "a storage that can discard says so", &piece)?;
    run.ensure_piece(
        piece.is_intact_between(0, part) && piece.is_intact_between(2 * part, 4 * part),
        "a discard leaves what is around it alone",
        &piece,
    )?;
    run.ensure_piece(
        given || piece.is_intact(piece.size),
        "a discard that gives nothing back changes nothing",
        &piece,
    )?;
    piece.mark(0);
    run.intact(&piece, "discarded addresses stay usable")?;
    run.free(piece);
    Ok(())
}

fn refusal(run: &Run) -> Verdict {
    let grain = run.capabilities().granularity;
    // The most that the contract lets anybody ask for is half the addresses, which 64 bits never have. 32 bits may.
    if usize::BITS == 32 {
        run.skip();
        return Ok(());
    }
    let half = isize::MAX as usize;
    let Some(mut piece) = run.allocate(64 << 10, 64 << 10, 9, 0)? else {
        return Ok(());
    };
    for size in [half, half / 2].map(|size| size & !(grain - 1)) {
        // Valgrind's allocator gives up the whole program over stricter alignments than the last.
        for align in [SMALL, 64 << 10, 16 << 20] {
            let served = run.storage.allocate(size, align).is_ok();
            let rule = "more than there can be is refused";
            run.ensure_of(!served, rule, size, align, None)?;
        }
        // SAFETY: a live grant of this storage.
        let grown = unsafe {
            run.storage
                .resize(piece.start, piece.size, size, piece.align)
        };
        run.ensure_piece(
            grown.is_err(),
            "growing to more than there can be is refused",
            &piece,
        )?;
        // SAFETY: a live grant of this storage.
        let moved = unsafe {
            run.storage
                .move_resize(piece.start, piece.size, size, piece.align)
        };
        run.ensure_piece(
            moved.is_err(),
            "moving to more than there can be is refused",
            &piece,
        )?;
        piece = unchanged(run, piece)?;
    }
    run.free(piece);
    Ok(())
}

fn trim(run: &Run) -> Verdict {
    let mut pieces = hold_many(run)?;
    for piece in pieces.iter_mut().step_by(2).filter_map(Option::take) {
        run.free(piece);
    }
    run.storage.trim();
    run.storage.trim();
    for piece in pieces.iter().flatten() {
        run.intact(piece, "a trim leaves live grants alone")?;
    }
    find_again(run, pieces)?;
    run.storage.trim();
    if let Some(piece) = run.allocate(64 << 10, 64 << 10, 3, 0)? {
        run.free(piece);
    }
    Ok(())
}
