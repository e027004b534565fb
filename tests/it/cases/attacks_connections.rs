//! Attacks on `serve` by connections: what is sent by halves, slowly or not at all locks nobody out and keeps nothing from its end.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use revtrail::serve::{ConnectionLimits, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// So long that no test sees its end.
const NEVER_MS: u64 = 3_600_000;
/// As short as may be.
const SOON_MS: u64 = 50;
const PATIENT: ConnectionLimits = ConnectionLimits {
    connections: 8,
    head_bytes: 32 << 10,
    head_ms: NEVER_MS,
    body_ms: NEVER_MS,
    upload_ms: NEVER_MS,
    stalled_ms: NEVER_MS,
    end_ms: NEVER_MS,
};

struct Serving {
    address: SocketAddr,
    /// Calls of `/held` are there.
    came: Arc<Notify>,
    /// They may go on.
    go: Arc<Notify>,
    stop: Arc<Notify>,
    ended: JoinHandle<()>,
}

async fn serving(limits: ConnectionLimits) -> Serving {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let [came, go, stop] = [(); 3].map(|()| Arc::new(Notify::new()));
    let (comes, goes) = (came.clone(), go.clone());
    let held = get(async move || {
        comes.notify_one();
        goes.notified().await;
        "held"
    });
    let body =
        post(
            async |body: axum::body::Body| match axum::body::to_bytes(body, 4 << 20).await {
                Ok(bytes) => bytes,
                Err(_) => Bytes::from("broken off"),
            },
        );
    let router = Router::new()
        .route("/", get(async || "hello"))
        .route("/body", body.clone())
        .route("/uploads/m/a.csv", body)
        .route("/held", held)
        .route("/stuck", get(async || pending::<&str>().await));
    let until = stop.clone();
    let served = serve(
        listener,
        router,
        limits,
        async move { until.notified().await },
    );
    let ended = tokio::spawn(served);
    Serving {
        address,
        came,
        go,
        stop,
        ended,
    }
}

impl Serving {
    /// A connection on which this was sent.
    async fn send(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    async fn answered(&self, path: &str) -> String {
        let call = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        rest(&mut self.send(&call).await).await
    }
}

/// What comes on a connection until it is closed.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A connection that is reset ends as well.
    drop(
        tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut bytes))
            .await
            .expect("it is closed"),
    );
    String::from_utf8(bytes).unwrap()
}

const HALF: &str = "GET / HTTP/1.1\r\nHost: x\r\n";
const HALF_BODY: &str = "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc";
const IDLE: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn what_waits_for_its_client_locks_nobody_out() {
    for half in ["", "G", HALF, HALF_BODY, IDLE] {
        let serving = serving(PATIENT).await;
        let mut open = Vec::new();
        for _ in 0..40 {
            open.push(serving.send(half).await);
        }
        let answer = serving.answered("/").await;
        assert!(answer.ends_with("hello"), "{half:?}: {answer}");
        // The oldest went for the others.
        rest(&mut open[0]).await;
    }
}

#[tokio::test]
async fn calls_that_are_worked_at_keep_their_places() {
    let limits = ConnectionLimits {
        connections: 1,
        ..PATIENT
    };
    let serving = serving(limits).await;
    let call = "GET /held HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut held = serving.send(call).await;
    serving.came.notified().await;
    let mut next = serving.send(IDLE).await;
    serving.go.notify_one();
    assert!(rest(&mut held).await.ends_with("held"));
    let mut answer = [0; 15];
    next.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn heads_and_bodies_must_come_and_idle_connections_end() {
    let limits = ConnectionLimits {
        head_ms: SOON_MS,
        body_ms: SOON_MS,
        ..PATIENT
    };
    let serving = serving(limits).await;
    for (sent, answer) in [
        ("", ""),
        ("G", ""),
        (HALF, ""),
        (HALF_BODY, "broken off"),
        (IDLE, "hello"),
        // The second of two is half.
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HT", "hello"),
    ] {
        let told = rest(&mut serving.send(sent).await).await;
        assert_eq!(
            told.split("\r\n\r\n").last(),
            Some(answer),
            "{sent:?}: {told}"
        );
    }
    // Bytes that trickle in do not make the time longer.
    for begun in [
        HALF,
        "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n",
    ] {
        let mut stream = serving.send(begun).await;
        let (mut reader, mut writer) = stream.split();
        let trickle = async {
            while writer.write_all(b"a").await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        let mut bytes = Vec::new();
        tokio::select! {
            () = trickle => {}
            _ = reader.read_to_end(&mut bytes) => {}
        }
    }
}

#[tokio::test]
async fn a_head_has_an_end() {
    let serving = serving(PATIENT).await;
    let long = |bytes: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: {}\r\n\r\n",
            "x".repeat(bytes)
        )
    };
    let fits = rest(&mut serving.send(&long(30_000)).await).await;
    assert!(fits.ends_with("hello"), "{fits}");
    let mut stream = TcpStream::connect(serving.address).await.unwrap();
    // It may be closed before all is sent.
    drop(stream.write_all(long(1 << 20).as_bytes()).await);
    let told = rest(&mut stream).await;
    assert!(!told.contains("hello"), "{told}");
    assert!(
        told.is_empty() || told.starts_with("HTTP/1.1 431 "),
        "{told}"
    );
}

#[tokio::test]
async fn it_ends_whatever_is_open() {
    let limits = ConnectionLimits {
        end_ms: SOON_MS,
        ..PATIENT
    };
    for open in [
        &[""][..],
        &[HALF],
        &[HALF_BODY],
        &[IDLE],
        &["GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n"],
        &[
            "",
            HALF,
            HALF_BODY,
            IDLE,
            "GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n",
            HALF,
            HALF,
        ],
    ] {
        let serving = serving(limits).await;
        let mut streams = Vec::new();
        for sent in open {
            streams.push(serving.send(sent).await);
        }
        // By now all were accepted.
        assert!(serving.answered("/").await.ends_with("hello"));
        serving.stop.notify_one();
        let ended = tokio::time::timeout(Duration::from_secs(60), serving.ended).await;
        ended.expect("it ends").unwrap();
        for stream in &mut streams {
            rest(stream).await;
        }
        assert!(TcpStream::connect(serving.address).await.is_err());
    }
}

#[tokio::test]
async fn a_call_that_is_under_way_is_answered_at_the_end() {
    let serving = serving(PATIENT).await;
    let mut idle = serving.send(IDLE).await;
    let mut held = serving.send("GET /held HTTP/1.1\r\nHost: x\r\n\r\n").await;
    serving.came.notified().await;
    serving.stop.notify_one();
    // Idle connections are closed at once.
    assert!(rest(&mut idle).await.ends_with("hello"));
    serving.go.notify_one();
    assert!(rest(&mut held).await.ends_with("held"));
    serving.ended.await.unwrap();
}
