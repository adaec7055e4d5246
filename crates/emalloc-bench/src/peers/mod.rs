//! The allocators that take part, one file each.

pub mod bump;
pub mod c_library;
pub mod emalloc;
pub mod model;
pub mod null;
pub mod plugin;
mod space;
pub mod system;
pub mod zend;
