//! What the routes of promotions and their lists are, for their readers.

use revtrail_core::promotion::redemption::{AssignedBy, Flag, Outcome};
use revtrail_core::promotion::{PromotionKind, PromotionState, Type};
use revtrail_web::openapi::Doc;
use revtrail_web::openapi::schema::{
    Field, amount, any, channel, count, currency, day, field, flag, free_object, id, instant,
    instant_given, list, named, next_cursor, nullable, object, one_of, page, rate, sometimes, sums,
    text, words,
};
use serde_json::Value;

use super::campaigns::sort;
use crate::promotions::COLUMNS;

pub(super) fn operations() -> Vec<(&'static str, Doc)> {
    let of_customer = || sometimes("customer_id", id()).says("Only of this customer.");
    let of_code = || sometimes("voucher_code", id()).says("Only of this code.");
    let of = |id, summary, rows: Value| {
        Doc::new(id, "Promotions", summary)
            .answer(200, "The rows.", page("items", rows))
            .csv()
    };
    let results = one_of(["success", "failure", "rolled_back"]);
    vec![
        (
            "GET M/reports/promotions",
            Doc::new(
                "getPromotionReport",
                "Reports",
                "Reports what promotions cost and brought in",
            )
            .query(
                sometimes("name", text())
                    .says("Only promotions whose name holds the text, in any case."),
            )
            .query(sometimes("kind", kind()).says("Only promotions of this kind."))
            .query(sometimes("segment", id()).says("Only figures of this segment."))
            .query(sometimes("tier", id()).says("Only figures of this tier."))
            .query(
                sometimes("metadata.key", text()).says(
                    "Only promotions whose metadata have this value; `key` stands for any name.",
                ),
            )
            .query(sort(&COLUMNS))
            .answer(200, "The report.", report())
            .csv()
            .link("getPromotion", "id", "/promotions/0/promotion_id")
            .link("getPromotionDashboard", "id", "/promotions/0/promotion_id"),
        ),
        (
            "GET M/promotions/{id}",
            Doc::new("getPromotion", "Promotions", "Shows a promotion")
                .answer(200, "The promotion.", named("Promotion"))
                .tagged(),
        ),
        (
            "GET M/promotions/{id}/dashboard",
            Doc::new(
                "getPromotionDashboard",
                "Promotions",
                "Shows the figures of a promotion, broken down",
            )
            .answer(200, "The figures.", dashboard()),
        ),
        (
            "GET M/promotions/{id}/vouchers",
            of("listVouchers", "Lists the vouchers", named("Voucher")).query(of_code()),
        ),
        (
            "GET M/promotions/{id}/validation-rules",
            of(
                "listValidationRules",
                "Lists the validation rules",
                named("ValidationRule"),
            ),
        ),
        (
            "GET M/promotions/{id}/redemptions",
            of(
                "listRedemptionsOfPromotion",
                "Lists who used a promotion",
                named("Redemption"),
            )
            .query(sometimes("result", results).says("Only of this result."))
            .query(of_customer())
            .query(of_code())
            .query(sometimes("flagged", flag()).says("Only those that are unusual.")),
        ),
        (
            "GET M/promotions/{id}/publications",
            of(
                "listPublications",
                "Lists who was given a code",
                named("Assignment"),
            )
            .query(of_customer())
            .query(of_code()),
        ),
        (
            "GET M/promotions/{id}/distributions",
            of(
                "listDistributions",
                "Lists the messages that carried a code",
                distribution(),
            )
            .query(of_customer())
            .query(of_code()),
        ),
        (
            "GET M/promotions/{id}/metadata",
            of(
                "listMetadata",
                "Lists the free fields",
                object([field("key", text()), field("value", any())]),
            ),
        ),
        (
            "GET M/promotions/{id}/changes",
            of(
                "listChanges",
                "Lists what was changed",
                named("PromotionChange"),
            ),
        ),
        (
            "GET M/quarantine",
            of(
                "listQuarantine",
                "Lists the records that wait for their promotion",
                waiting(),
            )
            .query(sometimes("promotion_id", id()).says("Only what waits for this promotion.")),
        ),
        (
            "GET M/redemptions",
            Doc::new(
                "listRedemptions",
                "Promotions",
                "Lists redemptions in the order of their arrival",
            )
            .query(sometimes("since", instant_given()).says("From this arrival on."))
            .answer(200, "The redemptions.", feed())
            .csv(),
        ),
    ]
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("Promotion", promotion()),
        ("PromotionRow", object(row())),
        ("PromotionChange", change()),
        ("Voucher", voucher()),
        ("ValidationRule", rule()),
        ("Redemption", object(redemption())),
        ("Assignment", assignment()),
    ]
}

fn kind() -> Value {
    one_of(PromotionKind::NAMES.map(|(name, _)| name))
}

fn promotion() -> Value {
    let tier = object([
        field("tier_id", id()),
        field("name", nullable(text())),
        field("value", nullable(amount())),
    ]);
    let budget = object([field("amount", amount()), field("currency", currency())]);
    object([
        field("promotion_id", id()),
        field("name", text()),
        field("kind", kind()),
        field("type", nullable(words(Type::ALL))).says("What a voucher gives."),
        field("value", nullable(amount())).says("How much of it."),
        field("currency", nullable(currency())),
        field("redemption_limit", nullable(count()))
            .says("Uses of a voucher without a limit of its own."),
        field("limit_per_customer", nullable(count())),
        field("tiers", list(tier)),
        field("starts_at", nullable(instant())),
        field("ends_at", nullable(instant())),
        field("tracking_from", instant()).says("Redemptions before it are rejected."),
        field("budget", nullable(budget)),
        field("cap", nullable(count())),
        field("validation_rules", list(named("ValidationRule"))),
        field("description", nullable(text())),
        field("metadata", free_object()),
        field("created_at", instant()),
    ])
}

fn rule() -> Value {
    object([
        field("id", id()),
        field("name", nullable(text())),
        field("text", nullable(text())),
        field("version", count()).says("Counts its changes, from 1."),
    ])
}

fn counts() -> [Field; 4] {
    [
        field("assigned", count()).says("Assignments."),
        field("redeemed", count()).says("Assignments that were redeemed."),
        field("redemptions", count()).says("Successful redemptions, repeats included."),
        field("redemption_rate", rate()).says("Redeemed / assigned."),
    ]
}

fn money() -> [Field; 6] {
    let budget = object([
        field("amount", amount()),
        field("currency", currency()),
        field("spent", amount()),
        field("usage", rate()),
    ]);
    let cap = object([
        field("limit", count()),
        field("used", count()),
        field("usage", rate()),
    ]);
    [
        field("budget", nullable(budget)),
        field("budget_left", nullable(amount()))
            .says("In the budget's currency; negative where rewards went over it."),
        field("cap", nullable(cap)),
        field("state", words(PromotionState::ALL)).says("Whether it runs."),
        field("result", nullable(sums())).says("Orders named by its redemptions, less rewards."),
        sometimes("worst_case", sums())
            .says("What it can cost at most; absent where that is not bounded."),
    ]
}

fn row() -> impl Iterator<Item = Field> {
    let own = [
        field("promotion_id", id()),
        field("name", text()),
        field("kind", kind()),
        field("starts_at", nullable(instant())),
        field("ends_at", nullable(instant())),
    ];
    own.into_iter().chain(counts()).chain(money())
}

fn report() -> Value {
    object([
        field("promotions", list(named("PromotionRow"))),
        field("sort_currency", nullable(currency())).says("Whose money the rows are sorted by."),
        field("as_of", instant()),
        next_cursor(),
    ])
}

fn dashboard() -> Value {
    let part = object([
        field("key", nullable(id())).says("null: without one."),
        field("assigned", count()),
        field("redeemed", count()),
        field("redemption_rate", rate()),
    ]);
    let pair = |a, b| object([field(a, count()), field(b, count())]);
    let by_day = object([
        field("date", day()),
        field("success", count()),
        field("failure", count()),
    ]);
    let pace = object([
        field("days", count()).says("So many days, the present one included."),
        field("redemptions", count()).says("Those that succeeded on them."),
        field("budget_used_up_on", nullable(day()))
            .says("null: no budget, no such redemption, or not within ten years. A redemption costs what it cost on average."),
        field("cap_used_up_on", nullable(day())),
    ]);
    let of_day = object([field("key", day()), field("redeemed", count())]);
    let of_result = object([
        field("key", one_of(["success", "failure", "rolled_back"])),
        field("redemptions", count()),
    ]);
    let breakdown = object([
        field("tier", list(part.clone())),
        field("segment", list(part)),
        field("day", list(of_day)),
        field("result", list(of_result)),
    ]);
    let own = [
        field("promotion", named("Promotion")),
        field("vouchers", count()),
        field("publications", pair("success", "failure")),
        field("messages", pair("delivered", "failed")),
        field("redemptions_by_day", list(by_day)),
        field("pace", pace).says("When the limits would be used up at the pace of the last days."),
        field("breakdown", breakdown),
        field("changes", list(named("PromotionChange"))).says("The last 10."),
    ];
    object(own.into_iter().chain(counts()).chain(money()))
}

fn voucher() -> Value {
    object([
        field("voucher_code", id()),
        field("limit", nullable(count())).says("How often it may be used; null for no limit."),
        field("uses", count()),
        field("disabled", flag()),
        field("assigned", flag()).says("Whether it was given to a customer."),
        field("created_at", instant()),
    ])
}

fn change() -> Value {
    object([
        field("at", instant()),
        field("by", text()).says("The name of the key that changed it."),
        field("field", text()),
        field("before", any()),
        field("after", any()),
    ])
}

fn redemption() -> [Field; 18] {
    [
        field("redemption_id", id()),
        field("promotion_id", id()),
        field("customer_id", id()),
        field("voucher_code", nullable(id())),
        field("tier_id", nullable(id())),
        field("assignment_id", nullable(id())),
        field("order_id", nullable(id())),
        field("redeemed_at", instant()),
        field("result", one_of(["success", "failure", "rolled_back"])),
        field("failure_code", nullable(text())),
        field("reward_amount", nullable(amount())),
        field("currency", nullable(currency())),
        field("cost", nullable(sums()))
            .says("What it takes of the budget; null where that is not known."),
        field("flags", list(words(Flag::ALL))).says("What is unusual about it."),
        field("rolled_back_at", nullable(instant())),
        field("rollback_id", nullable(id())),
        field("rollback_reason", nullable(text())),
        field("arrived_at", instant()),
    ]
}

fn assignment() -> Value {
    object([
        field("assignment_id", id()),
        field("promotion_id", id()),
        field("customer_id", id()),
        field("voucher_code", nullable(id())),
        field("tier_id", nullable(id())),
        field("segment", nullable(id())),
        field("assigned_at", instant()),
        field("result", words(Outcome::ALL)),
        field("channel", words(AssignedBy::ALL)),
        field("arrived_at", instant()),
    ])
}

fn distribution() -> Value {
    object([
        field("customer_id", nullable(id())).says("null where the message went to an address."),
        field("address", nullable(text())).says("The hash of the address, where it went to one."),
        field("campaign_id", id()),
        field("channel", channel()),
        field("message_id", nullable(id())),
        field("voucher_code", id()),
        field("state", one_of(["sent", "delivered", "failed"])),
        field("at", instant()),
    ])
}

fn waiting() -> Value {
    object([
        field("kind", one_of(["assignment", "redemption"])),
        field("id", id()),
        field("promotion_id", id()),
        field("customer_id", id()),
        field("arrived_at", instant()),
        field("reason", text()).says("`unknown_promotion`, or the code of what is wrong with it."),
        field("detail", nullable(text())),
        field(
            "record",
            serde_json::json!({ "anyOf": [named("Assignment"), named("Redemption")] }),
        ),
    ])
}

fn feed() -> Value {
    let entry = redemption()
        .into_iter()
        .chain([field("at", instant()).says("Its place in the feed.")]);
    object([
        field("items", list(object(entry))),
        field("complete_to", instant()).says("What arrived before is in the feed for good."),
        next_cursor(),
    ])
}
