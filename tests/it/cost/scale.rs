//! Which partition is full first: handlers and a run over the real keys, and the write units that each partition takes. AWS lets a
//! partition take 1,000 write units a second (`docs/SCALE.md` has the arithmetic).

use std::collections::BTreeMap;

use revtrail_store::table::keys;

use crate::cost::units::{CAMPAIGN, Shop, blast, order};
use crate::support::service::block_on;

/// The write and the read units a second that a partition takes.
const PARTITION: [f64; 2] = [1_000.0, 3_000.0];

/// Prints how many facts a second the fullest partition of each family bears that all customers share; returns the least of them.
fn bears(what: &str, partitions: &BTreeMap<String, [f64; 2]>, facts: usize) -> (String, f64) {
    let mut fullest: BTreeMap<&str, [f64; 2]> = BTreeMap::new();
    let mut own = [0.0; 2];
    for (partition, units) in partitions {
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
        shop.meter.take_partitions();
        // Two campaigns to a thousand customers each, in calls of 100, and orders of a tenth of them, each in a call of its own.
        let since = shop.ago(90);
        let mut events = blast(CAMPAIGN, 0..1_000, since);
        events.extend(blast("other", 1_000..2_000, since));
        shop.feed("events", &events, 100).await;
        let by_events = shop.meter.take_partitions();
        let now = shop.service.now();
        let orders: Vec<_> = (0..2_000)
            .step_by(10)
            .map(|i| order(i, "COMPLETE", now))
            .collect();
        shop.feed("orders", &orders, 1).await;
        let by_orders = shop.meter.take_partitions();
        shop.run().await;
        let by_run = shop.meter.take_partitions();
        let all = events.len() + orders.len();
        for (what, partitions, facts, at_least) in [
            ("events in calls of 100", by_events, events.len(), 100_000.0),
            (
                "orders in calls of their own",
                by_orders,
                orders.len(),
                1_000.0,
            ),
            ("the run, by all facts", by_run, all, 5_000.0),
        ] {
            let (family, least) = bears(what, &partitions, facts);
            assert!(
                least >= at_least,
                "{what}: {family} bears {least:.0} a second"
            );
        }
    });
}
