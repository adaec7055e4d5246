//! The inside of `emalloc.so`, the extension for stock PHP. Everything that is logic is here; `php/emalloc.c` is
//! the glue that knows PHP's headers. Nothing here names a symbol of PHP: what is needed of it comes in a [`Host`].
//!
//! - `own`: the heap that requests live on in *heap* mode, and the original's heap beside it
//! - `handlers`: what PHP calls for each block, in *heap* and *watch* mode; `debug`: the same in debug mode
//! - `direct`, with `entry`: the other way into the heap, by PHP's own functions
//! - `watch`, with `live` and `stacks`: which blocks were sampled, and from where
//! - `leaks`, `summary`, `pprof`, `collapsed`: what is said of it
//! - `ffi`: the functions that the glue calls
//!
//! PHP is not thread-safe here (NTS): one thread calls all of this. See `docs/php.md` for what ZTS would need.

mod collapsed;
mod config;
mod debug;
mod direct;
#[cfg_attr(
    all(target_os = "linux", target_arch = "x86_64"),
    path = "entry_x86_64.rs"
)]
#[cfg_attr(
    not(all(target_os = "linux", target_arch = "x86_64")),
    path = "entry_other.rs"
)]
mod entry;
mod ffi;
mod figures;
mod handlers;
mod host;
mod leaks;
mod live;
mod own;
mod pprof;
mod single;
mod stacks;
#[cfg_attr(unix, path = "storage_unix.rs")]
#[cfg_attr(not(unix), path = "storage_other.rs")]
mod storage;
mod summary;
mod watch;

pub use direct::{Code, Symbol};
pub use ffi::*;
pub use handlers::Handlers;
pub use host::{Frame, Host, Name, Output, Text};
