//! Posts of all senders, and what they become: those of our own making in `posts/`, a line each, and recorded ones where they lie
//! beside the project. `proofs.jsonl` has a signature of each scheme, made by another program.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests; what they print says what was not played"
)]

use std::collections::BTreeSet;
use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue};
use revtrail_core::attribution::settings::{CustomSender, Provider, Settings};
use revtrail_core::value::time::Instant;
use revtrail_providers::{Outcome, Post, Refused, certificate_url, read};
use serde_json::{Value, json};

const NOW: &str = "2026-11-20T10:00:00Z";

fn headers(of: &Value) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in of.as_object().into_iter().flatten() {
        let name: HeaderName = name.parse().unwrap();
        headers.insert(
            name,
            HeaderValue::from_str(value.as_str().unwrap()).unwrap(),
        );
    }
    headers
}

fn settings(line: &Value) -> Settings {
    let mut set = json!({ "timezone": line["timezone"].as_str().unwrap_or("UTC"), "currency": line["currency"] });
    if let Some(counted) = line.get("counted") {
        set["counted_statuses"] = counted.clone();
    }
    let sender = line["sender"].as_str().unwrap();
    let sender = if sender.starts_with("compat/") {
        "yespo"
    } else {
        sender
    };
    if let Some(own) = line.get("settings") {
        set["providers"] = json!({ sender: own });
    }
    if let Some(own) = line.get("custom") {
        set["providers"] = json!({ "custom": { sender: own } });
    }
    Settings::read(&set, i64::MAX).unwrap()
}

/// The kind of an outcome, and its record.
fn told(outcome: &Outcome) -> (&'static str, Value) {
    let record = |text: &str| serde_json::from_str(text).unwrap();
    match outcome {
        Outcome::Event(text) => ("event", record(text)),
        Outcome::Order(text) => ("order", record(text)),
        Outcome::Redemption(text) => ("redemption", record(text)),
        Outcome::Rollback(text) => ("rollback", record(text)),
        Outcome::Assignment(text) => ("assignment", record(text)),
        Outcome::Ignored(word) => ("ignored", json!(word)),
    }
}

fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

/// Compares the fields that a line states; `null` is a field that must be absent, `@same` an id that all lines with it share.
fn check(line: &Value) {
    let mut headers = headers(&line["headers"]);
    if let Some(media) = line["type"].as_str() {
        headers.insert("content-type", media.parse().unwrap());
    }
    let body = match line["raw"].as_str() {
        Some(raw) => raw.to_owned(),
        None => line["body"].to_string(),
    };
    let post = Post {
        headers: &headers,
        body: body.as_bytes(),
        certificate: None,
    };
    let sender = line["sender"].as_str().unwrap();
    let outcomes = read(sender, &post, &settings(line), Instant::parse(NOW).unwrap()).unwrap();
    let found: Vec<(&str, Value)> = outcomes.iter().map(told).collect();
    let expected = line["expect"].as_array().unwrap();
    let what = format!("{sender}: {}: {found:#?}", line["what"]);
    assert_eq!(found.len(), expected.len(), "{what}");
    let mut same = BTreeSet::new();
    for ((kind, record), expected) in found.iter().zip(expected) {
        let Some(expected) = expected.get(*kind) else {
            panic!("expected {expected} of {what}");
        };
        let Value::Object(fields) = expected else {
            assert_eq!(record, expected, "{what}");
            continue;
        };
        for (field, value) in fields {
            match value.as_str() {
                Some("@same") => drop(same.insert(record[field].to_string())),
                _ => assert_eq!(&record[field], value, "{field} of {what}"),
            }
        }
    }
    assert!(same.len() < 2, "{what}");
    // The same post again names the same things.
    assert_eq!(
        read(sender, &post, &settings(line), Instant::parse(NOW).unwrap()),
        Ok(outcomes)
    );
}

#[test]
fn what_posts_of_mail_become() {
    lines(include_str!("posts/mail.jsonl"))
        .iter()
        .for_each(check);
}

#[test]
fn what_posts_of_shops_and_promotions_become() {
    lines(include_str!("posts/shops.jsonl"))
        .iter()
        .for_each(check);
}

#[test]
fn a_signature_proves_its_post_and_no_other() {
    for line in lines(include_str!("proofs.jsonl")) {
        let what = format!("{} {}", line["sender"], line["what"]);
        let sender = line["sender"].as_str().unwrap();
        let now = Instant::parse(line["now"].as_str().unwrap()).unwrap();
        let read_with = |secret: &str, headers: &HeaderMap, body: &str, now: Instant| {
            let mut settings = settings(&json!({ "sender": sender }));
            match line.get("custom") {
                Some(own) => {
                    let mut own: CustomSender = serde_json::from_value(own.clone()).unwrap();
                    own.signature.as_mut().unwrap().secret = secret.to_owned();
                    settings.providers.custom.insert(sender.to_owned(), own);
                }
                None => {
                    let key = Provider {
                        verification_key: Some(secret.to_owned()),
                        ..Provider::default()
                    };
                    settings.providers.builtin.insert(sender.to_owned(), key);
                }
            }
            read(
                sender,
                &Post {
                    headers,
                    body: body.as_bytes(),
                    certificate: None,
                },
                &settings,
                now,
            )
        };
        let secret = line["secret"].as_str().unwrap();
        let body = line["body"].as_str().unwrap();
        let good = headers(&line["headers"]);
        assert!(
            read_with(secret, &good, body, now).is_ok(),
            "{what}: {:?}",
            read_with(secret, &good, body, now)
        );
        let refused = |found: Result<Vec<Outcome>, Refused>, why: &str| {
            assert!(
                matches!(found, Err(Refused::Unproven(_))),
                "{what}, {why}: {found:?}"
            );
        };
        let other = match sender {
            "sendgrid" | "ses" => "AAAA".to_owned(),
            "resend" => "whsec_AAAA".to_owned(),
            _ => format!("{secret}x"),
        };
        refused(read_with(&other, &good, body, now), "another key");
        let changed = match sender {
            // What is signed is in the body, between the quotes.
            "mailgun" => body.replace("0123456789abcdef", "0123456789abcdee"),
            "ses" => body.replace("m-", "n-"),
            _ => body.replace('{', "{\"more\":1,"),
        };
        refused(read_with(secret, &good, &changed, now), "another body");
        if line["timed"] == json!(true) {
            for minutes in [-6, 6] {
                let late = Instant::from_ms(now.ms() + minutes * 60_000);
                refused(read_with(secret, &good, body, late), "another time");
            }
            let within = Instant::from_ms(now.ms() + 5 * 60_000);
            assert!(read_with(secret, &good, body, within).is_ok(), "{what}");
        }
        for name in good.keys() {
            let mut without = good.clone();
            without.remove(name);
            let found = read_with(secret, &without, body, now);
            assert!(
                found.is_err() || *name == "content-type",
                "{what} without {name}"
            );
        }
        if sender != "mailgun" {
            refused(
                read_with(secret, &HeaderMap::new(), "{}", now),
                "no signature",
            );
        }
    }
}

/// A report that is large, and is about many: copied for each of them it would take some forty gigabytes.
#[test]
fn a_large_report_on_many_recipients_is_read_once() {
    let many: Vec<String> = (0..20_000).map(|n| format!("{n}@x.org")).collect();
    let mail = json!({ "messageId": "m1", "destination": many, "tags": { "campaign": ["spring"] }, "subject": "x".repeat(2 << 20) });
    let body =
        json!({ "eventType": "Open", "mail": mail, "open": { "timestamp": NOW } }).to_string();
    let settings =
        settings(&json!({ "sender": "ses", "settings": { "campaign_id": "metadata.campaign" } }));
    let post = Post {
        headers: &HeaderMap::new(),
        body: body.as_bytes(),
        certificate: None,
    };
    let found = read("ses", &post, &settings, Instant::parse(NOW).unwrap()).unwrap();
    assert_eq!(found.len(), 20_000);
    assert_eq!(told(&found[7]).1["email"], json!("7@x.org"));
}

/// Posts of SNS where settings name a topic: which address is fetched, and what becomes of the post with what it holds.
#[test]
fn a_topic_is_proven_by_amazons_certificate() {
    let sns: Value = serde_json::from_str(include_str!("sns.json")).unwrap();
    let text = |at: &str| sns.pointer(at).unwrap().as_str().unwrap();
    let topic = text("/topic");
    for (post, certificate, topics, expected) in [
        ("version 1", "good", topic, "opened"),
        ("version 2", "good", topic, "opened"),
        (
            "version 2",
            "good",
            &format!("arn:aws:sns:x:1:y {topic}"),
            "opened",
        ),
        ("subscription", "good", topic, "SubscriptionConfirmation"),
        ("another topic", "good", topic, "topic"),
        (
            "version 2",
            "good",
            "arn:aws:sns:eu-west-1:123456789012",
            "topic",
        ),
        ("version 2", "over", topic, "good from"),
        ("version 2", "not yet", topic, "good from"),
        (
            "version 2",
            "another's",
            topic,
            "no certificate of Amazon SNS",
        ),
        ("version 2", "", topic, "no address of a certificate"),
    ] {
        let key = json!({ "sender": "ses", "settings": { "verification_key": topics, "campaign_id": "metadata.campaign" } });
        let settings = settings(&key);
        let mut body = sns["posts"][post].clone();
        let certificate = sns["certificates"][certificate].as_str();
        if certificate.is_none() {
            body["SigningCertURL"] = json!(format!("{}?", text("/certificate_url")));
        }
        let (headers, body) = (HeaderMap::new(), body.to_string());
        let post = Post {
            headers: &headers,
            body: body.as_bytes(),
            certificate: certificate.map(str::as_bytes),
        };
        let url = certificate_url("ses", &post, &settings).unwrap();
        let named = certificate.map(|_| text("/certificate_url"));
        assert_eq!(url.as_deref(), named, "{expected}");
        let found = read("ses", &post, &settings, Instant::parse(NOW).unwrap());
        let found = format!("{found:?}");
        assert!(found.contains(expected), "{topics}: {found}");
    }
    // A post that another signature proves needs no certificate.
    let post = sns["posts"]["version 2"].to_string();
    let post = Post {
        headers: &HeaderMap::new(),
        body: post.as_bytes(),
        certificate: None,
    };
    for key in [
        json!({}),
        json!({ "verification_key": text("/certificates/good") }),
    ] {
        let settings = settings(&json!({ "sender": "ses", "settings": key }));
        assert_eq!(certificate_url("ses", &post, &settings), Ok(None));
        assert!(read("ses", &post, &settings, Instant::parse(NOW).unwrap()).is_ok());
    }
}

#[test]
fn a_body_that_is_none_is_refused() {
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    for body in ["{", "\u{0}", "[1", deep.as_str(), "{\"a\":}"] {
        let headers = HeaderMap::new();
        for sender in revtrail_core::attribution::settings::SENDERS {
            let settings = settings(&json!({ "sender": sender }));
            let post = Post {
                headers: &headers,
                body: body.as_bytes(),
                certificate: None,
            };
            let found = read(sender, &post, &settings, Instant::from_ms(0));
            assert!(
                matches!(found, Err(Refused::Unreadable(_))),
                "{sender} {found:?}"
            );
        }
    }
    let post = Post {
        headers: &HeaderMap::new(),
        body: b"{}",
        certificate: None,
    };
    let nobody = read(
        "nobody",
        &post,
        &settings(&json!({ "sender": "nobody" })),
        Instant::from_ms(0),
    );
    assert_eq!(nobody, Err(Refused::UnknownSender("nobody".to_owned())));
}

/// The folder of recorded posts, if it lies beside the project.
fn recorded(file: &str) -> Option<String> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data")
        .join(file);
    let text = std::fs::read_to_string(beside);
    if text.is_err() {
        eprintln!("{file} does not lie beside the project: its posts are not played");
    }
    text.ok()
}

#[test]
fn recorded_posts_of_mail_give_kind_time_recipient_and_message() {
    let Some(text) = recorded("esp-webhooks/given.jsonl") else {
        return;
    };
    for line in lines(&text) {
        let sender = line["path"].as_str().unwrap().split('/').nth(2).unwrap();
        let sender = if sender == "amazon_ses" {
            "ses"
        } else {
            sender
        };
        let what = format!("{} {}", line["test"], line["body"]);
        let mut headers = HeaderMap::new();
        for (name, value) in line["headers"].as_object().unwrap() {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            headers.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers.insert(
            "content-type",
            line["content_type"].as_str().unwrap().parse().unwrap(),
        );
        let post = Post {
            headers: &headers,
            body: line["body"].as_str().unwrap().as_bytes(),
            certificate: None,
        };
        // A campaign for all, so that none is ignored for want of one: what every body has.
        let mut settings = settings(&json!({ "sender": sender }));
        let everywhere = "@content-type".to_owned();
        let mapping = Provider {
            campaign_id: Some(everywhere),
            ..Provider::default()
        };
        settings
            .providers
            .builtin
            .insert(sender.to_owned(), mapping);
        let outcomes = read(sender, &post, &settings, Instant::parse(NOW).unwrap()).unwrap();
        let expected = line["events"].as_array().unwrap();
        assert_eq!(outcomes.len(), expected.len(), "{what}: {outcomes:?}");
        for (outcome, expected) in outcomes.iter().zip(expected) {
            let (kind, record) = told(outcome);
            let neutral = expected.get("neutral_kind").unwrap_or(&Value::Null);
            // SparkPost's open of the upper pixel is given as both, by a setting of the program that the posts are of.
            if line["test"]
                .as_str()
                .unwrap()
                .ends_with("initial_open_event_as_unknown")
            {
                continue;
            }
            if neutral.is_null() {
                assert_eq!(kind, "ignored", "{what}: {record}");
                continue;
            }
            assert_eq!((kind, &record["kind"]), ("event", neutral), "{what}");
            assert_eq!(
                record.get("email").unwrap_or(&Value::Null),
                &expected["recipient"],
                "{what}"
            );
            assert_eq!(
                record.get("message_id").unwrap_or(&Value::Null),
                &expected["message_id"],
                "{what}"
            );
            if let Some(at) = expected["timestamp"].as_str() {
                let at = Instant::parse(at).unwrap().to_string();
                assert_eq!(record["occurred_at"], json!(at), "{what}");
            }
        }
    }
}

#[test]
fn recorded_posts_of_shops_become_records() {
    for (file, expected) in [
        (
            "shopify-orders-create",
            json!(["order", {"order_id":"1073459981","status":"PREPARING","total":"181.09","refunded_total":"0"}]),
        ),
        (
            "shopify-orders-updated",
            json!(["order", {"order_id":"450789469","total":"598.94"}]),
        ),
        (
            "shopify-orders-cancelled",
            json!(["order", {"order_id":"450789469","status":"CANCELLED"}]),
        ),
        ("shopify-refunds-create", json!(["ignored", null])),
        (
            "woocommerce-order.created",
            json!(["order", {"order_id":"727","customer_id":"shopper@example.com","status":"PREPARING","total":"29.35","placed_at":"2017-03-22T19:28:02.000Z"}]),
        ),
        (
            "woocommerce-order.updated",
            json!(["order", {"order_id":"723","customer_id":"26","status":"COMPLETE","refunded_total":"19"}]),
        ),
        ("woocommerce-order.deleted", json!(["ignored", null])),
        ("woocommerce-ping", json!(["ignored", null])),
        (
            "voucherify-redemption.succeeded",
            json!(["redemption", {"redemption_id":"r_0e2500291ae016adea","voucher_code":"Always-add-prods-5","customer_id":"test_customer_id_2","result":"success"}]),
        ),
        ("voucherify-redemption.failed", json!(["ignored", null])),
        (
            "voucherify-redemption.rollback.succeeded",
            json!(["rollback", {"redemption_id":"r_0e3ab1f3fb99fee4b9","rollback_id":"rr_0e3ac8762299fef1e3"}]),
        ),
        (
            "voucherify-publication.succeeded",
            json!(["assignment", {"assignment_id":"pub_r0413bLwExpB6LE0v286eNVmEpx6NxmP","voucher_code":"ZERO-8","customer_id":"cust-ext-1"}]),
        ),
        (
            "yespo-activity-bulk",
            json!(["event", {"kind":"bounced","campaign_id":"3459207","customer_id":"789456512"}]),
        ),
        ("yespo-activity-triggered", json!(["ignored", null])),
    ] {
        let Some(text) = recorded(&format!("webhooks/{file}.json")) else {
            return;
        };
        let line: Value = serde_json::from_str(&text).unwrap();
        let sender = file.split('-').next().unwrap();
        let raw = line["raw_body"]
            .as_str()
            .map_or_else(|| line["body"].to_string(), str::to_owned);
        let mut headers = HeaderMap::new();
        headers.insert(
            "content-type",
            line["headers"]["Content-Type"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap(),
        );
        let post = Post {
            headers: &headers,
            body: raw.as_bytes(),
            certificate: None,
        };
        let outcomes = read(
            sender,
            &post,
            &settings(&json!({ "sender": sender })),
            Instant::from_ms(0),
        )
        .unwrap();
        // A rollback carries its redemption, and comes behind it.
        let (kind, record) = told(outcomes.last().unwrap());
        assert_eq!(json!(kind), expected[0], "{file}: {record}");
        for (field, value) in expected[1].as_object().into_iter().flatten() {
            assert_eq!(&record[field], value, "{field} of {file}: {record}");
        }
    }
}

#[test]
fn recorded_signatures_prove_their_bodies() {
    let Some(sendgrid) = recorded("esp-webhooks/sendgrid_signature_vector.json") else {
        return;
    };
    let vector: Value = serde_json::from_str(&sendgrid).unwrap();
    let text = |of: &Value, field: &str| of[field].as_str().unwrap().to_owned();
    let mut cases = vec![(
        "sendgrid",
        text(&vector, "public_key"),
        json!({"x-twilio-email-event-webhook-signature": vector["signature"], "x-twilio-email-event-webhook-timestamp": vector["timestamp"]}),
        text(&vector, "payload"),
    )];
    for (sender, file) in [
        ("shopify", "shopify-signature"),
        ("mailtrap", "mailtrap-delivery"),
        ("voucherify", "voucherify-signature"),
    ] {
        let line: Value =
            serde_json::from_str(&recorded(&format!("webhooks/{file}.json")).unwrap()).unwrap();
        let vectors = line["vectors"]
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![line.clone()]);
        for vector in vectors {
            let name = "x-voucherify-signature";
            let headers = vector
                .get("headers")
                .cloned()
                .unwrap_or_else(|| json!({ name: vector[name] }));
            // One is over a text that is no JSON, and so no post.
            if text(&vector, "raw_body").starts_with(' ') {
                continue;
            }
            cases.push((
                sender,
                text(&line, "secret"),
                headers,
                text(&vector, "raw_body"),
            ));
        }
    }
    for (sender, key, of, body) in cases {
        let mut settings = settings(&json!({ "sender": sender }));
        let key = Provider {
            verification_key: Some(key),
            ..Provider::default()
        };
        settings.providers.builtin.insert(sender.to_owned(), key);
        let (headers, now) = (
            headers(&of),
            Instant::parse("2020-09-14T19:41:42Z").unwrap(),
        );
        let post = Post {
            headers: &headers,
            body: body.as_bytes(),
            certificate: None,
        };
        assert!(
            read(sender, &post, &settings, now).is_ok(),
            "{sender} {body}"
        );
        let post = Post {
            headers: &headers,
            body: b"{}",
            certificate: None,
        };
        assert!(read(sender, &post, &settings, now).is_err(), "{sender}");
    }
}
