//! How many posts of one event a core reads in a second, a sender a line: parsed, proven where the proof is an HMAC or an MD5, and made a record,
//! without the store. `cargo xtask bench webhooks` runs it. The time is that of the processor, so what else the machine does changes little.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints what it measured"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant as Clock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName};
use md5::{Digest, Md5};
use revtrail_core::attribution::settings::{Provider, Settings};
use revtrail_core::value::time::Instant;
use revtrail_providers::{Post, read};
use serde_json::{Value, json};
use sha2::Sha256;

const NOW: &str = "2026-11-20T10:00:00Z";
const AT: i64 = 1_795_168_800;
const KEY: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";
const ROUNDS: usize = 7;
const POSTS: usize = 3_000;
/// How many posts a second each sender is to reach.
const AIM: f64 = 50_000.0;

/// A post as its sender makes it, with what proves it.
struct Sample {
    sender: &'static str,
    proof: &'static str,
    headers: HeaderMap,
    body: String,
}

fn hmac(key: &[u8], signed: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(signed.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Signs a body as its sender does.
fn signed(sender: &'static str, body: &Value) -> Sample {
    let mut text = body.to_string();
    let of_body = || hmac(KEY.as_bytes(), &text);
    let header = |name: &str, value: String| (name.parse().unwrap(), value);
    let (proof, headers): (&str, Vec<(HeaderName, String)>) = match sender {
        "mailersend" => ("HMAC", vec![header("signature", hex::encode(of_body()))]),
        "mailtrap" => (
            "HMAC",
            vec![header("mailtrap-signature", hex::encode(of_body()))],
        ),
        "voucherify" => (
            "HMAC",
            vec![header("x-voucherify-signature", hex::encode(of_body()))],
        ),
        "shopify" => (
            "HMAC",
            vec![header("x-shopify-hmac-sha256", BASE64.encode(of_body()))],
        ),
        "woocommerce" => (
            "HMAC",
            vec![header("x-wc-webhook-signature", BASE64.encode(of_body()))],
        ),
        "resend" => {
            let key = BASE64.decode(KEY.trim_start_matches("whsec_")).unwrap();
            let signature = BASE64.encode(hmac(&key, &format!("msg_1.{AT}.{text}")));
            let headers = [
                ("svix-id", "msg_1".to_owned()),
                ("svix-timestamp", AT.to_string()),
                ("svix-signature", format!("v1,{signature}")),
            ];
            (
                "HMAC",
                headers.map(|(name, value)| header(name, value)).into(),
            )
        }
        "mailgun" => {
            let signature = hex::encode(hmac(KEY.as_bytes(), &format!("{AT}token")));
            text = text.replace("\"@signature\"", &format!("\"{signature}\""));
            ("HMAC", Vec::new())
        }
        "unisender_go" => {
            let auth = hex::encode(Md5::digest(text.replace("@auth", KEY)));
            text = text.replace("@auth", &auth);
            ("MD5", Vec::new())
        }
        _ => ("none", Vec::new()),
    };
    let headers = headers
        .into_iter()
        .map(|(name, value)| (name, value.parse().unwrap()));
    Sample {
        sender,
        proof,
        headers: headers.collect(),
        body: text,
    }
}

fn samples() -> Vec<Sample> {
    let agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36";
    let ses = json!({ "eventType": "Open", "open": { "ipAddress": "192.0.2.1", "timestamp": NOW, "userAgent": agent },
        "mail": { "timestamp": NOW, "source": "Shop <shop@example.com>", "sendingAccountId": "123456789012", "messageId": "0100017-m1",
            "destination": ["ann@example.com"], "headersTruncated": false,
            "headers": [{ "name": "From", "value": "Shop <shop@example.com>" }, { "name": "To", "value": "ann@example.com" },
                { "name": "Subject", "value": "Spring" }, { "name": "MIME-Version", "value": "1.0" }, { "name": "Content-Type", "value": "text/html" }],
            "commonHeaders": { "from": ["Shop <shop@example.com>"], "to": ["ann@example.com"], "messageId": "0100017-m1", "subject": "Spring" },
            "tags": { "campaign": ["spring"], "ses:configuration-set": ["set"], "ses:source-ip": ["192.0.2.1"], "ses:caller-identity": ["ses"] } } });
    let items: Vec<Value> = (0..3)
        .map(|n| json!({ "id": n, "sku": "A1", "product_id": 93, "name": "Tea", "title": "Tea", "quantity": 2, "price": "9.99", "total": "9.99",
            "grams": 100, "taxable": true, "tax_lines": [{ "title": "VAT", "price": "1.00", "rate": 0.2 }], "properties": [] }))
        .collect();
    let address = json!({ "first_name": "Ann", "last_name": "Lee", "address1": "Oak Street 1", "city": "Dublin", "zip": "D01", "country": "Ireland",
        "phone": "+353 87 123 4567", "email": "ann@example.com" });
    [
        ("sendgrid", json!([{ "email": "ann@example.com", "timestamp": AT, "event": "open", "sg_event_id": "ZGVsaXZlcmVkLTA", "sg_message_id":
            "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0", "useragent": agent, "ip": "192.0.2.1", "campaign": "spring", "customer": "c-1", "category": ["a", "b"] }])),
        ("mailgun", json!({ "signature": { "timestamp": AT.to_string(), "token": "token", "signature": "@signature" },
            "event-data": { "id": "Ase7i2zsRYeDXztHGENqRA", "timestamp": 1_795_168_800.243, "log-level": "info", "event": "opened", "recipient": "ann@example.com",
                "message": { "headers": { "message-id": "20130503182626.18666.16540@example.org" } }, "recipient-domain": "example.com", "ip": "192.0.2.1",
                "geolocation": { "country": "US", "region": "CA", "city": "San Francisco" },
                "client-info": { "client-os": "Linux", "device-type": "desktop", "client-name": "Chrome", "client-type": "browser", "user-agent": agent },
                "campaigns": [], "tags": ["spring", "b"], "user-variables": { "campaign": "spring", "customer": "c-1" } } })),
        ("postmark", json!({ "RecordType": "Open", "MessageStream": "outbound", "FirstOpen": true, "MessageID": "00000000-0000-0000-0000-000000000000",
            "Recipient": "ann@example.com", "ReceivedAt": NOW, "Platform": "Desktop", "ReadSeconds": 5, "Tag": "spring", "UserAgent": agent,
            "OS": { "Name": "OS X", "Company": "Apple" }, "Client": { "Name": "Chrome", "Company": "Google" }, "Geo": { "City": "NYC" }, "Metadata": { "a": "b" } })),
        ("ses", json!({ "Type": "Notification", "MessageId": "19ba9823-d7f2-53c1-860e-cb10e0d13dfc", "TopicArn": "arn:aws:sns:eu-west-1:1:ses",
            "Subject": "Amazon SES Email Event Notification", "Message": ses.to_string(), "Timestamp": "2026-11-20T10:00:00.000Z", "SignatureVersion": "1" })),
        ("sparkpost", json!([{ "msys": { "track_event": { "type": "open", "event_id": "92356927693813856", "campaign_id": "spring", "transmission_id": "65832150921904138",
            "message_id": "000443ee14578172be22", "rcpt_to": "ann@example.com", "raw_rcpt_to": "Ann@example.com", "rcpt_meta": { "customer": "c-1" },
            "rcpt_tags": ["a"], "timestamp": AT.to_string(), "user_agent": agent, "geo_ip": { "city": "Columbia", "country": "US" } } } }])),
        ("brevo", json!({ "event": "opened", "email": "ann@example.com", "id": 26_224, "date": "2026-11-20 11:00:00", "ts": AT, "message-id": "<201798300811.5787683@relay>",
            "ts_event": AT, "subject": "Spring", "X-Mailin-custom": "{\"a\":\"b\"}", "sending_ip": "192.0.2.1", "ts_epoch": 1_795_168_800_000_i64, "template_id": 22, "tags": ["spring"] })),
        ("mailjet", json!([{ "event": "open", "time": AT, "MessageID": 19_421_777_835_146_490_i64, "Message_GUID": "1ab23cd4", "email": "ann@example.com", "mj_campaign_id": 7_276,
            "mj_contact_id": 320, "customcampaign": "spring", "CustomID": "hello", "Payload": "{\"a\":\"b\"}", "ip": "192.0.2.1", "geo": "US", "agent": agent }])),
        ("resend", json!({ "type": "email.opened", "created_at": "2026-11-20T10:00:00.126Z", "data": { "broadcast_id": "8b146471-e88e-4322-86af-016cd36fd216",
            "created_at": NOW, "email_id": "56761188-7520-42d8-8898-ff6fc54ce618", "from": "Acme <a@example.com>", "to": ["ann@example.com"],
            "subject": "Spring", "tags": { "campaign": "spring" } } })),
        ("mailersend", json!({ "type": "activity.opened", "domain_id": "yv69oxl5kl785kw2", "created_at": NOW, "webhook_id": "w", "url": "https://hook.example",
            "data": { "object": "activity", "id": "62f114f8165fe0d8db0288e3", "type": "opened", "created_at": NOW, "email": { "object": "email", "id": "62f114f8165fe0d8db0288e1",
                "created_at": NOW, "from": "s@example.com", "subject": "Spring", "status": "delivered", "tags": ["spring"], "message": { "object": "message", "id": "62f114f8" },
                "recipient": { "object": "recipient", "id": "62c69be1", "email": "ann@example.com" } }, "morph": null } })),
        ("mailtrap", json!({ "events": [{ "event": "open", "timestamp": AT, "sending_stream": "bulk", "category": "spring", "custom_variables": { "a": "b" },
            "message_id": "1df37d17-0286-4d8b-8edf-bc4ec5be86e6", "email": "ann@example.com", "event_id": "bede7236-2284-43d6-a953-1fdcafd0fdbc", "user_agent": agent, "ip": "192.0.2.1" }] })),
        ("unisender_go", json!({ "auth": "@auth", "events_by_user": [{ "user_id": 456, "project_id": "6432890213745872", "events": [{ "event_name": "transactional_email_status",
            "event_data": { "job_id": "1a3Q2V-0000OZ-S0", "metadata": { "campaign_id": "spring" }, "email": "ann@example.com", "status": "opened",
                "event_time": "2026-11-20 10:00:00", "delivery_info": { "user_agent": agent, "ip": "192.0.2.1" } } }] }] })),
        ("yespo", json!([{ "broadcastId": 3_459_207, "messageName": "spring", "iid": "99d591ab-e7a5-49ed-8e16-b3023378fc18", "contactId": 1_967_597_908, "externalCustomerId": "789456512",
            "email": "ann@example.com", "mediaType": "email", "activityStatus": "READ", "messageId": 2_489_300, "messageInstanceId": 4_702_518,
            "activityDateTime": "2026-11-20T10:00:00", "viewMessageLink": "https://u.example.com/J9o6", "statusData": {} }])),
        ("shopify", json!({ "id": 820_982_911_946_154_500_i64, "email": "ann@example.com", "created_at": NOW, "updated_at": NOW, "total_price": "19.98", "current_total_price": "19.98",
            "currency": "USD", "financial_status": "paid", "fulfillment_status": null, "cancelled_at": null, "test": false, "source_name": "web", "customer": { "id": 7, "email": "ann@example.com",
            "default_address": address }, "billing_address": address, "shipping_address": address, "discount_codes": [{ "code": "TENOFF", "amount": "1.00" }], "line_items": items, "refunds": [] })),
        ("woocommerce", json!({ "id": 727, "status": "processing", "currency": "USD", "date_created_gmt": "2026-11-20T10:00:00", "date_modified_gmt": "2026-11-20T10:00:06", "total": "29.35",
            "customer_id": 7, "created_via": "checkout", "billing": address, "shipping": address, "coupon_lines": [{ "code": "save10" }], "line_items": items, "refunds": [], "meta_data": [] })),
        ("voucherify", json!({ "id": "ev_1", "type": "redemption.succeeded", "created_at": NOW, "data": { "customer": { "id": "cust_1", "source_id": "c-1" }, "order": { "id": "ord_1",
            "source_id": "o-1", "total_applied_discount_amount": 1_050, "items": items }, "campaign": { "id": "camp_1", "name": "Spring" }, "voucher": { "code": "SAVE10" },
            "redemption": { "id": "r_1", "date": NOW, "result": "SUCCESS" } } })),
    ]
    .map(|(sender, body)| signed(sender, &body))
    .into()
}

/// How long this thread was on a processor; where the system does not say, how long it took.
fn busy(since: Clock) -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ns = told.split(' ').next().and_then(|ns| ns.parse().ok());
    ns.map_or_else(|| since.elapsed(), Duration::from_nanos)
}

fn main() {
    let start = Clock::now();
    println!(
        "| sender | bytes | proof | µs a post | posts a second | of the aim |\n|---|---|---|---|---|---|"
    );
    for Sample {
        sender,
        proof,
        headers,
        body,
    } in samples()
    {
        let campaign = match sender {
            "voucherify" => "data.campaign.id",
            "yespo" => "broadcastId",
            _ => {
                "metadata.campaign|tags.0|metadata.campaign_id|campaign_id|customcampaign|data.broadcast_id"
            }
        };
        let set = Settings::read(&json!({ "currency": "USD" }), i64::MAX);
        let mut settings = set.unwrap();
        let mapping = Provider {
            campaign_id: Some(campaign.to_owned()),
            verification_key: (proof != "none").then(|| KEY.to_owned()),
            ..Provider::default()
        };
        settings.providers.builtin = BTreeMap::from([(sender.to_owned(), mapping)]);
        let now = Instant::parse(NOW).unwrap();
        let post = Post {
            headers: &headers,
            body: body.as_bytes(),
            certificate: None,
        };
        let outcomes = format!("{:?}", read(sender, &post, &settings, now));
        assert!(
            !outcomes.contains("Ignored") && outcomes.starts_with("Ok"),
            "{sender}: {outcomes}"
        );
        let round = |_| {
            let before = busy(start);
            for _ in 0..POSTS {
                std::hint::black_box(read(sender, &post, &settings, now).is_ok());
            }
            busy(start) - before
        };
        let mut rounds: Vec<Duration> = (0..ROUNDS).map(round).collect();
        rounds.sort();
        let each = rounds[ROUNDS / 2].as_secs_f64() / POSTS as f64;
        println!(
            "| {sender} | {} | {proof} | {:.1} | {:.0} | {:.0} % |",
            body.len(),
            each * 1e6,
            1.0 / each,
            100.0 / (each * AIM)
        );
    }
}
