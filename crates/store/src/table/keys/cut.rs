//! Every key of the table is cut in this file, and nowhere else. Each function undoes one that spells a key.

use revtrail_core::promotion::account::TierAndSegment;
use revtrail_core::value::id::{
    AssignmentId, MarketplaceId, PromotionId, RedemptionId, SegmentName, TierId,
};
use revtrail_core::value::time::{Day, Instant};

use super::{
    ASSIGNED, CELL_PREFIX, CHUNK_PREFIX, DAY_PREFIX, EVENT_PREFIX, LINK_PREFIX, LINKS_PREFIX,
    MENTION_PREFIX, ORDER_PREFIX, ROOT, VOUCHER_PREFIX, part,
};

/// The day of an aggregate or of a part of it.
pub(crate) fn aggregate_day(sk: &str) -> Option<Day> {
    Day::parse(aggregate_part_of(sk).map_or(sk, |(day, _)| day))
}

/// The day and the name of a part of an aggregate; `None` for the aggregate itself.
pub(crate) fn aggregate_part_of(sk: &str) -> Option<(&str, &str)> {
    sk.split_once('/')
}

/// The customer whose partition this is, or the address; `None` for any other partition.
pub(crate) fn customer_of(pk: &str) -> Option<&str> {
    let (_, rest) = pk.strip_prefix("m/")?.split_once('/')?;
    rest.strip_prefix("c/")
}

/// What an item in a customer's partition is. Its id is the text of the key, because every fold cuts the keys of all events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CustomerItem<'k> {
    /// The root of the contribution.
    Root,
    /// A chunk of the contribution, by its name.
    Chunk(&'k str),
    /// An event, by its id.
    Event(&'k str),
    /// An order, by its id.
    Order(&'k str),
    /// With an address, a customer of whom some order named it; with a customer, such an address.
    Link(&'k str),
    /// An order of another customer that names this one, by its id.
    Mention(&'k str),
}

/// What an item in a customer's partition is, by its sort key; `None` for a key that this version does not spell.
pub(crate) fn customer_item(sk: &str) -> Option<CustomerItem<'_>> {
    if sk == ROOT {
        return Some(CustomerItem::Root);
    }
    let chunk = || sk.strip_prefix(CHUNK_PREFIX).map(CustomerItem::Chunk);
    let event = || sk.strip_prefix(EVENT_PREFIX).map(CustomerItem::Event);
    let order = || sk.strip_prefix(ORDER_PREFIX).map(CustomerItem::Order);
    let link = || sk.strip_prefix(LINKS_PREFIX).map(CustomerItem::Link);
    let mention = || sk.strip_prefix(MENTION_PREFIX).map(CustomerItem::Mention);
    let own = event().or_else(order).or_else(chunk);
    own.or_else(link).or_else(mention)
}

/// The segment of a chunk of customers.
pub(crate) fn segment_of(sk: &str) -> Option<&str> {
    Some(sk.split_once('/')?.0)
}

/// The chunk of a file that a piece of its rejected rows belongs to.
pub(crate) fn rejects_chunk(sk: &str) -> Option<&str> {
    Some(sk.split_once('/')?.0)
}

/// What the figures of an item in a shard of a promotion are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FiguresItem<'k> {
    /// A tier and a segment.
    Cell(TierAndSegment),
    /// A day.
    Day(Day),
    /// A voucher, by its code.
    Voucher(&'k str),
}

/// What the figures of an item in a shard of a promotion are about, by its sort key; `None` for a malformed key.
pub(crate) fn figures_item(sk: &str) -> Option<FiguresItem<'_>> {
    if let Some(day) = sk.strip_prefix(DAY_PREFIX) {
        return Day::parse(day).map(FiguresItem::Day);
    }
    if let Some(cell) = sk.strip_prefix(CELL_PREFIX) {
        return cell_of(cell).map(FiguresItem::Cell);
    }
    sk.strip_prefix(VOUCHER_PREFIX).map(FiguresItem::Voucher)
}

/// The tier and the segment in a text that has the length of the first and then both.
fn cell_of(text: &str) -> Option<TierAndSegment> {
    let (length, both) = text.split_once('/')?;
    let (tier, segment) = both.split_at_checked(length.parse().ok()?)?;
    let tier = Some(tier).filter(|tier| !tier.is_empty());
    let segment = Some(segment).filter(|segment| !segment.is_empty());
    Some((
        tier.map(TierId::new).transpose().ok()?,
        segment.map(SegmentName::new).transpose().ok()?,
    ))
}

/// True if a partition belongs to an assignment.
pub(crate) fn is_assignment(id: &MarketplaceId, pk: &str) -> bool {
    pk.starts_with(&part(id, "f/a/"))
}

/// The id or the name at the end of a key in a list of a promotion, behind the list's prefix and a time.
pub(crate) fn listed_id(sk: &str) -> Option<&str> {
    sk.splitn(3, '/').nth(2)
}

/// When a redemption came into the feed, and which one it is.
pub(crate) fn feed_entry(sk: &str) -> Option<(Instant, RedemptionId)> {
    let mut parts = sk.splitn(3, '/');
    let at = Instant::parse(parts.next()?).ok()?;
    Some((at, RedemptionId::new(parts.nth(1)?).ok()?))
}

/// Which record an entry of the quarantine points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum QuarantineEntry {
    /// An assignment.
    Assignment(AssignmentId),
    /// A redemption.
    Redemption(RedemptionId),
}

/// Which record an entry of the quarantine points at, by its sort key; `None` for a malformed key.
pub(crate) fn quarantine_entry(sk: &str) -> Option<QuarantineEntry> {
    let mut parts = sk.splitn(4, '/').skip(2);
    let (what, id) = (parts.next()?, parts.next()?);
    Some(match what {
        ASSIGNED => QuarantineEntry::Assignment(AssignmentId::new(id).ok()?),
        _ => QuarantineEntry::Redemption(RedemptionId::new(id).ok()?),
    })
}

/// The day of a count of the redemptions of one promotion; `None` for the count of a day.
pub(crate) fn redemptions_in_day(sk: &str) -> Option<Day> {
    Day::parse(sk.split_once('/')?.0)
}

/// The promotion that a link of an order leads to; `None` for the other item of an order's partition.
pub(crate) fn link_promotion(sk: &str) -> Option<PromotionId> {
    PromotionId::new(sk.strip_prefix(LINK_PREFIX)?).ok()
}
