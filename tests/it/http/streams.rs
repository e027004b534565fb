//! Lists as CSV that are sent while they are read: all of the list, in its order, and broken off where a part of it cannot be read.

use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::fault_client::{Fault, FaultClient};
use crate::support::fixtures::{Shop, order, segment};
use crate::support::service::ADMIN;

/// How many orders the list has: more than two parts.
const ORDERS: usize = 2_300;

/// A shop with so many buyers, one order each, in two currencies and two statuses; of the last ones no run knows yet.
async fn shop(line: &FaultClient) -> Shop {
    let shop = Shop::over(line).await;
    shop.events(&["E email sent,opened c0000 16T10:00"]).await;
    let of = |n: usize| {
        let (currency, status) = (["EUR", "USD"][n % 2], ["COMPLETE", "READY"][n % 3 / 2]);
        let at = format!("17T{:02}:{:02}", n / 60 % 12, n % 60);
        order(&format!("o{n:04} c{n:04} {status} {n}.50 {currency} {at}"))
    };
    let folded: Vec<Value> = (0..ORDERS - 5).map(of).collect();
    shop.service.feed("m", "orders", &folded, 1_000).await;
    shop.run().await;
    let waiting: Vec<Value> = (ORDERS - 5..ORDERS).map(of).collect();
    shop.service.feed("m", "orders", &waiting, 1_000).await;
    shop
}

/// The ids of a list of orders as JSON, page by page.
async fn paged(shop: &Shop, filter: &str) -> Vec<String> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = shop
            .get(&format!("orders?limit=1000{filter}{cursor}"))
            .await;
        let orders = page["orders"].as_array().unwrap().iter();
        ids.extend(orders.map(|order| order["order_id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={}", segment(next)),
            None => return ids,
        }
    }
}

#[tokio::test]
async fn a_csv_of_orders_is_the_whole_list_in_its_order() {
    let shop = shop(&FaultClient::new()).await;
    for (filter, count) in [
        ("", ORDERS),
        ("&status=READY", ORDERS / 3),
        ("&customer_id=c0007", 1),
    ] {
        let table = shop.csv(&format!("orders?revenue=true{filter}")).await;
        let mut rows = table.lines();
        let head = rows.next().unwrap();
        let amounts = match filter {
            "&customer_id=c0007" => "total_USD,refunded_USD",
            _ => "total_EUR,total_USD,refunded_EUR,refunded_USD",
        };
        assert!(
            head.ends_with(&format!("campaign_id,channel,{amounts}")),
            "{head}"
        );
        let ids = rows.map(|row| row.split(',').next().unwrap().to_owned());
        let ids: Vec<String> = ids.collect();
        assert_eq!(ids.len(), count, "{filter}");
        assert_eq!(ids, paged(&shop, filter).await, "{filter}");
    }
    // Without the switch no amount is in it.
    let table = shop.csv("orders").await;
    assert!(
        table
            .lines()
            .next()
            .unwrap()
            .ends_with(",counted,campaign_id,channel"),
        "{table}"
    );
}

/// Asks for a CSV: the status, how many calls of the table there were when the answer began and when it ended, and its bytes, unless it
/// broke off.
async fn sent(shop: &Shop, line: &FaultClient, path: &str) -> (u16, [usize; 2], Option<Vec<u8>>) {
    let request = Request::builder()
        .method(Method::GET)
        .uri(shop.path(path))
        .header("accept", "text/csv")
        .header("authorization", format!("Bearer {ADMIN}"))
        .body(Body::empty())
        .unwrap();
    let answer = shop.service.router().oneshot(request).await.unwrap();
    let (status, begun) = (answer.status().as_u16(), line.calls().len());
    let body = answer.into_body().collect().await;
    let bytes = body.ok().map(|body| body.to_bytes().to_vec());
    (status, [begun, line.calls().len()], bytes)
}

#[tokio::test]
async fn a_list_is_sent_while_it_is_read_and_breaks_off_where_it_cannot_be_read() {
    let line = FaultClient::new();
    let shop = shop(&line).await;
    let buyers = json!({"name": "s", "campaign_id": "E", "from": "2026-11-01", "to": "2026-12-01"});
    let (status, saved) = shop.call(Method::POST, "segments", buyers).await;
    assert_eq!(status, 201, "{saved}");
    let segment = format!("segments/{}", saved["segment_id"].as_str().unwrap());
    // The last two parts of the orders, and the look behind the last customer.
    for (path, reads) in [("orders?revenue=true", 20), (&segment, 1)] {
        // The first call finds out whose key it is.
        sent(&shop, &line, path).await;
        line.clear();
        let (status, [begun, ended], bytes) = sent(&shop, &line, path).await;
        assert_eq!((status, bytes.is_some()), (200, true), "{path}");
        assert!(
            ended - begun >= reads,
            "{path}: {begun} calls of {ended} before it began"
        );
        // What fails after the answer has begun breaks it off, so nobody takes a part for the whole.
        line.fail_at(ended, Fault::KilledBefore);
        let (status, _, bytes) = sent(&shop, &line, path).await;
        assert_eq!((status, bytes), (200, None), "{path}");
        // What fails before is a problem. The last call before is the access log's, on which no answer depends.
        line.fail_at(begun / 2, Fault::KilledBefore);
        let (status, ..) = sent(&shop, &line, path).await;
        assert!(status >= 500, "{path}: {status}");
    }
}
