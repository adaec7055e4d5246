//! The storages under a replay's heap: the one that was chosen, counted, then a budget, then a cache.
//!
//! The cache is on top, so what it keeps counts for the budget, and it gives way when that is used up.

use std::sync::Arc;

use emalloc::storage::{Budget, Cached, Counting, Fixed, Limit, Storage, StorageError};

use crate::args::{ReplayArgs, StorageChoice};

/// Any storage, for a heap to own.
pub type Shared = Box<dyn Storage + Sync>;

/// What was put together.
pub struct Stack {
    /// For the heap.
    pub top: Shared,
    /// What reaches the storage that was chosen.
    pub counting: Arc<Counting<Shared>>,
}

/// Sets the storages up as the command line says.
pub fn build(args: &ReplayArgs) -> Result<Stack, StorageError> {
    let base = open(args.storage)?;
    let counting = Arc::new(Counting::new(base));
    let mut top: Shared = Box::new(Arc::clone(&counting));
    if let Some(bytes) = args.budget {
        top = Box::new(Budget::new(top, Limit::Bytes(bytes)));
    }
    if let Some(bytes) = args.cached {
        top = Box::new(Cached::new(top).with_limit(bytes));
    }
    Ok(Stack { top, counting })
}

fn open(choice: StorageChoice) -> Result<Shared, StorageError> {
    Ok(match choice {
        StorageChoice::Named(entry) => Box::new((entry.open)()?),
        StorageChoice::Fixed(bytes) => Box::new(Fixed::with_capacity(bytes)?),
    })
}
