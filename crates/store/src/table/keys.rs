//! Every key of the table is spelled in this file, and nowhere else; the file `cut` below it cuts them.
//!
//! A key consists of fixed parts and at most one free id, which comes last. Each fixed part has an alphabet without `/`, or a
//! fixed width. So two different ids never share a key, whatever characters they hold, and nothing needs escaping. A time in a
//! key is a text of fixed width that sorts as the time does.

use std::fmt::Display;

use revtrail_core::value::address::{AddressHash, Recipient};
use revtrail_core::value::id::{
    AssignmentId, CampaignId, CustomerId, EventId, MarketplaceId, OrderId, PromotionId,
    RedemptionId, RollbackId, SegmentName, TierId, VoucherCode,
};
use revtrail_core::value::time::{Day, Instant};

mod cut;

pub(crate) use cut::{
    CustomerItem, FiguresItem, QuarantineEntry, aggregate_day, aggregate_part_of, customer_item,
    customer_of, feed_entry, figures_item, is_assignment, link_promotion, listed_id,
    quarantine_entry, redemptions_in_day, rejects_chunk, segment_of,
};

/// The partition of the list of marketplaces, which belongs to no marketplace.
pub const MARKETPLACES: &str = "marketplaces";

/// How many shards the intake markers are spread over. A shard bears about 500 calls a second, because a call writes its marker
/// twice and a partition takes 1,000 writes a second. A million events in ten minutes, each in a call of its own, are 1,667 calls
/// a second. Every report, explanation and plan reads all shards.
pub const MARKER_SHARDS: u8 = 4;

/// The key of an item: a partition key and a sort key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The partition key.
    pub pk: String,
    /// The sort key.
    pub sk: String,
}

fn key(pk: String, sk: impl Into<String>) -> Key {
    Key { pk, sk: sk.into() }
}

/// A marketplace in the list of marketplaces.
pub fn marketplace(id: &MarketplaceId) -> Key {
    key(MARKETPLACES.to_owned(), id.as_str())
}

/// The retention that a deployment's figures are made with. It belongs to no marketplace.
pub fn retention() -> Key {
    key("retention".to_owned(), "retention")
}

/// An access key, by its hash. It belongs to no marketplace.
pub fn access_key(hash: &str) -> Key {
    key(format!("key/{hash}"), "key")
}

/// The marketplace that a partition belongs to, for the tripwire; `None` for the list of marketplaces and for access keys.
pub fn marketplace_of(pk: &str) -> Option<&str> {
    pk.strip_prefix("m/")?.split('/').next()
}

/// The marketplace of a partition and what it holds, without the id at its end, because that id may be a person's address.
pub fn family(pk: &str) -> &str {
    pk.match_indices('/').nth(2).map_or(pk, |(at, _)| &pk[..at])
}

fn part(id: &MarketplaceId, rest: &str) -> String {
    format!("m/{id}/{rest}")
}

/// What holds for a marketplace as a whole: whether it has orders, and the time that its figures are as of.
pub fn meta(id: &MarketplaceId) -> Key {
    key(part(id, "meta"), "meta")
}

/// The most shards that a day's daily aggregate is spread over, so that concurrent workers do not collide. A report reads all of
/// them.
pub const AGGREGATE_SHARDS: u8 = 8;

/// The version of the rules, which are what decisions depend on besides facts: campaigns and settings. Every change raises the
/// version in all shards, and a fold checks it in its own shard.
pub fn rules(id: &MarketplaceId, shard: u8) -> Key {
    key(part(id, &format!("v/{shard}")), "v")
}

/// The partition of a marketplace's list of access keys.
pub fn key_list(id: &MarketplaceId) -> String {
    part(id, "k")
}

/// An access key in its marketplace's list.
pub fn listed_key(id: &MarketplaceId, key_id: &str) -> Key {
    key(key_list(id), key_id)
}

/// The partition of when the access keys of a marketplace were used last.
pub fn key_uses(id: &MarketplaceId) -> String {
    part(id, "ku")
}

/// When an access key was used last in a marketplace.
pub fn key_use(id: &MarketplaceId, key_id: &str) -> Key {
    key(key_uses(id), key_id)
}

/// The partition of the senders of webhooks.
pub fn senders(id: &MarketplaceId) -> String {
    part(id, "se")
}

/// The last post of a sender, by the sender's name.
pub fn sender(id: &MarketplaceId, sender: &str) -> Key {
    key(senders(id), sender)
}

/// The partition of the versions of the settings.
pub fn settings(id: &MarketplaceId) -> String {
    part(id, "s")
}

/// One version of the settings.
pub fn settings_version(id: &MarketplaceId, version: u32) -> Key {
    key(settings(id), format!("{version:010}"))
}

/// The sort keys of replays begin with this, among the versions of the settings.
pub const REPLAY_PREFIX: &str = "r/";

/// One replay that was applied, by its number. It lies beside the versions, so that they are read together.
pub fn replay(id: &MarketplaceId, number: usize) -> Key {
    key(settings(id), format!("{REPLAY_PREFIX}{number:010}"))
}

/// The partition of the campaigns.
pub fn campaigns(id: &MarketplaceId) -> String {
    part(id, "g")
}

/// The key of a campaign.
pub fn campaign(id: &MarketplaceId, campaign: &CampaignId) -> Key {
    key(campaigns(id), campaign.as_str())
}

/// The partition of what events said about campaigns and no run has taken in yet.
pub fn observed_campaigns(id: &MarketplaceId) -> String {
    part(id, "go")
}

/// What events said about a campaign and no run has taken in yet.
pub fn observed_campaign(id: &MarketplaceId, campaign: &CampaignId) -> Key {
    key(observed_campaigns(id), campaign.as_str())
}

/// Whoever has a partition of events and a contribution: a customer or an address. Their texts never collide.
pub trait Owner: Display {}
impl Owner for CustomerId {}
impl Owner for Recipient {}

/// The partition of everything that belongs to a customer or to an address. Its sort keys are chosen so that the root comes first: a
/// reader that goes through the partition sees the version before the first fact.
pub fn customer(id: &MarketplaceId, owner: &impl Owner) -> String {
    part(id, &format!("c/{owner}"))
}

/// The first sort key in a customer's partition: the root of the contribution, with its version.
pub(crate) const ROOT: &str = "a";
/// The prefix of the keys of a contribution's chunks, which hold the older days.
pub(crate) const CHUNK_PREFIX: &str = "b/";
/// The prefix of the keys of events.
pub(crate) const EVENT_PREFIX: &str = "e/";
/// The prefix of the keys of orders.
pub(crate) const ORDER_PREFIX: &str = "o/";

/// The prefix of the keys of links, which sort behind the events: with an address, of its customers; with a customer, of the addresses.
pub(crate) const LINKS_PREFIX: &str = "l/";

/// With an address: a customer of whom some order named it.
pub fn link(id: &MarketplaceId, at: AddressHash, customer: &CustomerId) -> Key {
    key(
        self::customer(id, &Recipient::from(at)),
        format!("{LINKS_PREFIX}{customer}"),
    )
}

/// With a customer: an address that some order of theirs named. Whoever erases the customer finds the link there by it.
pub fn linked_address(id: &MarketplaceId, of: &CustomerId, address: AddressHash) -> Key {
    key(customer(id, of), format!("{LINKS_PREFIX}{address}"))
}

/// The prefix of the keys that say which orders of other customers name a customer.
const MENTION_PREFIX: &str = "n/";

/// An order of another customer, of which some copy was sent with this one.
pub fn mention(id: &MarketplaceId, of: &CustomerId, order: &OrderId) -> Key {
    key(customer(id, of), format!("{MENTION_PREFIX}{order}"))
}

/// The root of the contribution of a customer or of an address.
pub fn root(id: &MarketplaceId, of: &impl Owner) -> Key {
    key(customer(id, of), ROOT)
}

/// A chunk of a contribution. Its name is its month, or its day if the day is stored alone.
pub fn chunk(id: &MarketplaceId, of: &impl Owner, name: &str) -> Key {
    key(customer(id, of), format!("{CHUNK_PREFIX}{name}"))
}

/// An event of a customer or of an address.
pub fn event(id: &MarketplaceId, of: &impl Owner, event: &EventId) -> Key {
    key(customer(id, of), format!("{EVENT_PREFIX}{event}"))
}

/// An order of a customer.
pub fn order(id: &MarketplaceId, of: &CustomerId, order: &OrderId) -> Key {
    key(customer(id, of), format!("{ORDER_PREFIX}{order}"))
}

/// From an order's id to the fields of the order that never change.
pub fn order_pointer(id: &MarketplaceId, order: &OrderId) -> Key {
    key(part(id, &format!("o/{order}")), "o")
}

/// The partition of one shard of the intake markers.
pub fn markers(id: &MarketplaceId, shard: u8) -> String {
    part(id, &format!("n/{shard}"))
}

/// The shard that a name falls into, of this many.
fn shard(name: &str, shards: u8) -> u8 {
    let hash = name
        .bytes()
        .fold(0_u8, |sum, b| sum.wrapping_mul(31).wrapping_add(b));
    hash % shards
}

/// The intake marker of a call of ingest.
pub fn marker(id: &MarketplaceId, call: &str) -> Key {
    key(markers(id, shard(call, MARKER_SHARDS)), call)
}

/// The partition of the jobs that wait.
pub fn jobs(id: &MarketplaceId) -> String {
    part(id, "w")
}

/// A job that waits.
pub fn job(id: &MarketplaceId, job: &str) -> Key {
    key(jobs(id), job)
}

/// The shards that the lists of jobs are spread over, by the first digit of the job's name.
pub const LIST_SHARDS: &str = "0123456789abcdef";

/// The partition of one shard of the lists of customers, whom jobs fold or have folded.
pub fn job_lists(id: &MarketplaceId, shard: &str) -> String {
    part(id, &format!("j/{shard}"))
}

/// The list of the customers of a job, whose name consists of hexadecimal digits.
pub fn job_list(id: &MarketplaceId, job: &str) -> Key {
    let shard = LIST_SHARDS
        .find(|shard| job.starts_with(shard))
        .unwrap_or(0);
    key(job_lists(id, &LIST_SHARDS[shard..=shard]), job)
}

/// The partition of the customers who are parked.
pub fn parked(id: &MarketplaceId) -> String {
    part(id, "x")
}

/// A customer who is parked, or an address.
pub fn parked_customer(id: &MarketplaceId, owner: &impl Owner) -> Key {
    key(parked(id), owner.to_string())
}

/// The partition of one shard of the daily aggregates.
pub fn aggregates(id: &MarketplaceId, shard: u8) -> String {
    part(id, &format!("d/{shard}"))
}

/// The part of a day's aggregate that is stored in one shard.
pub fn aggregate(id: &MarketplaceId, shard: u8, day: Day) -> Key {
    key(aggregates(id, shard), day.to_string())
}

/// A difference beside a day's aggregate; its name consists of hexadecimal digits.
pub(crate) fn aggregate_part(id: &MarketplaceId, shard: u8, day: Day, name: &str) -> Key {
    key(aggregates(id, shard), format!("{day}/{name}"))
}

/// A text that sorts after the aggregate of a day and its parts, and before the next day.
pub(crate) fn aggregates_end(day: Day) -> String {
    // The byte after "/".
    format!("{day}0")
}

/// How many shards the orders that nobody earned are spread over. A shard bears 500 of them a second, because a fold writes each in
/// a transaction. Whoever lists orders reads all shards.
pub const UNCREDITED_SHARDS: u8 = 4;

/// A list of purchase rows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PurchaseList {
    /// One shard of the orders that nobody earned.
    Uncredited(u8),
    /// The orders that a campaign earned.
    Of(CampaignId),
}

/// The shard of the orders that nobody earned that an order falls into.
pub fn uncredited_shard_of(order: &OrderId) -> u8 {
    shard(order.as_str(), UNCREDITED_SHARDS)
}

/// The partition of a list of purchase rows.
pub fn purchases(id: &MarketplaceId, list: &PurchaseList) -> String {
    match list {
        PurchaseList::Uncredited(shard) => part(id, &format!("u/{shard}")),
        PurchaseList::Of(campaign) => part(id, &format!("p/0/{campaign}")),
    }
}

/// A stored order in a list of purchase rows.
pub fn purchase(
    id: &MarketplaceId,
    list: &PurchaseList,
    day: Day,
    placed_at: Instant,
    order: &OrderId,
) -> Key {
    key(purchases(id, list), purchase_place(day, placed_at, order))
}

/// The sort key of an order in whatever list it is in.
pub fn purchase_place(day: Day, placed_at: Instant, order: &OrderId) -> String {
    format!("{day}/{placed_at}/{order}")
}

/// The sort key before those of the orders of a day that were placed at an instant or later.
pub fn purchases_from(day: Day, at: Instant) -> String {
    format!("{day}/{at}/")
}

/// The partition of the runs.
pub fn runs(id: &MarketplaceId) -> String {
    part(id, "r")
}

/// The partition of the names of runs that have not ended.
pub fn open_runs(id: &MarketplaceId) -> String {
    part(id, "q")
}

/// The name of a run that has not ended.
pub fn open_run(id: &MarketplaceId, run: &str) -> Key {
    key(open_runs(id), run)
}

/// The key of a run.
pub fn run(id: &MarketplaceId, run: &str) -> Key {
    key(runs(id), run)
}

/// How many shards a promotion has. Its counts and what is left of its limits are spread over them, so that concurrent calls do
/// not collide. Its lists are spread over as many shards.
pub const PROMOTION_SHARDS: u8 = 8;

/// The shard of a promotion that a name falls into.
pub fn promotion_shard_of(name: &str) -> u8 {
    shard(name, PROMOTION_SHARDS)
}

/// The partition of the promotions.
pub fn promotions(id: &MarketplaceId) -> String {
    part(id, "a")
}

/// The key of a promotion.
pub fn promotion(id: &MarketplaceId, promotion: &PromotionId) -> Key {
    key(promotions(id), promotion.as_str())
}

/// The partition of the changes of a promotion.
pub fn promotion_changes(id: &MarketplaceId, promotion: &PromotionId) -> String {
    part(id, &format!("h/c/{promotion}"))
}

/// A change of a promotion; `name` has a fixed width and distinguishes the changes of one instant.
pub fn promotion_change(
    id: &MarketplaceId,
    promotion: &PromotionId,
    at: Instant,
    name: &str,
) -> Key {
    key(promotion_changes(id, promotion), format!("{at}/{name}"))
}

/// What is left of a promotion's cap and budget and was not given to any shard.
pub fn promotion_pool(id: &MarketplaceId, promotion: &PromotionId) -> Key {
    key(part(id, &format!("h/p/{promotion}")), "p")
}

/// The partition of one shard of the totals of all promotions.
pub fn promotion_totals(id: &MarketplaceId, shard: u8) -> String {
    part(id, &format!("y/{shard}"))
}

/// One shard of a promotion: its totals, and what the shard may use of the cap and the budget.
pub fn promotion_total(id: &MarketplaceId, shard: u8, promotion: &PromotionId) -> Key {
    key(promotion_totals(id, shard), promotion.as_str())
}

/// The partition of one shard of a promotion's figures by tier and segment, by day, and by voucher.
pub fn promotion_figures(id: &MarketplaceId, shard: u8, promotion: &PromotionId) -> String {
    part(id, &format!("z/{shard}/{promotion}"))
}

/// The prefix of the keys of figures by tier and segment.
pub(crate) const CELL_PREFIX: &str = "c/";
/// The prefix of the keys of figures by day.
pub(crate) const DAY_PREFIX: &str = "d/";

/// The figures of a tier and a segment. The key holds two ids in one text, so the length of the first comes before it.
pub fn promotion_cell(
    id: &MarketplaceId,
    shard: u8,
    promotion: &PromotionId,
    tier: Option<&TierId>,
    segment: Option<&SegmentName>,
) -> Key {
    let tier = tier.map_or("", TierId::as_str);
    let segment = segment.map_or("", SegmentName::as_str);
    let sk = format!("{CELL_PREFIX}{:03}/{tier}{segment}", tier.len());
    key(promotion_figures(id, shard, promotion), sk)
}

/// The figures of a day.
pub fn promotion_day(id: &MarketplaceId, shard: u8, promotion: &PromotionId, day: Day) -> Key {
    let sk = format!("{DAY_PREFIX}{day}");
    key(promotion_figures(id, shard, promotion), sk)
}

/// The prefix of the keys of what a shard holds of vouchers.
const VOUCHER_PREFIX: &str = "v/";

/// What one shard holds of a voucher that is used often.
pub fn voucher_shard(
    id: &MarketplaceId,
    shard: u8,
    promotion: &PromotionId,
    code: &VoucherCode,
) -> Key {
    let sk = format!("{VOUCHER_PREFIX}{code}");
    key(promotion_figures(id, shard, promotion), sk)
}

/// The partition of one shard of a promotion's vouchers.
pub fn vouchers(id: &MarketplaceId, shard: u8, promotion: &PromotionId) -> String {
    part(id, &format!("e/{shard}/{promotion}"))
}

/// A voucher of a promotion.
pub fn voucher(id: &MarketplaceId, promotion: &PromotionId, code: &VoucherCode) -> Key {
    key(
        vouchers(id, promotion_shard_of(code.as_str()), promotion),
        code.as_str(),
    )
}

/// From a code to the promotions that have it.
pub fn code(id: &MarketplaceId, code: &VoucherCode) -> Key {
    key(part(id, &format!("i/{code}")), "i")
}

/// An assignment, by its id.
pub fn assignment(id: &MarketplaceId, assignment: &AssignmentId) -> Key {
    key(part(id, &format!("f/a/{assignment}")), "f")
}

/// A redemption, by its id.
pub fn redemption(id: &MarketplaceId, redemption: &RedemptionId) -> Key {
    key(part(id, &format!("f/r/{redemption}")), "f")
}

/// A rollback, by its id.
pub fn rollback(id: &MarketplaceId, rollback: &RollbackId) -> Key {
    key(part(id, &format!("f/b/{rollback}")), "f")
}

/// The partition of a customer's promotion accounts.
pub fn accounts(id: &MarketplaceId, customer: &CustomerId) -> String {
    part(id, &format!("b/{customer}"))
}

/// A customer's account of one promotion.
pub fn account(id: &MarketplaceId, customer: &CustomerId, promotion: &PromotionId) -> Key {
    key(accounts(id, customer), promotion.as_str())
}

/// How many successes of a promotion are counted outside a customer's promotion account, because the account is full.
pub fn beside_account(id: &MarketplaceId, customer: &CustomerId, promotion: &PromotionId) -> Key {
    key(part(id, &format!("bx/{customer}")), promotion.as_str())
}

/// The partition of one shard of a promotion's lists.
pub fn promotion_lists(id: &MarketplaceId, shard: u8, promotion: &PromotionId) -> String {
    part(id, &format!("h/{shard}/{promotion}"))
}

/// The prefix of the keys of the list of redemptions.
pub(crate) const REDEMPTIONS_PREFIX: &str = "r/";
/// The prefix of the keys of the list of publications.
pub(crate) const PUBLICATIONS_PREFIX: &str = "a/";
/// The prefix of the keys of the list of accounts.
pub(crate) const ACCOUNTS_PREFIX: &str = "c/";
/// The prefix of the keys of the list of distributions.
pub(crate) const DISTRIBUTIONS_PREFIX: &str = "m/";

/// A redemption in the list of its promotion.
pub fn listed_redemption(
    id: &MarketplaceId,
    promotion: &PromotionId,
    at: Instant,
    redemption: &RedemptionId,
) -> Key {
    key(
        promotion_lists(id, promotion_shard_of(redemption.as_str()), promotion),
        format!("{REDEMPTIONS_PREFIX}{at}/{redemption}"),
    )
}

/// A publication in the list of its promotion.
pub fn listed_publication(
    id: &MarketplaceId,
    promotion: &PromotionId,
    at: Instant,
    assignment: &AssignmentId,
) -> Key {
    key(
        promotion_lists(id, promotion_shard_of(assignment.as_str()), promotion),
        format!("{PUBLICATIONS_PREFIX}{at}/{assignment}"),
    )
}

/// An account in the list of its promotion; the customer is named by a hash.
pub fn listed_account(id: &MarketplaceId, promotion: &PromotionId, customer: &str) -> Key {
    key(
        promotion_lists(id, promotion_shard_of(customer), promotion),
        format!("{ACCOUNTS_PREFIX}{customer}"),
    )
}

/// From a message, named by a hash, to the codes that it carried.
pub fn message(id: &MarketplaceId, message: &str) -> Key {
    key(part(id, &format!("m/{message}")), "m")
}

/// A message with a code of a promotion; the message is named by a hash.
pub fn distribution(id: &MarketplaceId, promotion: &PromotionId, message: &str) -> Key {
    let shard = promotion_shard_of(message);
    key(
        promotion_lists(id, shard, promotion),
        format!("n/{message}"),
    )
}

/// A message with a code in the list of its promotion.
pub fn listed_distribution(
    id: &MarketplaceId,
    promotion: &PromotionId,
    at: Instant,
    message: &str,
) -> Key {
    key(
        promotion_lists(id, promotion_shard_of(message), promotion),
        format!("{DISTRIBUTIONS_PREFIX}{at}/{message}"),
    )
}

/// The partition of one shard of the feed of redemptions, in order of arrival.
pub fn feed(id: &MarketplaceId, shard: u8) -> String {
    part(id, &format!("l/{shard}"))
}

/// A redemption in the feed, by its place among the redemptions of its call. A redemption that is taken back is entered a second
/// time.
pub fn fed(id: &MarketplaceId, at: Instant, place: FeedPlace, redemption: &RedemptionId) -> Key {
    let place = match place {
        FeedPlace::In(place) => format!("{place:06}"),
        FeedPlace::Back => "b".to_owned(),
    };
    key(
        feed(id, promotion_shard_of(redemption.as_str())),
        format!("{at}/{place}/{redemption}"),
    )
}

/// How a redemption came into the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedPlace {
    /// The redemption came in, at this place among those of its call.
    In(usize),
    /// The redemption was taken back.
    Back,
}

/// The partition of the promotions that records wait for.
pub fn awaited(id: &MarketplaceId) -> String {
    part(id, "t")
}

/// A promotion that records wait for.
pub fn awaited_promotion(id: &MarketplaceId, promotion: &PromotionId) -> Key {
    key(awaited(id), promotion.as_str())
}

/// The partition of the records that wait for one promotion.
pub fn quarantine(id: &MarketplaceId, promotion: &PromotionId) -> String {
    part(id, &format!("t/{promotion}"))
}

/// The name of a redemption in a key of the quarantine.
const REDEEMED: &str = "r";
/// The name of an assignment in a key of the quarantine.
const ASSIGNED: &str = "a";

/// An assignment or a redemption that waits for its promotion; it was record number `place` of its call.
pub fn quarantined(
    id: &MarketplaceId,
    promotion: &PromotionId,
    arrived_at: Instant,
    place: usize,
    redeemed: bool,
    record: &str,
) -> Key {
    let what = if redeemed { REDEEMED } else { ASSIGNED };
    key(
        quarantine(id, promotion),
        format!("{arrived_at}/{place:06}/{what}/{record}"),
    )
}

/// The partition of an order: what never changes of it, and the promotions whose redemptions name it.
pub fn order_links(id: &MarketplaceId, order: &OrderId) -> String {
    part(id, &format!("o/{order}"))
}

/// The prefix of the keys of an order's links to promotions.
const LINK_PREFIX: &str = "p/";

/// The link that says that redemptions of a promotion name an order.
pub fn order_link(id: &MarketplaceId, order: &OrderId, promotion: &PromotionId) -> Key {
    key(order_links(id, order), format!("{LINK_PREFIX}{promotion}"))
}

/// The partition of the orders that redemptions name and that are ahead of the clock.
pub fn orders_ahead(id: &MarketplaceId) -> String {
    part(id, "3")
}

/// An order that redemptions name and that is ahead of the clock.
pub fn order_ahead(id: &MarketplaceId, order: &OrderId) -> Key {
    key(orders_ahead(id), order.as_str())
}

/// The partition of one shard of the counts of redemptions that came in.
pub fn redemptions_in(id: &MarketplaceId, shard: u8) -> String {
    part(id, &format!("1/{shard}"))
}

/// The count of the redemptions that came in on a day and were no new facts, whatever their promotion. Earlier releases counted all
/// redemptions of a day there.
pub fn redemptions_in_on(id: &MarketplaceId, shard: u8, day: Day) -> Key {
    key(redemptions_in(id, shard), day.to_string())
}

/// The count of the redemptions of one promotion that came in on a day. Two promotions never meet on one item.
pub fn redemptions_in_of(id: &MarketplaceId, shard: u8, day: Day, promotion: &PromotionId) -> Key {
    key(redemptions_in(id, shard), format!("{day}/{promotion}"))
}

/// The partition of the batches, by their ids.
pub fn batches(id: &MarketplaceId) -> String {
    part(id, "2/b")
}

/// A batch, whose id consists of hexadecimal digits.
pub fn batch(id: &MarketplaceId, batch: &str) -> Key {
    key(batches(id), batch)
}

/// The partition of the list of batches, by the time they came.
pub fn batch_list(id: &MarketplaceId) -> String {
    part(id, "2/l")
}

/// A batch in the list of batches.
pub fn listed_batch(id: &MarketplaceId, at: Instant, batch: &str) -> Key {
    key(batch_list(id), format!("{at}/{batch}"))
}

/// The partition of the rejected rows of a batch.
pub fn batch_rejects(id: &MarketplaceId, batch: &str) -> String {
    part(id, &format!("2/r/{batch}"))
}

/// A piece of the rejected rows of a chunk of a file, by the chunk's first row.
pub fn batch_reject(id: &MarketplaceId, batch: &str, row: u64, chunk: usize) -> Key {
    key(batch_rejects(id, batch), format!("{row:020}/{chunk:04}"))
}

/// The two kinds of looks ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookAheadKind {
    /// Settings that are tried.
    WhatIfs,
    /// Saved versions that are applied to a period.
    Replays,
}

/// The partition of the looks ahead of one kind.
pub fn look_aheads(id: &MarketplaceId, kind: LookAheadKind) -> String {
    part(
        id,
        match kind {
            LookAheadKind::WhatIfs => "7/w",
            LookAheadKind::Replays => "7/r",
        },
    )
}

/// A look ahead. Names of what-ifs consist of hexadecimal digits, and those of replays begin with a time.
pub fn look_ahead(id: &MarketplaceId, kind: LookAheadKind, name: &str) -> Key {
    key(look_aheads(id, kind), name)
}

/// The partition of what a look ahead found.
pub fn look_ahead_chunks(id: &MarketplaceId, name: &str) -> String {
    part(id, &format!("7/c/{name}"))
}

/// A chunk of what a look ahead found.
pub fn look_ahead_chunk(id: &MarketplaceId, name: &str, chunk: usize) -> Key {
    key(look_ahead_chunks(id, name), format!("{chunk:04}"))
}

/// The partition of what a verification found so far; the name of its job consists of hexadecimal digits.
pub fn verification(id: &MarketplaceId, job: &str) -> String {
    part(id, &format!("vs/{job}"))
}

/// A chunk of what a verification found so far.
pub fn verification_chunk(id: &MarketplaceId, job: &str, chunk: usize) -> Key {
    key(verification(id, job), format!("{chunk:04}"))
}

/// The partition of the batches whose results are to be written again.
pub fn outdated_results(id: &MarketplaceId) -> String {
    part(id, "2/s")
}

/// A batch whose results are to be written again.
pub fn outdated_result(id: &MarketplaceId, batch: &str) -> Key {
    key(outdated_results(id), batch)
}

/// A call that named itself; the name consists of hexadecimal digits.
pub fn once(id: &MarketplaceId, name: &str) -> Key {
    key(part(id, &format!("4/{name}")), "4")
}

/// The partition of the segments, by their ids.
pub fn segments(id: &MarketplaceId) -> String {
    part(id, "sg")
}

/// A segment, whose id begins with the time when it was saved.
pub fn segment(id: &MarketplaceId, segment: &str) -> Key {
    key(segments(id), segment)
}

/// From the name of a segment to its id.
pub fn segment_name(id: &MarketplaceId, name: &str) -> Key {
    key(part(id, &format!("sn/{name}")), "sn")
}

/// The partition of the customers of all segments.
pub fn segment_customers(id: &MarketplaceId) -> String {
    part(id, "sc")
}

/// The prefix of the keys of the chunks of a segment's customers. The id of a segment has a fixed width.
pub fn segment_chunks(segment: &str) -> String {
    format!("{segment}/")
}

/// A chunk of a segment's customers.
pub fn segment_chunk(id: &MarketplaceId, segment: &str, chunk: usize) -> Key {
    let sk = format!("{}{chunk:06}", segment_chunks(segment));
    key(segment_customers(id), sk)
}

/// An erasure, whose name consists of hexadecimal digits.
pub fn erasure(id: &MarketplaceId, erasure: &str) -> Key {
    key(part(id, "er"), erasure)
}

/// The partition of the lists of what an erasure erases.
pub fn erasure_cuts(id: &MarketplaceId, erasure: &str) -> String {
    part(id, &format!("ec/{erasure}"))
}

/// A chunk of such a list; the names of both consist of hexadecimal digits.
pub fn erasure_cut(id: &MarketplaceId, erasure: &str, cut: &str, chunk: usize) -> Key {
    key(erasure_cuts(id, erasure), format!("{cut}/{chunk:06}"))
}

/// The partition of the exports.
pub fn exports(id: &MarketplaceId) -> String {
    part(id, "ex")
}

/// An export, whose name consists of hexadecimal digits.
pub fn export(id: &MarketplaceId, export: &str) -> Key {
    key(exports(id), export)
}

/// The partition of the parts of an export.
pub fn export_parts(id: &MarketplaceId, export: &str) -> String {
    part(id, &format!("ep/{export}"))
}

/// A part of an export, by its number.
pub fn export_part(id: &MarketplaceId, export: &str, number: i64) -> Key {
    key(export_parts(id, export), format!("{number:010}"))
}

/// How many shards the access log is spread over. A shard bears about 1,000 entries a second.
pub const ACCESS_LOG_SHARDS: u8 = 4;

/// The partition of one shard of the access log.
pub fn access_log(id: &MarketplaceId, shard: u8) -> String {
    part(id, &format!("al/{shard}"))
}

/// An entry of the access log; `name` has a fixed width and distinguishes the entries of one instant.
pub fn logged_access(id: &MarketplaceId, at: Instant, name: &str) -> Key {
    key(
        access_log(id, shard(name, ACCESS_LOG_SHARDS)),
        format!("{at}/{name}"),
    )
}

#[cfg(test)]
mod tests;
