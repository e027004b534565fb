//! What the routes of this function are, for their readers.

use revtrail_core::promotion::redemption::{AssignedBy, Outcome, Refusal};
use revtrail_core::value::id::ID_BYTES_MAX;
use revtrail_web::openapi::schema::{
    self, Field, amount_given, currency, event_kind, field, free_text_given, id, instant_given,
    like, list, named, nullable, object, only, optional, sometimes, text, words,
};
use revtrail_web::openapi::{Doc, Docs};
use serde_json::{Value, json};

/// What is said of the routes.
pub fn docs() -> Docs {
    Docs {
        operations: operations().into_iter().chain(senders()).collect(),
        schemas: vec![
            ("EventInput", event()),
            ("AssignmentInput", assignment()),
            ("RedemptionInput", redemption()),
            ("RedeemInput", redeem()),
            ("RollbackInput", rollback()),
            ("Redeemed", redeemed()),
        ],
    }
}

fn operations() -> Vec<(&'static str, Doc)> {
    let redeems = |id, summary| {
        Doc::new(id, "Facts", summary)
            .says("A refusal is an answer too: it says why, and it is in the history. The same redemption_id gets the same answer.")
            .body(named("RedeemInput"))
            .answer(200, "The voucher is redeemed, or the redeem is refused.", named("Redeemed"))
            .link("rollBackRedemption", "id", "/redemption_id")
            .conflicts("conflict")
    };
    vec![
        (
            "POST M/events",
            Doc::new("postEvents", "Facts", "Takes in events of messages")
                .says("An event counts once for its customer, however often it is sent.")
                .records(named("EventInput"))
                .intake(),
        ),
        (
            "POST M/assignments",
            Doc::new(
                "postAssignments",
                "Facts",
                "Takes in who was offered a promotion",
            )
            .records(named("AssignmentInput"))
            .intake(),
        ),
        (
            "POST M/redemptions",
            Doc::new(
                "postRedemptions",
                "Facts",
                "Takes in redemptions that a shop has honoured",
            )
            .says("What a shop has honoured is accepted and, where it is unusual, flagged.")
            .records(named("RedemptionInput"))
            .intake(),
        ),
        (
            "POST M/redemptions/{id}/rollback",
            Doc::new("rollBackRedemption", "Facts", "Takes a redemption back")
                .body(named("RollbackInput"))
                .answer(200, "The redemption is taken back.", rolled_back())
                .conflicts("not_a_success")
                .conflicts("already_rolled_back")
                .conflicts("conflict"),
        ),
        (
            "POST M/promotions/{id}/vouchers/{code}/redeem",
            redeems(
                "redeemVoucher",
                "Redeems a voucher of a promotion, if it may be",
            ),
        ),
        (
            "POST M/vouchers/{code}/redeem",
            redeems(
                "redeemCode",
                "Redeems a code of one promotion, if it may be",
            )
            .conflicts("ambiguous_code"),
        ),
    ]
}

/// What the routes of senders are.
fn senders() -> Vec<(&'static str, Doc)> {
    vec![
        (
            "POST M/webhooks/{provider}",
            Doc::new(
                "postWebhook",
                "Facts",
                "Takes in what a mail or coupon tool posts",
            )
            .post_of_sender(),
        ),
        (
            "GET M/webhooks/{provider}",
            Doc::new(
                "probeWebhook",
                "Facts",
                "Answers a sender that probes the address",
            )
            .empty(204, "The address is there."),
        ),
    ]
}

fn event() -> Value {
    let version = json!({ "type": "string", "pattern": "^[0-9]", "maxLength": ID_BYTES_MAX });
    object([
        field("event_id", like(id(), "e-1")).says("The same id of the same recipient counts once."),
        field("kind", like(event_kind(), "opened")),
        field("channel", like(schema::channel(), "email")),
        field("campaign_id", like(id(), "spring")),
        optional("customer_id", like(id(), "c-1")).says(
            "Whom the message went to. Where it is left out, `email` says so, or else `phone`.",
        ),
        optional("email", free_text_given())
            .says("An e-mail address, compared in lower case and without blanks around it. Not looked at where a customer is named."),
        optional("phone", free_text_given()).says(
            "A phone number, compared by its digits. Not looked at where a customer or an e-mail address is named.",
        ),
        optional("message_id", id())
            .says("Events of a campaign on a channel without one are of one message."),
        field("occurred_at", instant_given()),
        optional("url", free_text_given()).says("What was clicked; for people."),
        optional("machine", schema::flag()).says("An open or click by a machine."),
        optional("promotion_id", id()).says("The promotion of the code that the message carried."),
        optional("voucher_code", id()).says("The code that the message carried."),
        optional("app_version", version).says("Of a push: opens count from 5.1 on."),
    ])
}

fn assignment() -> Value {
    object([
        field("assignment_id", like(id(), "a-1")),
        field("promotion_id", like(id(), "p-1")),
        field("customer_id", like(id(), "c-1")),
        optional("tier_id", id()),
        optional("segment", id()),
        optional("voucher_code", id())
            .says("The code that the customer was given: the assignment is a publication."),
        optional("assigned_at", instant_given()).says("The time of arrival, where it is left out."),
        optional("result", words(Outcome::ALL)).says("`success` where it is left out."),
        optional("channel", words(AssignedBy::ALL)).says("`api` where it is left out."),
    ])
}

/// The fields that a redemption and a redeem share, behind their ids.
fn of_use() -> [Field; 5] {
    [
        optional("tier_id", id()),
        optional("assignment_id", id()),
        optional("order_id", like(id(), "o-1")).says("The order for which the promotion was used."),
        optional("reward_amount", amount_given()).says("What the customer got."),
        optional("currency", currency()).says("That of the promotion, where it is left out."),
    ]
}

fn redemption() -> Value {
    let results = schema::one_of(["success", "failure", "rolled_back"]);
    let own = [
        field("redemption_id", like(id(), "r-1")),
        field("promotion_id", like(id(), "p-1")),
        field("customer_id", like(id(), "c-1")),
        optional("voucher_code", like(id(), "SAVE10")),
        optional("redeemed_at", instant_given()).says("The time of arrival, where it is left out."),
        optional("result", results).says("`success` where it is left out."),
        optional("failure_code", free_text_given()).says("Why it failed, in the sender's words."),
    ];
    object(own.into_iter().chain(of_use()))
}

fn redeem() -> Value {
    let own = [
        field("redemption_id", like(id(), "r-1")),
        field("customer_id", like(id(), "c-1")),
    ];
    object(own.into_iter().chain(of_use()))
}

fn rollback() -> Value {
    object([
        optional("redemption_id", any_id()),
        field("rollback_id", like(id(), "b-1")).says("A redemption has at most one rollback."),
        optional("reason", free_text_given()).says("For people."),
    ])
}

/// The redemption stands in the address; what the body says of it is not read.
fn any_id() -> Value {
    schema::any()
}

fn ignored_fields() -> Field {
    sometimes("ignored_fields", list(text())).says("Names that no record of this kind has.")
}

fn redeemed() -> Value {
    object([
        field("redemption_id", id()),
        field("result", words(Outcome::ALL)),
        field("reason", nullable(words(Refusal::ALL)))
            .says("Why the redeem is refused; null where it is not."),
        ignored_fields(),
    ])
}

fn rolled_back() -> Value {
    object([
        field("redemption_id", id()),
        field("rollback_id", id()),
        field("result", only("rolled_back")),
        ignored_fields(),
    ])
}
