//! The ingest-event function on Lambda.

use revtrail_web::{app::App, dispatch::router};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let app = App::from_env()?;
    lambda_http::run(router(ingest_event::routes(), app)).await
}
