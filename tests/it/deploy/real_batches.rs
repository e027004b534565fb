//! Files of redemptions on the real parts: `moto`'s S3 tells its SQS of them, and the built function takes them in.

use std::collections::BTreeSet;
use std::io::Write;

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::types::{
    Event, FilterRule, FilterRuleName, NotificationConfiguration, NotificationConfigurationFilter,
    QueueConfiguration, S3KeyFilter,
};
use aws_sdk_sqs::types::Message;
use hourly_attributor::Attributor;
use http::Method;
use redemption_batch::BatchLimits;
use revtrail_aws::clock::Clock;
use revtrail_aws::environment;
use revtrail_core::value::time::DAY_MS;
use revtrail_storage::files::{self, Files};
use serde_json::{Value, json};

use crate::deploy::real::{BUCKET, Cloud, LOOK, MARKET, http, invoke, moto, parts_are_here};
use crate::faults::batches::batches;
use crate::support::fixtures::Shop;
use crate::support::root::Root;
use crate::support::service::Service;

pub struct Bucket(Client);

impl Bucket {
    /// A bucket of moto that tells nobody of files.
    async fn at(moto: u16) -> Self {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .endpoint_url(format!("http://127.0.0.1:{moto}"))
            .force_path_style(true)
            .http_client(environment::https());
        let client = Client::from_conf(config.build());
        client.create_bucket().bucket(BUCKET).send().await.unwrap();
        Self(client)
    }

    /// The keys of all files.
    async fn keys(&self) -> BTreeSet<String> {
        let listed = self.0.list_objects_v2().bucket(BUCKET).send().await;
        let listed = listed.unwrap().contents.unwrap_or_default();
        listed.into_iter().filter_map(|file| file.key).collect()
    }

    /// A bucket that tells the queue of files, as the template has it.
    pub async fn of(cloud: &Cloud) -> Self {
        let Self(client) = Self::at(cloud.moto).await;
        let rule = |name, value: &str| FilterRule::builder().name(name).value(value).build();
        let key = S3KeyFilter::builder()
            .filter_rules(rule(FilterRuleName::Prefix, "inbox/"))
            .build();
        let told = QueueConfiguration::builder()
            .queue_arn("arn:aws:sqs:us-east-1:123456789012:arrivals")
            .events(Event::from("s3:ObjectCreated:*"))
            .filter(NotificationConfigurationFilter::builder().key(key).build())
            .build()
            .unwrap();
        let all = NotificationConfiguration::builder().queue_configurations(told);
        let put = client
            .put_bucket_notification_configuration()
            .bucket(BUCKET);
        put.notification_configuration(all.build())
            .send()
            .await
            .unwrap();
        Self(client)
    }

    async fn put(&self, key: &str, bytes: &[u8]) {
        let put = self.0.put_object().bucket(BUCKET).key(key);
        put.body(bytes.to_vec().into()).send().await.unwrap();
    }

    async fn get(&self, key: &str) -> String {
        let got = self.0.get_object().bucket(BUCKET).key(key).send().await;
        let bytes = got.unwrap().body.collect().await.unwrap().to_vec();
        String::from_utf8(bytes).unwrap()
    }
}

/// An export lies in the bucket as in a folder; its files are deleted, and those beside it are not.
#[tokio::test]
async fn an_export_is_written_to_a_bucket_and_deleted_there() {
    if !parts_are_here() {
        return;
    }
    let (_moto, port) = moto();
    let bucket = Bucket::at(port).await;
    let shop = Shop::lively().await;
    let body = json!({"what": ["orders", "credits"], "from": "2026-11-01", "to": "2026-12-01"});
    let (status, told) = shop.call(Method::POST, "exports", body).await;
    assert_eq!(status, 202, "{told}");
    let kept = "outbox/m/redemptions/week.csv/result.json";
    bucket.put(kept, b"{}").await;
    let attributor = Attributor {
        outbox: Some(Files::Bucket(files::Bucket::new(bucket.0.clone(), BUCKET))),
        ..shop.service.attributor()
    };
    let now = shop.service.now();
    let messages = shop.service.enqueued();
    attributor.drain(messages, &|| now).await.unwrap();
    let path = format!("exports/{}", told["export_id"].as_str().unwrap());
    let shown = shop.get(&path).await;
    let files = shown["files"].as_array().unwrap().iter();
    let named = files.map(|file| file["file"].as_str().unwrap().to_owned());
    let manifest = shown["manifest"].as_str().unwrap().to_owned();
    let mut named: BTreeSet<String> = named.chain([manifest.clone(), kept.to_owned()]).collect();
    assert_eq!(bucket.keys().await, named, "{shown}");
    let manifest: Value = serde_json::from_str(&bucket.get(&manifest).await).unwrap();
    assert_eq!(manifest["files"].as_array().unwrap().len(), named.len() - 2);
    let later = now.plus_ms(DAY_MS);
    let messages = attributor.tick().await.unwrap();
    attributor.drain(messages, &|| later).await.unwrap();
    named.retain(|key| key == kept);
    assert_eq!(bucket.keys().await, named);
    println!("exports in a bucket: 1");
}

fn key(name: &str) -> String {
    format!("inbox/{MARKET}/redemptions/{name}")
}

fn event(messages: &[Message]) -> Value {
    let record = |message: &Message| json!({ "messageId": message.message_id(), "body": message.body(), "eventSource": "aws:sqs" });
    json!({ "Records": messages.iter().map(record).collect::<Value>() })
}

/// Delivers what waits in the queue until nothing does, each call twice; what fails is seen again. How many messages there were.
pub async fn deliver(cloud: &Cloud) -> usize {
    let mut delivered = 0;
    loop {
        let messages = cloud.receive(&cloud.arrivals).await;
        if messages.is_empty() {
            return delivered;
        }
        delivered += messages.len();
        assert!(delivered < 100, "the queue does not get empty");
        let event = event(&messages);
        let answers = [0, 1].map(|_| cloud.invoke("redemption-batch", &event));
        let failed: BTreeSet<&str> = answers
            .iter()
            .flat_map(|answer| {
                answer.as_ref().unwrap()["batchItemFailures"]
                    .as_array()
                    .unwrap()
            })
            .map(|one| one["itemIdentifier"].as_str().unwrap())
            .collect();
        settle(cloud, &messages, |id| failed.contains(id)).await;
    }
}

/// What S3 told, as the function sends it on to itself.
async fn sent_on(cloud: &Cloud) -> Vec<Message> {
    let told = cloud.receive(&cloud.arrivals).await;
    assert_eq!(told.len(), 1);
    cloud.invoke("redemption-batch", &event(&told)).unwrap();
    settle(cloud, &told, |_| false).await;
    let messages = cloud.receive(&cloud.arrivals).await;
    assert_eq!(messages.len(), 1);
    messages
}

async fn settle(cloud: &Cloud, messages: &[Message], failed: impl Fn(&str) -> bool) {
    for message in messages {
        let handle = message.receipt_handle().unwrap();
        if failed(message.message_id().unwrap()) {
            let again = cloud.sqs.change_message_visibility().visibility_timeout(0);
            let again = again.queue_url(&cloud.arrivals).receipt_handle(handle);
            again.send().await.unwrap();
        } else {
            let done = cloud.sqs.delete_message().queue_url(&cloud.arrivals);
            done.receipt_handle(handle).send().await.unwrap();
        }
    }
}

/// A file's rows, some of each fate.
fn rows(name: &str, rows: usize) -> String {
    let row = |n: usize| match n % 50 {
        7 => format!("{name}-{n},p-1,c-{n},bad,EUR\n"),
        8 => format!("{name}-{n},p-{n},c-{n},,\n"),
        9 => format!("{name}-{},p-1,c-{},1.00,EUR\n", n - 4, n - 4),
        _ => format!("{name}-{n},p-1,c-{n},1.00,EUR\n"),
    };
    let header = "redemption_id,promotion_id,customer_id,reward_amount,currency\n";
    header.to_owned() + &(0..rows).map(row).collect::<String>()
}

fn without_times(mut shown: Value) -> Value {
    crate::support::fixtures::strip(
        &mut shown,
        &["started_at", "finished_at", "etag", "batch_id"],
    );
    shown
}

#[tokio::test]
async fn files_in_s3_come_to_what_files_in_a_folder_come_to() {
    if !parts_are_here() {
        return;
    }
    let cloud = Cloud::start().await;
    let bucket = Bucket::of(&cloud).await;
    let function = cloud.function("redemption-batch");
    let settings = json!({ "name": "Shop", "settings": { "preset": "redbox" } });
    assert_eq!(cloud.call("manage", "PUT", "", &settings).0, 201);
    let promotion = json!({ "name": "P", "kind": "global" });
    let (status, told) = cloud.call("manage", "PUT", "/promotions/p-1", &promotion);
    assert!(status < 300, "{told}");

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(rows("large", 2_500).as_bytes()).unwrap();
    // Its rejected.csv goes up in parts.
    let poison =
        "this is no JSON, and there is a lot of it; it says nothing, and says it at length\n"
            .repeat(100_000);
    let files: Vec<(&str, Vec<u8>)> = vec![
        ("small.csv", rows("small", 60).into_bytes()),
        ("week 7+é 100%.csv", rows("odd", 12).into_bytes()),
        ("poison.jsonl", poison.into_bytes()),
        ("cut.jsonl.gz", b"\x1f\x8b\x08\x00\x00".to_vec()),
        ("empty.jsonl", Vec::new()),
        ("CAPS.CSV", rows("caps", 5).into_bytes()),
        ("notes.txt", b"no file of redemptions".to_vec()),
        ("sub/week.csv", rows("sub", 5).into_bytes()),
        ("large.csv.gz", gzip.finish().unwrap()),
    ];
    let root = Root::new();
    let embedded = Service::at(&Clock::REAL.now().to_string()).await;
    embedded.put("/v1/marketplaces/m", &settings).await;
    embedded
        .put("/v1/marketplaces/m/promotions/p-1", &promotion)
        .await;
    let one_turn = BatchLimits {
        invocation_rows: u64::MAX,
        ..BatchLimits::DEFAULT
    };
    let here = batches(&embedded.store, &root, one_turn);
    for (name, bytes) in &files {
        let file = root.put(name, bytes);
        let etag = root.folder().etag(&file.key).unwrap();
        let clock = || embedded.now();
        let worked = here.work(
            &file,
            &etag,
            &clock,
            revtrail_core::value::time::Instant::MAX,
        );
        worked.await.unwrap();
        bucket.put(&key(name), bytes).await;
        // The large one comes alone, to be killed over.
        if *name != "large.csv.gz" {
            deliver(&cloud).await;
        }
    }
    // A process that is killed in the middle. What S3 tells is sent on first.
    let messages = sent_on(&cloud).await;
    let call = event(&messages);
    // Nobody waits for its answer: it dies with the process.
    let lambda = cloud.lambda;
    let called = std::thread::spawn(move || invoke(lambda, "redemption-batch", &call));
    let mut running = None;
    while running.is_none() && !called.is_finished() {
        let shown = cloud.get("/batches");
        let shown = shown["batches"].as_array().unwrap().clone();
        running = shown
            .into_iter()
            .find(|one| one["state"] == "running" && one["rows"] != 0);
        std::thread::sleep(LOOK);
    }
    drop(function);
    let _function = cloud.function("redemption-batch");
    let running = running.expect("it was killed in the middle");
    println!("killed after {} rows", running["rows"]);
    settle(&cloud, &messages, |_| true).await;
    deliver(&cloud).await;

    let there = cloud.get("/batches?limit=100");
    let there: Vec<Value> = there["batches"]
        .as_array()
        .unwrap()
        .iter()
        .cloned()
        .map(without_times)
        .collect();
    let shown = embedded.get("/v1/marketplaces/m/batches?limit=100").await;
    let shown = shown["batches"]
        .to_string()
        .replace("inbox/m/", &format!("inbox/{MARKET}/"));
    let shown: Vec<Value> = serde_json::from_str::<Vec<Value>>(&shown)
        .unwrap()
        .into_iter()
        .map(without_times)
        .collect();
    let by_file = |mut all: Vec<Value>| {
        all.sort_by_key(|one| one["file"].to_string());
        all
    };
    assert_eq!(by_file(there.clone()), by_file(shown));
    for (name, _) in &files {
        let file =
            revtrail_storage::file::File::at(&format!("inbox/m/redemptions/{name}")).unwrap();
        let at = |result: &str| {
            file.result(result)
                .replace("outbox/m/", &format!("outbox/{MARKET}/"))
        };
        let result: Value = serde_json::from_str(&bucket.get(&at("result.json")).await).unwrap();
        let batch = there.iter().find(|one| one["file"] == key(name)).unwrap();
        assert_eq!(&without_times(result), batch);
        let rejected = bucket.get(&at("rejected.csv")).await;
        assert_eq!(rejected, root.result(&file, "rejected.csv"), "{name}");
    }
    let dashboards = [
        cloud.get("/promotions/p-1/dashboard"),
        embedded
            .get("/v1/marketplaces/m/promotions/p-1/dashboard")
            .await,
    ];
    let [there, here] = dashboards.map(|mut one| one["breakdown"].take());
    assert_eq!(there, here);

    // To an address that was given, without a key.
    let name = "sent +é 1%.csv";
    let (status, told) = cloud.call("manage", "POST", "/uploads", &json!({ "name": name }));
    assert_eq!((status, &told["file"]), (201, &json!(key(name))), "{told}");
    let bucket_at = format!("http://127.0.0.1:{}", cloud.moto);
    let target = told["url"].as_str().unwrap().strip_prefix(&bucket_at);
    let sent = http(cloud.moto, "PUT", target.unwrap(), "", &rows("sent", 6));
    assert_eq!(sent.unwrap().0, 200, "{told}");
    deliver(&cloud).await;
    let shown = cloud.get("/batches?limit=100");
    let mut shown = shown["batches"].as_array().unwrap().iter();
    let batch = shown.find(|one| one["file"] == key(name)).unwrap();
    assert_eq!(
        (&batch["state"], &batch["rows"]),
        (&json!("done"), &json!(6))
    );
    println!("files sent to a bucket: 1");

    // Overwritten, gone, and poison: told of late.
    bucket
        .put(&key("late.csv"), rows("late", 3).as_bytes())
        .await;
    let late = sent_on(&cloud).await;
    bucket
        .put(&key("late.csv"), rows("later", 4).as_bytes())
        .await;
    cloud.invoke("redemption-batch", &event(&late)).unwrap();
    settle(&cloud, &late, |_| false).await;
    bucket
        .put(&key("gone.csv"), rows("gone", 3).as_bytes())
        .await;
    let delete = bucket.0.delete_object().bucket(BUCKET);
    delete.key(key("gone.csv")).send().await.unwrap();
    let poison = cloud.sqs.send_message().queue_url(&cloud.arrivals);
    poison
        .message_body("this is no notification")
        .send()
        .await
        .unwrap();
    deliver(&cloud).await;
    let batches = cloud.get("/batches?limit=100");
    let mut last: Vec<(String, String, u64)> = batches["batches"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| {
            ["late", "gone"]
                .iter()
                .any(|name| one["file"].as_str().unwrap().contains(name))
        })
        .map(|one| {
            let text = |name: &str| one[name].as_str().unwrap_or("").to_owned();
            (text("state"), text("detail"), one["rows"].as_u64().unwrap())
        })
        .collect();
    last.sort();
    let failed = |why: &str| {
        (
            "failed".to_owned(),
            format!("{why}: at least 0 rows of what it held before were taken"),
            0,
        )
    };
    assert_eq!(
        last,
        [
            ("done".to_owned(), String::new(), 4),
            failed("the file is gone"),
            failed("the file was overwritten")
        ]
    );
    let dead = cloud.receive(&cloud.dead).await;
    let dead: Vec<&str> = dead.iter().filter_map(Message::body).collect();
    assert_eq!(dead, ["this is no notification"]);
}
