//! Connections, and what they may cost. Each has a time for the head of a call, for its body, and for an answer that is not read. Only
//! so many are open at once; one more takes the place of one that waits for its client. The end comes in a bounded time.

mod places;
mod stalling;

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::AUTHORIZATION;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep};
use tower::ServiceExt;

use crate::serve::connections::places::{ConnectionPlace, Places};
use crate::serve::connections::stalling::Stalling;
use crate::serve::wrong_keys::WrongKeys;

/// What connections may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// The most connections at once.
    pub connections: usize,
    /// The most bytes of the head of a call.
    pub head_bytes: usize,
    /// How long the head of a call may take, and how long a connection may be idle before it.
    pub head_ms: u64,
    /// How long the body of a call may take.
    pub body_ms: u64,
    /// How long a file may take that is sent to the address that was given for it.
    pub upload_ms: u64,
    /// How long a client may take nothing of its answer.
    pub stalled_ms: u64,
    /// How long calls that are under way have when the service ends.
    pub end_ms: u64,
}

impl ConnectionLimits {
    /// The limits of a deployment. A body has 4 MiB, so that a line of 0.6 Mbit/s is enough; for a file of 1 GiB it takes 10 Mbit/s.
    pub const DEFAULT: Self = Self {
        connections: 512,
        head_bytes: 32 << 10,
        head_ms: 10_000,
        body_ms: 60_000,
        upload_ms: 15 * 60_000,
        stalled_ms: 30_000,
        end_ms: 5_000,
    };

    /// The limits of a deployment, with no more connections than half of the files that this process may open. The other half is
    /// for the database and the inbox.
    pub fn of_this_process() -> Self {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let half = usize::try_from(files.unwrap_or(u64::MAX) / 2).unwrap_or(usize::MAX);
        Self {
            connections: Self::DEFAULT.connections.min(half.max(1)),
            ..Self::DEFAULT
        }
    }
}

/// What all connections share.
struct Shared {
    router: Router,
    limits: ConnectionLimits,
    wrong_keys: WrongKeys,
}

/// How long nothing is accepted after the system refused to accept, as where this process has too many files open.
const REFUSED: Duration = Duration::from_millis(100);

/// Serves until `stop`, and then until the calls that are under way have ended, or their time is over.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    stop: impl Future<Output = ()>,
) {
    let shared = Arc::new(Shared {
        router,
        limits,
        wrong_keys: WrongKeys::default(),
    });
    let places = Arc::new(Places::new(limits.connections));
    let (ends, ending) = watch::channel(());
    let mut open = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let next = async {
            places.room().await;
            listener.accept().await
        };
        tokio::select! {
            () = &mut stop => break,
            accepted = next => match accepted {
                Ok((stream, peer)) => {
                    let place = ConnectionPlace::take(&places, peer.ip());
                    let client = Client { shared: shared.clone(), place: Arc::new(place), address: peer.ip() };
                    open.spawn(client.served(stream, ending.clone()));
                }
                Err(error) if is_of_one_client(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "failed to accept a connection");
                    places.evict();
                    tokio::time::sleep(REFUSED).await;
                }
            },
        }
        while open.try_join_next().is_some() {}
    }
    drop((listener, ends));
    let all = async { while open.join_next().await.is_some() {} };
    drop(tokio::time::timeout(Duration::from_millis(limits.end_ms), all).await);
    // What is still open is closed with `open`.
}

fn is_of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    [ConnectionAborted, ConnectionRefused, ConnectionReset].contains(&error.kind())
}

/// The client of one connection.
#[derive(Clone)]
struct Client {
    shared: Arc<Shared>,
    place: Arc<ConnectionPlace>,
    address: IpAddr,
}

impl Client {
    /// Serves a connection until its end, or until another one needs its place.
    async fn served(self, stream: TcpStream, mut ending: watch::Receiver<()>) {
        let limits = self.shared.limits;
        let place = self.place.clone();
        let stream = Stalling::new(stream, Duration::from_millis(limits.stalled_ms));
        let service = service_fn(move |request| self.clone().answer(request));
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(limits.head_ms))
            .max_buf_size(limits.head_bytes);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut is_ending = false;
        loop {
            tokio::select! {
                // What a client does wrong is no failure of this service.
                _ = connection.as_mut() => return,
                () = place.is_needed() => return,
                // The channel closes when the service ends.
                _ = ending.changed(), if !is_ending => {
                    is_ending = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response, Infallible> {
        self.place.waits();
        let has_key = has_key(&request);
        let (parts, body) = request.into_parts();
        if body.is_end_stream() {
            self.place.works();
        }
        let limits = self.shared.limits;
        let body_ms = match parts.uri.path().starts_with("/uploads/") {
            true => limits.upload_ms,
            false => limits.body_ms,
        };
        let until = Instant::now() + Duration::from_millis(body_ms);
        let body = TimedBody {
            body,
            over: Box::pin(tokio::time::sleep_until(until)),
            place: self.place.clone(),
        };
        let request = Request::from_parts(parts, Body::new(body));
        let answered = self.shared.router.clone().oneshot(request).await;
        self.place.waits();
        let is_wrong = |response: &Response| response.status() == StatusCode::UNAUTHORIZED;
        if has_key && answered.as_ref().is_ok_and(is_wrong) {
            let now = std::time::Instant::now();
            let pause = self.shared.wrong_keys.count(self.address, now);
            tokio::time::sleep(pause).await;
        }
        answered
    }
}

/// True if a call has a key, right or wrong. A call without one guesses nothing.
fn has_key<B>(request: &Request<B>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    let is_form = request.method() == Method::POST && request.uri().path() == "/app/sign-in";
    is_form
        || request.headers().contains_key(AUTHORIZATION)
        || query.split('&').any(|pair| pair.starts_with("key="))
}

/// A body that must have come within a time. Its client is waited for until it has.
struct TimedBody {
    body: Incoming,
    over: Pin<Box<Sleep>>,
    place: Arc<ConnectionPlace>,
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.over.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(axum::Error::new(io::Error::from(
                io::ErrorKind::TimedOut,
            )))));
        }
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(None) = frame {
            self.place.works();
        }
        frame.map_err(axum::Error::new)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_calls_have_a_key_that_may_be_guessed() {
        let call = |method: &str, address: &str, header: &str| {
            let call = Request::builder().method(method).uri(address);
            has_key(&call.header(header, "x").body(()).unwrap())
        };
        assert!(call("GET", "/v1/marketplaces", "authorization"));
        assert!(call("POST", "/v1/marketplaces/m/events?key=x", "accept"));
        assert!(call("POST", "/app/sign-in", "accept"));
        assert!(!call("GET", "/app/sign-in", "accept"));
        assert!(!call("GET", "/app/m", "cookie"));
        assert!(!call("GET", "/v1/marketplaces", "accept"));
    }
}
