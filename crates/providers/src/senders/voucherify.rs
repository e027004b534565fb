//! Voucherify: redemptions, rollbacks and publications, signed over JSON without blanks. Amounts are hundredths in every currency. A
//! rollback still carries the redemption as a success, so what happened is in the type of the post.

use serde_json::json;

use super::shop::Draft;
use super::{Reads, Sender, no_trial};
use crate::Outcome;
use crate::node::Node;
use crate::proof::Scheme;
use crate::row::{Around, short};

pub(crate) const SENDER: Sender = Sender {
    name: "voucherify",
    in_settings: "voucherify",
    proof: Scheme::HmacOfCompact {
        header: "x-voucherify-signature",
    },
    is_trial: no_trial,
    reads: Reads::Facts(facts),
};

/// Where the campaign is that a promotion here is named after, unless the mapping says where.
const PROMOTION: &str = "data.campaign.id|data.voucher.campaign_id|data.promotion_tier.campaign.id|data.redemption.voucher.campaign_id";
/// Whose it is: the shop's id, else Voucherify's.
const CUSTOMER: &str = "data.customer.source_id|data.customer.id|data.redemption.customer_id|data.publication.customer_id";

fn facts(body: &Node, around: &Around<'_>) -> Vec<Outcome> {
    let kind = body.text_at("type").unwrap_or_default();
    match kind.as_str() {
        "redemption.succeeded" | "redemption.failed" => {
            vec![redemption(body, &kind, &[IN_REDEMPTION, IN_ORDER], around)]
        }
        // It may come before its redemption, which it carries; where that is known, it is a duplicate.
        "redemption.rollback.succeeded" => vec![
            redemption(body, "redemption.succeeded", &[IN_REDEMPTION], around),
            rollback(body, &kind),
        ],
        "publication.succeeded" | "publication.failed" => publication(body, &kind, around),
        _ => vec![Outcome::Ignored(kind)],
    }
}

/// Where the discount is. Beside a rollback the order is as it is without the redemption.
const IN_REDEMPTION: &str = "data.redemption.order.total_applied_discount_amount";
const IN_ORDER: &str = "data.order.total_applied_discount_amount";

/// The fields that redemptions and assignments share; `None` where no campaign is named, as for a code that nothing applied to.
fn about(body: &Node, around: &Around<'_>) -> Option<Draft> {
    let promotion = around.mapping.campaign_id.as_deref().unwrap_or(PROMOTION);
    let customer = around.mapping.customer_id.as_deref().unwrap_or(CUSTOMER);
    let mut record = Draft::default();
    record.put("promotion_id", Some(body.text_at(promotion)?));
    record.put("customer_id", body.text_at(customer));
    record.put("tier_id", body.text_at("data.promotion_tier.id"));
    Some(record)
}

fn redemption(body: &Node, kind: &str, discount: &[&str], around: &Around<'_>) -> Outcome {
    let Some(mut record) = about(body, around) else {
        return Outcome::Ignored(format!("{kind} without campaign"));
    };
    let success = kind == "redemption.succeeded";
    record.put("redemption_id", body.text_at("data.redemption.id"));
    record.put(
        "voucher_code",
        body.text_at("data.voucher.code|data.redemption.voucher.code"),
    );
    record.put(
        "order_id",
        body.text_at("data.redemption.order.source_id|data.order.source_id"),
    );
    record.put("redeemed_at", body.text_at("data.redemption.date"));
    record.put(
        "result",
        (if success { "success" } else { "failure" }).to_owned(),
    );
    record.put("failure_code", body.text_at("data.redemption.failure_code"));
    let reward = discount.iter().find_map(|path| body.text_at(path));
    let reward = reward.filter(|_| success).map(hundredths);
    if reward.is_some() {
        let own = around.currency.map(|currency| currency.code().to_owned());
        record.put(
            "currency",
            body.text_at("data.order.metadata.currency").or(own),
        );
    }
    record.put("reward_amount", reward);
    Outcome::Redemption(record.text())
}

fn rollback(body: &Node, kind: &str) -> Outcome {
    let of = "data.redemption_rollback.redemption|data.redemption.id";
    let (Some(redemption_id), Some(rollback_id)) = (
        body.text_at(of),
        body.text_at("data.redemption_rollback.id"),
    ) else {
        return Outcome::Ignored(format!("{kind} without redemption"));
    };
    let reason = body.text_at("data.redemption_rollback.reason");
    let record =
        json!({ "redemption_id": redemption_id, "rollback_id": rollback_id, "reason": reason });
    Outcome::Rollback(record.to_string())
}

/// An assignment for each code of a publication.
fn publication(body: &Node, kind: &str, around: &Around<'_>) -> Vec<Outcome> {
    let mut codes = Vec::new();
    body.all("data.vouchers.code", &mut codes);
    body.all("data.voucher.code", &mut codes);
    let mut codes: Vec<Option<String>> = codes
        .iter()
        .map(|code| Some(code.text()?.into_owned()))
        .collect();
    if codes.is_empty() {
        codes.push(None);
    }
    let several = codes.len() > 1;
    let assignment = |code: Option<String>| {
        let Some(mut record) = about(body, around) else {
            return Outcome::Ignored(format!("{kind} without campaign"));
        };
        let id = body.text_at("data.publication.id");
        let id = id.map(|id| match &code {
            Some(code) if several => short(format!("{id}/{code}")),
            _ => id,
        });
        record.put("assignment_id", id);
        record.put("voucher_code", code);
        record.put("assigned_at", body.text_at("data.publication.created_at"));
        let result = if kind == "publication.succeeded" {
            "success"
        } else {
            "failure"
        };
        record.put("result", result.to_owned());
        let by_hand =
            body.text_at("data.publication.channel").as_deref() == Some("voucherify-web-ui");
        record.put(
            "channel",
            (if by_hand { "manual" } else { "api" }).to_owned(),
        );
        Outcome::Assignment(record.text())
    };
    codes.into_iter().map(assignment).collect()
}

/// An amount in hundredths, as a decimal text. What is no whole number stays as it is, so that the record is rejected.
fn hundredths(amount: String) -> String {
    match amount.parse::<u64>() {
        Ok(hundredths) => format!("{}.{:02}", hundredths / 100, hundredths % 100),
        Err(_) => amount,
    }
}
