//! Customers who are parked: their facts cannot be folded, so their last contribution stands until they can. They are listed, not lost.

use revtrail_core::value::id::CustomerId;
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
    /// The timeline is above what is read of one.
    TimelineTooLarge,
    /// What it adds up to, or an item of it, is not what the table takes or gives.
    NotStorable,
}

/// A customer who is parked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// Who.
    pub customer_id: CustomerId,
    /// When it was last tried.
    pub at: Instant,
    /// Why.
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
            NewItem::at(&keys::parked_customer(&self.market.id, &parked.customer_id)).data(parked);
        let gone_at = parked.at.plus_ms(self.market.retention.keep_ms());
        self.market
            .store
            .put(item.expires(gone_at), None)
            .await
            .map(drop)
    }

    /// A customer is folded again.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn unpark(self, customer: &CustomerId) -> Result<(), StoreError> {
        self.market
            .store
            .delete(&keys::parked_customer(&self.market.id, customer))
            .await
    }

    /// All who are parked, by id.
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
