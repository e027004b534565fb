//! Names by lot.

/// Random hexadecimal digits, 16 bytes of them, for names that must not be guessed or meet.
pub fn random_hex() -> String {
    let mut bytes = [0_u8; 16];
    // The system's source of randomness does not fail on any system revtrail runs on; without it nothing here is safe.
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    hex(&bytes)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
