//! The manage function on Lambda.

use std::sync::Arc;

use revtrail_aws::queue::Queue;
use revtrail_store::jobs::job::Nudge;
use revtrail_web::{app::App, dispatch::router, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let app = App::from_env()?;
    let queue = Queue::from_env()?;
    let poke = move |nudge: Nudge| -> manage::Poked {
        let queue = queue.clone();
        Box::pin(async move { Ok(queue.send_nudges(&[nudge]).await?) })
    };
    lambda::run(router(manage::routes(Arc::new(poke)), app)).await
}
