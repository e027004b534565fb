//! Forms of pages without a browser: what each does, what it says of wrong fields, and that nobody else's form does anything.

use std::sync::{Arc, Mutex};

use form_urlencoded::Serializer;
use http::Method;
use serde_json::{Value, json};

use crate::http::access::ROLES;
use crate::http::pages::{Got, OWN};
use crate::support::fixtures::{Shop, at};
use crate::support::service::ADMIN;

/// A form: where it goes, and what it sends.
type Sent = (&'static str, &'static [(&'static str, &'static str)]);

const MAKE: Sent = (
    "promotions",
    &[("form", "make"), ("id", "new"), ("kind", "global")],
);
const ERASE: Sent = ("customer?id=c", &[("form", "erase"), ("typed", "c")]);
/// One of each, with the roles that may send it.
const FORMS: [(Sent, &str); 8] = [
    (("runs", &[("form", "run")]), "✓✓..."),
    (MAKE, "✓✓..."),
    (
        (
            "promotion?id=p&tab=vouchers",
            &[("form", "import"), ("codes", "A\nB")],
        ),
        "✓✓...",
    ),
    (("campaign?id=E", &[("form", "edit")]), "✓✓..."),
    (("batches", &[("form", "upload")]), "✓..✓✓"),
    (("segments", &[("form", "segment")]), "✓✓..."),
    (("senders?sender=tool", &[("form", "key")]), "✓...."),
    (ERASE, "✓...."),
];

fn body(fields: &[(&str, &str)]) -> String {
    Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// What stands behind a label in a page: the value of a hidden field.
pub(super) fn hidden(page: &str, name: &str) -> String {
    let start = format!("name=\"{name}\" value=\"");
    let rest = page
        .split(&start)
        .nth(1)
        .unwrap_or_else(|| panic!("no {name} in {page}"));
    rest.split('"').next().unwrap().replace("&#34;", "\"")
}

impl Shop {
    pub(super) async fn send_form(&self, cookie: &str, path: &str, fields: &[(&str, &str)]) -> Got {
        let headers = [OWN, ("cookie", cookie)];
        let path = format!("/app/m/{path}");
        self.open_page(Method::POST, &path, &headers, &body(fields))
            .await
    }
}

async fn shop() -> Shop {
    let shop = Shop::after(
        json!({}),
        &["E email sent,opened c 16T10:00"],
        &["o c COMPLETE 10.00 USD 16T11:00"],
    )
    .await;
    let promotion = json!({"name": "P", "kind": "global", "ends_at": at("30T23:59:59.999"), "metadata": {"a\nb": 1}});
    shop.put("promotions/p", promotion).await;
    shop
}

#[tokio::test]
async fn each_form_is_for_its_roles_and_for_nobody_else() {
    for ((path, fields), roles) in FORMS {
        let shop = shop().await;
        for (role, may) in ROLES.iter().zip(roles.chars()) {
            let cookie = shop.sign_in(&shop.key(role).await).await;
            if may == '.' {
                let got = shop.send_form(&cookie, path, fields).await;
                assert_eq!(got.status, 403, "{role} {path}: {}", got.body);
            }
        }
        let cookie = shop.sign_in(ADMIN).await;
        let address = format!("/app/m/{path}");
        let before = shop.get("access-log?limit=100").await;
        let changes = |log: &Value| {
            let all = log["items"].as_array().unwrap().iter();
            all.filter(|one| one["kind"] == "change" && one["outcome"] == "done")
                .count()
        };
        for headers in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site")],
            &[("origin", "http://evil.example")],
            &[("origin", "null")],
            &[],
        ] {
            let headers = [headers, &[("cookie", cookie.as_str())]].concat();
            let got = shop
                .open_page(Method::POST, &address, &headers, &body(fields))
                .await;
            assert_eq!(got.status, 403, "{path} {headers:?}");
        }
        // A forged session, one of nobody, and one whose time is over lead to where one signs in.
        let forged = format!("{}x", cookie.rsplit_once('.').unwrap().0);
        for cookie in [forged.as_str(), "revtrail-session=", ""] {
            let got = shop.send_form(cookie, path, fields).await;
            assert!(
                got.status == 303 && got.location.starts_with("/app/sign-in"),
                "{path}"
            );
        }
        let now = shop.service.now();
        shop.service.set_now(now.plus_ms(12 * 3_600_000));
        let late = shop.send_form(&cookie, path, fields).await;
        assert!(late.location.starts_with("/app/sign-in"), "{path}");
        shop.service.set_now(now);
        let after = shop.get("access-log?limit=100").await;
        assert_eq!(changes(&after), changes(&before), "{path}");
    }
}

/// What only administrators may do asks the table about their key, so a key that was just revoked does nothing more.
#[tokio::test]
async fn a_revoked_key_erases_nobody() {
    let shop = shop().await;
    let made = json!({ "name": "x", "role": "admin" });
    let (_, made) = shop.call(Method::POST, "keys", made).await;
    let cookie = shop.sign_in(made["key"].as_str().unwrap()).await;
    let page = shop.page("/app/m/customer?id=c", &cookie).await;
    assert!(page.body.contains("Erase for good"), "{}", page.body);
    let path = format!("keys/{}", made["key_id"].as_str().unwrap());
    assert_eq!(shop.call(Method::DELETE, &path, json!({})).await.0, 204);
    let got = shop.send_form(&cookie, ERASE.0, ERASE.1).await;
    assert!(got.location.starts_with("/app/sign-in"), "{}", got.body);
    shop.get("customers/c").await;
}

#[tokio::test]
async fn r067_who_makes_a_promotion_lands_on_its_page() {
    let shop = shop().await;
    let cookie = shop.sign_in(&shop.key("marketer").await).await;
    let id = "spring/é <b>\"{{7*7}}";
    let fields = [
        ("form", "make"),
        ("id", id),
        ("name", "Spring"),
        ("kind", "tiered"),
        ("type", "amount"),
        ("value", "5.00"),
        ("currency", "EUR"),
        ("redemption_limit", "1"),
        ("starts_at", "2026-11-01T10:00"),
        ("budget.amount", "100"),
        ("budget.currency", "EUR"),
        ("tiers", "gold | Gold | 6.00\r\nsilver"),
        ("metadata", "owner = crm\r\nyear = 2026"),
    ];
    let got = shop.send_form(&cookie, "promotions", &fields).await;
    assert_eq!(got.status, 303, "{}", got.body);
    let page = shop.page(&got.location, &cookie).await;
    assert!(
        page.body.contains("<h1><bdi>Spring</bdi></h1>"),
        "{}",
        page.body
    );
    let encoded = form_urlencoded::byte_serialize(id.as_bytes()).collect::<String>();
    let made = shop
        .get(&format!("promotions/{}", encoded.replace('+', "%20")))
        .await;
    let told = json!({"name": "Spring", "kind": "tiered", "type": "amount", "value": "5.00", "currency": "EUR", "redemption_limit": 1,
        "budget": {"amount": "100.00", "currency": "EUR"}, "cap": null, "metadata": {"owner": "crm", "year": 2026}});
    crate::support::fixtures::assert_part("made", &made, &told);
    assert_eq!(made["tiers"][0]["value"], "6.00", "{made}");
    assert_eq!(made["tiers"][1]["tier_id"], "silver", "{made}");
    // Whoever sends it again does not replace it.
    let again = shop
        .send_form(
            &cookie,
            "promotions",
            &[("form", "make"), ("id", id), ("name", "Other")],
        )
        .await;
    assert_eq!(again.status, 422, "{}", again.body);
    assert!(again.body.contains("choose another id"), "{}", again.body);
    assert!(again.body.contains("value=\"Other\""), "{}", again.body);
}

#[tokio::test]
async fn what_is_wrong_stands_beside_its_field_and_what_was_typed_stays() {
    let shop = shop().await;
    let cookie = shop.sign_in(ADMIN).await;
    for (path, fields, status, says) in [
        (
            "promotions",
            &[("form", "make"), ("id", "")][..],
            422,
            "make-id-wrong",
        ),
        (
            "promotions",
            &[("form", "make"), ("id", "x"), ("cap", "many<b>")],
            422,
            "make-cap-wrong",
        ),
        (
            "promotions",
            &[
                ("form", "make"),
                ("id", "x"),
                ("type", "amount"),
                ("value", "5"),
            ],
            422,
            "make-currency-wrong",
        ),
        (
            "promotions",
            &[("form", "make"), ("id", "x"), ("budget.amount", "5")],
            422,
            "make-wrong-budget",
        ),
        (
            "promotion?id=p&tab=vouchers",
            &[("form", "generate"), ("generate", "5"), ("length", "0")],
            422,
            "generate-length-wrong",
        ),
        (
            "promotion?id=p&tab=vouchers",
            &[("form", "import"), ("codes", "")],
            303,
            "",
        ),
        (
            "promotion?id=p&tab=vouchers",
            &[("form", "import"), ("codes", "code,limit\nA,x")],
            422,
            "line 2",
        ),
        ("promotion?id=absent", &[("form", "edit")], 404, ""),
        (
            "customer?id=c",
            &[("form", "erase"), ("typed", "d")],
            422,
            "erase-typed-wrong",
        ),
        (
            "customer?id=absent",
            &[("form", "erase"), ("typed", "x")],
            404,
            "",
        ),
        ("batches", &[("form", "upload")], 404, "takes no files"),
        ("runs?nothing=1", &[("form", "run")], 422, ""),
    ] {
        let got = shop.send_form(&cookie, path, fields).await;
        assert_eq!(got.status, status, "{path} {fields:?}: {}", got.body);
        let says = if says == "make-wrong-budget" {
            "make-budget.currency-wrong"
        } else {
            says
        };
        assert!(got.body.contains(says), "{path} {fields:?}: {}", got.body);
        assert!(!got.body.contains("many<b>"), "{path}");
    }
    assert_eq!(shop.get("promotions/p/vouchers").await["items"], json!([]));
    shop.get("customers/c").await;
}

#[tokio::test]
async fn an_edit_changes_what_was_changed_and_nothing_that_it_does_not_show() {
    let shop = shop().await;
    let cookie = shop.sign_in(ADMIN).await;
    let page = shop.page("/app/m/promotion?id=p", &cookie).await.body;
    let seen = hidden(&page, "seen");
    let ends = hidden(&page, "ends_at\" type=\"datetime-local");
    let fields = |name: &'static str, seen: &str| {
        let fields = [
            ("form", "edit"),
            ("name", name),
            ("kind", "global"),
            ("ends_at", &ends),
        ];
        let mut fields = fields.map(|(a, b)| (a, b.to_owned())).to_vec();
        fields.push(("seen", seen.to_owned()));
        fields
    };
    let send = async |fields: Vec<(&'static str, String)>| {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(a, b)| (*a, b.as_str())).collect();
        shop.send_form(&cookie, "promotion?id=p", &fields).await
    };
    let got = send(fields("Renamed", &seen)).await;
    assert_eq!(
        (got.status, got.location.as_str()),
        (303, "/app/m/promotion?id=p"),
        "{}",
        got.body
    );
    let now = shop.get("promotions/p").await;
    // The form shows no seconds and no such metadata.
    let told =
        json!({"name": "Renamed", "ends_at": at("30T23:59:59.999"), "metadata": {"a\nb": 1}});
    crate::support::fixtures::assert_part("edited", &now, &told);
    // Whoever saw an older state is shown the newer one.
    let late = send(fields("Mine", &seen)).await;
    assert_eq!(late.status, 412, "{}", late.body);
    assert!(
        late.body.contains("Somebody changed it meanwhile"),
        "{}",
        late.body
    );
    assert!(late.body.contains("value=\"Renamed\""), "{}", late.body);
    assert_eq!(shop.get("promotions/p").await["name"], "Renamed");
}

#[tokio::test]
async fn r088_a_limit_is_added_while_a_promotion_runs_and_taken_away() {
    let shop = shop().await;
    let cookie = shop.sign_in(&shop.key("marketer").await).await;
    for (fields, budget, cap) in [
        (
            &[
                ("budget.amount", "50"),
                ("budget.currency", "EUR"),
                ("cap", "7"),
            ][..],
            json!({"amount": "50.00", "currency": "EUR"}),
            json!(7),
        ),
        (
            &[
                ("budget.amount", "60.00"),
                ("budget.currency", "EUR"),
                ("cap", "7"),
            ],
            json!({"amount": "60.00", "currency": "EUR"}),
            json!(7),
        ),
        (&[("budget.currency", "EUR")], Value::Null, Value::Null),
    ] {
        let page = shop.page("/app/m/promotion?id=p", &cookie).await.body;
        let seen = hidden(&page, "seen");
        let mut all = vec![("form", "limit"), ("seen", seen.as_str())];
        all.extend_from_slice(fields);
        let got = shop.send_form(&cookie, "promotion?id=p", &all).await;
        assert_eq!(got.status, 303, "{fields:?}: {}", got.body);
        let now = shop.get("promotions/p").await;
        assert_eq!((&now["budget"], &now["cap"]), (&budget, &cap), "{fields:?}");
    }
}

#[tokio::test]
async fn vouchers_are_imported_generated_once_found_and_changed() {
    let shop = shop().await;
    let cookie = shop.sign_in(ADMIN).await;
    let tab = "promotion?id=p&tab=vouchers";
    for fields in [
        &[
            ("form", "import"),
            ("codes", "A\r\n B \r\n\r\n<script>"),
            ("limit", "3"),
        ][..],
        &[("form", "import"), ("codes", "code,limit\r\nC,5\r\n")],
    ] {
        assert_eq!(shop.send_form(&cookie, tab, fields).await.status, 303);
    }
    let page = shop.page(&format!("/app/m/{tab}"), &cookie).await.body;
    assert!(
        !page.contains("<script>\"") && page.contains("&#60;script&#62;"),
        "{page}"
    );
    let once = hidden(&page, "once");
    let generate = [
        ("form", "generate"),
        ("generate", "4"),
        ("prefix", "G-"),
        ("once", &once),
    ];
    for _ in 0..2 {
        assert_eq!(shop.send_form(&cookie, tab, &generate).await.status, 303);
    }
    let list = shop.get("promotions/p/vouchers").await;
    let codes = list["items"].as_array().unwrap();
    assert_eq!(codes.len(), 8, "{list}");
    let one = "promotion?id=p&tab=vouchers&voucher_code=A";
    let page = shop.page(&format!("/app/m/{one}"), &cookie).await.body;
    assert!(
        page.contains("Change A") && !page.contains("Generate vouchers"),
        "{page}"
    );
    let change = [("form", "voucher"), ("disabled", "true"), ("limit", "")];
    assert_eq!(shop.send_form(&cookie, one, &change).await.status, 303);
    let list = shop.get("promotions/p/vouchers?voucher_code=A").await;
    let told = json!({"disabled": true, "limit": null});
    crate::support::fixtures::assert_part("changed", &list["items"][0], &told);
    let change = [("form", "voucher"), ("limit", "2")];
    assert_eq!(shop.send_form(&cookie, one, &change).await.status, 303);
    let list = shop.get("promotions/p/vouchers?voucher_code=A").await;
    let told = json!({"disabled": false, "limit": 2});
    crate::support::fixtures::assert_part("changed", &list["items"][0], &told);
    let csv = shop
        .page("/app/m/promotion.csv?id=p&tab=vouchers", &cookie)
        .await;
    assert_eq!(csv.body.lines().count(), 9, "{}", csv.body);
}

#[tokio::test]
async fn a_run_that_is_asked_for_twice_by_one_form_is_one() {
    let shop = shop().await;
    let cookie = shop.sign_in(ADMIN).await;
    let count = async || shop.get("runs").await["runs"].as_array().unwrap().len();
    let before = count().await;
    let page = shop.page("/app/m/runs", &cookie).await.body;
    let once = hidden(&page, "once");
    for _ in 0..2 {
        let got = shop
            .send_form(&cookie, "runs", &[("form", "verify"), ("once", &once)])
            .await;
        assert_eq!(got.status, 303, "{}", got.body);
    }
    assert_eq!(count().await, before + 1);
    shop.service.work_off().await;
    let runs = shop.get("runs").await;
    let found = |run: &Value| run["verify"]["differences"] == 0;
    assert!(runs["runs"].as_array().unwrap().iter().any(found), "{runs}");
    shop.send_form(&cookie, "runs", &[("form", "run")]).await;
    assert_eq!(count().await, before + 2);
}

#[tokio::test]
async fn an_erasure_is_begun_by_who_typed_the_id_and_its_page_says_how_far_it_is() {
    let shop = shop().await;
    let cookie = shop.sign_in(ADMIN).await;
    let got = shop.send_form(&cookie, ERASE.0, ERASE.1).await;
    assert_eq!(got.status, 303, "{}", got.body);
    assert!(
        got.location.starts_with("/app/m/erasure?id="),
        "{}",
        got.location
    );
    let page = shop.page(&got.location, &cookie).await.body;
    assert!(
        page.contains("running") && page.contains("data-moving"),
        "{page}"
    );
    shop.service.work_off().await;
    let page = shop.page(&got.location, &cookie).await.body;
    assert!(
        page.contains("done") && !page.contains("data-moving"),
        "{page}"
    );
    assert_eq!(shop.page("/app/m/customer?id=c", &cookie).await.status, 404);
    let marketer = shop.sign_in(&shop.key("marketer").await).await;
    assert_eq!(shop.page(&got.location, &marketer).await.status, 403);
}

#[tokio::test]
async fn an_edit_of_a_campaign_says_how_many_orders_it_decides_anew_before_it_does() {
    let shop = shop().await;
    let cookie = shop.sign_in(&shop.key("marketer").await).await;
    let page = shop.page("/app/m/campaign?id=E", &cookie).await.body;
    let seen = hidden(&page, "seen");
    for (fields, says) in [
        (
            &[("name", "Named"), ("asks", "true")][..],
            "decides no order anew",
        ),
        (
            &[("tags", "receipt"), ("asks", "true")],
            "decides up to 1 orders anew",
        ),
        (
            &[("sent_at", "soon"), ("asks", "true")],
            "edit-sent_at-wrong",
        ),
    ] {
        let mut all = vec![("form", "edit"), ("seen", seen.as_str())];
        all.extend_from_slice(fields);
        let got = shop.send_form(&cookie, "campaign?id=E", &all).await;
        assert!(got.body.contains(says), "{fields:?}: {}", got.body);
        let typed = format!("{}</", fields[0].1);
        assert!(got.body.contains(fields[0].1), "{typed}");
    }
    assert_eq!(shop.get("campaigns/E").await["tags"], json!([]));
    let save = [
        ("form", "edit"),
        ("seen", seen.as_str()),
        ("name", "Named"),
        ("tags", "a\r\nb"),
    ];
    let got = shop.send_form(&cookie, "campaign?id=E", &save).await;
    assert_eq!(got.status, 303, "{}", got.body);
    let told = json!({"name": "Named", "tags": ["a", "b"], "triggered": false, "sent_at": null});
    crate::support::fixtures::assert_part("saved", &shop.get("campaigns/E").await, &told);
}

#[tokio::test]
async fn r057_the_buyers_are_saved_as_a_segment_once() {
    let shop = shop().await;
    let cookie = shop.sign_in(&shop.key("marketer").await).await;
    let page = shop.page("/app/m/campaign?id=E", &cookie).await.body;
    let [once, from, to] = ["once", "from", "to"].map(|name| hidden(&page, name));
    let save = [
        ("form", "segment"),
        ("name", "<b>buyers"),
        ("once", &once),
        ("from", &from),
        ("to", &to),
    ];
    let first = shop.send_form(&cookie, "campaign?id=E", &save).await;
    let again = shop.send_form(&cookie, "campaign?id=E", &save).await;
    assert_eq!(
        (first.status, &first.location),
        (303, &again.location),
        "{}",
        first.body
    );
    let page = shop.page(&first.location, &cookie).await.body;
    assert!(page.contains("&#60;b&#62;buyers"), "{page}");
    let id = first.location.rsplit('=').next().unwrap().to_owned();
    let csv = shop
        .page(&format!("/app/m/segment.csv?id={id}"), &cookie)
        .await;
    assert_eq!(csv.body, "customer_id\nc\n");
    let taken = [
        ("form", "segment"),
        ("name", "<b>buyers"),
        ("from", &from),
        ("to", &to),
    ];
    let taken = shop.send_form(&cookie, "campaign?id=E", &taken).await;
    assert_eq!(taken.status, 409, "{}", taken.body);
    assert!(
        taken.body.contains("there is a segment with the name"),
        "{}",
        taken.body
    );
}

/// A marketplace, and the name and the bytes of a file of it.
type Taken = (String, String, Vec<u8>);

/// A file goes into the inbox under its name, whatever path the browser told with it.
#[tokio::test]
async fn a_file_that_is_uploaded_is_put_into_the_inbox() {
    let shop = shop().await;
    let taken: Arc<Mutex<Vec<Taken>>> = Arc::default();
    let kept = taken.clone();
    shop.service
        .app
        .take_files(Box::new(move |marketplace, name, bytes| {
            let file = (marketplace.to_string(), name, bytes.to_vec());
            kept.lock().unwrap().push(file);
            Box::pin(std::future::ready(Ok(())))
        }));
    let cookie = shop.sign_in(&shop.key("partner").await).await;
    let media = "multipart/form-data; boundary=xyz";
    let headers = [OWN, ("cookie", cookie.as_str()), ("content-type", media)];
    let part = |name: &str| {
        format!(
            "--xyz\r\nContent-Disposition: form-data; name=\"form\"\r\n\r\nupload\r\n--xyz\r\nContent-Disposition: form-data; \
                 name=\"file\"; filename=\"{name}\"\r\n\r\na,b\r\n1,2\r\n\r\n--xyz--\r\n"
        )
    };
    for (name, status) in [("C:\\files\\week.csv", 303), ("", 422)] {
        let got = shop
            .open_page(Method::POST, "/app/m/batches", &headers, &part(name))
            .await;
        assert_eq!(got.status, status, "{name}: {}", got.body);
    }
    let cut = part("week.csv").replace("--xyz--", "");
    let got = shop
        .open_page(Method::POST, "/app/m/batches", &headers, &cut)
        .await;
    assert_eq!(got.status, 400, "{}", got.body);
    let file = (
        "m".to_owned(),
        "week.csv".to_owned(),
        b"a,b\r\n1,2\r\n".to_vec(),
    );
    assert_eq!(*taken.lock().unwrap(), [file]);
}
