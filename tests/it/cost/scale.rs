//! Which partition is full first: handlers and a run over the real keys, and the write units that each partition takes. AWS lets a
//! partition take 1,000 write units a second (`docs/SCALE.md` has the arithmetic).

use std::collections::BTreeMap;

use http::StatusCode;
use revtrail_store::table::keys;
use serde_json::json;

use crate::cost::meter::ItemKey;
use crate::cost::units::{CAMPAIGN, Row, Shop, blast, customer, order, uuid};
use crate::support::service::block_on;

/// The write and the read units a second that a partition takes.
const PARTITION: [f64; 2] = [1_000.0, 3_000.0];

/// Prints how many facts a second the fullest partition of each family bears that all customers share; returns the least of them.
fn bears(what: &str, items: &BTreeMap<ItemKey, [f64; 2]>, facts: usize) -> (String, f64) {
    let mut partitions: BTreeMap<&String, [f64; 2]> = BTreeMap::new();
    for ((partition, _), units) in items {
        let sum = partitions.entry(partition).or_default();
        sum.iter_mut()
            .zip(units)
            .for_each(|(sum, units)| *sum += units);
    }
    let mut fullest: BTreeMap<&str, [f64; 2]> = BTreeMap::new();
    let mut own = [0.0; 2];
    for (partition, units) in &partitions {
        let is_shared =
            !partition.contains("customer-") && keys::marketplace_of(partition).is_some();
        let most = match is_shared {
            true => fullest.entry(keys::family(partition)).or_default(),
            false => &mut own,
        };
        for (most, units) in most.iter_mut().zip(units) {
            *most = if is_shared {
                most.max(*units)
            } else {
                *most + units
            };
        }
    }
    let [writes, reads] = own.map(|units| units / facts as f64);
    println!(
        "scale | {what} | partitions of one customer, all together | {writes:.2} W and {reads:.2} R a fact"
    );
    let mut least = (String::new(), f64::INFINITY);
    for (family, units) in fullest {
        let each = PARTITION
            .iter()
            .zip(units)
            .map(|(bears, units)| bears * facts as f64 / units);
        let bears = each.fold(f64::INFINITY, f64::min);
        let [writes, reads] = units.map(|units| units / facts as f64);
        println!(
            "scale | {what} | {family} | {writes:.4} W and {reads:.4} R a fact | {bears:.0} facts a second"
        );
        if bears < least.1 {
            least = (family.to_owned(), bears);
        }
    }
    least
}

#[test]
fn which_partition_is_full_first() {
    block_on(async {
        let shop = Shop::open().await;
        shop.meter.take_items();
        // Two campaigns to a thousand customers each, in calls of 100, and orders of a tenth of them, each in a call of its own.
        let since = shop.ago(90);
        let mut events = blast(CAMPAIGN, 0..1_000, since);
        events.extend(blast("other", 1_000..2_000, since));
        shop.feed("events", &events, 100).await;
        let by_events = shop.meter.take_items();
        let now = shop.service.now();
        let orders: Vec<_> = (0..2_000)
            .step_by(10)
            .map(|i| order(i, "COMPLETE", now))
            .collect();
        shop.feed("orders", &orders, 1).await;
        let by_orders = shop.meter.take_items();
        shop.run().await;
        let by_run = shop.meter.take_items();
        let all = events.len() + orders.len();
        for (what, partitions, facts, at_least) in [
            ("events in calls of 100", by_events, events.len(), 100_000.0),
            (
                "orders in calls of their own",
                by_orders,
                orders.len(),
                1_000.0,
            ),
            // 4 % of the facts are orders that nobody earned, so these are at least 1,000 such orders a second.
            ("the run, by all facts", by_run, all, 25_000.0),
        ] {
            let (family, least) = bears(what, &partitions, facts);
            assert!(
                least >= at_least,
                "{what}: {family} bears {least:.0} a second"
            );
        }
    });
}

/// Two promotions on television: no redeem of one writes an item that a redeem of the other writes. DynamoDB lets an item take some
/// fifty transactions a second before they meet too often.
#[test]
fn two_promotions_never_meet_on_one_item() {
    const REDEEMS: usize = 400;
    block_on(async {
        let shop = Shop::open().await;
        let mut redeemed = [(); 2].map(|()| BTreeMap::new());
        let mut spent = Vec::new();
        for (promotion, items) in ["tv", "radio"].into_iter().zip(&mut redeemed) {
            let of = |rest: &str| format!("/v1/marketplaces/shop/promotions/{promotion}{rest}");
            let told = json!({"name": promotion, "cap": 10_000, "type": "amount", "value": "1.00", "currency": "EUR",
                "budget": {"amount": "10000.00", "currency": "EUR"}});
            let (status, told) = shop.service.put(&of(""), &told).await;
            assert_eq!(status, StatusCode::CREATED, "{told}");
            let codes = json!({"codes": [promotion]});
            let (status, made) = shop.service.post(&of("/vouchers"), &codes).await;
            assert!(status.is_success(), "{made}");
            shop.meter.take_items();
            let redeem_all = async {
                for i in 0..REDEEMS {
                    let id = uuid(&format!("{promotion} {i}"));
                    let asked = json!({"redemption_id": id, "customer_id": customer(i)});
                    let path = of(&format!("/vouchers/{promotion}/redeem"));
                    let (_, told) = shop.service.post(&path, &asked).await;
                    assert_eq!(told["result"], "success", "{told}");
                }
            };
            spent.push(shop.spent(redeem_all).await);
            *items = shop.meter.take_items();
        }
        let [tv, radio] = &redeemed;
        let writes = |units: &[f64; 2]| units[0] > 0.0;
        let both = tv
            .iter()
            .filter(|(key, units)| writes(units) && radio.get(key).is_some_and(writes));
        let both: Vec<&ItemKey> = both.map(|(key, _)| key).collect();
        assert!(both.is_empty(), "both write {both:?}");
        Row::of(&spent, 2 * REDEEMS).check("a redeem", (Some(20.1), Some(12.0)), None);
        let [mut all, radio] = redeemed;
        for (key, [writes, reads]) in radio {
            let sum = all.entry(key).or_default();
            *sum = [sum[0] + writes, sum[1] + reads];
        }
        let (family, least) = bears("redeems of two promotions", &all, 2 * REDEEMS);
        assert!(least >= 2_000.0, "{family} bears {least:.0} a second");
    });
}
