//! Campaigns, and all of a marketplace's campaigns as decisions see them (rule 3.3).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::attribution::event::{Channel, Event};
use crate::record::{Code, Problem, Record};
use crate::value::id::CampaignId;
use crate::value::time::Instant;

/// A campaign as it stands now: campaign facts are not versioned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Campaign {
    /// One in the marketplace.
    pub campaign_id: CampaignId,
    /// For people; the id where nobody named it.
    pub name: String,
    /// For exclusion and filters.
    #[serde(default)]
    pub tags: Vec<String>,
    /// When it was sent, as told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Instant>,
    /// Sent to each customer at a time of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub triggered: bool,
    /// Free.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// Its earliest event of any kind, ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_event_at: Option<Instant>,
    /// The channels of its events, ever.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub channels: BTreeSet<Channel>,
}

/// The fields of a campaign.
const FIELDS: [&str; 6] = [
    "campaign_id",
    "name",
    "tags",
    "sent_at",
    "triggered",
    "metadata",
];

/// Most tags a campaign has.
const TAGS_MAX: usize = 100;
/// Longest name of anything, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Most metadata of anything, in bytes of its JSON.
pub const METADATA_BYTES_MAX: usize = 32_768;

impl Campaign {
    /// A campaign of which only the id is known.
    pub fn named_by_id(campaign_id: CampaignId) -> Self {
        let name = campaign_id.as_str().to_owned();
        Self {
            campaign_id,
            name,
            tags: vec![],
            sent_at: None,
            triggered: false,
            metadata: Map::new(),
            first_event_at: None,
            channels: BTreeSet::new(),
        }
    }

    /// Understands the facts a person or a file gives of a campaign; what events tell of it is empty.
    ///
    /// # Errors
    /// All bad fields.
    pub fn read(campaign_id: CampaignId, record: &Record<'_>) -> Result<Self, Vec<Problem>> {
        let mut campaign = Self::named_by_id(campaign_id);
        let mut problems = Vec::new();
        match record.text("name") {
            Ok(Some(name)) if (1..=NAME_BYTES_MAX).contains(&name.len()) => {
                campaign.name = name.into_owned()
            }
            Ok(Some(_)) => problems.push(Problem::of(
                "name",
                Code::UnknownValue,
                "name has 1 to 256 bytes",
            )),
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
        match read_tags(record) {
            Ok(tags) => campaign.tags = tags,
            Err(problem) => problems.push(problem),
        }
        match record.instant("sent_at") {
            Ok(sent_at) => campaign.sent_at = sent_at,
            Err(problem) => problems.push(problem),
        }
        match record.flag("triggered") {
            Ok(triggered) => campaign.triggered = triggered,
            Err(problem) => problems.push(problem),
        }
        if let Some(raw) = record.raw("metadata") {
            match serde_json::from_str(raw) {
                Ok(_) if raw.len() > METADATA_BYTES_MAX => {
                    problems.push(Problem::of(
                        "metadata",
                        Code::UnknownValue,
                        "metadata has at most 32 KiB",
                    ));
                }
                Ok(metadata) => campaign.metadata = metadata,
                Err(_) => problems.push(Problem::of(
                    "metadata",
                    Code::WrongType,
                    "metadata is an object",
                )),
            }
        }
        if problems.is_empty() {
            Ok(campaign)
        } else {
            Err(problems)
        }
    }

    /// Understands what a call says of a campaign: as [`Campaign::read`], which ignores what a file has beside, but a slip of the pen
    /// in a name is refused.
    ///
    /// # Errors
    /// All bad fields; `unknown_field` for each that no campaign has, `unknown_value` for the id of another campaign.
    pub fn read_known(campaign_id: CampaignId, record: &Record<'_>) -> Result<Self, Vec<Problem>> {
        let unknown = record.unknown_fields(&FIELDS);
        let mut problems: Vec<Problem> = unknown
            .iter()
            .map(|name| {
                let detail = format!(
                    "{name} is no field of a campaign; there are {}",
                    FIELDS.join(", ")
                );
                Problem::of(name, Code::UnknownField, detail)
            })
            .collect();
        match record.text("campaign_id") {
            Ok(id) if id.as_deref().is_none_or(|id| id == campaign_id.as_str()) => {}
            _ => problems.push(Problem::of(
                "campaign_id",
                Code::UnknownValue,
                "campaign_id is not the one in the address: leave it out, or write the same",
            )),
        }
        match Self::read(campaign_id, record) {
            Ok(campaign) if problems.is_empty() => return Ok(campaign),
            Ok(_) => {}
            Err(bad) => problems.extend(bad),
        }
        Err(problems)
    }

    /// The send time: `sent_at` if told, else the earliest event; a triggered campaign has none.
    pub fn send_time(&self) -> Option<Instant> {
        if self.triggered {
            None
        } else {
            self.sent_at.or(self.first_event_at)
        }
    }

    /// What people told of it, as it is shown.
    pub fn shown(&self) -> Value {
        serde_json::json!({
            "campaign_id": self.campaign_id, "name": self.name, "tags": self.tags, "sent_at": self.sent_at,
            "triggered": self.triggered, "metadata": self.metadata,
        })
    }

    /// Takes in that there is an event on a channel at a time.
    pub fn observe(&mut self, at: Instant, channel: Channel) {
        self.first_event_at = Some(self.first_event_at.map_or(at, |first| first.min(at)));
        self.channels.insert(channel);
    }
}

fn read_tags(record: &Record<'_>) -> Result<Vec<String>, Problem> {
    let wrong = || Problem::of("tags", Code::WrongType, "tags is a list of texts");
    let tags: Vec<String> = match record {
        Record::Row(..) => record.free_list("tags"),
        Record::Json(_) => match record.raw("tags") {
            None => vec![],
            Some(raw) => serde_json::from_str(raw).map_err(|_| wrong())?,
        },
    };
    let good = |tag: &String| !tag.is_empty() && tag.len() <= crate::value::id::ID_BYTES_MAX;
    if tags.len() > TAGS_MAX || !tags.iter().all(good) {
        return Err(Problem::of(
            "tags",
            Code::UnknownValue,
            "tags: at most 100, each of 1 to 128 bytes",
        ));
    }
    Ok(tags)
}

/// A campaign's place in its [`Catalog`]. The order of places is the order of the ids' bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CampaignIx(u32);

impl CampaignIx {
    /// As an index into a slice in the catalog's order.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// All campaigns of a marketplace, in the order of their ids' bytes.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    campaigns: Vec<Campaign>,
}

impl Catalog {
    /// Sorts the campaigns. Of two with one id the first stays.
    pub fn new(mut campaigns: Vec<Campaign>) -> Self {
        campaigns.sort_by(|a, b| a.campaign_id.cmp(&b.campaign_id));
        campaigns.dedup_by(|later, first| later.campaign_id == first.campaign_id);
        Self { campaigns }
    }

    /// This catalog with what events tell: unknown campaigns appear, earliest events and channels are taken in.
    /// `None` where the events tell nothing new.
    pub fn witnessing<'e>(&self, events: impl IntoIterator<Item = &'e Event>) -> Option<Self> {
        let mut grown: Option<Self> = None;
        for event in events {
            let now = grown.as_ref().unwrap_or(self);
            let place = now
                .campaigns
                .binary_search_by(|c| c.campaign_id.cmp(&event.campaign_id));
            let known = place.is_ok_and(|i| {
                let campaign = &now.campaigns[i];
                campaign
                    .first_event_at
                    .is_some_and(|at| at <= event.occurred_at)
                    && campaign.channels.contains(&event.channel)
            });
            if known {
                continue;
            }
            let grown = grown.get_or_insert_with(|| self.clone());
            let i = place.unwrap_or_else(|i| {
                grown
                    .campaigns
                    .insert(i, Campaign::named_by_id(event.campaign_id.clone()));
                i
            });
            grown.campaigns[i].observe(event.occurred_at, event.channel);
        }
        grown
    }

    /// The place of a campaign.
    pub fn place(&self, id: &CampaignId) -> Option<CampaignIx> {
        self.campaigns
            .binary_search_by(|c| c.campaign_id.cmp(id))
            .ok()
            .map(|i| CampaignIx(i as u32))
    }

    /// The campaign at a place of this catalog.
    pub fn at(&self, place: CampaignIx) -> &Campaign {
        &self.campaigns[place.index()]
    }

    /// The campaign of an id.
    pub fn get(&self, id: &CampaignId) -> Option<&Campaign> {
        self.place(id).map(|place| self.at(place))
    }

    /// All of them, with their places.
    pub fn iter(&self) -> impl Iterator<Item = (CampaignIx, &Campaign)> {
        self.campaigns
            .iter()
            .enumerate()
            .map(|(i, campaign)| (CampaignIx(i as u32), campaign))
    }

    /// How many campaigns.
    pub fn len(&self) -> usize {
        self.campaigns.len()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.campaigns.is_empty()
    }
}
