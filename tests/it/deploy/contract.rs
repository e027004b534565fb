//! What the store takes for granted of its table, on the embedded database; `real.rs` plays the same on DynamoDB Local.

use revtrail_store::table::{contract, embedded};

#[tokio::test]
async fn the_store_s_cases_hold_on_the_embedded_database() {
    let store = embedded::memory().await.unwrap();
    println!("store: {} cases", contract::play(&store).await);
}
