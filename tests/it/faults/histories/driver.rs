//! One way through a history: what is told through the real handlers, what the attributor does meanwhile, what fails, and what
//! must hold after it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;

use chrono::NaiveDate;
use hourly_attributor::{Attributor, JobLimits};
use http::Method;
use revtrail_core::value::address::{AddressHash, Recipient};
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::money::{Currency, Money, Sums};
use revtrail_core::value::time::{DAY_MS, Day, Instant, Retention};
use revtrail_oracle::histories::{History, Told, Verdict};
use revtrail_oracle::naive::{Facts, Replay, Version};
use revtrail_oracle::worlds::Rng;
use revtrail_store::jobs::job::{JobMessage, Work};
use revtrail_store::market::Market;
use serde_json::{Value, json};

use crate::support::fault_client::{FAULTS, FaultClient};
use crate::support::fixtures::{segment, strip};
use crate::support::invariants::{consistent, everybody};
use crate::support::service::{ADMIN, Service};

/// A minute.
pub const MINUTE_MS: i64 = 60_000;

/// What a marketplace is told in one call.
#[derive(Debug, Clone)]
pub enum Act {
    Settings(Value),
    Campaign(Value),
    Events(Vec<Value>),
    Orders(Vec<Value>),
}

/// Whose an accepted fact is, as a recipient's text: an event without a customer is its address's.
fn owner(marketplace: &str, told: &Told, body: &Value) -> String {
    if body["event_id"].is_null() || !body["customer_id"].is_null() {
        return told.owner(body).to_owned();
    }
    let marketplace = MarketplaceId::new(marketplace).unwrap();
    let hash = match (&body["email"], &body["phone"]) {
        (Value::String(email), _) => AddressHash::of_email(&marketplace, email),
        (_, phone) => AddressHash::of_phone(&marketplace, phone.as_str().unwrap()),
    };
    Recipient::from(hash.unwrap()).to_string()
}

/// One way through a history.
pub struct Driver<'h> {
    history: &'h History,
    pub rng: Rng,
    line: FaultClient,
    service: Service,
    /// The true time; every call sees it up to ten minutes off.
    pub now: i64,
    /// No run's clock shows more: settings that were saved at this time the first way are to be saved at it again, and none come
    /// into force before the last run.
    pub runs_until: i64,
    /// What each marketplace was told: `a`, and its neighbour `b`.
    pub told: BTreeMap<&'static str, Told>,
    queue: VecDeque<JobMessage>,
    /// How often the attributor did something; nobody else moves figures.
    attributions: usize,
    /// Of each order the copy that stood last.
    stood: BTreeMap<String, String>,
    trace: &'h Mutex<Vec<String>>,
}

impl<'h> Driver<'h> {
    pub async fn new(
        history: &'h History,
        seed: u64,
        neighbour: bool,
        trace: &'h Mutex<Vec<String>>,
    ) -> Self {
        let line = FaultClient::new();
        // It costs a read for every write.
        if seed.is_multiple_of(3) {
            line.remember();
        }
        let now = history.moments[0].at;
        let service = Self::service(history, &line, now);
        service.store.create_table().await.unwrap();
        let mut told = BTreeMap::from([("a", Told::new(history))]);
        if neighbour {
            told.insert("b", Told::new(history));
        }
        Self {
            history,
            rng: Rng::new(seed),
            line,
            service,
            now,
            runs_until: i64::MAX,
            told,
            queue: VecDeque::new(),
            attributions: 0,
            stood: BTreeMap::new(),
            trace,
        }
    }

    /// A service that remembers nothing, as after a crash.
    fn service(history: &History, line: &FaultClient, now: i64) -> Service {
        let store = line.store();
        let retention = Retention::days(history.retention_days).unwrap();
        Service::on(
            store,
            line.tripwire.clone(),
            Instant::from_ms(now),
            retention,
        )
    }

    fn market(&self, id: &str) -> Market {
        self.service
            .store
            .market(&MarketplaceId::new(id).unwrap(), self.service.retention)
    }

    fn marker(&self, text: String) {
        self.trace
            .lock()
            .unwrap()
            .push(format!("{} {text}", Instant::from_ms(self.now)));
    }

    /// What the next caller's clock shows.
    pub fn look_at_the_clock(&mut self) -> i64 {
        self.now += self.rng.below(3) as i64 * MINUTE_MS;
        let skew = match self.rng.below(10) {
            0 => -10 * MINUTE_MS,
            1 => 10 * MINUTE_MS,
            2 => self.rng.below(600_000) as i64 - 300_000,
            _ => 0,
        };
        self.now + skew
    }

    fn plan_failures(&mut self) {
        match self.rng.below(10) {
            0..=3 => self.line.clear(),
            4..=7 => {
                let (call, fault) = (1 + self.rng.below(30), *self.rng.pick(&FAULTS));
                self.marker(format!("  at call {call}: {fault:?}"));
                self.line.fail_at(call, fault);
            }
            _ => {
                let percent = 2 + self.rng.below(8);
                self.marker(format!("  {percent} of 100 calls fail"));
                self.line.throw_dice(self.rng.next_u64(), percent);
            }
        }
    }

    /// One call until it is answered, and not by a server error; the clock of the first try counts. True where the first try was it.
    async fn insist(
        &mut self,
        method: Method,
        path: &str,
        body: &Value,
        clock: i64,
    ) -> (bool, u16, Value) {
        for attempt in 0..6 {
            self.service.set_now(Instant::from_ms(clock));
            if attempt < 2 {
                self.plan_failures();
            } else {
                self.line.clear();
            }
            let (status, answer) = self
                .service
                .call_as(ADMIN, method.clone(), path, Some(body))
                .await;
            self.line.clear();
            if !status.is_server_error() {
                return (attempt == 0, status.as_u16(), answer);
            }
            self.marker(format!("  {method} {path}: {status}"));
            self.service = Self::service(self.history, &self.line, clock);
            if self.rng.chance(30) {
                self.attribute().await;
            }
        }
        panic!("{method} {path} does not get through");
    }

    /// Something that the attributor or its queue does.
    async fn attribute(&mut self) {
        self.attributions += 1;
        let clock = self.look_at_the_clock().min(self.runs_until);
        self.service.set_now(Instant::from_ms(clock));
        let limits = JobLimits {
            job_customers: 1 + self.rng.below(3),
            batch_customers: 1 + self.rng.below(3),
            shards: 1 + self.rng.below(3) as u8,
            append_above: 0,
            ..JobLimits::DEFAULT
        };
        let attributor = Attributor {
            limits,
            ..self.service.attributor()
        };
        self.plan_failures();
        if self.queue.is_empty() || self.rng.chance(25) {
            self.marker("tick".to_owned());
            if let Ok(messages) = attributor.tick().await {
                self.queue.extend(messages);
            }
            self.line.clear();
            return;
        }
        let place = self.rng.below(self.queue.len());
        let message = self.queue.remove(place).unwrap();
        if self.rng.chance(15) {
            self.queue.push_back(message.clone());
        }
        if self.rng.chance(10) {
            self.marker(format!("lost {message:?}"));
            self.line.clear();
            return;
        }
        let hand_over = self.rng.chance(30);
        self.marker(format!(
            "handle {message:?} {}",
            if hand_over { "no time" } else { "" }
        ));
        let armed = self.line.tripwire.arm(message.marketplace().as_str());
        let now = Instant::from_ms(clock);
        let stop_at = if hand_over { now } else { Instant::MAX };
        let outcome = attributor.handle(&message, &|| now, stop_at).await;
        drop(armed);
        self.line.tripwire.assert_untouched();
        self.line.clear();
        match outcome {
            Ok(more) => self.queue.extend(more),
            // The queue gives it again, or it went to the dead letters.
            Err(error) => {
                assert!(!error.to_string().contains("cannot be read"), "{error}");
                self.marker(format!("  {error}"));
                if self.rng.chance(70) {
                    self.queue.push_back(message);
                }
            }
        }
    }

    async fn act(&mut self, id: &'static str, act: &Act, clock: i64) {
        let path = |rest: &str| format!("/v1/marketplaces/{id}/{rest}");
        match act {
            Act::Settings(settings) => {
                self.marker(format!("{id} settings {settings}"));
                let (_, status, answer) = self
                    .insist(Method::PUT, &path("settings"), settings, clock)
                    .await;
                assert_eq!(status, 200, "{answer}");
                self.told
                    .get_mut(id)
                    .unwrap()
                    .saved
                    .insert(answer["version"].as_u64().unwrap(), settings.clone());
                self.read_versions(id, &answer, clock).await;
            }
            Act::Campaign(told) => {
                self.marker(format!("{id} campaign {told}"));
                let campaign = told["campaign_id"].as_str().unwrap();
                let path = path(&format!("campaigns/{}", segment(campaign)));
                let (_, status, answer) = self.insist(Method::PUT, &path, told, clock).await;
                assert!(matches!(status, 200 | 201), "{status} {answer}");
                self.told
                    .get_mut(id)
                    .unwrap()
                    .campaigns
                    .push((clock, told.clone()));
            }
            Act::Events(records) | Act::Orders(records) => {
                let events = matches!(act, Act::Events(_));
                let what = if events { "events" } else { "orders" };
                self.marker(format!(
                    "{id} {what} at {} {}",
                    Instant::from_ms(clock),
                    json!(records)
                ));
                let body = json!(records);
                let (clean, status, answer) =
                    self.insist(Method::POST, &path(what), &body, clock).await;
                let told = self.told.get_mut(id).unwrap();
                let one = |record| {
                    if events {
                        told.event(record, clock)
                    } else {
                        told.order(record, clock)
                    }
                };
                let verdicts: Vec<Verdict> = records.iter().map(one).collect();
                let places = |of: Verdict| {
                    (0..verdicts.len())
                        .filter(|i| verdicts[*i] == of)
                        .collect::<Vec<_>>()
                };
                let rejected = places(Verdict::Rejected);
                let shown: Vec<usize> = answer["rejected"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|one| one["index"].as_u64().unwrap() as usize)
                    .collect();
                assert_eq!(shown, rejected, "{answer}");
                assert_eq!(
                    status,
                    if rejected.len() == records.len() {
                        422
                    } else {
                        202
                    },
                    "{answer}"
                );
                let n = |name: &str| answer[name].as_u64().unwrap() as usize;
                assert_eq!(
                    n("accepted") + n("duplicates") + rejected.len(),
                    records.len(),
                    "{answer}"
                );
                if events && clean {
                    assert_eq!(
                        n("duplicates"),
                        places(Verdict::Duplicate).len(),
                        "{answer}"
                    );
                }
            }
        }
    }

    /// The versions in force, with the time each was saved, which is the receiver's clock or, where that went back, the last one's.
    async fn read_versions(&mut self, id: &str, saved: &Value, clock: i64) {
        let listed = self
            .service
            .get(&format!("/v1/marketplaces/{id}/settings/versions"))
            .await;
        let told = self.told.get_mut(id).unwrap();
        let at = |version: &Value| {
            Instant::parse(version["saved_at"].as_str().unwrap())
                .unwrap()
                .ms()
        };
        let versions = listed["versions"].as_array().unwrap();
        let last = told
            .versions
            .last()
            .map(|last| (last.number, last.in_force_from));
        if last.is_none_or(|(number, _)| number < saved["version"].as_u64().unwrap()) {
            assert!(at(saved) >= clock, "{saved}");
        }
        let has_orders = !told.orders.is_empty();
        let before = told.versions.len();
        told.versions = versions
            .iter()
            .rev()
            .filter(|version| version["replaced"] != json!(true))
            .map(|version| Version {
                number: version["version"].as_u64().unwrap(),
                in_force_from: Some(at(version)),
                settings: told.saved[&version["version"].as_u64().unwrap()].clone(),
            })
            .collect();
        told.versions[0].in_force_from = None;
        assert!(
            told.versions.len() >= before && (has_orders || told.versions.len() == 1),
            "{listed}"
        );
    }

    /// Erases a customer of `a` while calls fail. Nothing else is told until it is done, so that what comes later is a new customer's.
    pub async fn erase(&mut self, customer: &'static str) {
        self.marker(format!("a erases {customer:?}"));
        let path = format!("/v1/marketplaces/a/customers/{}", segment(customer));
        let clock = self.now;
        let nothing = json!({});
        let asked = self.insist(Method::DELETE, &path, &nothing, clock);
        let (_, status, answer) = asked.await;
        assert_eq!(status, 202, "{answer}");
        let erasure = answer["erasure_id"].as_str().unwrap().to_owned();
        let path = format!("/v1/marketplaces/a/erasures/{erasure}");
        let mut pseudonym = None;
        // Calls that died closed no intake marker. The worker's clock shows that they did, be the clock of a call as fast as it may.
        let now = Instant::from_ms(self.now + 40 * MINUTE_MS);
        for attempt in 0.. {
            self.line.clear();
            let held = self.line.database.items().unwrap();
            let record = held
                .iter()
                .find(|item| item["sk"]["S"] == *erasure)
                .unwrap();
            let record: Value = serde_json::from_str(record["d"]["S"].as_str().unwrap()).unwrap();
            let named = record["of"]["pseudonym"].as_str();
            pseudonym = named.map(str::to_owned).or(pseudonym);
            if self.service.get(&path).await["state"] == "done" {
                break;
            }
            assert!(attempt < 40, "{customer:?} is not erased");
            let jobs = self.market("a").jobs().jobs().await.unwrap();
            let job = jobs
                .into_iter()
                .find(|job| matches!(&job.work, Work::Erase { erasure: of, .. } if *of == erasure));
            let message = JobMessage::Work {
                marketplace: MarketplaceId::new("a").unwrap(),
                job_id: job.unwrap().job_id,
            };
            if attempt < 12 {
                self.plan_failures();
            }
            let stop_at = if self.rng.chance(30) {
                now
            } else {
                Instant::MAX
            };
            let worked = self
                .service
                .attributor()
                .handle(&message, &|| now, stop_at)
                .await;
            self.queue.extend(worked.unwrap_or_default());
        }
        // If it was done while it was asked for, nobody saw the name; then nothing was there.
        let Some(pseudonym) = pseudonym else { return };
        self.line.clear();
        let (mut stands, told) = (BTreeMap::new(), &self.told["a"]);
        for id in told.owners.keys() {
            let id_ = segment(id);
            let path = format!("/v1/marketplaces/a/orders/{id_}");
            let (_, shown) = self.service.call_as(ADMIN, Method::GET, &path, None).await;
            stands.insert(id.clone(), shown);
        }
        let same = |copy: &Value| {
            let shown = &stands[copy["order_id"].as_str().unwrap()];
            let at = |body: &Value| {
                body["updated_at"]
                    .as_str()
                    .map(|at| Instant::parse(at).unwrap())
            };
            // Copies state amounts as texts or as numbers of JSON, and leave out what is 0.
            let money = |body: &Value, field: &str| match &body[field] {
                Value::Null => Money::ZERO,
                Value::String(text) => Money::parse(text).unwrap(),
                number => Money::parse(&number.to_string()).unwrap(),
            };
            let status = |body: &Value| body["status"].as_str().map(str::to_ascii_uppercase);
            shown["order_id"].is_null()
                || (at(copy), status(copy)) == (at(shown), status(shown))
                    && ["total", "refunded_total"]
                        .iter()
                        .all(|field| money(copy, field) == money(shown, field))
        };
        self.told
            .get_mut("a")
            .unwrap()
            .erase(customer, &pseudonym, same);
        self.stood.clear();
    }

    /// The invariants that hold at every instant, whatever waits and whatever failed: of the facts and, where they may have moved
    /// since they were last looked at, of the figures.
    pub async fn consistent(&mut self, id: &'static str, figures: bool) {
        let (market, now) = (self.market(id), Instant::from_ms(self.now));
        let mut customers = self.history.customers.clone();
        customers.push("~first");
        let told = &self.told[id];
        // On the second way a pseudonym is a customer like any other.
        let named = told.events.iter().chain(&told.orders);
        let named: BTreeSet<String> = named.map(|(_, body)| owner(id, told, body)).collect();
        let others: BTreeSet<&str> = named
            .iter()
            .chain(&told.pseudonyms)
            .map(String::as_str)
            .filter(|named| !customers.contains(named))
            .collect();
        customers.extend(others);
        let all = if figures {
            let campaigns = &self.history.campaigns;
            consistent(&market, &customers, campaigns, self.first_day(id), now).await
        } else {
            everybody(&market, &customers, now).await
        };
        for (customer, facts) in all {
            let customer = customer.to_string();
            // What was answered with 202 is there, and nothing that was refused. Events of a pseudonym have other ids, and are told
            // apart by what else they say.
            let renamed = told.pseudonyms.contains(&customer);
            let said = |at: Instant, kind: &str, campaign: &str, message: &str| {
                format!("{at} {kind} {campaign} {message}")
            };
            let says: Vec<String> = facts
                .events
                .iter()
                .map(|event| {
                    let message = event.message_id.as_ref().map_or("", |id| id.as_str());
                    match renamed {
                        true => said(
                            event.occurred_at,
                            event.kind.name(),
                            event.campaign_id.as_str(),
                            message,
                        ),
                        false => event.event_id.to_string(),
                    }
                })
                .collect();
            let there: BTreeSet<&str> = says
                .iter()
                .map(String::as_str)
                .chain(facts.orders.iter().map(|order| order.order_id.as_str()))
                .collect();
            let kept_from = now.minus_ms(self.service.retention.keep_ms());
            let mine = |(_, body): &&(i64, Value)| owner(id, told, body) == customer;
            let (mut accepted, mut kept) = (BTreeSet::new(), BTreeSet::new());
            for (_, body) in told.events.iter().chain(&told.orders).filter(mine) {
                let of =
                    |name: &str, other: &str| body[name].as_str().or(body[other].as_str()).unwrap();
                let at = Instant::parse(of("occurred_at", "placed_at")).unwrap();
                let text = |name: &str| body[name].as_str().unwrap_or_default();
                let name = match renamed && body["event_id"].is_string() {
                    true => said(at, text("kind"), text("campaign_id"), text("message_id")),
                    false => of("event_id", "order_id").to_owned(),
                };
                if at > kept_from {
                    kept.insert(name.clone());
                }
                accepted.insert(name);
            }
            let accepted: BTreeSet<&str> = accepted.iter().map(String::as_str).collect();
            let kept: BTreeSet<&str> = kept.iter().map(String::as_str).collect();
            assert!(
                kept.is_subset(&there) && there.is_subset(&accepted),
                "{id} {customer}: {kept:?} of {accepted:?} accepted, {there:?} there"
            );
            if id == "a" {
                for order in facts.orders {
                    let (key, stands) = (order.order_id.to_string(), order.standing());
                    let stood = self.stood.insert(key, stands.clone());
                    assert!(
                        stood.as_ref().is_none_or(|stood| *stood <= stands),
                        "an order went back from {stood:?} to {stands}"
                    );
                }
            }
        }
    }

    /// The first day that every clock and every zone shows.
    fn first_day(&self, id: &str) -> Day {
        Instant::from_ms(self.now)
            .day(self.zone(id))
            .minus(self.history.retention_days)
            .plus(2)
    }

    fn zone(&self, id: &str) -> chrono_tz::Tz {
        self.told[id].versions.last().unwrap().settings["timezone"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    }

    async fn idle(&self, id: &str) -> bool {
        let market = self.market(id);
        market.intake().markers().await.unwrap().is_empty()
            && market.jobs().jobs().await.unwrap().is_empty()
    }

    /// A version is replayed: asked for, worked at over a line that fails and then over one that does not. A period that is too
    /// old by now is refused.
    pub async fn replay(&mut self, replay: Replay, clock: i64) {
        let Replay { from, to, version } = &replay;
        self.marker(format!("a replays {version} from {from} to {to}"));
        let body = json!({"version": version, "from": from, "to": to});
        let path = "/v1/marketplaces/a/replays";
        let (_, status, answer) = self.insist(Method::POST, path, &body, clock).await;
        if status == 422 {
            assert_eq!(answer["errors"][0]["code"], "too_old", "{answer}");
            return;
        }
        assert_eq!(status, 202, "{answer}");
        self.queue.extend(self.service.enqueued());
        for _ in 0..self.rng.below(4) {
            self.attribute().await;
        }
        self.line.clear();
        self.attributions += 1;
        let now = Instant::from_ms(self.now.min(self.runs_until));
        self.service.set_now(now);
        let attributor = self.service.attributor();
        let mut left: Vec<JobMessage> = self.queue.drain(..).collect();
        left.extend(attributor.tick().await.unwrap());
        attributor.drain(left, &|| now).await.unwrap();
        let id = answer["replay_id"].as_str().unwrap();
        let shown = self.service.get(&format!("{path}/{id}")).await;
        assert_eq!(shown["state"], "done", "{shown}");
        let told = self.told.get_mut("a").unwrap();
        told.replays.push((clock, replay));
        self.consistent("a", true).await;
    }

    /// Nothing fails any more: two runs, and nothing waits.
    pub async fn drain(&mut self) {
        self.line.clear();
        self.now += 30 * MINUTE_MS;
        self.marker("drain".to_owned());
        let now = Instant::from_ms(self.now);
        self.service.set_now(now);
        let mut left: Vec<JobMessage> = self.queue.drain(..).collect();
        for _ in 0..2 {
            left.extend(self.service.attributor().tick().await.unwrap());
            self.service
                .attributor()
                .drain(std::mem::take(&mut left), &|| now)
                .await
                .unwrap();
            if self.waiting().await.is_empty() {
                return;
            }
        }
        panic!("two runs leave {:?}", self.waiting().await);
    }

    /// The intake markers and jobs that wait, of all marketplaces.
    async fn waiting(&self) -> Vec<String> {
        let mut waiting = Vec::new();
        for id in self.told.keys() {
            let market = self.market(id);
            let line = |of: &dyn std::fmt::Debug| format!("{id}: {of:?}");
            waiting.extend(
                market
                    .intake()
                    .markers()
                    .await
                    .unwrap()
                    .iter()
                    .map(|marker| line(marker)),
            );
            waiting.extend(
                market
                    .jobs()
                    .jobs()
                    .await
                    .unwrap()
                    .iter()
                    .map(|job| line(job)),
            );
        }
        waiting
    }

    /// All that a user sees of the days that every clock shows, while nothing waits: it is what the second implementation says.
    /// Gives it back, without how fresh it is; a glance sees only a part.
    pub async fn exact(&mut self, id: &'static str, glance: bool) -> Value {
        self.service.set_now(Instant::from_ms(self.now));
        let facts = Facts::read(&self.told[id].world());
        let (from, to) = (
            self.first_day(id),
            Instant::from_ms(self.now).day(self.zone(id)).plus(2),
        );
        let date = |day: Day| Some(day.to_string().parse::<NaiveDate>().unwrap());
        let period = format!("from={from}&to={to}");
        let get = async |rest: String| {
            let mut body = self
                .service
                .get(&format!("/v1/marketplaces/{id}/{rest}"))
                .await;
            assert!(
                body.get("pending")
                    .is_none_or(|pending| *pending == json!(0)),
                "{rest}: {body}"
            );
            strip(
                &mut body,
                &["as_of", "pending", "next_cursor", "estimate", "period"],
            );
            body
        };
        let mut seen = Vec::new();
        if !glance {
            let models = revtrail_oracle::naive::MODELS;
            let (settings, from, to) = (
                &self.history.first_settings,
                from.to_string(),
                to.to_string(),
            );
            let body = json!({"settings": settings, "from": from, "to": to, "models": models});
            let path = format!("/v1/marketplaces/{id}/what-if");
            let (status, mut shown) = self.service.post(&path, &body).await;
            assert_eq!(
                (status.as_u16(), &shown["state"]),
                (200, &json!("done")),
                "{shown}"
            );
            strip(
                &mut shown,
                &[
                    "what_if_id",
                    "state",
                    "progress",
                    "period",
                    "skipped",
                    "settings",
                    "names",
                ],
            );
            assert_eq!(
                shown,
                facts.what_if(settings, [&from, &to]),
                "{id} {from} to {to}"
            );
            seen.push(shown);
        }
        let reports = seen.len();
        for channel in [None, Some("email")]
            .into_iter()
            .take(if glance { 1 } else { 2 })
        {
            let filter = channel
                .map(|channel| format!("&channel={channel}"))
                .unwrap_or_default();
            let report = get(format!(
                "reports/campaigns?{period}&limit=1000&sort=campaign_id{filter}"
            ))
            .await;
            let mut plain = report.clone();
            strip(&mut plain, &["sale_formula"]);
            assert_eq!(
                plain,
                facts.campaign_report(date(from), date(to), channel),
                "{id} {period} {channel:?}"
            );
            seen.push(report);
        }
        let rows = seen[reports]["campaigns"].as_array().unwrap().clone();
        for row in rows.into_iter().filter(|_| !glance) {
            let campaign = segment(row["campaign_id"].as_str().unwrap());
            let one = get(format!("reports/campaigns/{campaign}?{period}")).await;
            let list = get(format!(
                "reports/campaigns/{campaign}/purchases?{period}&limit=1000"
            ))
            .await;
            if let Some(purchases) = row.get("purchases") {
                let bought = list["purchases"].as_array().unwrap();
                let amount = |one: &Value| {
                    (
                        Currency::parse(one["currency"].as_str().unwrap()).unwrap(),
                        serde_json::from_value::<Money>(one["amount"].clone()).unwrap(),
                    )
                };
                let sums: Sums = bought.iter().map(amount).collect();
                assert_eq!(
                    (purchases, &row["revenue"]),
                    (&json!(bought.len()), &json!(sums)),
                    "{id} {campaign}: {list}"
                );
            }
            seen.extend([one, list]);
        }
        let orders = get(format!("reports/orders?{period}")).await;
        assert_eq!(orders, facts.orders_report(date(from), date(to)));
        let classes = get(format!("reports/reconciliation?{period}")).await["orders"].clone();
        let naive = facts.order_classes(date(from), date(to));
        for (class, n) in naive.as_object().unwrap() {
            assert_eq!(&classes[class], n, "{class}");
        }
        let n = |name: &str| classes[name].as_i64().unwrap();
        assert_eq!(
            n("received"),
            n("arrived") + n("duplicates") + n("older_copies") + n("rejected"),
            "{classes}"
        );
        let mut listed = get(format!("orders?{period}&limit=1000")).await;
        // Whoever is erased has no address any more, and the same facts another way are of somebody who has.
        strip(&mut listed, &["email", "phone"]);
        seen.extend([orders, naive, listed]);
        let placed: BTreeMap<String, i64> = self.told[id]
            .orders
            .iter()
            .map(|(_, body)| {
                (
                    body["order_id"].as_str().unwrap().to_owned(),
                    Instant::parse(body["placed_at"].as_str().unwrap())
                        .unwrap()
                        .ms(),
                )
            })
            .collect();
        for (order, placed_at) in placed.into_iter().take(if glance { 1 } else { usize::MAX }) {
            let path = format!(
                "/v1/marketplaces/{id}/orders/{}/attribution",
                segment(&order)
            );
            let (status, mut shown) = self.service.call_as(ADMIN, Method::GET, &path, None).await;
            let age = self.now - placed_at;
            assert_eq!(
                status.as_u16(),
                if age <= self.service.retention.ms() {
                    200
                } else {
                    404
                },
                "{order}: {shown}"
            );
            if status.is_success() {
                if age < self.service.retention.ms() - 2 * DAY_MS {
                    assert_eq!(shown["decided"], "run", "{order}: {shown}");
                }
                strip(&mut shown, &["sale_formula", "decided"]);
                assert_eq!(shown, facts.attribution(&order), "{order}");
                seen.push(shown);
            }
        }
        json!(seen)
    }

    /// One call, and what the attributor does meanwhile; all invariants after each.
    pub async fn step(&mut self, id: &'static str, act: &Act, clock: Option<i64>) {
        let clock = clock.unwrap_or_else(|| self.look_at_the_clock());
        // No clock is further ahead.
        self.now = self.now.max(clock - 10 * MINUTE_MS);
        let attributions = self.attributions;
        self.act(id, act, clock).await;
        let most = if self.told.len() == 2 { 3 } else { 2 };
        for _ in 0..self.rng.below(most) {
            self.attribute().await;
        }
        for id in self.told.keys().copied().collect::<Vec<_>>() {
            // After every step of the first way; the second has the same steps, and is there for its end.
            let percent = match (id, self.told.len()) {
                ("a", 2) => 100,
                _ => 10,
            };
            if self.rng.chance(percent) {
                self.consistent(id, self.attributions > attributions).await;
            }
        }
        if self.told.len() == 2 && self.rng.chance(25) && self.idle("a").await {
            self.exact("a", true).await;
        }
    }

    /// Between two moments: things expire, and the table deletes them now, later or not yet.
    pub async fn arrive(&mut self, at: i64) {
        // Facts are kept two days longer than they matter: an attributor that fails for longer may lose what they told of campaigns.
        if at - self.now > DAY_MS {
            self.drain().await;
        }
        self.now = self.now.max(at);
        if self.rng.chance(60) {
            let by = Instant::from_ms(self.now - self.rng.below(4) as i64 * DAY_MS);
            let swept = self.line.sweep(by).await;
            self.marker(format!("swept {swept}"));
            self.consistent("a", true).await;
        }
        if self.rng.chance(30) && self.idle("a").await {
            self.exact("a", true).await;
        }
    }

    /// Asks for what is stored to be held against the facts: there is no difference.
    pub async fn verify(&mut self) {
        let path = "/v1/marketplaces/a/runs";
        let (_, asked) = self.service.post(path, &json!({"verify": "all"})).await;
        self.service.work_off().await;
        let run = self
            .service
            .get(&format!("{path}/{}", asked["run_id"].as_str().unwrap()))
            .await;
        assert_eq!(
            (&run["state"], &run["verify"]["differences"]),
            (&json!("done"), &json!(0)),
            "{run}"
        );
    }

    pub async fn make(&mut self) {
        for id in self.told.keys().copied().collect::<Vec<_>>() {
            let body = json!({"name": id, "settings": self.history.first_settings});
            let clock = self.now;
            let (_, status, answer) = self
                .insist(Method::PUT, &format!("/v1/marketplaces/{id}"), &body, clock)
                .await;
            assert!(matches!(status, 200 | 201), "{answer}");
            let told = self.told.get_mut(id).unwrap();
            told.saved.insert(1, self.history.first_settings.clone());
            told.versions = vec![Version {
                number: 1,
                in_force_from: None,
                settings: self.history.first_settings.clone(),
            }];
        }
    }
}
