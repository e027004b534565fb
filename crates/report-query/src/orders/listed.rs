//! An order as the list shows it, before its copy is read.

use revtrail_core::attribution::decide::NotCounted;
use revtrail_core::attribution::order::Order;
use revtrail_core::attribution::settings::Versions;
use revtrail_core::figures::fold::{LineCredit, OrderLine};
use revtrail_core::value::id::{CustomerId, OrderId};
use revtrail_core::value::time::{Day, Instant};
use revtrail_web::list::Position;

/// The place of an order in the list: by its day, then by the time when it was placed, then by its id.
pub(super) type At = (Day, Instant);

/// An order for the list: its place in time, and the campaign that earned it.
#[derive(Clone)]
pub(super) struct ListedOrder {
    pub(super) day: Day,
    placed_at: Instant,
    pub(super) order_id: OrderId,
    pub(super) customer_id: CustomerId,
    pub(super) credit: Option<LineCredit>,
    /// Why the order enters no revenue; `None` for one that does.
    pub(super) not_counted: Option<NotCounted>,
    /// True while the order is not decided.
    pub(super) waits: bool,
}

impl ListedOrder {
    pub(super) fn of(day: Day, customer_id: &CustomerId, line: &OrderLine) -> Self {
        Self {
            day,
            placed_at: line.placed_at,
            order_id: line.order_id.clone(),
            customer_id: customer_id.clone(),
            credit: line.figures.credit.clone(),
            not_counted: line.figures.not_counted,
            waits: false,
        }
    }

    /// An order that waits for a run. It is decided when it is shown.
    pub(super) fn waiting(order: &Order, versions: &Versions) -> Self {
        let zone = versions.at(order.placed_at).settings.timezone;
        Self {
            day: order.placed_at.day(zone),
            placed_at: order.placed_at,
            order_id: order.order_id.clone(),
            customer_id: order.customer_id.clone(),
            credit: None,
            not_counted: None,
            waits: true,
        }
    }

    pub(super) fn place(&self) -> Position<At> {
        Position {
            value: (self.day, self.placed_at),
            id: self.order_id.as_str().to_owned(),
        }
    }

    /// The place of the order within its day.
    pub(super) fn time(&self) -> (Instant, &OrderId) {
        (self.placed_at, &self.order_id)
    }
}
