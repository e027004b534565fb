//! What the routes of settings, what-ifs and replays are, for their readers.

use revtrail_core::attribution::event::{Channel, EventKind};
use revtrail_core::attribution::models::Model;
use revtrail_core::attribution::settings::{
    EXCLUDED_TAGS_MAX, MachineEvents, Preset, Refunds, Supersede, WindowFrom, Winner,
};
use revtrail_core::figures::preview::MOVED_MAX;
use revtrail_core::value::time::Span;
use revtrail_store::jobs::look_aheads::LookState;
use revtrail_web::openapi::Doc;
use revtrail_web::openapi::schema::{
    Field, amount, any, bound, closed, count, currency, field, flag, free_object, id, instant,
    like, list, list_up_to, map_of, named, nullable, object, one_of, optional, page, patch_of,
    share, sometimes, status, sums, text, words,
};
use serde_json::{Value, json};

use super::tag;

pub(super) fn operations() -> Vec<(&'static str, Doc)> {
    let look = "Nothing of it moves a figure. What takes longer than 3 seconds goes on in the background, and is kept for a day.";
    vec![
        (
            "PUT M/settings",
            Doc::new("putSettings", "Settings", "Replaces all settings")
                .says("What is left out takes what the preset says. Equal settings make no new version.")
                .body(named("SettingsInput"))
                .if_match()
                .answer(200, "The settings as they are now.", named("SettingsSaved"))
                .tagged(),
        ),
        (
            "PATCH M/settings",
            Doc::new("patchSettings", "Settings", "Changes some settings")
                .says("A merge patch (RFC 7396): what is left out stays, and `null` takes what it is where nothing is said.")
                .body(named("SettingsPatch"))
                .if_match()
                .answer(200, "The settings as they are now.", named("SettingsSaved"))
                .tagged(),
        ),
        (
            "POST M/what-if",
            Doc::new("tryWhatIf", "Settings", "Tries settings on the orders of a period")
                .says(look)
                .body(named("WhatIfInput"))
                .answer(200, "What the settings would make of the orders.", named("WhatIf"))
                .answer(202, "What there is by now.", named("WhatIf"))
                .located()
                .link("getWhatIf", "id", "/what_if_id"),
        ),
        (
            "GET M/what-ifs/{id}",
            Doc::new("getWhatIf", "Settings", "Shows a what-if, with what was found so far")
                .answer(200, "The what-if.", named("WhatIf")),
        ),
        (
            "POST M/replays",
            Doc::new("startReplay", "Settings", "Applies a saved version to the orders of a period")
                .says("With `dry_run` it only says what would move.")
                .body(named("ReplayInput"))
                .once()
                .answer(202, "The replay is on record, and goes on in the background.", object([field("replay_id", text())]))
                .located()
                .link("getReplay", "id", "/replay_id"),
        ),
        (
            "GET M/replays",
            Doc::new("listReplays", "Settings", "Lists the replays")
                .answer(200, "The replays, newest first.", page("replays", named("Replay"))),
        ),
        (
            "GET M/replays/{id}",
            Doc::new("getReplay", "Settings", "Shows a replay")
                .answer(200, "The replay.", named("Replay")),
        ),
    ]
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let preset = || {
        optional("preset", one_of(Preset::ALL.map(Preset::name)))
            .says("What all that is left out is taken from; `redbox` where it is left out.")
    };
    vec![
        (
            "SettingsInput",
            closed([preset()].into_iter().chain(settings())),
        ),
        ("SettingsPatch", patch_of(closed(settings()))),
        ("SettingsSaved", saved()),
        ("WhatIfInput", what_if_input()),
        ("WhatIf", what_if()),
        ("PurchaseFigures", purchases()),
        ("PreviewTotals", object(preview_totals())),
        ("ReplayInput", replay_input()),
        ("Replay", replay()),
    ]
}

fn settings() -> [Field; 12] {
    let connecting = EventKind::ALL.into_iter().filter(|kind| kind.connects());
    let mut connect_on = list(words(connecting));
    connect_on["minItems"] = json!(1);
    let window = like(json!({ "type": "string", "pattern": Span::PATTERN }), "7d");
    let rule = closed([
        field("connect_on", connect_on).says("What connects a message to a sale."),
        field("window", window).says("For how long, like `24h`, `7d` or `1w`."),
        field("window_from", words(WindowFrom::ALL)).says("Where the window starts."),
    ]);
    let channels = closed(Channel::ALL.map(|channel| optional(channel.name(), rule.clone())));
    let providers = map_of(free_object());
    [
        optional("enabled", flag()).says("Shows or hides revenue in reports."),
        optional("link", flag()).says("Off: orders are connected to nothing."),
        optional("timezone", like(text(), "Europe/Kyiv"))
            .says("The IANA name of the zone in which days begin."),
        optional("currency", currency())
            .says("Only orders of this currency count; null keeps every currency apart."),
        optional("channels", channels).says("A channel that is left out never earns."),
        optional("winner", words(Winner::ALL)).says("Which message earns an order."),
        optional("supersede", words(Supersede::ALL))
            .says("Which later campaign ends the run of an earlier one."),
        optional("excluded_tags", list_up_to(EXCLUDED_TAGS_MAX, tag()))
            .says("Campaigns with one of them never earn."),
        optional("counted_statuses", list(status())).says("Orders of another status do not count."),
        optional("refunds", words(Refunds::ALL)).says("What a refund does to revenue."),
        optional("machine_events", words(MachineEvents::ALL))
            .says("Whether opens and clicks by machines count."),
        optional("providers", providers).says("How a webhook of a mail provider names our ids."),
    ]
}

fn saved() -> Value {
    let changed = object([
        field("field", text()).says("The setting, dotted."),
        field("before", any()),
        field("after", any()),
    ]);
    object([
        field("version", count()),
        field("saved_at", instant()),
        field("saved_by", text()),
        field("settings", named("Settings")),
        field("orders_before", count())
            .says("Visible orders that stay under the versions before this one."),
        sometimes("orders_before_more", flag()).says("True if there are more than were counted."),
        field("orders_before_note", nullable(text())).says("The same in words; null for none."),
        field("changed", list(changed)),
    ])
}

fn what_if_input() -> Value {
    closed([
        field("settings", named("SettingsInput")).says("The settings to try."),
        field("from", bound()).says("The first day, or the first instant, of the period."),
        field("to", bound()).says("The first day, or the first instant, that is not in it."),
        optional("models", list(words(Model::ALL)))
            .says("Other models to share the orders out by."),
        optional("order_id", id()).says("Only this order, wherever its day lies."),
    ])
}

fn purchases() -> Value {
    object([field("purchases", count()), field("revenue", sums())])
}

fn preview_totals() -> [Field; 5] {
    let part = || named("PurchaseFigures");
    [
        field("purchases", count()).says("What campaigns earn, as the next."),
        field("revenue", sums()),
        field("counted", part()).says("Credited and uncredited together."),
        field("credited", part()),
        field("uncredited", part()),
    ]
}

fn what_if() -> Value {
    let part = || named("PurchaseFigures");
    let campaign = object([
        field("campaign_id", id()),
        field("current", part()),
        field("proposed", part()),
    ]);
    let holder = || {
        nullable(object([
            field("campaign_id", id()),
            field("amount", amount()),
        ]))
    };
    let moved = object([
        field("order_id", id()),
        field("customer_id", id()),
        field("currency", currency()),
        field("from", holder())
            .says("Who has the order's counted amount now; null where nobody has any."),
        field("to", holder()).says("Who would have it."),
        field("reason", nullable(text()))
            .says("Why nobody would earn it; null where somebody would."),
        field("credited_to", nullable(named("Credit"))),
    ]);
    let of_model = object([
        field("campaign_id", id()),
        field("revenue", sums()),
        field("orders", count()).says("Orders in which the campaign has a share."),
    ]);
    let model = object([
        field("model", words(Model::ALL)),
        field("campaigns", list(of_model)),
    ]);
    object([
        field("what_if_id", text()),
        field("state", state()),
        field("progress", share()),
        field(
            "period",
            object([field("from", bound()), field("to", bound())]),
        )
        .says("The period as it was used."),
        field("settings", named("Settings")).says("The settings that are tried."),
        field("names", map_of(text())).says("The names of the campaigns, by id."),
        field("skipped", count()).says("Customers whose facts cannot be read."),
        field("orders", count()).says("Orders placed in the period."),
        field("current", named("PreviewTotals")),
        field("proposed", named("PreviewTotals")),
        field("campaigns", list(campaign)),
        field("moved", list_up_to(MOVED_MAX, moved))
            .says("The orders that would move, by order id."),
        field("moved_total", count()),
        field("models", list(model)),
        sometimes("attribution", named("Attribution"))
            .says("With `order_id`: why the order would be credited so."),
    ])
}

fn state() -> Value {
    words([LookState::Running, LookState::Done, LookState::Failed])
}

fn replay_input() -> Value {
    closed([
        field("version", json!({ "type": "integer", "minimum": 0 }))
            .says("The number of a saved version."),
        field("from", bound()).says("The first day, or the first instant, of the period."),
        field("to", bound()).says("The first day, or the first instant, that is not in it."),
        optional("dry_run", flag()).says("Only says what would move."),
    ])
}

fn replay() -> Value {
    let campaign = object([
        field("campaign_id", id()),
        field("purchases", count()),
        field("revenue", sums()),
    ]);
    let totals = || {
        object(
            preview_totals()
                .into_iter()
                .chain([field("campaigns", list(campaign.clone()))]),
        )
    };
    object([
        field("replay_id", text()),
        field("state", state()),
        field("progress", share()),
        field("version", count()),
        field("from", bound()),
        field("to", bound()),
        field("dry_run", flag()),
        field("by", text()).says("The name of the key that asked for it."),
        field("at", instant()),
        field("orders", count()),
        field("moved", count()),
        field("skipped", count()).says("Customers whose facts cannot be read."),
        field("before", totals()),
        field("after", totals()),
        sometimes("names", map_of(text())).says("The names of the campaigns, by id."),
    ])
}
