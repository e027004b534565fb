//! What the routes of this function are, for their readers. Schemas of what other functions show too stand with theirs.

mod promotions;
mod settings;

use revtrail_core::attribution::campaign::{METADATA_BYTES_MAX, NAME_BYTES_MAX, TAGS_MAX};
use revtrail_core::attribution::settings::Preset;
use revtrail_core::value::id::ID_BYTES_MAX;
use revtrail_store::erasures::ErasureState;
use revtrail_store::jobs::export::{ExportKind, ExportState};
use revtrail_store::jobs::runs::Sample;
use revtrail_store::market::access::Role;
use revtrail_store::market::access_log::{AccessKind, AccessOutcome};
use revtrail_web::openapi::schema::{
    Field, closed, count, day, field, flag, free_object, id, instant, instant_given, like, list,
    list_up_to, map_of, marketplace_id, name_up_to, named, nullable, object, one_of, optional,
    page, says, sometimes, text, text_up_to, words,
};
use revtrail_web::openapi::{Doc, Docs};
use serde_json::{Value, json};

use crate::keys::KEY_MARKETPLACES_MAX;

/// What is said of the routes.
pub fn docs() -> Docs {
    let mut operations = access();
    operations.extend(campaigns());
    operations.extend(jobs());
    operations.extend(settings::operations());
    operations.extend(promotions::operations());
    let mut schemas = vec![
        ("MarketplaceInput", marketplace_input()),
        ("MarketplaceSaved", marketplace_saved()),
        ("KeyInput", key_input()),
        ("KeyMade", key_made()),
        ("CampaignInput", campaign_input()),
        ("SegmentInput", segment_input()),
        ("AccessEntry", access_entry()),
        ("Erasure", erasure()),
        ("ExportInput", export_input()),
        ("Export", export()),
    ];
    schemas.extend(settings::schemas());
    schemas.extend(promotions::schemas());
    Docs {
        operations,
        schemas,
    }
}

fn access() -> Vec<(&'static str, Doc)> {
    let keys = object([field("keys", list(named("Key")))]);
    let deployment =
        "Only the deployment's key makes a marketplace. An administrator's key changes its name.";
    vec![
        (
            "PUT M",
            Doc::new("putMarketplace", "Access", "Makes or renames a marketplace")
                .says(deployment)
                .body(named("MarketplaceInput"))
                .body_may_be_empty()
                .answer(201, "The marketplace is made.", named("MarketplaceSaved"))
                .located()
                .answer(
                    200,
                    "It was there, and has the name now.",
                    named("MarketplaceSaved"),
                )
                .conflicts("conflict"),
        ),
        (
            "POST M/keys",
            Doc::new("createKey", "Access", "Makes an access key")
                .says("The answer alone tells the key: only a hash of it is stored.")
                .body(named("KeyInput"))
                .once()
                .answer(201, "The key is made.", named("KeyMade"))
                .located()
                .link("revokeKey", "key_id", "/key_id"),
        ),
        (
            "GET M/keys",
            Doc::new("listKeys", "Access", "Lists the access keys").answer(
                200,
                "The keys, without their secrets.",
                keys,
            ),
        ),
        (
            "DELETE M/keys/{key_id}",
            Doc::new("revokeKey", "Access", "Revokes an access key")
                .says("The key is refused everywhere within a minute.")
                .empty(204, "The key is revoked."),
        ),
        (
            "GET M/access-log",
            Doc::new(
                "listAccessLog",
                "Access",
                "Lists who was refused, took lists out, or changed something",
            )
            .answer(
                200,
                "The entries, newest first.",
                page("items", named("AccessEntry")),
            ),
        ),
        (
            "DELETE M/customers/{id}",
            Doc::new("eraseCustomer", "Access", "Forgets a customer")
                .says("The facts go on under a pseudonym, so every figure stays.")
                .answer(
                    202,
                    "The erasure is on record, and goes on in the background.",
                    object([field("erasure_id", text())]),
                )
                .located()
                .link("getErasure", "id", "/erasure_id"),
        ),
        (
            "GET M/erasures/{id}",
            Doc::new("getErasure", "Access", "Shows how far an erasure is").answer(
                200,
                "The erasure.",
                named("Erasure"),
            ),
        ),
    ]
}

fn campaigns() -> Vec<(&'static str, Doc)> {
    let saved = object([
        field("segment_id", text()),
        field("customers", count()).says("How many customers were saved."),
    ]);
    vec![
        (
            "PUT M/campaigns/{id}",
            Doc::new(
                "putCampaign",
                "Campaigns",
                "Replaces what people say of a campaign",
            )
            .body(named("CampaignInput"))
            .if_match()
            .answer(201, "The campaign is new.", named("Campaign"))
            .located()
            .tagged()
            .link("getCampaign", "id", "/campaign_id")
            .query(dry_run())
            .answer(
                200,
                "The campaign as it is now, or as it would be.",
                named("Campaign"),
            )
            .located()
            .tagged()
            .headers_may_lack()
            .link("getCampaign", "id", "/campaign_id"),
        ),
        (
            "PATCH M/campaigns/{id}",
            Doc::new(
                "patchCampaign",
                "Campaigns",
                "Changes what people say of a campaign",
            )
            .says("A merge patch (RFC 7396): `null` takes a field away.")
            .body(named("CampaignInput"))
            .if_match()
            .query(dry_run())
            .answer(
                200,
                "The campaign as it is now, or as it would be.",
                named("Campaign"),
            )
            .located()
            .tagged()
            .headers_may_lack(),
        ),
        (
            "POST M/segments",
            Doc::new(
                "saveSegment",
                "Campaigns",
                "Saves the buyers of a campaign in a period",
            )
            .body(named("SegmentInput"))
            .once()
            .conflicts("name_taken")
            .answer(201, "The segment is saved.", saved)
            .located()
            .link("getSegment", "id", "/segment_id")
            .link("deleteSegment", "id", "/segment_id"),
        ),
        (
            "DELETE M/segments/{id}",
            Doc::new("deleteSegment", "Campaigns", "Deletes a segment")
                .empty(204, "The segment is deleted."),
        ),
    ]
}

/// The parameter with which a change is only weighed.
fn dry_run() -> Field {
    sometimes("dry_run", flag()).says("Only says what the change would do.")
}

fn jobs() -> Vec<(&'static str, Doc)> {
    let verify = words([Sample::Sample, Sample::All]);
    let run = closed([
        optional("verify", verify).says("Compares what is stored with what the facts add up to."),
        optional("repair", flag())
            .says("Sets wrong sums right, and logs it; only for administrators, and with `verify` of all."),
    ]);
    vec![(
        "POST M/runs",
        Doc::new("startRun", "Jobs", "Starts a run: facts become figures")
            .says("A run begins by itself every hour.")
            .body(run)
            .body_may_be_empty()
            .once()
            .answer(
                202,
                "The run is on record, and goes on in the background.",
                object([field("run_id", text())]),
            )
            .located()
            .link("getRun", "id", "/run_id"),
    ),
    (
        "POST M/exports",
        Doc::new("startExport", "Jobs", "Writes the rows of some days as files, for other programs")
            .says("Files are JSON lines, gzipped, one for each kind and day, below the marketplace's outbox. They are kept for a day.")
            .body(named("ExportInput"))
            .once()
            .answer(
                202,
                "The export is on record, and goes on in the background.",
                object([field("export_id", text())]),
            )
            .located()
            .conflicts("no_files")
            .link("getExport", "id", "/export_id"),
    ),
    (
        "POST M/uploads",
        Doc::new("offerUpload", "Jobs", "Gives an address that one file of redemptions can be sent to")
            .says("Send the bytes of the file to `url` with `PUT`, without a key, within 15 minutes. `GET M/batches` then shows what becomes of its rows.")
            .body(closed([field("name", like(text_up_to(255), "week-48.csv.gz"))
                .says("The name of the file; it ends in `.csv`, `.jsonl`, `.ndjson`, or one of these with `.gz`.")]))
            .answer(201, "The address.", upload())
            .conflicts("no_files"),
    ),
    (
        "GET M/exports/{id}",
        Doc::new("getExport", "Jobs", "Shows an export, with its files once all are written")
            .answer(200, "The export.", named("Export")),
    )]
}

fn upload() -> Value {
    object([
        field("url", text())
            .says("Where the file is sent to. Whoever knows the address can send it."),
        field("method", one_of(["PUT"])),
        field("file", text()).says("Where the file will lie; its batch names it so."),
        field("expires_at", instant()).says("How long the address is good."),
    ])
}

fn export_kind() -> Value {
    words(ExportKind::ALL)
}

fn export_input() -> Value {
    let mut what = list_up_to(ExportKind::ALL.len(), export_kind());
    what["minItems"] = json!(1);
    closed([
        field("what", what).says("Which rows are written."),
        field("from", day()).says("The first day."),
        field("to", day()).says("The first day that is not written."),
    ])
}

fn export() -> Value {
    let file = object([
        field("file", text()).says("Where the file lies."),
        field("rows", count()),
        field("bytes", count()),
    ]);
    let states = [
        ExportState::Running,
        ExportState::Done,
        ExportState::Removed,
    ];
    object([
        field("export_id", text()),
        field("state", words(states))
            .says("`removed`: a customer was erased since, and the files are deleted."),
        field("what", list(export_kind())),
        field("from", day()),
        field("to", day()),
        field("by", text()).says("The name of the key that asked for it."),
        field("at", instant()),
        field("as_of", nullable(instant())).says("Up to when facts are in the figures."),
        field("expires_at", instant()).says("When the files are deleted."),
        field("detail", nullable(text())),
        field("manifest", nullable(text()))
            .says("The file that names all files, once all are written."),
        field("files", list(file)),
    ])
}

fn marketplace_input() -> Value {
    closed([
        optional("name", name_up_to(NAME_BYTES_MAX)),
        optional("preset", one_of(Preset::ALL.map(Preset::name)))
            .says("The settings to start from; beside `settings` it is refused."),
        optional("settings", named("SettingsInput")),
    ])
}

fn marketplace_saved() -> Value {
    object([
        field("marketplace_id", marketplace_id()),
        field("name", text()),
        field("settings_version", count()),
    ])
}

fn role() -> Value {
    one_of(Role::ALL.map(Role::name))
}

fn key_input() -> Value {
    let mut marketplaces = list_up_to(KEY_MARKETPLACES_MAX, marketplace_id());
    marketplaces["minItems"] = json!(1);
    closed([
        field("name", like(name_up_to(NAME_BYTES_MAX), "reports")).says("Who will use the key."),
        field("role", like(role(), "analyst")),
        optional("marketplaces", marketplaces)
            .says("Which marketplaces the key is good for; only with the deployment's key."),
    ])
}

fn key_made() -> Value {
    object([
        field("key_id", text()),
        field("key", text()).says("The key itself, which is told here only."),
        field("name", text()),
        field("role", role()),
        field("marketplaces", list(marketplace_id())),
    ])
}

fn access_entry() -> Value {
    let whom = "The ids that the call named, and the one that it made. A customer stands here as a keyed hash.";
    object([
        field("at", instant()),
        field("key_id", text()),
        field("key", text()).says("The name that the key had then."),
        field("role", role()),
        field(
            "kind",
            words([AccessKind::Refusal, AccessKind::Export, AccessKind::Change]),
        ),
        field("what", text()).says("The method and the route."),
        field("csv", flag()),
        field("on", map_of(text())).says(whom),
        field(
            "outcome",
            words([
                AccessOutcome::Done,
                AccessOutcome::Refused,
                AccessOutcome::Failed,
            ]),
        ),
        field("status", count()).says("The HTTP status of the answer."),
    ])
}

fn erasure() -> Value {
    object([
        field("erasure_id", text()),
        field("state", words([ErasureState::Running, ErasureState::Done])),
        field("facts", count()).says("How many facts moved to the pseudonym."),
        field("at", instant()),
        field("by", text()).says("The name of the key that asked for it."),
    ])
}

fn tag() -> Value {
    name_up_to(ID_BYTES_MAX)
}

/// Free fields that are kept with a thing.
fn metadata() -> Value {
    says(
        free_object(),
        &format!("Free fields, at most {METADATA_BYTES_MAX} bytes as JSON."),
    )
}

fn campaign_input() -> Value {
    closed([
        optional("campaign_id", id()).says("If it is given, the one in the address."),
        optional("name", like(name_up_to(NAME_BYTES_MAX), "Spring"))
            .says("The id, where it is left out."),
        optional("tags", list_up_to(TAGS_MAX, tag())),
        optional("sent_at", instant_given()).says("Its earliest event, where it is left out."),
        optional("triggered", flag()).says("Sent to each customer at a time of its own."),
        optional("metadata", metadata()),
    ])
}

fn segment_input() -> Value {
    closed([
        field("name", name_up_to(NAME_BYTES_MAX))
            .says("The marketplace has one segment of a name."),
        field("campaign_id", like(id(), "spring")),
        field("from", day()).says("The first day of the period."),
        field("to", day()).says("The first day that is not in it."),
    ])
}
