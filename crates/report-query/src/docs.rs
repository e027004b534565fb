//! What the routes of this function are, for their readers.

mod campaigns;
mod orders;
mod promotions;

use revtrail_core::attribution::event::Channel;
use revtrail_core::attribution::settings::{MachineEvents, Refunds, Supersede, WindowFrom, Winner};
use revtrail_core::value::time::Span;
use revtrail_store::batches::BatchState;
use revtrail_store::jobs::runs::RunState;
use revtrail_store::market::access::Role;
use revtrail_web::openapi::schema::{
    Field, count, currency, day, event_kind, field, flag, free_object, id, instant, list, map_of,
    marketplace_id, named, next_cursor, nullable, object, one_of, only, page, says, sometimes,
    status, sums, text, words,
};
use revtrail_web::openapi::{Doc, Docs};
use serde_json::{Value, json};

/// What is said of the routes.
pub fn docs() -> Docs {
    let mut operations = service();
    operations.extend(marketplace());
    operations.extend(jobs());
    operations.extend(campaigns::operations());
    operations.extend(orders::operations());
    operations.extend(promotions::operations());
    let mut schemas = vec![
        ("Marketplace", made_marketplace()),
        ("Key", key()),
        ("Settings", settings()),
        ("SettingsVersion", version()),
        ("Run", run()),
        ("Batch", object(batch())),
        (
            "Segment",
            object(segment(
                field("customers", count()).says("How many customers it has."),
            )),
        ),
        ("Period", object([field("from", day()), field("to", day())])),
    ];
    schemas.extend(campaigns::schemas());
    schemas.extend(orders::schemas());
    schemas.extend(promotions::schemas());
    Docs {
        operations,
        schemas,
    }
}

fn service() -> Vec<(&'static str, Doc)> {
    let ok = || object([field("status", only("ok"))]);
    let document = says(free_object(), "An OpenAPI document.");
    vec![
        (
            "GET /healthz",
            Doc::new("getHealth", "Service", "Tells whether this process answers").answer(
                200,
                "It does.",
                ok(),
            ),
        ),
        (
            "GET /readyz",
            Doc::new("getReadiness", "Service", "Tells whether the table answers").answer(
                200,
                "It does.",
                ok(),
            ),
        ),
        (
            "GET /openapi.json",
            Doc::new("getOpenApi", "Service", "Describes the interface")
                .answer(200, "This document.", document)
                .tagged()
                .empty(304, "The caller has it: its `If-None-Match` is the tag."),
        ),
    ]
}

fn marketplace() -> Vec<(&'static str, Doc)> {
    let all = object([field("marketplaces", list(named("Marketplace")))]);
    let versions = object([field("versions", list(named("SettingsVersion")))]);
    vec![
        (
            "GET /v1/marketplaces",
            Doc::new(
                "listMarketplaces",
                "Access",
                "Lists the marketplaces of the key",
            )
            .answer(200, "The marketplaces.", all),
        ),
        (
            "GET M/settings",
            Doc::new("getSettings", "Settings", "Shows the settings")
                .answer(200, "The newest version.", named("SettingsVersion"))
                .tagged(),
        ),
        (
            "GET M/settings/versions",
            Doc::new(
                "listSettingsVersions",
                "Settings",
                "Lists all versions of the settings",
            )
            .answer(200, "The versions, newest first.", versions),
        ),
    ]
}

fn jobs() -> Vec<(&'static str, Doc)> {
    let segment = object(
        segment(field("customers", list(id())).says("The customers, by id."))
            .into_iter()
            .chain([
                field("customers_total", count()).says("How many customers it has."),
                next_cursor(),
            ]),
    );
    vec![
        (
            "GET M/segments",
            Doc::new("listSegments", "Campaigns", "Lists the segments").answer(
                200,
                "The segments, in the order in which they were saved.",
                page("items", named("Segment")),
            ),
        ),
        (
            "GET M/segments/{id}",
            Doc::new(
                "getSegment",
                "Campaigns",
                "Lists the customers of a segment",
            )
            .answer(200, "The segment, with a page of its customers.", segment)
            .csv(),
        ),
        (
            "GET M/senders",
            Doc::new("listSenders", "Facts", "Lists the senders of webhooks").answer(
                200,
                "Each sender that posted, by name, with what became of its last post.",
                object([field("senders", list(sender()))]),
            ),
        ),
        (
            "GET M/runs",
            Doc::new("listRuns", "Jobs", "Lists the runs")
                .answer(200, "The runs, newest first.", page("runs", named("Run")))
                .link("getRun", "id", "/runs/0/run_id"),
        ),
        (
            "GET M/runs/{id}",
            Doc::new("getRun", "Jobs", "Shows a run").answer(200, "The run.", named("Run")),
        ),
        (
            "GET M/batches",
            Doc::new("listBatches", "Jobs", "Lists the files that arrived")
                .answer(
                    200,
                    "The batches, newest first.",
                    page("batches", named("Batch")),
                )
                .link("getBatch", "id", "/batches/0/batch_id"),
        ),
        (
            "GET M/batches/{id}",
            Doc::new("getBatch", "Jobs", "Shows how far a file is")
                .answer(
                    200,
                    "The batch, with the first rows that were rejected.",
                    object(batch().into_iter().chain([first_rejected()])),
                )
                .csv(),
        ),
    ]
}

/// How fresh a report is, and the period that it is of.
fn freshness() -> [Field; 4] {
    [
        field("period", named("Period"))
            .says("As it was used: days that are not seen any more are not in it."),
        field("as_of", nullable(instant()))
            .says("All facts accepted before are in the figures; null before the first run."),
        field("pending", count()).says("Changed customers that wait for the next run."),
        sometimes("pending_more", flag()).says("There are more than are counted."),
    ]
}

/// The parameters of a period.
fn period_parameters() -> [Field; 2] {
    let from = "The first day. Without both: the last 30 days with today; without one: 30 days from the other.";
    [
        sometimes("from", day()).says(from),
        sometimes("to", day()).says("The first day that is not in the period."),
    ]
}

fn with_revenue() -> Field {
    sometimes("revenue", flag()).says("In CSV: with columns of money, one a currency.")
}

fn made_marketplace() -> Value {
    object([
        field("marketplace_id", marketplace_id()),
        field("name", text()),
        field("created_at", instant()),
    ])
}

fn key() -> Value {
    object([
        field("key_id", text()),
        field("name", text()),
        field("role", one_of(Role::ALL.map(Role::name))),
        field("created_at", instant()),
        field("used_at", nullable(instant()))
            .says("When it was used last in this marketplace, within an hour."),
    ])
}

fn settings() -> Value {
    let rule = object([
        field("connect_on", list(event_kind())),
        field(
            "window",
            json!({ "type": "string", "pattern": Span::PATTERN }),
        ),
        field("window_from", words(WindowFrom::ALL)),
    ]);
    let channels = object(Channel::ALL.map(|channel| sometimes(channel.name(), rule.clone())));
    object([
        field("enabled", flag()),
        field("link", flag()),
        field("timezone", text()),
        field("currency", nullable(currency())),
        field("channels", channels),
        field("winner", words(Winner::ALL)),
        field("supersede", words(Supersede::ALL)),
        field("excluded_tags", list(text())),
        field("counted_statuses", list(status())),
        field("refunds", words(Refunds::ALL)),
        field("machine_events", words(MachineEvents::ALL)),
        field("providers", map_of(free_object())),
    ])
}

fn version() -> Value {
    object([
        field("version", count()),
        field("saved_at", instant()),
        field("saved_by", text()).says("The name of the key that saved it."),
        field("replaced", flag()).says("Replaced before the first order, so it decides nothing."),
        field("settings", named("Settings")),
    ])
}

fn segment(customers: Field) -> [Field; 8] {
    [
        field("segment_id", text()),
        field("name", text()),
        field("campaign_id", id()),
        field("from", day()),
        field("to", day()),
        customers,
        field("saved_at", instant()),
        field("saved_by", text()),
    ]
}

fn sender() -> Value {
    let problem = object([field("code", text()), field("field", nullable(text()))]);
    object([
        field("sender", text()).says("Its name in the address of its webhook."),
        field("at", instant()).says("When the post arrived, within a minute."),
        field("accepted", count()),
        field("duplicates", count()),
        field("rejected", count()),
        field("problem", nullable(problem)).says("Why the first record was rejected."),
        field("ignored", map_of(count()))
            .says("How many things in it mean nothing here, by the sender's words."),
        field("shape", nullable(text())).says(
            "Of a post in which something was ignored: its fields and the kinds of their values.",
        ),
        field("refused", nullable(words(["unreadable", "bad_signature"])))
            .says("Why nothing of it was taken."),
    ])
}

fn run() -> Value {
    let found = object([
        field("of", text()).says("The day or the promotion."),
        field("figure", text()),
        field("stored", text()),
        field("right", text()).says("What it should be."),
        field("repaired", flag()),
    ]);
    let verified = object([
        field("checked", count()).says("Customers who were compared."),
        field("differences", count()).says(
            "Customers whose figures are not what their facts add up to, and days and promotions whose totals are not what they sum.",
        ),
        sometimes("repaired", count()).says("Days and promotions that were set right."),
        sometimes("found", list(found)).says("The first wrong totals."),
        sometimes("found_more", flag()).says("True if more totals are wrong."),
        sometimes("not_compared", list(text()))
            .says("Days that changed all the while, and promotions of which not everything is kept."),
    ]);
    object([
        field("run_id", text()),
        field(
            "state",
            words([RunState::Running, RunState::Done, RunState::Failed]),
        ),
        field("started_at", instant()),
        field("finished_at", nullable(instant())),
        field("units", count()).says("How many jobs the run planned."),
        field("units_done", count()),
        field("customers", count()),
        field("orders", count()),
        field("credits_changed", count()),
        field("revenue_moved", sums()).says("What entered campaigns, less what left them."),
        field("parked", count())
            .says("Customers whose last figures stay, because they cannot be folded."),
        field("errors", count()),
        field("detail", nullable(text())).says("Why the run failed."),
        field("verify", nullable(verified)),
    ])
}

/// Rejected rows as a batch is shown with them.
fn first_rejected() -> Field {
    let row = object([
        field("line", nullable(count())).says("Where the row begins in the file."),
        field("code", nullable(text())),
        field("detail", nullable(text())),
    ]);
    field("first_rejected", list(row)).says("At most 20.")
}

fn batch() -> [Field; 13] {
    let states = [
        BatchState::Received,
        BatchState::Running,
        BatchState::Done,
        BatchState::Failed,
    ];
    [
        field("batch_id", text()),
        field("file", text()),
        field("state", words(states)),
        field("rows", count()),
        field("accepted", count()),
        field("duplicates", count()),
        field("quarantined", count()),
        field("rejected", count()),
        field("rejected_unlisted", count()).says("Rejected rows that are counted only."),
        field("detail", nullable(text())).says("Why the batch failed."),
        field("started_at", instant()),
        field("finished_at", nullable(instant())),
        field("etag", text()),
    ]
}
