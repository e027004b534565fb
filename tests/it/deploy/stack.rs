//! The local stack: the built functions on DynamoDB Local and moto behind one address, as the gateway and the event sources of AWS put
//! them. `infra/smoke.sh` is run against it; `cargo xtask stack` keeps it up for people.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::LazyLock;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::net::TcpListener;

use crate::deploy::real::{BUCKET, Cloud, LOOK, exchange, parts_are_here};
use crate::deploy::real_batches::{Bucket, deliver};
use crate::support::described::{closest, functions};
use crate::support::service::ADMIN;

/// How often a person's stack does what the schedule does every hour.
const TICK_LOOKS: usize = 500;

/// Which function has which route.
static ROUTES: LazyLock<Vec<(Method, &str, &str)>> = LazyLock::new(|| {
    let functions = functions().into_iter();
    let routes = functions.flat_map(|function| {
        let routes = function.routes.into_iter();
        routes.map(move |route| (route.method().clone(), route.path(), function.name))
    });
    routes.collect()
});

/// Which function answers a call: the one that has a route of this form, else the one that answers for what has no route.
fn function_of(method: &Method, path: &str) -> &'static str {
    let routes = ROUTES.iter().filter(|(of, ..)| of == method);
    let found = closest(routes, |(_, route, _)| *route, path);
    found.map_or("manage", |(.., function)| *function)
}

/// Passes a call on to its function, as a gateway does.
async fn pass(State(lambda): State<u16>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let function = function_of(&head.method, head.uri.path());
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let path = format!("/lambda-url/{function}{path}");
    let own = [
        ACCEPT_ENCODING,
        CONNECTION,
        CONTENT_LENGTH,
        HOST,
        TRANSFER_ENCODING,
    ];
    let mut headers = String::new();
    for (name, value) in head.headers.iter().filter(|(name, _)| !own.contains(name)) {
        headers += &format!("{name}: {}\r\n", value.to_str().unwrap_or_default());
    }
    let body = body.to_bytes();
    let asked = tokio::task::spawn_blocking(move || {
        exchange(lambda, head.method.as_str(), &path, &headers, &body)
    });
    let Ok(Some((status, headers, body))) = asked.await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let mut answer = Response::builder().status(status);
    for (name, value) in headers.iter().filter(|(name, _)| {
        !own.iter()
            .any(|own| name.eq_ignore_ascii_case(own.as_str()))
    }) {
        answer = answer.header(name, value);
    }
    let answer = answer.body(body.into());
    answer.unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response())
}

/// The whole stack, and where it answers.
async fn stack(port: u16) -> (Cloud, SocketAddr) {
    let mut cloud = Cloud::start().await;
    Bucket::of(&cloud).await;
    cloud.also("redemption-batch");
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let at = listener.local_addr().unwrap();
    let app = Router::new().fallback(pass).with_state(cloud.lambda);
    tokio::spawn(async move { axum::serve(listener, app).await });
    (cloud, at)
}

/// What the event sources do until nothing is in the queues.
async fn settle(cloud: &mut Cloud) {
    cloud.work_off(false).await;
    deliver(cloud).await;
}

#[tokio::test]
async fn the_smoke_test_is_right_on_the_local_stack() {
    if !parts_are_here() {
        return;
    }
    let (mut cloud, at) = stack(0).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/smoke.sh");
    let mut smoke = Command::new("sh")
        .args([script, &format!("http://{at}"), ADMIN])
        .spawn()
        .unwrap();
    let ended = loop {
        if let Some(ended) = smoke.try_wait().unwrap() {
            break ended;
        }
        settle(&mut cloud).await;
        tokio::time::sleep(LOOK).await;
    };
    assert!(ended.success(), "{ended}");
    println!("real paths: 1 cases");
}

/// `cargo xtask stack`: up until it is interrupted.
#[tokio::test]
async fn it_stays_up_for_people() {
    let Ok(port) = std::env::var("REVTRAIL_STACK_PORT") else {
        return;
    };
    let (mut cloud, at) = stack(port.parse().unwrap()).await;
    println!("the stack answers at http://{at}, with the key {ADMIN}");
    println!(
        "files of redemptions go to s3://{BUCKET}/inbox/ at http://127.0.0.1:{}",
        cloud.moto
    );
    let tick = json!({ "source": "aws.events", "detail-type": "Scheduled Event" });
    for look in 0_usize.. {
        if look.is_multiple_of(TICK_LOOKS) {
            cloud.invoke("hourly-attributor", &tick).unwrap();
        }
        settle(&mut cloud).await;
        tokio::time::sleep(LOOK).await;
    }
}
