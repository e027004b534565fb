//! The manage function on Lambda.

use std::sync::Arc;

use revtrail_aws::queue::Queue;
use revtrail_store::jobs::job::JobMessage;
use revtrail_web::{app::App, dispatch::router, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let app = App::from_env()?;
    let queue = Queue::from_env()?;
    let enqueue = move |message: JobMessage| -> manage::Enqueued {
        let queue = queue.clone();
        Box::pin(async move { Ok(queue.send_messages(&[message]).await?) })
    };
    lambda::run(router(manage::routes(Arc::new(enqueue)), app)).await
}
