//! Every name of an attribute is spelled in this file, and nowhere else.
//!
//! Names are short where an item is read often, because the table counts them as bytes. A name that stands in one kind of item
//! only is in the module of that kind, so the same letter may mean another thing there.

/// The partition key.
pub(crate) const PARTITION_KEY: &str = "pk";
/// The sort key.
pub(crate) const SORT_KEY: &str = "sk";
/// What a query of a whole partition asks for.
pub(crate) const WHOLE_PARTITION: &str = "pk = :pk";
/// What a query of a part of a partition asks for.
pub(crate) const PART_OF_PARTITION: &str = "pk = :pk AND sk BETWEEN :a AND :b";
/// The item's value, as JSON text.
pub(crate) const DATA: &str = "d";
/// The item's value, compressed; an item has either this or [`DATA`].
pub(crate) const COMPRESSED: &str = "z";
/// The version of the item, which every write under a version raises.
pub(crate) const VERSION: &str = "v";
/// The table's TTL attribute, in epoch seconds.
pub const TTL_ATTRIBUTE: &str = "expires_at";

/// What holds for a marketplace as a whole.
pub(crate) mod meta {
    pub(crate) const HAS_ORDERS: &str = "has_orders";
    /// Some daily aggregates are spread over several shards.
    pub(crate) const SPREAD: &str = "striped";
    pub(crate) const CODED: &str = "coded";
    pub(crate) const FOLD_VERSION: &str = "fold_version";
    pub(crate) const AS_OF: &str = "as_of";
    pub(crate) const MOVED_AT: &str = "moved_at";
    pub(crate) const PLANNED_TO: &str = "planned_to";
    pub(crate) const SETTLED_TO: &str = "settled_to";
    /// How often an erasure said that names which were read before must not be written any more.
    pub(crate) const ERASURES: &str = "erasures";
    /// The day since which what is stored of a day is split.
    pub(crate) const SPLIT_FROM: &str = "split_from";
}

/// The retention of the deployment.
pub(crate) mod retention {
    pub(crate) const DAYS: &str = "days";
}

/// The root of a customer's contribution.
pub(crate) mod root {
    pub(crate) const JOB: &str = "u";
    pub(crate) const RUNS: &str = "r";
    /// Whose facts move to a pseudonym: the pseudonym. It marks a promotion account too.
    pub(crate) const MOVING: &str = "x";
}

/// A segment.
pub(crate) mod segment {
    pub(crate) const CUSTOMERS: &str = "n";
    /// The segment is being deleted.
    pub(crate) const GONE: &str = "gone";
    /// In the item of a name: the segment that has it.
    pub(crate) const SEGMENT: &str = "segment";
}

/// The record of an erasure.
pub(crate) mod erasure {
    pub(crate) const FACTS: &str = "facts";
    /// The move of the facts has ended.
    pub(crate) const MOVED: &str = "moved";
    /// The name of the list of what is erased. When the move has ended, it is the name of none.
    pub(crate) const CUT: &str = "cut";
}

/// A shard of a daily aggregate.
pub(crate) mod aggregate {
    /// The names of the parts that were taken in.
    pub(crate) const TAKEN: &str = "t";
    pub(crate) const MERGED: &str = "m";
}

/// What the folds of a job moved; also in the item of a run.
pub(crate) mod progress {
    use revtrail_core::value::money::Currency;

    pub(crate) const CUSTOMERS: &str = "customers";
    pub(crate) const ORDERS: &str = "orders";
    pub(crate) const CREDITS_CHANGED: &str = "credits_changed";
    pub(crate) const PARKED: &str = "parked";
    pub(crate) const CHECKED: &str = "checked";
    pub(crate) const DIFFERENCES: &str = "differences";
    pub(crate) const REPAIRED: &str = "repaired";

    const MOVED_PREFIX: &str = "moved_";

    /// The revenue that was moved in a currency.
    pub(crate) fn moved(currency: Currency) -> String {
        format!("{MOVED_PREFIX}{currency}")
    }

    /// The currency of [`moved`]; `None` for any other attribute.
    pub(crate) fn moved_currency(name: &str) -> Option<Currency> {
        Currency::parse(name.strip_prefix(MOVED_PREFIX)?)
    }
}

/// A run. The names of its counts of jobs are older than the word job.
pub(crate) mod run {
    pub(crate) const STATE: &str = "run_state";
    pub(crate) const PLANNED_AT: &str = "planned_at";
    pub(crate) const FINISHED_AT: &str = "finished_at";
    pub(crate) const VERIFYING: &str = "verifying";
    pub(crate) const JOBS: &str = "units";
    pub(crate) const JOBS_DONE: &str = "units_done";
    pub(crate) const ERRORS: &str = "run_errors";
    /// Why the run failed.
    pub(crate) const DETAIL: &str = "run_detail";
    /// What its verification found, in words.
    pub(crate) const FOUND: &str = "verify_found";
}

/// A batch in the list of batches.
pub(crate) mod listed_batch {
    pub(crate) const BATCH: &str = "batch";
}

/// The figures of a promotion: its totals, and in part those by tier and segment and those by day.
pub(crate) mod figures {
    use revtrail_core::value::money::Currency;

    pub(crate) const ASSIGNED: &str = "a";
    pub(crate) const REDEEMED: &str = "r";
    pub(crate) const REDEMPTIONS: &str = "s";
    pub(crate) const FAILURES: &str = "f";
    pub(crate) const ROLLED_BACK: &str = "b";
    pub(crate) const PUBLISHED: &str = "ps";
    pub(crate) const NOT_PUBLISHED: &str = "pf";
    pub(crate) const DELIVERED: &str = "md";
    pub(crate) const NOT_DELIVERED: &str = "mf";
    pub(crate) const VOUCHERS: &str = "v";
    pub(crate) const OPEN_USES: &str = "op";
    pub(crate) const UNLIMITED: &str = "ul";
    /// How often the figures of the shard, or what it may use of limits, were moved.
    pub(crate) const MOVES: &str = "n";
    /// The version of the promotion that the shard's part of the limits belongs to.
    pub(crate) const PROMOTION_VERSION: &str = "pv";
    /// Some records are counted outside accounts that were full.
    pub(crate) const BESIDE: &str = "x";
    /// In the pool: all accounts of the promotion are in its list.
    pub(crate) const LISTED: &str = "all";
    /// What is left of the cap; in the pool also.
    pub(crate) const CAP_LEFT: &str = "cl";
    /// What is left of the budget; in the pool also.
    pub(crate) const BUDGET_LEFT: &str = "bl";

    /// The totals that are counts of what accounts and vouchers hold.
    pub(crate) const TOTALS: [&str; 10] = [
        ASSIGNED,
        REDEEMED,
        REDEMPTIONS,
        FAILURES,
        ROLLED_BACK,
        PUBLISHED,
        NOT_PUBLISHED,
        VOUCHERS,
        OPEN_USES,
        UNLIMITED,
    ];
    /// The figures by tier and segment, and by day.
    pub(crate) const PARTS: [&str; 4] = [ASSIGNED, REDEEMED, REDEMPTIONS, FAILURES];

    /// The name of a figure, as people read it.
    pub(crate) fn name(attribute: &str) -> &str {
        match attribute {
            ASSIGNED => "assigned",
            REDEEMED => "redeemed",
            REDEMPTIONS => "redemptions",
            FAILURES => "failures",
            ROLLED_BACK => "rolled back",
            PUBLISHED => "publications",
            NOT_PUBLISHED => "failed publications",
            VOUCHERS => "vouchers",
            OPEN_USES => "open uses",
            UNLIMITED => "unlimited vouchers",
            CAP_LEFT => "left of the cap",
            BUDGET_LEFT => "left of the budget",
            other => other,
        }
    }

    /// A sum of money in one currency.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Amount {
        /// The rewards of successes.
        Rewards(Currency),
        /// The amounts of the orders that successes name.
        Orders(Currency),
    }

    impl Amount {
        pub(crate) fn name(self) -> String {
            match self {
                Self::Rewards(currency) => format!("w:{currency}"),
                Self::Orders(currency) => format!("o:{currency}"),
            }
        }

        /// The amount of this name; `None` for any other attribute.
        pub(crate) fn parse(name: &str) -> Option<Self> {
            let (sum, currency) = name.split_once(':')?;
            let currency = Currency::parse(currency)?;
            match sum {
                "w" => Some(Self::Rewards(currency)),
                "o" => Some(Self::Orders(currency)),
                _ => None,
            }
        }
    }
}

/// A part of an export.
pub(crate) mod export_part {
    /// Present where the files of the part belong to the export.
    pub(crate) const COUNTED: &str = "ct";
}

/// A voucher, and what one shard holds of it.
pub(crate) mod voucher {
    pub(crate) const USES: &str = "u";
    pub(crate) const LEFT: &str = "l";
    pub(crate) const DISABLED: &str = "x";
    pub(crate) const ASSIGNED: &str = "s";
}

/// What is counted of a customer outside a full promotion account.
pub(crate) mod beside_account {
    pub(crate) const SUCCESSES: &str = "n";
}

/// An entry of the quarantine, or a promotion that records wait for.
pub(crate) mod quarantine {
    pub(crate) const WAITS: &str = "q";
}

/// The redemptions that came in on a day.
pub(crate) mod redemptions_in {
    pub(crate) const RECEIVED: &str = "rc";
    pub(crate) const DUPLICATES: &str = "du";
    pub(crate) const MATCHED: &str = "ma";
    pub(crate) const QUARANTINED: &str = "qu";
    pub(crate) const REJECTED: &str = "rj";
    pub(crate) const ALL: [&str; 5] = [RECEIVED, DUPLICATES, MATCHED, QUARANTINED, REJECTED];

    /// Those that were rejected with a code. The name stands as it is in expressions, as codes are small letters and `_`.
    pub(crate) fn rejected_as(code: &str) -> String {
        format!("x_{code}")
    }

    /// The code of such a name.
    pub(crate) fn rejected_code(attribute: &str) -> Option<&str> {
        attribute.strip_prefix("x_")
    }
}

#[cfg(test)]
mod tests {
    use revtrail_core::value::money::Currency;

    use super::figures::Amount;
    use super::progress::{CUSTOMERS, moved, moved_currency};

    #[test]
    fn a_name_with_a_currency_is_read_as_it_was_spelled() {
        let eur = Currency::parse("EUR").unwrap();
        assert_eq!(moved_currency(&moved(eur)), Some(eur));
        assert_eq!(moved_currency(CUSTOMERS), None);
        for amount in [Amount::Rewards(eur), Amount::Orders(eur)] {
            assert_eq!(Amount::parse(&amount.name()), Some(amount));
        }
        for other in ["op", "w", "w:", "x:EUR", "w:euro"] {
            assert_eq!(Amount::parse(other), None, "{other}");
        }
    }
}
