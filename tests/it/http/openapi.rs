//! The document of the interface: it is committed as the routes and their docs make it, it says what the parsers say, and the
//! service serves it. That answers are as it describes them is checked at every call of every test (`support::described`).

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

use http::{Method, StatusCode};
use revtrail_core::attribution::{event, order};
use revtrail_core::promotion::redemption::{Assignment, Redemption, Rollback};
use revtrail_core::value::id::{self, CustomerId, MarketplaceId};
use revtrail_core::value::money::{Currency, Money, share};
use revtrail_core::value::time::{Day, Instant, Span};
use revtrail_web::openapi::schema;
use revtrail_web::problem::kinds::KINDS;
use serde_json::{Value, json};

use crate::support::described::{DOCUMENT, Strictness, check, functions, matches};
use crate::support::fault_client::{Fault, FaultClient};
use crate::support::fixtures::{Shop, at};
use crate::support::service::{ADMIN, Service};

/// Routes whose docs are still to be written, as `METHOD M/path has no doc`. None is to be added.
const NOT_DOCUMENTED: [&str; 0] = [];

/// The first way to update what is written: `REVTRAIL_WRITE=1 cargo test --workspace --all-features --test it http::openapi`.
#[test]
fn the_committed_document_is_what_the_routes_and_their_docs_say() {
    let (document, faults) = &*DOCUMENT;
    assert_eq!(*faults, NOT_DOCUMENTED);
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let text = serde_json::to_string_pretty(document).unwrap() + "\n";
    let api = fs::read_to_string(docs.join("api.md")).unwrap();
    let (before, rest) = api.split_once(PROBLEMS_FROM).unwrap();
    let (_, after) = rest.split_once(PROBLEMS_TO).unwrap();
    let with_problems = [before, PROBLEMS_FROM, &problems(), PROBLEMS_TO, after].concat();
    if env::var_os("REVTRAIL_WRITE").is_some() {
        fs::write(docs.join("openapi.json"), &text).unwrap();
        fs::write(docs.join("api.md"), &with_problems).unwrap();
    }
    let again = "write it again with REVTRAIL_WRITE=1";
    let committed = fs::read_to_string(docs.join("openapi.json")).unwrap();
    assert!(
        committed == text,
        "docs/openapi.json is of other routes: {again}"
    );
    assert!(
        api == with_problems || env::var_os("REVTRAIL_WRITE").is_some(),
        "docs/api.md has other problems: {again}"
    );
}

const PROBLEMS_FROM: &str = "| status | kind | title | what to do |\n|---|---|---|---|\n";
const PROBLEMS_TO: &str = "\nA sentence has at most 400 bytes";

/// The rows of the table of problems.
fn problems() -> String {
    let row = |kind: &&revtrail_web::problem::kinds::Kind| {
        format!(
            "| {} | `{}` | {} | {} |\n",
            kind.status.as_u16(),
            kind.name,
            kind.title,
            kind.advice
        )
    };
    KINDS.iter().map(row).collect()
}

#[test]
fn every_kind_of_problem_has_a_name_of_its_own() {
    let names: BTreeSet<&str> = KINDS.iter().map(|kind| kind.name).collect();
    assert_eq!(names.len(), KINDS.len());
}

/// A route refuses what it does not know, and names what it knows.
#[tokio::test]
async fn the_parameters_are_those_that_the_routes_read() {
    let shop = Shop::after(json!({}), &[], &[]).await;
    let (empty, mut routes) = (json!({}), 0);
    for function in functions() {
        for route in function.routes.iter().filter(|route| !route.is_page()) {
            let path = route
                .path()
                .replace("{marketplace}", "m")
                .replace("{id}", "x");
            let path = path
                .replace("{code}", "x")
                .replace("{key_id}", "x")
                .replace("{provider}", "x");
            let body = Some(&empty).filter(|_| route.method() != Method::GET);
            let asked = format!("{path}?zz=1");
            let (status, answer) = shop
                .service
                .call_as(ADMIN, route.method().clone(), &asked, body)
                .await;
            let what = format!("{} {path}: {answer}", route.method());
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{what}");
            let detail = answer["errors"][0]["detail"].as_str().unwrap();
            let known = detail
                .split_once("which takes ")
                .map_or("", |(_, known)| known);
            let known: BTreeSet<&str> = known.split(", ").filter(|name| !name.is_empty()).collect();
            let operation =
                &DOCUMENT.0["paths"][route.path()][route.method().as_str().to_ascii_lowercase()];
            let parameters = operation["parameters"].as_array().unwrap().iter();
            let described: BTreeSet<&str> = parameters
                .filter(|parameter| parameter["in"] == "query")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .map(|name| {
                    if name.starts_with("metadata.") {
                        "metadata."
                    } else {
                        name
                    }
                })
                .collect();
            assert_eq!(described, known, "{what}");
            routes += 1;
        }
    }
    assert!(routes > 60);
}

/// A pattern takes what its parser takes. Where the parser knows more than a pattern can say, the pattern takes more.
#[test]
fn patterns_take_what_the_parsers_take() {
    type Parses = fn(&str) -> bool;
    let money: Parses = |text| Money::parse(text).is_ok();
    let instant: Parses = |text| Instant::parse(text).is_ok();
    let day: Parses = |text| Day::parse(text).is_some();
    let span: Parses = |text| Span::parse(text).is_some();
    let currency: Parses = |text| Currency::parse(text).is_some();
    let marketplace: Parses = |text| MarketplaceId::new(text).is_ok();
    let customer: Parses = |text| CustomerId::new(text).is_ok();
    let tables: [(&str, Parses, &[&str], &[&str]); 7] = [
        (
            Money::PATTERN,
            money,
            &["0", "19.9", "0.000001", "999999999999999.999999", "10"],
            &[
                "",
                "-1",
                "+1",
                "01",
                "1.",
                ".5",
                "1e3",
                "1.0000001",
                "1000000000000000",
                " 1",
                "1,5",
            ],
        ),
        (
            Instant::PATTERN,
            instant,
            &[
                "2026-11-20T10:15:00Z",
                "2026-11-20t10:15:00.123456z",
                "0001-01-01T23:59:59+23:59",
                "2026-11-20T10:15:00-00:00",
            ],
            &[
                "",
                "2026-11-20",
                "2026-11-20T10:15Z",
                "2026-11-20T10:15:00",
                "2026-11-20T10:15:60Z",
                "2026-13-20T10:15:00Z",
                "2026-11-20 10:15:00Z",
                "2026-11-20T24:00:00Z",
                "2026-11-20T10:15:00.Z",
                "2026-11-20T10:15:00+24:00",
                "2026-11-20T10:15:00+0200",
            ],
        ),
        (
            Day::PATTERN,
            day,
            &["2026-11-20", "0000-01-01", "2028-02-29"],
            &[
                "",
                "20261120",
                "2026-1-20",
                "2026-00-20",
                "2026-11-32",
                "12026-11-20",
            ],
        ),
        (
            Span::PATTERN,
            span,
            &["1h", "7d", "52w", "999999h"],
            &["", "7", "0d", "07d", "7 d", "7D", "1000000h", "-1d"],
        ),
        (
            "^[A-Z]{3}$",
            currency,
            &["EUR", "UAH", "USD"],
            &["", "eur", "EU", "EURO", "€"],
        ),
        (
            id::MARKETPLACE_PATTERN,
            marketplace,
            &[
                "m",
                "shop-1",
                "0",
                "a123456789012345678901234567890123456789012345678901234567890123",
            ],
            &[
                "",
                "-m",
                "M",
                "m_",
                "m/",
                "a1234567890123456789012345678901234567890123456789012345678901234",
            ],
        ),
        (
            id::PATTERN,
            customer,
            &["c", " Ann/Ünal #7 ", "~", "🙂"],
            &["\n", "a\tb", "\u{7f}", "a\u{85}", "\u{0}"],
        ),
    ];
    for (pattern, parses, good, bad) in tables {
        for text in good {
            assert!(parses(text) && matches(pattern, text), "{pattern} {text:?}");
        }
        for text in bad {
            assert!(
                !parses(text) && !matches(pattern, text),
                "{pattern} {text:?}"
            );
        }
    }
    let printed = Instant::parse("2026-11-20T10:15:00.1234+02:00")
        .unwrap()
        .to_string();
    assert!(matches(Instant::PRINTED, &printed));
    let euro = Currency::parse("EUR").unwrap();
    let amount = |text: &str| Money::parse(text).unwrap();
    for printed in [
        amount("1000").in_currency(euro),
        (amount("0") - amount("0.5")).in_currency(euro),
    ] {
        assert!(matches(Money::PRINTED, &printed), "{printed}");
    }
    let share = share(amount("1"), amount("3")).unwrap();
    assert!(check(&schema::share(), &json!(share), Strictness::AsWritten).is_empty());
}

#[test]
fn facts_have_the_fields_that_their_parsers_read() {
    let tables: [(&str, &[&str]); 6] = [
        ("EventInput", &event::FIELDS),
        ("OrderInput", &order::FIELDS),
        ("AssignmentInput", &Assignment::FIELDS),
        ("RedemptionInput", &Redemption::FIELDS),
        ("RedeemInput", &Redemption::REDEEM_FIELDS),
        ("RollbackInput", &Rollback::FIELDS),
    ];
    let schemas = &DOCUMENT.0["components"]["schemas"];
    for (name, fields) in tables {
        let described: BTreeSet<&str> = schemas[name]["properties"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(described, fields.iter().copied().collect(), "{name}");
    }
}

/// The checker finds what each keyword is for.
#[test]
fn what_does_not_fit_a_schema() {
    use Strictness::{AllFieldsNamed, AsWritten};
    let thing = schema::object([
        schema::field("id", schema::id()),
        schema::sometimes("n", schema::count_given()),
        schema::optional("on", schema::day()),
        schema::sometimes("sums", schema::sums()),
        schema::sometimes("tags", schema::list_up_to(2, schema::one_of(["a", "b"]))),
    ]);
    let closed = schema::closed([schema::optional("amount", schema::amount_given())]);
    let good =
        json!({ "id": "x", "n": 0, "on": null, "sums": { "EUR": "1.00" }, "tags": ["a", "b"] });
    assert_eq!(check(&thing, &good, AllFieldsNamed), [""; 0]);
    for (field, value) in [
        ("id", json!("")),
        ("id", json!("x".repeat(129))),
        ("id", json!("a\nb")),
        ("id", json!(7)),
        ("n", json!(-1)),
        ("n", json!(1.5)),
        ("n", json!(1_000_000_001)),
        ("n", json!(null)),
        ("on", json!("tomorrow")),
        ("sums", json!({ "eur": "1.00" })),
        ("sums", json!({ "EUR": 1 })),
        ("tags", json!(["c"])),
        ("tags", json!(["a", "a", "a"])),
        ("tags", json!("a")),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        assert_eq!(check(&thing, &bad, AsWritten).len(), 1, "{bad}");
    }
    for (schema, value, strictness, faults) in [
        (&thing, json!({}), AsWritten, 1),
        (&thing, json!({ "id": "x", "more": 1 }), AsWritten, 0),
        (&thing, json!({ "id": "x", "more": 1 }), AllFieldsNamed, 1),
        (&thing, json!([]), AsWritten, 1),
        (&closed, json!({ "amount": "1.50" }), AsWritten, 0),
        (&closed, json!({ "amount": 1.5 }), AsWritten, 0),
        (&closed, json!({ "amount": "1,50" }), AsWritten, 1),
        (&closed, json!({ "amount": 1e16 }), AsWritten, 1),
        (&closed, json!({ "more": 1 }), AsWritten, 1),
        (&json!({ "const": true }), json!(false), AsWritten, 1),
        (&schema::named("Problem"), json!({}), AsWritten, 6),
    ] {
        assert_eq!(
            check(schema, &value, strictness).len(),
            faults,
            "{schema} {value}"
        );
    }
}

#[tokio::test]
async fn the_service_describes_itself_and_says_whether_it_is_ready() {
    let service = Service::at("2026-11-20T12:00:00Z").await;
    let get = async |path: &str, headers: &[(&str, &str)]| {
        service.answer(Method::GET, path, headers, Vec::new()).await
    };
    let answer = get("/openapi.json", &[]).await;
    let served: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!((answer.status(), &served), (StatusCode::OK, &DOCUMENT.0));
    let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
    for (known, status) in [
        (tag.clone(), 304),
        (format!("\"x\", W/{tag}"), 304),
        ("*".to_owned(), 304),
        ("\"x\"".to_owned(), 200),
    ] {
        let answer = get("/openapi.json", &[("if-none-match", &known)]).await;
        assert_eq!(
            (answer.status().as_u16(), answer.body().is_empty()),
            (status, status == 304),
            "{known}"
        );
    }
    assert_eq!(get("/readyz", &[]).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_service_whose_table_does_not_answer_is_not_ready() {
    let line = FaultClient::new();
    line.store().create_table().await.unwrap();
    let service = Service::over(&line, at("20T12:00"));
    let ready = async || {
        let (status, ..) = service.send(Method::GET, "/readyz", &[], Vec::new()).await;
        status.as_u16()
    };
    assert_eq!(ready().await, 200);
    line.fail_at(1, Fault::KilledBefore);
    assert_eq!(ready().await, 503);
    let (status, ..) = service.send(Method::GET, "/healthz", &[], Vec::new()).await;
    assert_eq!(status, StatusCode::OK);
}
