//! Parked customers: their facts cannot be folded, so their last contribution stays until they can. A list of them makes sure
//! that nobody is forgotten.

use revtrail_core::value::address::Recipient;
use revtrail_core::value::time::Instant;
use serde::{Deserialize, Serialize};

use crate::market::Market;
use crate::table::client::{Range, Reading};
use crate::table::fault::StoreError;
use crate::table::item::{NewItem, data, expired};
use crate::table::keys;

/// Why a customer cannot be folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParkedFor {
    /// The timeline has more bytes than are read of one.
    TimelineTooLarge,
    /// The table cannot store what the facts add up to, or an item of the customer cannot be read.
    NotStorable,
}

/// A customer who is parked, or an address. Whoever has an order that names an address with too many events is parked with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// The customer or the address.
    #[serde(rename = "customer_id")]
    pub recipient: Recipient,
    /// When a fold of the customer was last tried.
    pub at: Instant,
    /// Why the customer cannot be folded.
    pub reason: ParkedFor,
}

/// The parked customers of one marketplace. Reached by [`Market::parked`].
#[derive(Debug, Clone, Copy)]
pub struct ParkedCustomers<'m> {
    market: &'m Market,
}

impl Market {
    /// The parked customers of one marketplace.
    pub fn parked(&self) -> ParkedCustomers<'_> {
        ParkedCustomers { market: self }
    }
}

impl ParkedCustomers<'_> {
    /// Parks a customer, until the next fold that succeeds.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn park(self, parked: &Parked) -> Result<(), StoreError> {
        let item =
            NewItem::at(&keys::parked_customer(&self.market.id, &parked.recipient)).data(parked);
        let gone_at = parked.at.plus_ms(self.market.retention.keep_ms());
        self.market
            .store
            .put(item.expires(gone_at), None)
            .await
            .map(drop)
    }

    /// Removes a customer from the parked ones, because they were folded again.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn unpark(self, customer: &Recipient) -> Result<(), StoreError> {
        self.market
            .store
            .delete(&keys::parked_customer(&self.market.id, customer))
            .await
    }

    /// All who are parked: addresses first, then customers in the order of their ids.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn list(self, now: Instant) -> Result<Vec<Parked>, StoreError> {
        self.market
            .store
            .query(&keys::parked(&self.market.id), &Range::All, Reading::STRONG)
            .await?
            .iter()
            .filter(|item| !expired(item, now))
            .map(data)
            .collect()
    }
}
