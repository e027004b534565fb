//! What a call does whose transaction met another: it lets others go first, reads again, and gives up after many tries.

/// How often a call that meets others reads and plans again.
pub(crate) const TRIES_MAX: usize = 100;

/// Waits so that other calls can go first; the wait grows with each attempt.
pub(crate) async fn backoff(attempt: usize) {
    let most_ms = attempt.saturating_sub(3).min(50) as u64;
    if most_ms == 0 {
        return tokio::task::yield_now().await;
    }
    let mut dice = [0_u8; 1];
    // Without randomness all calls wait equally long, which is slower but not wrong.
    let _ = getrandom::fill(&mut dice);
    let ms = 1 + u64::from(dice[0]) % most_ms;
    tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
}
