//! The whole service in this process, as tests call it: the real routers and attributor over the embedded database, a clock
//! that stands still until it is moved, and a tripwire under the SDK's client.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use axum::Router;
use axum::body::Body;
use hourly_attributor::{Attributor, AttributorError};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use revtrail_aws::clock::Clock;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{Instant, Retention};
use revtrail_storage::files::Files;
use revtrail_store::Store;
use revtrail_store::jobs::job::JobMessage;
use revtrail_store::table::embedded::{self, Embedded};
use revtrail_web::app::App;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::described::{Called, assert_described};
use crate::support::fault_client::FaultClient;
use crate::support::root::Root;
use crate::support::tripwire::Tripwire;

/// The deployment's key.
pub const ADMIN: &str = "admin-key";

/// Plays a future to its end, on this thread alone.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(future)
}

pub struct Service {
    pub store: Store,
    pub retention: Retention,
    pub tripwire: Tripwire,
    pub app: App,
    /// Where the files of exports are written.
    pub outbox: Root,
    /// Made at the first call: many a service of the crash points only works off job messages.
    router: OnceLock<Router>,
    /// What the clock of this service shows, in milliseconds.
    pub clock: Arc<AtomicI64>,
    enqueued: Arc<Mutex<Vec<JobMessage>>>,
}

impl Service {
    /// A service whose clock shows `now`, with the default retention.
    pub async fn at(now: &str) -> Self {
        Self::with(now, Retention::DEFAULT).await
    }

    pub async fn with(now: &str, retention: Retention) -> Self {
        let tripwire = Tripwire::over(Embedded::memory().unwrap());
        let store = Store::new(embedded::client(tripwire.clone()), "revtrail");
        store.create_table().await.unwrap();
        Self::on(store, tripwire, Instant::parse(now).unwrap(), retention)
    }

    /// A service that starts on a store, as after a crash: it remembers nothing.
    pub fn on(store: Store, tripwire: Tripwire, now: Instant, retention: Retention) -> Self {
        let clock = Arc::new(AtomicI64::new(now.ms()));
        let app = App::new(store.clone(), Clock::Set(clock.clone()), retention, ADMIN);
        Self {
            store,
            retention,
            tripwire,
            app,
            outbox: Root::new(),
            router: OnceLock::new(),
            clock,
            enqueued: Arc::default(),
        }
    }

    /// A service at the end of a line, with the default retention.
    pub fn over(line: &FaultClient, now: Instant) -> Self {
        let (store, tripwire) = (line.store(), line.tripwire.clone());
        Self::on(store, tripwire, now, Retention::DEFAULT)
    }

    /// The routes of this service, to be served.
    pub fn router(&self) -> Router {
        let made = || {
            let waiting = self.enqueued.clone();
            let enqueue = manage::in_process(move |message| waiting.lock().unwrap().push(message));
            revtrail_web::dispatch::router(revtrail::serve::routes(enqueue), self.app.clone())
        };
        self.router.get_or_init(made).clone()
    }

    /// The attributor of this service.
    pub fn attributor(&self) -> Attributor {
        Attributor {
            outbox: Some(Files::Folder(self.outbox.folder())),
            ..Attributor::new(self.store.clone(), self.retention)
        }
    }

    /// What a schedule's tick is for one marketplace, all of it.
    pub async fn tick(&self, marketplace: &str) -> Result<(), AttributorError> {
        let plan = JobMessage::Plan {
            marketplace: MarketplaceId::new(marketplace).unwrap(),
            run_id: None,
        };
        self.attributor().drain(vec![plan], &|| self.now()).await
    }

    /// The job messages that this service would have sent since it was last asked.
    pub fn enqueued(&self) -> Vec<JobMessage> {
        self.enqueued.lock().unwrap().drain(..).collect()
    }

    /// Does what the job messages point at that this service would have sent, and all that follows.
    pub async fn work_off(&self) {
        let drained = self
            .attributor()
            .drain(self.enqueued(), &|| self.now())
            .await;
        drained.unwrap();
    }

    pub fn now(&self) -> Instant {
        Instant::from_ms(self.clock.load(Ordering::SeqCst))
    }

    pub fn set_now(&self, now: Instant) {
        self.clock.store(now.ms(), Ordering::SeqCst);
    }

    /// One call with any body, as bytes; the answer's status, its media type and its bytes.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        media: Option<&str>,
        body: Vec<u8>,
    ) -> (StatusCode, String, Vec<u8>) {
        let bearer = key.map(|key| format!("Bearer {key}"));
        let headers: Vec<_> = [
            ("authorization", bearer.as_deref()),
            ("content-type", media),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
        self.send(method, path, &headers, body).await
    }

    /// One call with any headers.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> (StatusCode, String, Vec<u8>) {
        let answer = self.answer(method, path, headers, body).await;
        let media = answer
            .headers()
            .get("content-type")
            .map(|v| v.to_str().unwrap().to_owned());
        (
            answer.status(),
            media.unwrap_or_default(),
            answer.into_body(),
        )
    }

    /// The same, with the answer's headers. Every answer must be one that the document of the interface describes.
    pub async fn answer(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Response<Vec<u8>> {
        let sent = body.clone();
        let mut request = Request::builder().method(method.clone()).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let marketplace = path
            .strip_prefix("/v1/marketplaces/")
            .and_then(|rest| rest.split(['/', '?']).next());
        let _armed = marketplace.map(|marketplace| self.tripwire.arm(marketplace));
        let request = request.body(Body::from(body)).unwrap();
        let headers = request.headers().clone();
        let answer = self.router().oneshot(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        self.tripwire.assert_untouched();
        let answer = Response::from_parts(head, bytes);
        let called = Called {
            method: &method,
            path,
            headers: &headers,
            body: &sent,
        };
        assert_described(&called, &answer);
        answer
    }

    /// One JSON call under a key.
    pub async fn call_as(
        &self,
        key: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> (StatusCode, Value) {
        let bytes = body
            .map(|body| body.to_string().into_bytes())
            .unwrap_or_default();
        let (status, _, bytes) = self
            .raw(method, path, Some(key), Some("application/json"), bytes)
            .await;
        (
            status,
            if bytes.is_empty() {
                Value::Null
            } else {
                serde_json::from_slice(&bytes).unwrap()
            },
        )
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call_as(ADMIN, Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "GET {path}: {body}");
        body
    }

    pub async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.call_as(ADMIN, Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.call_as(ADMIN, Method::PUT, path, Some(body)).await
    }

    /// Makes a marketplace; `settings` as in `PUT M`.
    pub async fn make(&self, marketplace: &str, settings: &Value) {
        let (status, body) = self
            .put(
                &format!("/v1/marketplaces/{marketplace}"),
                &json!({ "name": marketplace, "settings": settings }),
            )
            .await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
    }

    /// Posts records in calls of `size` and asserts that all of them are answered.
    pub async fn feed(&self, marketplace: &str, what: &str, records: &[Value], size: usize) {
        for some in records.chunks(size) {
            let (status, body) = self
                .post(
                    &format!("/v1/marketplaces/{marketplace}/{what}"),
                    &json!(some),
                )
                .await;
            assert_eq!(status, StatusCode::ACCEPTED, "{body}");
            assert_eq!(body["rejected"], json!([]), "{some:?}");
        }
    }

    /// Asks for a run and works it off; the run as it is on record then.
    pub async fn run(&self, marketplace: &str) -> Value {
        self.run_with(marketplace, &json!({})).await
    }

    /// The same with a body.
    pub async fn run_with(&self, marketplace: &str, body: &Value) -> Value {
        let (status, body) = self
            .post(&format!("/v1/marketplaces/{marketplace}/runs"), body)
            .await;
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
        let enqueued = self.enqueued();
        let _armed = self.tripwire.arm(marketplace);
        self.attributor()
            .drain(enqueued, &|| self.now())
            .await
            .unwrap();
        self.tripwire.assert_untouched();
        self.get(&format!(
            "/v1/marketplaces/{marketplace}/runs/{}",
            body["run_id"].as_str().unwrap()
        ))
        .await
    }
}
