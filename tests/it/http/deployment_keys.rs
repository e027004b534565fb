//! The admin keys of a deployment on AWS: they stand in the table, by their hashes, and no function knows one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_sdk_dynamodb::types::AttributeValue;
use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request};
use revtrail_aws::clock::Clock;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{Instant, Retention};
use revtrail_store::Store;
use revtrail_store::market::access::deployment_key_item;
use revtrail_store::table::embedded::{self, Embedded};
use revtrail_web::app::App;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::fixtures::at;

const SIGNING: &str = "signed under sixteen letters";

struct Deployed {
    database: Embedded,
    store: Store,
    app: App,
    router: Router,
    now: Arc<AtomicI64>,
}

impl Deployed {
    async fn new() -> Self {
        let database = Embedded::memory().unwrap();
        let store = embedded::store(database.clone()).await.unwrap();
        let now = Arc::new(AtomicI64::new(at("20T12:00").ms()));
        let clock = Clock::Set(now.clone());
        let app = App::with_keys_in_table(store.clone(), clock, Retention::DEFAULT, SIGNING);
        let routes = revtrail::serve::routes(manage::in_process(drop));
        let router = revtrail_web::dispatch::router(routes, app.clone());
        Self {
            database,
            store,
            app,
            router,
            now,
        }
    }

    /// What the AWS command line does with the item of a key.
    async fn put(&self, item: &str) {
        let item: Value = serde_json::from_str(item).unwrap();
        let text = |value: &Value| AttributeValue::S(value["S"].as_str().unwrap().to_owned());
        let item = item.as_object().unwrap().iter();
        let item = item.map(|(name, value)| (name.clone(), text(value)));
        let put = embedded::client(self.database.clone()).put_item();
        let put = put.table_name("revtrail").set_item(Some(item.collect()));
        put.send().await.unwrap();
    }

    async fn delete(&self, item: &str) {
        let item: Value = serde_json::from_str(item).unwrap();
        let text = |name: &str| AttributeValue::S(item[name]["S"].as_str().unwrap().to_owned());
        let delete = embedded::client(self.database.clone()).delete_item();
        let delete = delete.table_name("revtrail").key("pk", text("pk"));
        delete.key("sk", text("sk")).send().await.unwrap();
    }

    async fn status(&self, method: Method, path: &str, header: (&str, &str), body: Value) -> u16 {
        let request = Request::builder().method(method).uri(path);
        let request = request
            .header(header.0, header.1)
            .header("host", "localhost");
        let request = request.body(Body::from(body.to_string())).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        answer.status().as_u16()
    }

    async fn get(&self, key: &str) -> u16 {
        let bearer = format!("Bearer {key}");
        let header = ("authorization", bearer.as_str());
        let path = "/v1/marketplaces/m/keys";
        self.status(Method::GET, path, header, Value::Null).await
    }
}

#[tokio::test]
async fn an_admin_key_is_good_while_its_hash_stands_in_the_table() {
    let deployed = Deployed::new().await;
    let (old, new) = ("rt_the-first-of-two-keys", "rt_the-second-of-two-keys");
    let item = |key: &str| deployment_key_item(key, at("20T12:00"));
    assert_eq!(deployed.get(old).await, 401);
    deployed.put(&item(old)).await;
    let bearer = format!("Bearer {old}");
    let header = ("authorization", bearer.as_str());
    // It makes marketplaces, and keys of several of them.
    for marketplace in ["m", "n"] {
        let path = format!("/v1/marketplaces/{marketplace}");
        let body = json!({ "name": "M" });
        assert_eq!(deployed.status(Method::PUT, &path, header, body).await, 201);
    }
    let body = json!({ "name": "k", "role": "admin", "marketplaces": ["m", "n"] });
    let path = "/v1/marketplaces/m/keys";
    assert_eq!(deployed.status(Method::POST, path, header, body).await, 201);
    // Another one, and then the first is taken back. It is refused within a minute, and at once where only administrators may call.
    deployed.put(&item(new)).await;
    deployed.delete(&item(old)).await;
    assert_eq!(
        (deployed.get(old).await, deployed.get(new).await),
        (401, 200)
    );
    let minute = at("20T12:01").ms();
    deployed.now.store(minute, Ordering::SeqCst);
    let path = "/v1/marketplaces";
    assert_eq!(
        deployed
            .status(Method::GET, path, header, Value::Null)
            .await,
        401
    );
    // What is signed under is no key.
    assert_eq!(deployed.get(SIGNING).await, 401);
    let listed = deployed
        .store
        .keys(&MarketplaceId::new("m").unwrap())
        .await
        .unwrap();
    assert_eq!(listed.len(), 1, "no call lists the deployment's keys");
}

#[tokio::test]
async fn a_session_ends_with_its_key_and_none_is_made_of_the_signing_key() {
    let deployed = Deployed::new().await;
    let key = "rt_the-first-of-two-keys";
    let item = deployment_key_item(key, at("20T12:00"));
    deployed.put(&item).await;
    let now = Instant::from_ms(deployed.now.load(Ordering::SeqCst));
    let session = async |app: &App, key: &str| {
        let set = app.sign_in(key, &HeaderMap::new(), now).await.unwrap()?;
        let text = set.to_str().unwrap().split(';').next().unwrap();
        Some(text.to_owned())
    };
    let opened = async |cookie: &str| {
        let header = ("cookie", cookie);
        deployed
            .status(Method::GET, "/app", header, Value::Null)
            .await
    };
    let cookie = session(&deployed.app, key).await.unwrap();
    assert_eq!(opened(&cookie).await, 200);
    // A process that was given the same secret as its admin key signs sessions of it. They open nothing here.
    let (store, clock) = (deployed.store.clone(), Clock::Set(deployed.now.clone()));
    let given = App::new(store, clock, Retention::DEFAULT, SIGNING);
    let forged = session(&given, SIGNING).await.unwrap();
    let nobody = opened("a=b").await;
    assert_ne!(nobody, 200);
    assert_eq!(opened(&forged).await, nobody);
    assert_eq!(session(&deployed.app, SIGNING).await, None);
    deployed.delete(&item).await;
    deployed.now.fetch_add(60_000, Ordering::SeqCst);
    assert_eq!(opened(&cookie).await, nobody);
}

/// Every function asks for the retention as it starts. The first one fixes it.
#[tokio::test]
async fn a_table_is_held_to_the_retention_that_it_was_begun_with() {
    let deployed = Deployed::new().await;
    for (days, is_held) in [
        (90, true),
        (90, true),
        (30, false),
        (400, false),
        (90, true),
    ] {
        let retention = Retention::days(days).unwrap();
        let held = deployed.store.hold_retention(retention).await.unwrap();
        assert_eq!(held.is_ok(), is_held, "{days}");
    }
}
