//! The files of redemptions of the sample, as a till would send them: one in which some rows are wrong, and one that cannot be read.

use std::path::Path;

use redemption_batch::BatchWorker;
use revtrail_core::attribution::order::Status;
use revtrail_core::value::time::{DAY_MS, Instant, Retention};
use revtrail_storage::file::{File, INBOX, REDEMPTIONS};
use revtrail_storage::files::{Files, Folder};
use revtrail_store::{Store, StoreError, random_hex};

use super::{MARKETPLACE, SampleShop, promotions, refused};

const HEADER: &str =
    "redemption_id,promotion_id,customer_id,order_id,redeemed_at,reward_amount,currency";
/// The columns of the file that cannot be read.
const BAD_HEADER: &str =
    "redemption_id,promotion,customer_id,order_id,redeemed_at,reward_amount,currency";
/// How many rows of the first file are good.
const GOOD: usize = 40;

/// Takes the files in. Without a data folder they lie in one for as long as that takes.
pub(super) async fn load(
    store: &Store,
    retention: Retention,
    now: Instant,
    data: Option<&Path>,
    sample: &SampleShop,
) -> Result<(), StoreError> {
    let own = || std::env::temp_dir().join(format!("revtrail-demo-{}", random_hex()));
    let root = data.map_or_else(own, Path::to_owned);
    let rows = rows(sample, now);
    let half = &rows[..rows.len() / 2];
    let taken = async {
        for (name, header, rows) in [
            ("till-week-46.csv", BAD_HEADER, half),
            ("till-week-47.csv", HEADER, &rows[..]),
        ] {
            let key = format!("{INBOX}/{MARKETPLACE}/{REDEMPTIONS}/{name}");
            let text = format!("{header}\n{}\n", rows.join("\n"));
            take_in(store, retention, now, &root, &key, text.as_bytes()).await?;
        }
        Ok(())
    };
    let taken = taken.await;
    if data.is_none() {
        // It is the machine's business to clear what stays of it.
        let _ = std::fs::remove_dir_all(&root);
    }
    taken
}

async fn take_in(
    store: &Store,
    retention: Retention,
    now: Instant,
    root: &Path,
    key: &str,
    text: &[u8],
) -> Result<(), StoreError> {
    let at = root.join(key);
    let folder = at.parent().unwrap_or(root);
    std::fs::create_dir_all(folder).map_err(refused)?;
    std::fs::write(&at, text).map_err(refused)?;
    let folder = Folder::new(root.to_owned());
    let etag = folder.etag(key).map_err(refused)?;
    let file = File::at(key).ok_or_else(|| refused("the file has a name that is none"))?;
    let worker = BatchWorker::new(store.clone(), retention, Files::Folder(folder));
    let worked = worker.work(&file, &etag, &|| now, Instant::MAX).await;
    worked.map(drop).map_err(refused)
}

/// Redemptions of the last week, at a till that knows no offers; then rows as they come from tills too.
fn rows(sample: &SampleShop, now: Instant) -> Vec<String> {
    let recent = |order: &&revtrail_core::attribution::order::Order| {
        order.status == Status::Complete && order.placed_at > now.minus_ms(7 * DAY_MS)
    };
    let good = sample.orders.iter().filter(recent).take(GOOD);
    let row = |order: &revtrail_core::attribution::order::Order| {
        let (id, customer, at) = (&order.order_id, &order.customer_id, order.placed_at);
        format!(
            "till/{id},{},{customer},{id},{at},2.50,EUR",
            promotions::LUNCH
        )
    };
    let mut rows: Vec<String> = good.map(row).collect();
    let again = rows.first().cloned();
    let (lunch, at) = (promotions::LUNCH, now.minus_ms(DAY_MS));
    rows.extend(again);
    rows.extend([
        format!("till/x-1,{lunch},,order-00007,{at},2.50,EUR"),
        format!("till/x-2,{lunch},customer-0007,order-00007,{at},2.5O,EUR"),
        format!("till/x-3,{lunch},customer-0008,order-00008,yesterday,2.50,EUR"),
        format!("till/x-4,spring-preview,customer-0009,order-00009,{at},2.50,EUR"),
        format!("till/x-5,spring-preview,customer-0010,order-00010,{at},2.50,EUR"),
    ]);
    rows
}
