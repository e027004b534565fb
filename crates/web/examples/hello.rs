//! A function that does nothing: what the functions of revtrail are measured against by `cargo xtask bench lambda`.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let answer = |_: LambdaEvent<Value>| async { Ok::<_, Error>(json!("hello")) };
    lambda_runtime::run(service_fn(answer)).await
}
