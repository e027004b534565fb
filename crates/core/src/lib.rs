//! The rules of revtrail: what facts are, who earned an order, and which figure a fact adds to.
//!
//! The crate consists of pure functions over plain values: no async, no AWS, no HTTP, no environment, no clock (`now` is an
//! argument) and no floats. The rule numbers in these docs are those of `docs/rules.md`.

/// The value types (rule 2): ids, instants and days, money and currencies, addresses.
pub mod value {
    pub mod address;
    pub mod id;
    pub mod money;
    pub mod text;
    pub mod time;
}

pub mod record;

/// Who earned an order: the facts, the settings, the decision, and whom a change of either reaches (rules 3 and 4).
pub mod attribution {
    pub mod campaign;
    pub mod decide;
    pub mod event;
    pub mod explain;
    pub mod formula;
    pub mod models;
    pub mod order;
    pub mod plain;
    pub mod reach;
    pub mod settings;
    pub mod timeline;
}

/// What decisions and engagement add up to: from one customer's facts to the rows of a report (rule 5).
pub mod figures {
    pub mod counters;
    pub mod daily;
    pub mod differences;
    pub mod fold;
    pub mod hints;
    pub mod preview;
    pub mod report;
    pub mod rivals;
    pub mod sort;
}

pub mod promotion;
