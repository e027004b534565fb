//! The queue of this process: what works on job messages, and when the clock ticks.

use std::collections::VecDeque;
use std::time::Duration;

use hourly_attributor::Attributor;
use revtrail_aws::clock::Clock;
use revtrail_core::value::id::MarketplaceId;
use revtrail_store::jobs::job::JobMessage;
use revtrail_store::table::embedded::Embedded;
use tokio::sync::mpsc;

/// For how many milliseconds a job message is worked on before the next one has its turn.
const TURN_MS: i64 = 1_000;

/// The queue of this process. Marketplaces take turns, so that none waits for all the work of another.
#[derive(Default)]
struct LocalQueue(VecDeque<(MarketplaceId, VecDeque<JobMessage>)>);

impl LocalQueue {
    fn push(&mut self, message: JobMessage) {
        let marketplace = message.marketplace();
        match self.0.iter_mut().find(|(id, _)| id == marketplace) {
            Some((_, waiting)) => waiting.push_back(message),
            None => self
                .0
                .push_back((marketplace.clone(), VecDeque::from([message]))),
        }
    }

    fn pop(&mut self) -> Option<JobMessage> {
        let (id, mut waiting) = self.0.pop_front()?;
        let message = waiting.pop_front();
        if !waiting.is_empty() {
            self.0.push_back((id, waiting));
        }
        message
    }
}

/// Works on job messages, one after the other: those of runs that are asked for, and those of a tick every hour. The first tick
/// comes at once and takes up what an earlier process left.
pub(super) async fn attribute(
    attributor: Attributor,
    clock: Clock,
    mut enqueued: mpsc::UnboundedReceiver<JobMessage>,
    embedded: Embedded,
) {
    let mut hours = tokio::time::interval(Duration::from_secs(3600));
    let mut queue = LocalQueue::default();
    loop {
        tokio::select! {
            Some(message) = enqueued.recv() => queue.push(message),
            _ = hours.tick() => {
                match attributor.tick().await {
                    Ok(messages) => messages.into_iter().for_each(|message| queue.push(message)),
                    Err(error) => tracing::error!(%error, "a tick failed"),
                }
                // The time is that of the service's own clock, which may not be the machine's.
                let (embedded, now) = (embedded.clone(), clock.now());
                tokio::spawn(async move {
                    if let Err(error) = embedded.sweep(now).await {
                        tracing::error!(%error, "failed to sweep expired items");
                    }
                });
            }
        }
        while let Some(message) = queue.pop() {
            let stop_at = clock.now().plus_ms(TURN_MS);
            match attributor.handle(&message, &|| clock.now(), stop_at).await {
                Ok(more) => more.into_iter().for_each(|message| queue.push(message)),
                Err(error) => {
                    tracing::error!(?message, %error, "work failed; the next tick takes it up again");
                }
            }
            while let Ok(asked) = enqueued.try_recv() {
                queue.push(asked);
            }
        }
    }
}
