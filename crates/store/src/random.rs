//! Random names.

/// Sixteen random bytes as 32 hexadecimal digits, for names that must not be guessed and must not collide.
pub fn random_hex() -> String {
    let mut bytes = [0_u8; 16];
    // The system's source of randomness does not fail on any system that revtrail runs on. Without randomness no key here is
    // safe.
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    hex(&bytes)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A random number below a limit, which is not 0. It decides nothing but how long to wait.
pub fn random_below(limit: u64) -> u64 {
    let mut bytes = [0_u8; 8];
    // Whoever cannot draw lots waits for no time.
    match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes) % limit,
        Err(_) => 0,
    }
}
