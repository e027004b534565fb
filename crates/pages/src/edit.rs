//! The forms of a promotion: which fields they have, and how one is made, changed and given vouchers.

use chrono_tz::Tz;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderName, StatusCode};
use revtrail_core::value::id::MarketplaceId;
use revtrail_web::api::Method;
use revtrail_web::call::Call;
use revtrail_web::problem::Problem;
use serde_json::{Value, json};

use crate::asked::{Api, Doing, PROMOTION, VOUCHER, VOUCHERS};
use crate::field::Kind;
use crate::form::{self, Form, Input, ONCE, SEEN, Sent};
use crate::runs::IDEMPOTENCY_KEY;

pub(crate) const MAKE: &str = "make";
pub(crate) const EDIT: &str = "edit";
pub(crate) const LIMIT: &str = "limit";
pub(crate) const GENERATE: &str = "generate";
pub(crate) const IMPORT: &str = "import";
pub(crate) const CHANGE: &str = "voucher";

const KINDS: Kind = Kind::Choice(&[
    ("global", "global: everybody gets the same"),
    ("tiered", "tiered: more for some"),
    ("personalised", "personalised: a code for each"),
]);
const GIVES: Kind = Kind::Choice(&[
    ("", "not told"),
    ("amount", "an amount of money"),
    ("percent", "a percentage"),
    ("unit", "units"),
    ("gift", "a gift"),
]);

fn limits() -> Vec<Input> {
    vec![
        Input::new("budget.amount", "Budget", Kind::Text).hint("like 5000.00; empty for none"),
        Input::new("budget.currency", "Its currency", Kind::Text).hint("like EUR"),
        Input::new("cap", "Cap", Kind::Count).hint("redemptions in all; empty for none"),
    ]
}

fn all() -> Vec<Input> {
    let mut inputs = vec![
        Input::new("name", "Name", Kind::Text),
        Input::new("kind", "Kind", KINDS),
        Input::new("type", "A voucher gives", GIVES),
        Input::new("value", "How much", Kind::Text).hint("like 5.00, or 20 for 20%"),
        Input::new("currency", "In the currency", Kind::Text).hint("like EUR"),
        Input::new("redemption_limit", "Uses of a voucher", Kind::Count)
            .hint("empty for any number"),
        Input::new("limit_per_customer", "Uses of a customer", Kind::Count)
            .hint("empty for any number"),
        Input::new("starts_at", "Starts", Kind::Time),
        Input::new("ends_at", "Ends", Kind::Time),
    ];
    inputs.extend(limits());
    inputs.extend([
        Input::new("description", "Description", Kind::Lines),
        Input::new("tiers", "Tiers", Kind::Rows(&["tier_id", "name", "value"]))
            .hint("one a line: id | name | value"),
        Input::new(
            "validation_rules",
            "Validation rules",
            Kind::Rows(&["id", "name", "text"]),
        )
        .hint("one a line: id | name | text"),
        Input::new("metadata", "Metadata", Kind::Pairs).hint("one a line: name = value"),
    ]);
    inputs
}

/// The form that makes a promotion.
pub(crate) fn make(action: String, zone: Tz) -> Form {
    let id = Input::new("id", "Id", Kind::Text)
        .hint("what redemptions name it by, like black-friday")
        .needed();
    let mut form = Form {
        button: "Make it",
        ..Form::new(MAKE, "Make a promotion", action)
    };
    form.inputs.push(id);
    form.of(all(), &Value::Null, zone)
}

/// The form that changes a promotion, as it is now.
pub(crate) fn edit(action: String, (facts, tag): &(Value, String), zone: Tz) -> Form {
    let mut form = Form::new(EDIT, "Edit the promotion", action).of(all(), facts, zone);
    form.hidden.push((SEEN, tag.clone()));
    form
}

/// The form that changes its limits alone.
pub(crate) fn limit(action: String, (facts, tag): &(Value, String), zone: Tz) -> Form {
    let heading = match facts["budget"].is_null() && facts["cap"].is_null() {
        true => "Add a limit",
        false => "Change its limits",
    };
    let about = "A redeem that would go over a limit is refused from then on; what was redeemed before stands.";
    let mut form = Form::new(LIMIT, heading, action)
        .about(about)
        .of(limits(), facts, zone);
    form.hidden.push((SEEN, tag.clone()));
    form
}

pub(crate) fn generate(action: String) -> Form {
    let inputs = vec![
        Input::new("generate", "How many", Kind::Count)
            .hint("up to 10,000")
            .needed(),
        Input::new("prefix", "Beginning", Kind::Text).hint("like SPRING-"),
        Input::new("length", "Characters after it", Kind::Count).hint("8 where it is empty"),
        Input::new("limit", "Uses of each", Kind::Count)
            .hint("empty for the promotion's own limit"),
    ];
    Form {
        button: "Generate",
        ..Form::new(GENERATE, "Generate vouchers", action)
    }
    .of(inputs, &Value::Null, Tz::UTC)
    .once()
}

pub(crate) fn import(action: String) -> Form {
    let inputs = vec![
        Input::new("codes", "Codes", Kind::List)
            .hint("one a line, or a CSV whose first line is code,limit; up to 10,000")
            .needed(),
        Input::new("limit", "Uses of each", Kind::Count)
            .hint("empty for the promotion's own limit"),
    ];
    Form {
        button: "Import",
        ..Form::new(IMPORT, "Import vouchers", action)
    }
    .of(inputs, &Value::Null, Tz::UTC)
}

/// The form that changes a voucher.
pub(crate) fn change(action: String, voucher: &Value) -> Form {
    let inputs = vec![
        Input::new("disabled", "Disabled", Kind::Flag).hint("a redeem of it is refused"),
        Input::new("limit", "Uses", Kind::Count).hint("empty for any number"),
    ];
    let heading = format!(
        "Change {}",
        voucher["voucher_code"].as_str().unwrap_or_default()
    );
    Form {
        is_open: true,
        ..Form::new(CHANGE, heading, action)
    }
    .of(inputs, voucher, Tz::UTC)
}

/// Makes the promotion that was sent, and returns its id.
pub(crate) async fn made(api: &Api, call: &Call, sent: &Sent, zone: Tz) -> Result<String, Problem> {
    let id = sent.text("id").trim();
    let form = make(String::new(), zone);
    let mut facts = sent.changes(&form, zone);
    if let Some(fields) = facts.as_object_mut() {
        fields.remove("id");
    }
    let marketplace = call.marketplace()?.clone();
    let about = (Some(&marketplace), &[("id", id)][..]);
    // Whoever means a new promotion must not replace another.
    let doing = Doing {
        header: Some((IF_NONE_MATCH, "*")),
        ..Doing::json(&facts)
    };
    match api
        .does(call, (&Method::PUT, PROMOTION), about, doing)
        .await
    {
        Ok(_) => Ok(id.to_owned()),
        Err(problem) if problem.status() == StatusCode::PRECONDITION_FAILED => {
            let says =
                format!("there is a promotion {id:?} already: choose another id, or edit that one");
            Err(form::wrong("id", says))
        }
        Err(problem) => Err(problem),
    }
}

/// Does to a promotion what a form of its page asks for.
pub(crate) async fn done(api: &Api, call: &Call, sent: &Sent, zone: Tz) -> Result<(), Problem> {
    let marketplace = call.marketplace()?.clone();
    let of = Of {
        api,
        call,
        marketplace: &marketplace,
        id: call.query().text("id").unwrap_or_default().to_owned(),
    };
    match sent {
        sent if sent.is(GENERATE) => {
            let body = sent.changes(&generate(String::new()), Tz::UTC);
            of.vouchers(Doing::json(&body), sent.text(ONCE)).await
        }
        sent if sent.is(IMPORT) => of.import(sent).await,
        sent if sent.is(CHANGE) => of.change(sent).await,
        sent => of.edit(sent, zone).await,
    }
}

/// The promotion that a form is about.
struct Of<'a> {
    api: &'a Api,
    call: &'a Call,
    marketplace: &'a MarketplaceId,
    id: String,
}

impl Of<'_> {
    async fn ask(
        &self,
        route: (&Method, &str),
        doing: Doing<'_>,
        code: Option<&str>,
    ) -> Result<(), Problem> {
        let mut ids = vec![("id", self.id.as_str())];
        ids.extend(code.map(|code| ("code", code)));
        let about = (Some(self.marketplace), &ids[..]);
        self.api
            .does(self.call, route, about, doing)
            .await
            .map(drop)
    }

    async fn edit(&self, sent: &Sent, zone: Tz) -> Result<(), Problem> {
        let about = (Some(self.marketplace), &[("id", self.id.as_str())][..]);
        let now = self.api.says_tagged(self.call, PROMOTION, about).await?;
        // What was changed is told by comparing with what the reader saw, so that must still be so.
        if sent.text(SEEN) != now.1 {
            return Err(Problem::precondition_failed());
        }
        let form = match sent.is(LIMIT) {
            true => limit(String::new(), &now, zone),
            false => edit(String::new(), &now, zone),
        };
        let mut changes = sent.changes(&form, zone);
        // A budget without an amount is none.
        if sent.text("budget.amount").trim().is_empty() && changes.get("budget").is_some() {
            changes["budget"] = Value::Null;
        }
        let doing = Doing {
            header: Some((IF_MATCH, &now.1)),
            ..Doing::json(&changes)
        };
        self.ask((&Method::PATCH, PROMOTION), doing, None).await
    }

    async fn import(&self, sent: &Sent) -> Result<(), Problem> {
        let text = sent.text("codes").trim();
        let first = text.lines().next().unwrap_or_default().trim();
        let is_csv = first.split(',').any(|column| column.trim() == "code");
        let doing = match is_csv {
            true => Doing {
                media: "text/csv",
                body: text.to_owned(),
                ..Doing::json(&Value::Null)
            },
            false => {
                let mut body = sent.changes(&import(String::new()), Tz::UTC);
                if body.get("codes").is_none() {
                    body["codes"] = json!([]);
                }
                Doing::json(&body)
            }
        };
        self.vouchers(doing, "").await
    }

    async fn vouchers(&self, doing: Doing<'_>, once: &str) -> Result<(), Problem> {
        let name: Option<(HeaderName, &str)> = Some((IDEMPOTENCY_KEY, once));
        let doing = Doing {
            header: name.filter(|_| !once.is_empty()),
            ..doing
        };
        self.ask((&Method::POST, VOUCHERS), doing, None).await
    }

    async fn change(&self, sent: &Sent) -> Result<(), Problem> {
        let code = self
            .call
            .query()
            .text("voucher_code")
            .unwrap_or_default()
            .to_owned();
        // Both fields are always sent, so what stands there now does not matter.
        let form = change(String::new(), &json!({"disabled": null, "limit": null}));
        let mut body = sent.changes(&form, Tz::UTC);
        for (field, empty) in [("disabled", json!(false)), ("limit", Value::Null)] {
            if body.get(field).is_none() {
                body[field] = empty;
            }
        }
        self.ask((&Method::PUT, VOUCHER), Doing::json(&body), Some(&code))
            .await
    }
}
