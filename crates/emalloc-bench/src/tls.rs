//! Room for the thread-local memory of plug-ins. Allocators ask for the kind that is laid out when the program starts
//! (jemalloc for a lot of it), and the C library keeps little of it free for libraries that are opened later.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

const VARIABLE: &str = "GLIBC_TUNABLES";
const ROOM: &str = "glibc.rtld.optional_static_tls=65536";

/// Starts the program over with room, if it was started without.
///
/// # Errors
/// It could not be started over.
pub fn make_room() -> Result<()> {
    let tunables = env::var(VARIABLE).unwrap_or_default();
    if tunables.split(':').any(|tunable| tunable == ROOM) {
        return Ok(());
    }
    let tunables = if tunables.is_empty() {
        ROOM.to_owned()
    } else {
        format!("{tunables}:{ROOM}")
    };
    let error = Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(VARIABLE, tunables)
        .exec();
    Err(error).context("cannot start over")
}
