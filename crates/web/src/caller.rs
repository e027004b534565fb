//! Who makes a call. `access` finds out, and `app` reads the key.

use revtrail_core::value::id::MarketplaceId;
use revtrail_store::market::access::Role;

/// The key with which a call is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The id of the key; `deployment` for the deployment's key.
    pub key_id: String,
    /// The name of the key.
    pub name: String,
    /// The role of the key; the deployment's key is an administrator.
    pub role: Role,
    /// True for the deployment's key, which is good for every marketplace.
    pub deployment: bool,
    /// The marketplaces that the key is good for; empty for the deployment's key.
    pub marketplaces: Vec<MarketplaceId>,
}

impl Caller {
    /// Whoever has the deployment's key.
    pub(crate) fn deployment() -> Self {
        Self {
            key_id: "deployment".to_owned(),
            name: "the deployment's key".to_owned(),
            role: Role::Admin,
            deployment: true,
            marketplaces: Vec::new(),
        }
    }

    /// True where this key is good for a marketplace. The marketplace need not exist.
    pub fn sees(&self, marketplace: &MarketplaceId) -> bool {
        self.deployment || self.marketplaces.contains(marketplace)
    }
}
