//! The manage function on Lambda.

use std::sync::Arc;
use std::time::Duration;

use revtrail_aws::presign::Presigner;
use revtrail_aws::queue::Queue;
use revtrail_store::jobs::job::JobMessage;
use revtrail_web::app::{App, Uploads};
use revtrail_web::{dispatch::router, lambda, upload};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let app = App::from_env()?;
    let (queue, presigner) = (Queue::from_env()?, Presigner::from_env()?);
    let enqueue = move |message: JobMessage| -> manage::Enqueued {
        let queue = queue.clone();
        Box::pin(async move { Ok(queue.send_messages(&[message]).await?) })
    };
    let good_for = Duration::from_millis(upload::GOOD_FOR_MS.unsigned_abs());
    app.take_uploads(Uploads::Bucket(Box::new(move |key, now| {
        let address = presigner.address("PUT", key, now, good_for);
        address.map_err(|error| error.to_string())
    })));
    lambda::run(router(manage::routes(Arc::new(enqueue)), app)).await
}
