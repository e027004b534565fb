//! What the routes of promotions and vouchers are, for their readers.

use revtrail_core::attribution::campaign::NAME_BYTES_MAX;
use revtrail_core::promotion::{PromotionKind, TEXT_BYTES_MAX, Type};
use revtrail_core::record::FREE_ITEMS_MAX;
use revtrail_core::value::id::ID_BYTES_MAX;
use revtrail_web::openapi::Doc;
use revtrail_web::openapi::schema::{
    Field, amount_given, any, closed, count, count_given, currency, field, flag, free_text, id,
    instant_given, like, list_up_to, name_up_to, named, object, one_of, optional, patch_of, says,
    text, text_up_to, words,
};
use serde_json::{Value, json};

use super::metadata;
use crate::promotions::{CHARSET, CHARSET_CHARS_MAX, LENGTH, VOUCHERS_MAX};

pub(super) fn operations() -> Vec<(&'static str, Doc)> {
    let csv = says(
        text(),
        "Columns `code` and, where it differs from the promotion's, `limit`.",
    );
    let made = object([
        field("created", count()),
        field("existing", count()).says("Codes that the promotion had before."),
    ]);
    vec![
        (
            "PUT M/promotions/{id}",
            Doc::new("putPromotion", "Promotions", "Replaces a promotion")
                .says("An absent `tracking_from` keeps its value.")
                .body(named("PromotionInput"))
                .if_match()
                .answer(201, "The promotion is new.", named("Promotion"))
                .located()
                .tagged()
                .link("getPromotion", "id", "/promotion_id")
                .link("createVouchers", "id", "/promotion_id")
                .answer(200, "The promotion as it is now.", named("Promotion"))
                .located()
                .tagged()
                .link("getPromotionDashboard", "id", "/promotion_id"),
        ),
        (
            "PATCH M/promotions/{id}",
            Doc::new("patchPromotion", "Promotions", "Changes a promotion")
                .says("A merge patch (RFC 7396): `null` takes a field away.")
                .body(named("PromotionPatch"))
                .if_match()
                .answer(200, "The promotion as it is now.", named("Promotion"))
                .located()
                .tagged(),
        ),
        (
            "POST M/promotions/{id}/vouchers",
            Doc::new(
                "createVouchers",
                "Promotions",
                "Makes vouchers of given codes, or draws codes",
            )
            .body(named("VouchersInput"))
            .body_of("text/csv", csv)
            .once()
            .conflicts("no_new_code")
            .answer(201, "How many were made.", made),
        ),
        (
            "PUT M/promotions/{id}/vouchers/{code}",
            Doc::new(
                "putVoucher",
                "Promotions",
                "Disables a voucher, or changes its limit",
            )
            .body(named("VoucherInput"))
            .answer(200, "The voucher as it is now.", named("Voucher")),
        ),
    ]
}

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("PromotionInput", promotion()),
        ("PromotionPatch", patch_of(promotion())),
        ("VouchersInput", vouchers()),
        ("VoucherInput", voucher()),
    ]
}

/// What a voucher gives.
fn gives() -> [Field; 3] {
    [
        optional("type", words(Type::ALL)).says("What a voucher gives."),
        optional("value", amount_given())
            .says("How much of it; an amount is above 0, and percent are at most 100."),
        optional("currency", currency())
            .says("Of an amount; that of the budget, where it is left out."),
    ]
}

fn promotion() -> Value {
    // A text by itself stands for an object with that id.
    let or_id = |object: Value| json!({ "anyOf": [object, id()] });
    let tier = closed([
        optional("tier_id", id()).says("Needed, here or as `id`."),
        optional("id", id()),
        optional("name", free_text()),
        optional("value", amount_given()),
    ]);
    let rule = closed([
        field("id", id()),
        optional("name", free_text()),
        optional("text", text()),
        optional("version", any()).says("Counted here: what a body says of it is not read."),
    ]);
    let budget = closed([
        field("amount", amount_given()),
        field("currency", currency()),
    ]);
    let own = [
        optional("promotion_id", id()).says("If it is given, the one in the address."),
        optional("created_at", any()).says("Told, not taken."),
        optional("name", like(name_up_to(NAME_BYTES_MAX), "Spring"))
            .says("The id, where it is left out."),
        optional("kind", one_of(PromotionKind::NAMES.map(|(name, _)| name)))
            .says("`global`, where it is left out."),
        optional("voucher", closed(gives()))
            .says("What a voucher gives, if it does not stand beside."),
        optional("redemption_limit", count_given())
            .says("Uses of a voucher that has no limit of its own."),
        optional("limit_per_customer", count_given())
            .says("Successful redemptions of one customer."),
        optional("tiers", list_up_to(FREE_ITEMS_MAX, or_id(tier))),
        optional("starts_at", instant_given()).says("The first instant at which it runs."),
        optional("ends_at", instant_given()).says("The last instant at which it runs."),
        optional("tracking_from", instant_given()).says("Redemptions before it are rejected."),
        optional("budget", budget).says("The most that it may cost."),
        optional("cap", count_given()).says("The most successful redemptions."),
        optional("validation_rules", list_up_to(FREE_ITEMS_MAX, or_id(rule))),
        optional("description", text_up_to(TEXT_BYTES_MAX)),
        optional("metadata", metadata()),
    ];
    closed(own.into_iter().chain(gives()))
}

fn vouchers() -> Value {
    let drawn = format!("How many characters are drawn; {LENGTH}, where it is left out.");
    let from =
        format!("The characters that codes are drawn from; `{CHARSET}`, where it is left out.");
    object([
        optional("codes", list_up_to(VOUCHERS_MAX, like(id(), "SAVE10")))
            .says("Needed, if `generate` is left out."),
        optional(
            "generate",
            json!({ "type": "integer", "minimum": 0, "maximum": VOUCHERS_MAX }),
        )
        .says("How many codes to draw."),
        optional(
            "prefix",
            json!({ "type": "string", "maxLength": ID_BYTES_MAX }),
        )
        .says("What drawn codes begin with."),
        optional(
            "length",
            json!({ "type": "integer", "minimum": 1, "maximum": ID_BYTES_MAX }),
        )
        .says(&drawn),
        optional("charset", text_up_to(CHARSET_CHARS_MAX)).says(&from),
        optional("limit", count_given())
            .says("Uses of each; that of the promotion, where it is left out."),
    ])
}

fn voucher() -> Value {
    object([
        optional("disabled", flag()),
        optional("limit", count_given())
            .says("How often it may be used: null for no limit. Left out, it stays."),
    ])
}
