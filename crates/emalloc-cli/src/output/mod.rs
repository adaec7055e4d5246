//! How answers are written: sizes, tables, JSON. Used by every command; knows none of them.

pub mod json;
pub mod size;
pub mod table;
