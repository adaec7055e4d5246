//! A memory manager in three layers.
#![no_std]
#[cfg(feature = "std")]
extern crate std;

pub mod layout;
pub mod storage;
#[doc(hidden)]
pub mod sys;
