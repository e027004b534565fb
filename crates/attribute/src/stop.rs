//! What tells a process to stop: ^C, and the signal by which a system ends what it started.

use std::io;
use std::sync::mpsc;
use std::thread;

/// Ends when this process is told to stop.
pub async fn told() {
    if let Ok(mut signals) = Signals::new() {
        signals.next().await;
    } else {
        std::future::pending().await
    }
}

/// Calls `stop` when this process is told to stop, from now on.
pub fn then(stop: impl FnOnce() + Send + 'static) {
    let (ready, wait) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        // Where signals cannot be waited for, they end the process as they always do.
        let Ok(runtime) = runtime else {
            return;
        };
        let told = runtime.block_on(async {
            let mut signals = Signals::new()?;
            // Whoever waits may be gone.
            let _ = ready.send(());
            signals.next().await;
            io::Result::Ok(())
        });
        if told.is_ok() {
            stop();
        }
    });
    // The other end is gone where it failed.
    let _ = wait.recv();
}

#[cfg(unix)]
struct Signals([tokio::signal::unix::Signal; 2]);

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        ]))
    }

    async fn next(&mut self) {
        let [interrupted, terminated] = &mut self.0;
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
