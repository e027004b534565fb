//! The table: what a row says of a sender of message events, and how an event of a post becomes a record by it. Built-in senders
//! and those of settings go through the same functions.

use std::borrow::Cow;
use std::collections::BTreeSet;

use chrono_tz::Tz;
use http::HeaderMap;
use revtrail_core::attribution::event::EventKind;
use revtrail_core::attribution::order::Status;
use revtrail_core::attribution::settings::Provider;
use revtrail_core::value::id::ID_BYTES_MAX;
use revtrail_core::value::money::Currency;
use revtrail_core::value::time::Instant;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::Outcome;
use crate::node::Node;
use crate::time::{self, Unit};

/// What a sender's word for a kind of event means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    Is(EventKind),
    /// This kind, and a machine did it.
    Machine(EventKind),
    Nothing,
}

/// Where the events are in a post.
#[derive(Clone, Copy)]
pub(crate) enum List<'a> {
    /// At the first of these paths that has any, through all lists on the way; `""` is the body itself.
    At(&'a str),
    /// Where events must be made from a nested report.
    Made(fn(&Node) -> Vec<Node>),
}

/// A row. Each text is a path, or several separated by `|` of which the first that has a value counts. `@name` is a header.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) list: List<'a>,
    /// The sender's id of the event; where there is none, it is hashed from what names the event.
    pub(crate) id: &'a str,
    /// The words for the kind, joined by `/`, so that `bounce/soft` can mean something else than `bounce`.
    pub(crate) kind: &'a str,
    pub(crate) kinds: &'a [(&'a str, Meaning)],
    pub(crate) at: &'a str,
    pub(crate) unit: Unit<'a>,
    /// The zone of times without an offset; `None` is the marketplace's.
    pub(crate) zone: Option<Tz>,
    /// The channel or, where `channels` translates its words, the path to it; `*` is any word, and an empty text is none.
    pub(crate) channel: &'a str,
    pub(crate) channels: &'a [(&'a str, &'a str)],
    pub(crate) campaign: &'a str,
    pub(crate) customer: &'a str,
    pub(crate) email: &'a str,
    pub(crate) phone: &'a str,
    pub(crate) message_id: &'a str,
    /// True where a message id is spelled with and without angle brackets by the same sender.
    pub(crate) brackets: bool,
    pub(crate) url: &'a str,
    /// Where the sender marks what a machine did, and by which value; `*` is any.
    pub(crate) machine: &'a [(&'a str, &'a str)],
    /// What `metadata.…` of a mapping is looked up in, and what `tags.…` is.
    pub(crate) metadata: &'a str,
    pub(crate) tags: &'a str,
}

/// The row of a mail provider, before what it names its fields. Its times without an offset are UTC.
pub(crate) const MAIL: Row<'static> = Row {
    list: List::At(""),
    id: "",
    kind: "event",
    kinds: &[],
    at: "timestamp",
    unit: Unit::Any,
    zone: Some(Tz::UTC),
    channel: "email",
    channels: &[],
    campaign: "",
    customer: "",
    email: "email",
    phone: "",
    message_id: "message_id",
    brackets: false,
    url: "url",
    machine: &[],
    metadata: "",
    tags: "",
};

/// What an event is read with, besides its row.
pub(crate) struct Around<'a> {
    pub(crate) sender: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) mapping: &'a Provider,
    pub(crate) now: Instant,
    /// The marketplace's zone.
    pub(crate) zone: Tz,
    /// The marketplace's currency, if it has set one.
    pub(crate) currency: Option<Currency>,
    /// The statuses that the marketplace counts.
    pub(crate) counted: &'a BTreeSet<Status>,
}

impl Around<'_> {
    /// The status of an order that its shop has finished: COMPLETE, or DELIVERED where only that counts.
    pub(crate) fn finished(&self) -> &'static str {
        let only_delivered =
            self.counted.contains(&Status::Delivered) && !self.counted.contains(&Status::Complete);
        match only_delivered {
            true => Status::Delivered.name(),
            false => Status::Complete.name(),
        }
    }
}

impl Row<'_> {
    /// What the events of a body become, in their order.
    pub(crate) fn read(&self, body: &Node, around: &Around<'_>) -> Vec<Outcome> {
        match self.list {
            List::Made(make) => {
                let made = make(body);
                made.iter().map(|event| self.event(event, around)).collect()
            }
            List::At(paths) => {
                for path in paths.split('|') {
                    let mut events = Vec::new();
                    body.all(path, &mut events);
                    let step = path.split('.').next().unwrap_or_default();
                    let (mut lists, first) = (Vec::new(), body.get(step));
                    body.all(step, &mut lists);
                    // A list that is there and empty is a post without events, as some senders try an address with.
                    if !events.is_empty() || !lists.is_empty() || first.is_some() {
                        let events = events.into_iter();
                        return events.map(|event| self.event(event, around)).collect();
                    }
                }
                vec![Outcome::Ignored(format!("no list at {paths}"))]
            }
        }
    }

    fn event(&self, event: &Node, around: &Around<'_>) -> Outcome {
        let text = |paths: &str| self.text(event, paths, around);
        let (word, meaning) = self.meaning(event, around);
        let (kind, by_word) = match meaning {
            Some(Meaning::Is(kind)) => (kind, false),
            Some(Meaning::Machine(kind)) => (kind, true),
            Some(Meaning::Nothing) | None => return Outcome::Ignored(word),
        };
        let channel = match self.channels {
            [] => self.channel,
            words => {
                let own = text(self.channel).unwrap_or_default();
                let found = words
                    .iter()
                    .find(|(word, _)| *word == "*" || own.eq_ignore_ascii_case(word));
                match found {
                    Some((_, channel)) => channel,
                    None => return Outcome::Ignored(word),
                }
            }
        };
        let mapped = |field: &Option<String>, own: &str| match field {
            Some(path) => text(path),
            None => text(own),
        };
        let mapping = around.mapping;
        let Some(campaign) = mapped(&mapping.campaign_id, self.campaign) else {
            let at = mapping.campaign_id.as_deref().unwrap_or(self.campaign);
            return Outcome::Ignored(format!("no campaign_id at {at}"));
        };
        let message = mapped(&mapping.message_id, self.message_id).map(|id| self.bracketed(id));
        let at = text(self.at);
        let url = text(self.url);
        let mut record = Map::new();
        let mut put = |field: &str, value: Option<String>| {
            if let Some(value) = value {
                record.insert(field.to_owned(), Value::String(value));
            }
        };
        let customer = mapped(&mapping.customer_id, self.customer);
        let email = text(self.email).map(|text| address(&text).to_owned());
        let phone = text(self.phone);
        let recipient = customer.clone().or(email.clone()).or(phone.clone());
        let id = text(self.id).map(short).unwrap_or_else(|| {
            hashed(&[
                Some(around.sender),
                Some(kind.name()),
                Some(channel),
                Some(&campaign),
                recipient.as_deref(),
                message.as_deref(),
                at.as_deref(),
                url.as_deref(),
            ])
        });
        put("event_id", Some(id));
        put("kind", Some(kind.name().to_owned()));
        put("channel", Some(channel.to_owned()));
        put("campaign_id", Some(campaign));
        put("customer_id", customer);
        put("email", email);
        put("phone", phone);
        put("message_id", message.map(short));
        put("occurred_at", Some(self.occurred_at(at, around)));
        put("url", url);
        if by_word || self.by_machine(event, around) {
            record.insert("machine".to_owned(), true.into());
        }
        Outcome::Event(Value::Object(record).to_string())
    }

    /// The sender's words for the kind, and what they mean. Of words joined by `/` the longest beginning that the table has counts.
    fn meaning(&self, event: &Node, around: &Around<'_>) -> (String, Option<Meaning>) {
        let words = self.kind.split('/');
        let words = words.map(|paths| self.text(event, paths, around).unwrap_or_default());
        let words: Vec<String> = words.collect();
        let word = words.join("/");
        let word = word.trim_end_matches('/');
        let told = word.trim_start_matches('/').to_owned();
        let mut rest = word;
        loop {
            let found = self
                .kinds
                .iter()
                .find(|(own, _)| rest.eq_ignore_ascii_case(own));
            if let Some((_, meaning)) = found {
                return (told, Some(*meaning));
            }
            match rest.rsplit_once('/') {
                Some((shorter, _)) => rest = shorter,
                None => return (told, None),
            }
        }
    }

    /// The time of an event: as its sender wrote it where that is no time, so that the record is rejected and says so; that of
    /// arrival where the sender gives none.
    fn occurred_at(&self, at: Option<String>, around: &Around<'_>) -> String {
        let zone = around.mapping.zone.or(self.zone).unwrap_or(around.zone);
        match at {
            None => around.now.to_string(),
            Some(text) => time::instant(&text, self.unit, zone).map_or(text, |at| at.to_string()),
        }
    }

    fn by_machine(&self, event: &Node, around: &Around<'_>) -> bool {
        self.machine.iter().any(|(path, is)| {
            let own = self.text(event, path, around);
            own.is_some_and(|own| *is == "*" || own.eq_ignore_ascii_case(is))
        })
    }

    fn bracketed(&self, id: String) -> String {
        match self.brackets && !id.starts_with('<') {
            true => format!("<{id}>"),
            false => id,
        }
    }

    /// The text at the first of several paths that has one.
    fn text(&self, event: &Node, paths: &str, around: &Around<'_>) -> Option<String> {
        if paths.is_empty() {
            return None;
        }
        paths.split('|').find_map(|path| {
            if let Some(header) = path.strip_prefix('@') {
                let header = around.headers.get(header)?.to_str().ok()?;
                return Some(header.to_owned()).filter(|text| !text.is_empty());
            }
            let named = path.split_once('.');
            let sources = match named {
                Some(("metadata", _)) => self.metadata,
                Some(("tags", _)) => self.tags,
                _ => "",
            };
            let below = named.map_or("", |(_, rest)| rest);
            let in_source = |source: &str| match source {
                "" => None,
                "." => event.text_at(below),
                source => event.text_at(&format!("{source}.{below}")),
            };
            let found = sources.split('|').find_map(in_source);
            found.or_else(|| event.text_at(path))
        })
    }
}

/// The address in `Ann <ann@example.com>`.
pub(crate) fn address(text: &str) -> &str {
    let inner = text
        .rsplit_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or(text, |(inner, _)| inner).trim()
}

/// An id that is too long for an id here is its hash.
pub(crate) fn short(id: String) -> String {
    match id.len() <= ID_BYTES_MAX {
        true => id,
        false => hashed(&[Some(&id)]),
    }
}

/// Half of SHA-256 over texts, each with its length before it, in hex.
pub(crate) fn hashed(parts: &[Option<&str>]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        let part: Cow<'_, str> = part.unwrap_or_default().into();
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(&hash.finalize()[..16])
}
