//! One storage under test: what the checks share when they ask it for memory. Used by the checks only.

use super::piece::Piece;
use super::{Failure, Tally};
use crate::layout::round_up;
use crate::storage::{Capabilities, Storage, StorageError};

pub(super) type Verdict = Result<(), Failure>;

/// A storage under test.
pub(super) struct Run<'a> {
    part: &'static str,
    pub(super) storage: &'a dyn Storage,
    tally: &'a Tally,
    pub(super) max_bytes: usize,
    salt: usize,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        part: &'static str,
        storage: &'a dyn Storage,
        tally: &'a Tally,
        max_bytes: usize,
    ) -> Self {
        Self {
            part,
            storage,
            tally,
            max_bytes,
            salt: 0,
        }
    }

    /// With other marks than another run.
    pub(super) fn with_salt(mut self, salt: usize) -> Self {
        self.salt = salt;
        self
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        self.storage.capabilities()
    }

    pub(super) fn ensure(&self, holds: bool, rule: &'static str) -> Verdict {
        self.ensure_of(holds, rule, 0, 0, None)
    }

    pub(super) fn ensure_piece(&self, holds: bool, rule: &'static str, piece: &Piece) -> Verdict {
        self.ensure_of(holds, rule, piece.size, piece.align, None)
    }

    pub(super) fn ensure_of(
        &self,
        holds: bool,
        rule: &'static str,
        size: usize,
        align: usize,
        error: Option<StorageError>,
    ) -> Verdict {
        self.tally.checks.set(self.tally.checks.get() + 1);
        if holds {
            return Ok(());
        }
        Err(Failure {
            part: self.part,
            rule,
            size,
            align,
            error,
        })
    }

    pub(super) fn skip(&self) {
        self.tally.skipped.set(self.tally.skipped.get() + 1);
    }

    /// `size` as the storage can have it.
    pub(super) fn rounded(&self, size: usize) -> usize {
        round_up(size, self.capabilities().granularity).unwrap_or(usize::MAX)
    }

    /// A marked piece; none if it is too large for the bytes allowed beside `held`, or memory is short.
    pub(super) fn allocate(
        &self,
        size: usize,
        align: usize,
        seed: usize,
        held: usize,
    ) -> Result<Option<Piece>, Failure> {
        let size = self.rounded(size);
        if size > self.max_bytes.saturating_sub(held) {
            self.skip();
            return Ok(None);
        }
        let grant = match self.storage.allocate(size, align) {
            Ok(grant) => grant,
            Err(error) => {
                self.skip();
                let fits = error != StorageError::Unsupported;
                let rule = "an allocation is refused for want of memory only";
                self.ensure_of(fits, rule, size, align, Some(error))?;
                return Ok(None);
            }
        };
        let piece = Piece {
            start: grant.start,
            size,
            align,
            seed: seed ^ self.salt,
        };
        self.tally.served.set(self.tally.served.get() + 1);
        let address = grant.start.addr().get();
        self.ensure_piece(
            address.is_multiple_of(align),
            "a grant is aligned as asked",
            &piece,
        )?;
        self.ensure_piece(
            address.checked_add(size).is_some(),
            "a grant ends before the last address",
            &piece,
        )?;
        if grant.zeroed {
            self.ensure_piece(
                piece.is_zero(0, size),
                "memory said to be zero is zero",
                &piece,
            )?;
        }
        piece.mark(0);
        self.intact(&piece, "what is written into a grant can be read back")?;
        Ok(Some(piece))
    }

    pub(super) fn intact(&self, piece: &Piece, rule: &'static str) -> Verdict {
        self.ensure_piece(piece.is_intact(piece.size), rule, piece)
    }

    pub(super) fn free(&self, piece: Piece) {
        // SAFETY: granted by this storage with this size and alignment, used no more.
        unsafe { self.storage.free(piece.start, piece.size, piece.align) };
    }

    /// That an error is what a storage answers that says it cannot: unsupported,
    /// or a limit that stood in the way before it came to that.
    pub(super) fn ensure_cannot(&self, error: StorageError, piece: &Piece, new: usize) -> Verdict {
        let fits = matches!(
            error,
            StorageError::Unsupported | StorageError::Limit { .. }
        );
        let rule = "what a storage says it cannot do is answered with Unsupported";
        self.ensure_of(fits, rule, new, piece.align, Some(error))
    }
}
