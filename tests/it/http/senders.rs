//! A story for each sender (rule 3.5): its posts name an address, a shop's order names a customer and that address, and the report has the
//! credit; however often, in whatever order and however many at once they come. And Amazon SNS, whose certificate is fetched.

use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};

use crate::support::fixtures::{Shop, assert_part, strip};
use crate::support::service::{ADMIN, block_on};
use crate::support::tier::spread;

impl Shop {
    /// A body is posted as its sender posts it, and nothing of it is refused.
    async fn taken(&self, rest: &str, body: &Value) {
        let (status, told) = match rest {
            "orders" => self.call(Method::POST, rest, body.clone()).await,
            _ => {
                self.posted(rest.trim_start_matches("webhooks/"), body)
                    .await
            }
        };
        assert!((200..300).contains(&status), "{rest}: {status} {told}");
        assert_eq!(told["rejected"], json!([]), "{rest}: {body}: {told}");
    }

    /// What a marketer sees in the end, but for how often copies came.
    async fn seen(&self) -> Value {
        self.run().await;
        let mut figures = self.figures().await;
        figures["reconciliation"] = Value::Null;
        strip(&mut figures, &["updated_at"]);
        figures
    }
}

/// How the posts of a story come, each time to a new shop.
const WAYS: [&str; 4] = ["in turn", "twice", "twice, backwards", "twice, all at once"];

/// Plays a story one way.
async fn play(story: &Value, way: &str) -> Value {
    let sender = story["sender"].as_str().unwrap();
    let own = &story["settings"];
    let providers = match story["custom"] == json!(true) {
        true => json!({ "custom": { sender: own } }),
        false => json!({ sender: own }),
    };
    let shop = Shop::open(json!({ "currency": "USD", "providers": providers })).await;
    let resource = format!("webhooks/{sender}");
    let of_sender = story["posts"].as_array().unwrap().iter();
    let mut posts: Vec<(&str, &Value)> = of_sender.map(|body| (&*resource, body)).collect();
    posts.push((story["shop"][0].as_str().unwrap(), &story["shop"][1]));
    if way.starts_with("twice") {
        posts.extend(posts.clone());
    }
    if way.ends_with("backwards") {
        posts.reverse();
    }
    let posts = posts.into_iter().map(|(rest, body)| shop.taken(rest, body));
    match way.ends_with("at once") {
        true => drop(join_all(posts).await),
        false => {
            for post in posts {
                post.await;
            }
        }
    }
    let seen = shop.seen().await;
    let row = json!({ "deliveries": 1, "unique_opens": 1, "unique_clicks": 1, "bounces": 1, "purchases": 1, "purchasers": 1,
        "revenue": { "USD": "100.00" } });
    assert_part(&format!("{sender}, {way}"), &shop.row("spring").await, &row);
    let told = shop.get("orders/1/attribution").await;
    let credited = json!({ "campaign_id": "spring", "outcome": "credited", "touch_kind": "clicked", "by_address": true });
    assert_part(sender, &told["candidates"][0], &credited);
    assert_eq!(told["customer_id"], json!("7"), "{sender}");
    let events = shop.get("reports/reconciliation").await["events"].clone();
    assert_eq!(events["by_address"], events["stored"], "{sender}: {events}");
    seen
}

#[test]
fn each_sender_names_an_address_and_the_shop_a_customer() {
    let stories = include_str!("../../corpus/senders.jsonl").lines();
    let stories: Vec<Value> = stories
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of_mail = revtrail_core::attribution::settings::SENDERS.len() - 3;
    assert_eq!(
        stories.len(),
        of_mail + 1,
        "every sender of mail, and one of one's own"
    );
    let replay = |_: &Value| "cargo t --test it http::senders".to_owned();
    spread(&stories, replay, |story| {
        let mut first: Option<Value> = None;
        for way in WAYS {
            let seen = block_on(play(story, way));
            assert_eq!(
                first.get_or_insert_with(|| seen.clone()),
                &seen,
                "{}, {way}",
                story["sender"]
            );
        }
    });
}

/// What Amazon holds, and which of its addresses were read.
#[derive(Clone, Default)]
struct Amazon {
    held: Arc<Mutex<Option<String>>>,
    read: Arc<Mutex<Vec<String>>>,
}

impl Amazon {
    fn serve(&self, shop: &Shop) {
        let amazon = self.clone();
        shop.service.app.fetch_by(Box::new(move |url| {
            amazon.read.lock().unwrap().push(url);
            let held = amazon.held.lock().unwrap().clone();
            Box::pin(async move { held.map(Into::into).ok_or_else(|| "it is away".to_owned()) })
        }));
    }

    fn read(&self) -> Vec<String> {
        std::mem::take(&mut *self.read.lock().unwrap())
    }
}

#[tokio::test]
async fn a_certificate_of_amazon_is_fetched_once_and_a_subscription_is_confirmed() {
    let sns: Value =
        serde_json::from_str(include_str!("../../../crates/providers/tests/sns.json")).unwrap();
    let text = |at: &str| sns.pointer(at).unwrap().as_str().unwrap().to_owned();
    let ses = json!({ "campaign_id": "metadata.campaign", "verification_key": text("/topic") });
    let shop = Shop::open(json!({ "providers": { "ses": ses } })).await;
    let amazon = Amazon::default();
    amazon.serve(&shop);
    let post = async |body: &Value| {
        let path = shop.path(&format!("webhooks/ses?key={ADMIN}"));
        // As SNS posts.
        let headers = [("content-type", "text/plain; charset=UTF-8")];
        let sent = body.to_string().into_bytes();
        let (status, _, answer) = shop.service.send(Method::POST, &path, &headers, sent).await;
        let told: Value = serde_json::from_slice(&answer).unwrap();
        (status.as_u16(), told["accepted"].as_i64(), amazon.read())
    };
    let of = |post: &str| sns["posts"][post].clone();
    let certificate = vec![text("/certificate_url")];
    // Amazon is away: the post may come again. What is no certificate of SNS, or is over, proves nothing and is not kept.
    assert_eq!(
        post(&of("version 2")).await,
        (503, None, certificate.clone())
    );
    for (held, status, accepted) in [
        ("another's", 403, None),
        ("over", 403, None),
        ("good", 200, Some(1)),
    ] {
        *amazon.held.lock().unwrap() = Some(text(&format!("/certificates/{held}")));
        let expected = (status, accepted, certificate.clone());
        assert_eq!(post(&of("version 2")).await, expected, "{held}");
    }
    for (name, status, accepted) in [("version 1", 200, Some(0)), ("another topic", 403, None)] {
        assert_eq!(post(&of(name)).await, (status, accepted, vec![]), "{name}");
    }
    let mut elsewhere = of("version 2");
    elsewhere["SigningCertURL"] = json!("https://evil.example/SimpleNotificationService-0.pem");
    let mut forged = of("subscription");
    forged["Token"] = json!("another");
    for body in [elsewhere, forged] {
        assert_eq!(post(&body).await, (403, None, vec![]), "{body}");
    }
    let confirmed = vec![text("/posts/subscription/SubscribeURL")];
    assert_eq!(
        post(&of("subscription")).await,
        (200, Some(0), confirmed.clone())
    );
    // A host that is not Amazon's is not asked, though Amazon signed for it.
    assert_eq!(
        post(&of("subscription to another host")).await,
        (200, Some(0), vec![])
    );
    *amazon.held.lock().unwrap() = None;
    assert_eq!(post(&of("subscription")).await, (503, None, confirmed));
}
