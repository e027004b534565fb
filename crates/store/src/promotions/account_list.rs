//! The list of a promotion's accounts, so that a verification finds all of them. An entry is written in the transaction that makes
//! the account, and moves with it. Its key has a hash of the customer, so that the place of a walk names nobody.

use revtrail_core::value::id::{CustomerId, PromotionId};
use sha2::{Digest, Sha256};

use crate::market::Market;
use crate::random::hex;
use crate::table::fault::StoreError;
use crate::table::item::{Item, NewItem, data};
use crate::table::keys::{self, Key};

/// The key of the entry of a customer's account.
pub(crate) fn entry_key(market: &Market, promotion: &PromotionId, customer: &CustomerId) -> Key {
    let hash = Sha256::digest(format!("{}\n{customer}", market.id).as_bytes());
    keys::listed_account(&market.id, promotion, &hex(&hash[..16]))
}

/// The entry of a customer's account.
pub(crate) fn entry(market: &Market, promotion: &PromotionId, customer: &CustomerId) -> NewItem {
    NewItem::at(&entry_key(market, promotion, customer)).data(customer)
}

/// The customer whose account an entry lists.
pub(crate) fn customer_of(entry: &Item) -> Result<CustomerId, StoreError> {
    data(entry)
}
