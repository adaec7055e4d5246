//! Owns the entry of a function in x86-64's code: whether a jump can stand there, and how it reads. On Linux, where PHP's
//! code can be written to.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;

/// So many bytes of an entry are looked at.
pub const LOOKED_AT: usize = 16;

/// What a processor that checks where indirect jumps lead to wants to find there.
const LANDING: [u8; 4] = [0xF3, 0x0F, 0x1E, 0xFA];

/// `movabs rax, target; jmp rax`: no argument is in that register, and any distance can be jumped.
const LOAD: [u8; 2] = [0x48, 0xB8];
const JUMP: [u8; 2] = [0xFF, 0xE0];
const LENGTH: usize = 12;

/// The code that begins with `code`, of a function of `size` bytes, with a jump to `target` at its entry. `leads_away`
/// says of an address whether it lies outside of PHP.
pub fn with_jump(
    code: [u8; LOOKED_AT],
    size: usize,
    target: usize,
    leads_away: impl Fn(usize) -> bool,
    at: usize,
) -> Result<[u8; LOOKED_AT], &'static str> {
    let skip = if code.starts_with(&LANDING) { 4 } else { 0 };
    if is_taken(&code[skip..], at + skip, leads_away) {
        return Err("somebody else has changed its entry");
    }
    let end = skip + LENGTH;
    if size < end && !is_padding(&code[size..end]) {
        return Err("it is too short for a jump");
    }
    let mut changed = code;
    changed[skip..skip + 2].copy_from_slice(&LOAD);
    changed[skip + 2..skip + 10].copy_from_slice(&target.to_le_bytes());
    changed[skip + 10..end].copy_from_slice(&JUMP);
    Ok(changed)
}

/// Whether the code is a hook of somebody's: a breakpoint, or a jump to elsewhere.
fn is_taken(code: &[u8], at: usize, leads_away: impl Fn(usize) -> bool) -> bool {
    match code {
        [0xCC, ..] | [0xFF, 0x25, ..] | [0x68, _, _, _, _, 0xC3, ..] => true,
        [0x49, 0xBB, ..] => true,
        [0x48, 0xB8, _, _, _, _, _, _, _, _, 0xFF, 0xE0, ..] => true,
        [0xE9, a, b, c, d, ..] => {
            let distance = i32::from_le_bytes([*a, *b, *c, *d]) as isize;
            leads_away(at.wrapping_add(5).wrapping_add_signed(distance))
        }
        _ => false,
    }
}

/// Whether nothing but what compilers put between functions is there. The last instruction may be cut off.
fn is_padding(mut code: &[u8]) -> bool {
    while let [first, rest @ ..] = code {
        code = match (first, rest) {
            // Prefixes of what follows, one byte of nothing, and what nobody is to come to.
            (0x66 | 0x2E | 0x90 | 0xCC, rest) => rest,
            (0x0F, [0x1F, form, ..]) => {
                let length = match form {
                    0x00 => 2,
                    0x40 => 3,
                    0x44 => 4,
                    0x80 => 6,
                    0x84 => 7,
                    _ => return false,
                };
                rest.get(length..).unwrap_or_default()
            }
            (0x0F, [0x1F] | []) => return true,
            _ => return false,
        };
    }
    true
}

/// Writes code, page protection or not, as a debugger does: no page is ever without what it needs to be run.
pub struct Writer(std::fs::File);

impl Writer {
    pub fn new() -> io::Result<Self> {
        OpenOptions::new()
            .write(true)
            .open("/proc/self/mem")
            .map(Self)
    }

    /// # Safety
    /// Nobody is running what is there, and what is written may stand there.
    pub unsafe fn write(&self, at: usize, code: &[u8]) -> io::Result<()> {
        self.0.write_all_at(code, at as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: usize = 0x5555_0000;
    const TARGET: usize = 0x7FFF_1234_5678;

    fn changed(code: &[u8], size: usize) -> Result<[u8; LOOKED_AT], &'static str> {
        let mut whole = [0x55; LOOKED_AT];
        whole[..code.len()].copy_from_slice(code);
        let far = |address: usize| address.abs_diff(AT) > 0x1000;
        with_jump(whole, size, TARGET, far, AT)
    }

    #[test]
    fn the_jump_stands_behind_a_landing_and_leaves_the_rest() {
        let code = changed(&[0x31, 0xC0], 100).unwrap();
        assert_eq!(code[..2], [0x48, 0xB8]);
        assert_eq!(code[2..10], TARGET.to_le_bytes());
        assert_eq!(code[10..], [0xFF, 0xE0, 0x55, 0x55, 0x55, 0x55]);
        let code = changed(&LANDING, 100).unwrap();
        assert_eq!(code[..6], [0xF3, 0x0F, 0x1E, 0xFA, 0x48, 0xB8]);
        assert_eq!(code[14..], [0xFF, 0xE0]);
    }

    #[test]
    fn a_short_function_is_taken_with_the_padding_behind_it_only() {
        // mov rax, [rdi+8]; ret; and twice what assemblers put behind that.
        let short = [0x48, 0x8B, 0x47, 0x08, 0xC3];
        let long_nop = [0x66, 0x66, 0x2E, 0x0F, 0x1F, 0x84, 0, 0, 0, 0, 0];
        assert!(changed(&[&short[..], &long_nop].concat(), 5).is_ok());
        let two_nops = [0x90, 0x0F, 0x1F, 0x44, 0, 0, 0x0F, 0x1F, 0x80, 0, 0];
        assert!(changed(&[&short[..], &two_nops].concat(), 5).is_ok());
        // Another function, at once or behind a little padding.
        assert!(changed(&short, 5).is_err());
        assert!(changed(&[&short[..], &[0x90, 0x90, 0x53]].concat(), 5).is_err());
    }

    #[test]
    fn what_somebody_else_has_changed_stays() {
        let own = changed(&[0x31, 0xC0], 100).unwrap();
        assert!(changed(&own, 100).is_err());
        assert!(changed(&[0xCC], 100).is_err());
        assert!(changed(&[0xFF, 0x25, 0, 0, 0, 0], 100).is_err());
        assert!(changed(&[0xE9, 0, 0, 0, 0x10], 100).is_err());
        assert!(changed(&[&LANDING[..], &[0xE9, 0, 0, 0, 0xF0]].concat(), 100).is_err());
        // A function that ends in another one of PHP's.
        assert!(changed(&[0xE9, 0, 1, 0, 0], 100).is_ok());
    }
}
