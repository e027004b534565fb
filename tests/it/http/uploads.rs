//! Addresses that one file can be sent to. That a file arrives there is for `serve`'s own tests and for the real parts to say.

use http::{Method, Uri};
use revtrail_core::value::id::MarketplaceId;
use revtrail_web::app::Uploads;
use serde_json::{Value, json};

use crate::support::fixtures::{Shop, at};

async fn offered(shop: &Shop, name: Value) -> (u16, Value) {
    let body = json!({ "name": name });
    let (status, told) = shop.call(Method::POST, "uploads", body).await;
    (status, told)
}

#[tokio::test]
async fn an_address_is_good_for_one_file_of_one_marketplace_for_a_quarter_of_an_hour() {
    let shop = Shop::open(json!({})).await;
    let app = &shop.service.app;
    app.take_uploads(Uploads::Here);
    shop.service.set_now(at("20T12:00"));
    let (status, told) = offered(&shop, json!("week 48+é%.csv.gz")).await;
    assert_eq!(
        (status, &told["method"], &told["file"], &told["expires_at"]),
        (
            201,
            &json!("PUT"),
            &json!("inbox/m/redemptions/week 48+é%.csv.gz"),
            &json!(at("20T12:15"))
        )
    );
    let good = told["url"].as_str().unwrap();
    let to = |address: &str| app.uploaded_to(&address.parse::<Uri>().unwrap());
    let m = MarketplaceId::new("m").unwrap();
    let whose = Some((m, "week 48+é%.csv.gz".to_owned()));
    let mut cases = 0;
    for (address, expected) in [
        (good.to_owned(), &whose),
        (good.replace("/m/", "/n/"), &None),
        (good.replace("/m/", "/M/"), &None),
        (good.replace("48", "49"), &None),
        (good.replace("%2B", "+"), &whose),
        (good.replace("week%20", "week%20/"), &None),
        (good.replace("until=1", "until=2"), &None),
        (good.replace("until=", "until=0"), &None),
        (good.replace("signature=", "signature=A"), &None),
        (good.replace("&signature=", "&signature=&x="), &None),
        (format!("{good}&x=1"), &None),
        (good.split('&').next().unwrap().to_owned(), &None),
        (good.split('?').next().unwrap().to_owned(), &None),
        (good.replace("/uploads/", "/upload/"), &None),
        (good[..good.len() - 1].to_owned(), &None),
    ] {
        assert_eq!(to(&address), *expected, "{address}");
        cases += 1;
    }
    shop.service.set_now(at("20T12:14:59.999"));
    assert_eq!(to(good), whose);
    shop.service.set_now(at("20T12:15"));
    assert_eq!(to(good), None);
    println!("addresses for files: {cases} cases");
}

#[tokio::test]
async fn a_name_that_no_file_of_redemptions_has_is_refused() {
    let shop = Shop::open(json!({})).await;
    // There is nowhere to put a file, but what is wrong with the name is said first.
    let (status, told) = offered(&shop, json!("a.csv")).await;
    assert_eq!(
        (status, &told["errors"][0]["code"]),
        (409, &json!("no_files"))
    );
    shop.service.app.take_uploads(Uploads::Here);
    for (name, code, part) in [
        (Value::Null, "missing", "name is needed"),
        (json!(7), "wrong_type", "name is a text"),
        (json!(""), "unknown_value", "ends in /"),
        (json!("a.xlsx"), "unknown_value", "ends in none of"),
        (
            json!("../n/redemptions/a.csv"),
            "unknown_value",
            "with a dot",
        ),
        (json!("sub/a.csv"), "unknown_value", "it lies in"),
        (json!(".a.csv"), "unknown_value", "with a dot"),
        (json!("a\n.csv"), "unknown_value", "control characters"),
        (
            json!("x".repeat(252) + ".csv"),
            "unknown_value",
            "256 bytes",
        ),
    ] {
        let (status, told) = offered(&shop, name.clone()).await;
        let error = &told["errors"][0];
        assert_eq!((status, &error["code"]), (422, &json!(code)), "{name}");
        assert_eq!(error["field"], "name", "{name}");
        let detail = error["detail"].as_str().unwrap();
        assert!(detail.contains(part), "{name}: {detail}");
    }
    let more = json!({ "name": "a.csv", "size": 7 });
    let (status, told) = shop.call(Method::POST, "uploads", more).await;
    assert_eq!((status, &told["errors"][0]["field"]), (422, &json!("size")));
}
