//! The manage function on Lambda.

use std::sync::Arc;

use revtrail_web::{app::App, dispatch::router};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let app = App::from_env()?;
    // A run that is asked for is on record; the attributor takes it up at its next tick.
    lambda_http::run(router(manage::routes(Arc::new(|_, _| {})), app)).await
}
