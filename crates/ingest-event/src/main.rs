//! The ingest-event function on Lambda.

use revtrail_web::{app::App, dispatch::router, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    let app = App::from_env().await?;
    app.fetch_by(Box::new(|url| Box::pin(revtrail_aws::fetch::amazon(url))));
    lambda::run(router(ingest_event::routes(), app)).await
}
