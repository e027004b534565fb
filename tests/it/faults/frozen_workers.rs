//! Frozen: a caller stops at one of its store calls, as a function does that the platform freezes; the others go on with what comes
//! in meanwhile, to the end; then it thaws. At every call, the figures are those of one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{Instant, Retention};
use revtrail_store::Store;
use revtrail_store::jobs::job::JobMessage;
use revtrail_store::table::embedded::{self, Embedded};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::fixtures::{NOW, events, order, strip};
use crate::support::service::{Service, block_on};
use crate::support::tier::spread;
use crate::support::tripwire::Tripwire;

/// A line that stops at its `at`-th call until it is told to go on.
#[derive(Debug, Clone)]
struct Ice {
    line: Tripwire,
    at: usize,
    calls: Arc<AtomicUsize>,
    frozen: Arc<Notify>,
    thaw: Arc<Notify>,
}

impl HttpConnector for Ice {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let ice = self.clone();
        let here = ice.calls.fetch_add(1, Ordering::SeqCst) + 1 == ice.at;
        HttpConnectorFuture::new(async move {
            if here {
                ice.frozen.notify_one();
                ice.thaw.notified().await;
            }
            ice.line.call(request).await
        })
    }
}

/// What somebody does.
#[derive(Debug, Clone, Copy)]
enum Act {
    Events(&'static str),
    Orders(&'static str),
    Tags(&'static str),
    /// The attributor plans, and all that waits is worked off.
    Tick,
    /// The attributor plans, and works off what is new: whoever is frozen has the rest.
    TickOthers,
    /// The jobs that are planned already are worked off.
    Work,
}

struct Story {
    name: &'static str,
    /// Happened, and was folded.
    before: &'static [Act],
    /// Happened, and where it is to be worked off is planned.
    waits: &'static [Act],
    freezes: Act,
    meanwhile: &'static [Act],
    /// In the end: who earned which orders.
    end: &'static [&'static str],
}

use Act::{Events, Orders, Tags, Tick, TickOthers, Work};

const STORIES: &[Story] = &[
    Story {
        name: "an order is taken back, and stands again",
        before: &[
            Events("spring email sent,clicked ann 16T10:00"),
            Orders("o1 ann COMPLETE 10.00 EUR 17T10:00"),
        ],
        waits: &[Orders(
            "o1 ann REFUNDED 10.00 EUR 17T10:00 updated_at=18T10:00",
        )],
        freezes: Work,
        meanwhile: &[
            Orders("o1 ann COMPLETE 10.00 EUR 17T10:00 updated_at=18T11:00"),
            TickOthers,
        ],
        end: &["o1 spring"],
    },
    Story {
        name: "a click that wins is folded",
        before: &[
            Events("spring email sent,clicked ann 16T10:00"),
            Orders("o1 ann COMPLETE 10.00 EUR 17T10:00"),
        ],
        waits: &[Orders("o2 ann COMPLETE 20.00 EUR 17T11:00")],
        freezes: Work,
        meanwhile: &[
            Events("summer email sent,clicked ann 17T09:00"),
            Orders("o3 bob COMPLETE 40.00 EUR 17T10:00"),
            TickOthers,
        ],
        end: &["o1 summer", "o2 summer", "o3 nobody"],
    },
    Story {
        name: "another customer of the same day is folded",
        before: &[Events("spring email sent,clicked ann 16T10:00")],
        waits: &[
            Events("spring email sent,clicked ann 16T10:00"),
            Orders("o1 ann COMPLETE 10.00 EUR 17T10:00"),
        ],
        freezes: Work,
        meanwhile: &[
            Events("spring email sent,clicked bob 16T10:00"),
            Orders("o2 bob COMPLETE 20.00 EUR 17T10:00"),
            TickOthers,
        ],
        end: &["o1 spring", "o2 spring"],
    },
    Story {
        name: "a campaign is excluded, and what it earned decided again",
        before: &[
            Events("spring email sent,clicked ann 16T10:00"),
            Orders("o1 ann COMPLETE 10.00 EUR 17T10:00"),
            Events("spring email sent,clicked bob 16T10:00"),
        ],
        waits: &[Orders("o2 bob COMPLETE 20.00 EUR 17T11:00")],
        freezes: Work,
        meanwhile: &[Tags("technical"), TickOthers],
        end: &["o1 nobody", "o2 nobody"],
    },
    Story {
        name: "orders are on their way in",
        before: &[Events("spring email sent,clicked ann 16T10:00")],
        waits: &[],
        freezes: Orders("o1 ann COMPLETE 10.00 EUR 17T10:00"),
        meanwhile: &[Tick],
        end: &["o1 spring"],
    },
    Story {
        name: "two plan the same",
        before: &[Events("spring email sent,clicked ann 16T10:00")],
        waits: &[],
        freezes: Tick,
        meanwhile: &[Orders("o1 ann COMPLETE 10.00 EUR 17T10:00"), Tick],
        end: &["o1 spring"],
    },
];

fn plan() -> JobMessage {
    JobMessage::Plan {
        marketplace: MarketplaceId::new("m").unwrap(),
        run_id: None,
    }
}

async fn work(service: &Service, messages: Vec<JobMessage>) {
    let drained = service
        .attributor()
        .drain(messages, &|| service.now())
        .await;
    drained.unwrap();
}

/// Does one thing; `planned` is what points at the jobs that were planned before.
async fn act(service: &Service, act: Act, planned: &[JobMessage]) {
    let path = |rest: &str| format!("/v1/marketplaces/m/{rest}");
    match act {
        Events(line) => service.feed("m", "events", &events(line), 100).await,
        Orders(line) => service.feed("m", "orders", &[order(line)], 100).await,
        Tags(tag) => {
            let body = json!({"name": "Spring", "tags": [tag]});
            let (status, _) = service.put(&path("campaigns/spring"), &body).await;
            assert!(status.is_success());
        }
        Tick => work(service, vec![plan()]).await,
        TickOthers => {
            let clock = || service.now();
            let attributor = service.attributor();
            let planned_now = attributor.handle(&plan(), &clock, Instant::MAX).await;
            let mut new = planned_now.unwrap();
            new.retain(|message| !planned.contains(message));
            work(service, new).await;
        }
        Work => work(service, planned.to_vec()).await,
    }
}

/// Plays a story with its caller frozen at a call; false where the caller makes fewer. What is seen at the end.
async fn play(story: &Story, at: usize) -> (bool, Value) {
    let database = Embedded::memory().unwrap();
    let now = Instant::parse(NOW).unwrap();
    let ice = Ice {
        line: Tripwire::over(database.clone()),
        at,
        calls: Arc::default(),
        frozen: Arc::default(),
        thaw: Arc::default(),
    };
    let others = Tripwire::over(database.clone());
    let store = |client| Store::new(client, embedded::TABLE);
    let awake = Service::on(
        store(embedded::client(others.clone())),
        others,
        now,
        Retention::DEFAULT,
    );
    let freezing = Service::on(
        store(embedded::client(ice.clone())),
        ice.line.clone(),
        now,
        Retention::DEFAULT,
    );
    awake.store.create_table().await.unwrap();
    let settings =
        json!({"supersede": "none", "winner": "last_interaction", "excluded_tags": ["technical"]});
    awake.make("m", &settings).await;
    for &one in story.before {
        act(&awake, one, &[]).await;
    }
    act(&awake, Tick, &[]).await;
    for &one in story.waits {
        act(&awake, one, &[]).await;
    }
    let mut planned = Vec::new();
    if let Work = story.freezes {
        let clock = || awake.now();
        let attributor = awake.attributor();
        planned = attributor.handle(&plan(), &clock, now).await.unwrap();
    }
    let frozen = {
        let mut caller = std::pin::pin!(act(&freezing, story.freezes, &planned));
        tokio::select! {
            biased;
            () = &mut caller => false,
            () = ice.frozen.notified() => {
                for &one in story.meanwhile {
                    act(&awake, one, &planned).await;
                }
                ice.thaw.notify_one();
                caller.await;
                true
            }
        }
    };
    if !frozen {
        for &one in story.meanwhile {
            act(&awake, one, &planned).await;
        }
    }
    awake.set_now(now.plus_ms(20 * 60 * 1000));
    act(&awake, Tick, &[]).await;
    act(&awake, Tick, &[]).await;
    (frozen, seen(&awake, story).await)
}

async fn seen(service: &Service, story: &Story) -> Value {
    let mut seen = Vec::new();
    for path in [
        "reports/campaigns",
        "reports/campaigns/spring/purchases",
        "reports/orders",
        "reports/reconciliation",
        "orders",
        "customers/ann",
    ] {
        let mut body = service.get(&format!("/v1/marketplaces/m/{path}")).await;
        assert!(
            body["pending"].is_null() || body["pending"] == json!(0),
            "{path}: {body}"
        );
        strip(&mut body, &["as_of"]);
        seen.push(body);
    }
    for line in story.end {
        let (order, earner) = line.split_once(' ').unwrap();
        let path = format!("/v1/marketplaces/m/orders/{order}/attribution");
        let told = service.get(&path).await;
        let earned = told["credited_to"]["campaign_id"].as_str();
        assert_eq!(earned.unwrap_or("nobody"), earner, "{order}: {told}");
    }
    json!(seen)
}

#[test]
fn whoever_thaws_does_no_harm() {
    let points = spread(
        STORIES,
        |story| format!("cargo t --test it faults::frozen_workers ({})", story.name),
        |story| {
            let (_, expected) = block_on(play(story, usize::MAX));
            for at in 1.. {
                let (frozen, seen) = block_on(play(story, at));
                assert_eq!(seen, expected, "{}, frozen at call {at}", story.name);
                if !frozen {
                    return at - 1;
                }
            }
            unreachable!("a caller makes calls without an end")
        },
    );
    let points: usize = points.iter().sum();
    assert!(points > 60, "{points}");
    println!("frozen: {points}");
}
