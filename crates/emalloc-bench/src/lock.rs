//! Versions of what was linked, out of the lock file that the program was built with.

const LOCK: &str = include_str!("../Cargo.lock");

/// The version of a package, if it is one of ours.
pub fn version_of(package: &str) -> Option<&'static str> {
    let name = format!("name = \"{package}\"");
    let mut lines = LOCK.lines().skip_while(|line| *line != name);
    let version = lines.nth(1)?.strip_prefix("version = ")?;
    Some(version.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_is_understood() {
        assert_eq!(version_of("emalloc-bench"), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(version_of("no such package"), None);
    }
}
