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
    let app = App::from_env().await?;
    let (queue, presigner) = (Queue::from_env()?, Presigner::from_env()?);
    let enqueue = move |message: JobMessage| -> manage::Enqueued {
        let queue = queue.clone();
        Box::pin(async move { Ok(queue.send_messages(&[message], 0).await?) })
    };
    let good_for = Duration::from_millis(upload::GOOD_FOR_MS.unsigned_abs());
    app.take_uploads(Uploads::Bucket(Box::new(move |key, now| {
        let address = presigner.address("PUT", key, now, good_for);
        address.map_err(|error| error.to_string())
    })));
    // The API sends here what has no route: a path that is unknown, a method that a path lacks, and HEAD.
    let mut routes = manage::routes(Arc::new(enqueue));
    routes.extend(report_query::routes());
    routes.extend(ingest_event::routes());
    routes.extend(ingest_order::routes());
    lambda::run(router(routes, app)).await
}
