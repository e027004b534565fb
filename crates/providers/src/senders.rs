//! The built-in senders, one file each: what proves a post, and what is in it.

mod brevo;
mod mailersend;
mod mailgun;
mod mailjet;
mod mailtrap;
pub(crate) mod own;
mod postmark;
mod resend;
mod sendgrid;
mod ses;
mod shop;
mod shopify;
pub(crate) mod sns;
mod sparkpost;
mod unisender_go;
mod voucherify;
mod woocommerce;
mod yespo;
mod yespo_orders;

use crate::Outcome;
use crate::node::Node;
use crate::proof::Scheme;
use crate::row::{Around, Row};

/// How the body of a sender is read.
#[derive(Clone, Copy)]
pub(crate) enum Reads {
    /// Message events, by a row of the table.
    Events(&'static Row<'static>),
    /// Orders, or facts of promotions.
    Facts(fn(&Node, &Around<'_>) -> Vec<Outcome>),
}

/// A built-in sender.
pub(crate) struct Sender {
    /// Its name in the address.
    pub(crate) name: &'static str,
    /// Its name in settings.
    pub(crate) in_settings: &'static str,
    pub(crate) proof: Scheme<'static>,
    pub(crate) reads: Reads,
    /// True for a body with which a sender tries the address and which it does not sign.
    pub(crate) is_trial: fn(&Node) -> bool,
}

/// A sender that signs what it tries an address with like everything else.
pub(crate) const fn no_trial(_: &Node) -> bool {
    false
}

pub(crate) const SENDERS: [&Sender; 17] = [
    &sendgrid::SENDER,
    &mailgun::SENDER,
    &postmark::SENDER,
    &ses::SENDER,
    &sparkpost::SENDER,
    &brevo::SENDER,
    &mailjet::SENDER,
    &resend::SENDER,
    &mailersend::SENDER,
    &mailtrap::SENDER,
    &unisender_go::SENDER,
    &yespo::SENDER,
    &shopify::SENDER,
    &woocommerce::SENDER,
    &voucherify::SENDER,
    &yespo_orders::ORDERS,
    &yespo_orders::EVENT,
];

/// The built-in sender with this name.
pub(crate) fn named(name: &str) -> Option<&'static Sender> {
    SENDERS.into_iter().find(|sender| sender.name == name)
}

#[cfg(test)]
mod tests {
    use super::shop::FINISHED;

    #[test]
    fn a_status_means_the_same_in_a_post_and_in_a_file() {
        for (file, statuses) in [
            ("Shopify: orders", &super::shopify::STATUSES[..]),
            (
                "WooCommerce: WebToffee Order Export",
                &super::woocommerce::STATUSES,
            ),
        ] {
            let known = crate::exports::known();
            let map = known.iter().find(|map| map.name == file).unwrap();
            // A file has nothing where a post has no word.
            for (word, status) in statuses.iter().filter(|(word, _)| *word != "none") {
                let status = if *status == FINISHED {
                    "FINISHED"
                } else {
                    status
                };
                assert_eq!(map.meaning("status", word), Some(status), "{file}: {word}");
            }
        }
    }
}
