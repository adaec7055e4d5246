//! A memory manager in three layers.
#![no_std]
#[cfg(feature = "std")]
extern crate std;

pub mod heap;
pub mod layout;
pub mod size_class;
pub mod storage;
#[doc(hidden)]
pub mod sys;
