//! Campaigns, and the catalog: all campaigns of a marketplace as decisions see them (rule 3.3).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::attribution::event::{Channel, Event};
use crate::record::{Code, Problems, Record, RecordProblem, no_controls, shown};
use crate::value::id::CampaignId;
use crate::value::time::Instant;

/// A campaign as it is now. The facts of a campaign have no versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Campaign {
    /// The id of the campaign, unique in the marketplace.
    pub campaign_id: CampaignId,
    /// A name for people to read; it is the id where nobody gave a name.
    pub name: String,
    /// Tags, which settings use to exclude campaigns and reports use as filters.
    #[serde(default)]
    pub tags: Vec<String>,
    /// When the campaign was sent, as a person or a file stated it, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Instant>,
    /// True where the campaign is sent to each customer at a different time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub triggered: bool,
    /// Any further fields that the sender wants to keep with the campaign.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// When the earliest event of any kind happened, out of all events ever received, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_event_at: Option<Instant>,
    /// The channels of all events ever received.
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

/// The most tags a campaign may have.
pub const TAGS_MAX: usize = 100;
/// The longest name of a campaign or a promotion, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// The longest metadata of a campaign or a promotion, in bytes of its JSON.
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

    /// Reads the facts that a person or a file states of a campaign. What is learned from events is left empty.
    ///
    /// # Errors
    /// A problem for each bad field.
    pub fn read(campaign_id: CampaignId, record: &Record<'_>) -> Result<Self, Problems> {
        let mut campaign = Self::named_by_id(campaign_id);
        let mut problems = Problems::new();
        match record.text("name") {
            Ok(Some(name)) if (1..=NAME_BYTES_MAX).contains(&name.len()) => {
                campaign.name = name.into_owned()
            }
            Ok(Some(_)) => problems.push(RecordProblem::of(
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
                    problems.push(RecordProblem::of(
                        "metadata",
                        Code::UnknownValue,
                        "metadata has at most 32 KiB",
                    ));
                }
                Ok(metadata) => campaign.metadata = metadata,
                Err(_) => problems.push(RecordProblem::of(
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

    /// Reads what a call says of a campaign. It reads as [`Campaign::read`] does, but while that ignores unknown fields, since
    /// files have them, this refuses them, since in a call they are mistyped names.
    ///
    /// # Errors
    /// A problem for each bad field; `unknown_field` for each field that no campaign has, `unknown_value` for the id of another
    /// campaign, or for a name or a tag with control characters.
    pub fn read_known(campaign_id: CampaignId, record: &Record<'_>) -> Result<Self, Problems> {
        let unknown = record.unknown_fields(&FIELDS);
        let mut problems: Problems = unknown
            .iter()
            .map(|name| {
                let detail = format!(
                    "{} is no field of a campaign; there are {}",
                    shown(name),
                    FIELDS.join(", ")
                );
                RecordProblem::of(name, Code::UnknownField, detail)
            })
            .collect();
        match record.text("campaign_id") {
            Ok(id) if id.as_deref().is_none_or(|id| id == campaign_id.as_str()) => {}
            _ => problems.push(RecordProblem::of(
                "campaign_id",
                Code::UnknownValue,
                "campaign_id is not the one in the address: leave it out, or write the same",
            )),
        }
        match Self::read(campaign_id, record) {
            Ok(campaign) => {
                problems.extend(no_controls("name", &campaign.name).err());
                let tags = campaign.tags.iter().map(|tag| no_controls("tags", tag));
                problems.extend(tags.filter_map(Result::err));
                if problems.is_empty() {
                    return Ok(campaign);
                }
            }
            Err(bad) => problems.append(bad),
        }
        Err(problems)
    }

    /// The send time: `sent_at` where it was stated, otherwise the earliest event. A triggered campaign has none.
    pub fn send_time(&self) -> Option<Instant> {
        if self.triggered {
            None
        } else {
            self.sent_at.or(self.first_event_at)
        }
    }

    /// What people stated of the campaign, as it is shown.
    pub fn shown(&self) -> Value {
        serde_json::json!({
            "campaign_id": self.campaign_id, "name": self.name, "tags": self.tags, "sent_at": self.sent_at,
            "triggered": self.triggered, "metadata": self.metadata,
        })
    }

    /// Records that the campaign has an event on a channel at a time.
    pub fn observe(&mut self, at: Instant, channel: Channel) {
        self.first_event_at = Some(self.first_event_at.map_or(at, |first| first.min(at)));
        self.channels.insert(channel);
    }
}

fn read_tags(record: &Record<'_>) -> Result<Vec<String>, RecordProblem> {
    let wrong = || RecordProblem::of("tags", Code::WrongType, "tags is a list of texts");
    let tags: Vec<String> = match record {
        Record::Row(..) => record.free_list("tags"),
        Record::Json(_) => match record.raw("tags") {
            None => vec![],
            Some(raw) => serde_json::from_str(raw).map_err(|_| wrong())?,
        },
    };
    let good = |tag: &String| !tag.is_empty() && tag.len() <= crate::value::id::ID_BYTES_MAX;
    if tags.len() > TAGS_MAX || !tags.iter().all(good) {
        return Err(RecordProblem::of(
            "tags",
            Code::UnknownValue,
            "tags: at most 100, each of 1 to 128 bytes",
        ));
    }
    Ok(tags)
}

/// The index of a campaign in its [`Catalog`]. Indexes sort as the bytes of the ids do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CampaignIx(u32);

impl CampaignIx {
    /// The index into a slice that has the catalog's order.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// All campaigns of a marketplace, in the order of the bytes of their ids.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    campaigns: Vec<Campaign>,
}

impl Catalog {
    /// Sorts the campaigns. Where two have the same id, the first is kept.
    pub fn new(mut campaigns: Vec<Campaign>) -> Self {
        campaigns.sort_by(|a, b| a.campaign_id.cmp(&b.campaign_id));
        campaigns.dedup_by(|later, first| later.campaign_id == first.campaign_id);
        Self { campaigns }
    }

    /// This catalog with what the events show: unknown campaigns are added, and earliest events and channels are updated.
    /// `None` where the events show nothing new.
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

    /// The index of the campaign with this id, if there is one.
    pub fn place(&self, id: &CampaignId) -> Option<CampaignIx> {
        self.campaigns
            .binary_search_by(|c| c.campaign_id.cmp(id))
            .ok()
            .map(|i| CampaignIx(i as u32))
    }

    /// The campaign at an index of this catalog.
    pub fn at(&self, place: CampaignIx) -> &Campaign {
        &self.campaigns[place.index()]
    }

    /// The campaign with this id, if there is one.
    pub fn get(&self, id: &CampaignId) -> Option<&Campaign> {
        self.place(id).map(|place| self.at(place))
    }

    /// All campaigns with their indexes.
    pub fn iter(&self) -> impl Iterator<Item = (CampaignIx, &Campaign)> {
        self.campaigns
            .iter()
            .enumerate()
            .map(|(i, campaign)| (CampaignIx(i as u32), campaign))
    }

    /// The number of campaigns.
    pub fn len(&self) -> usize {
        self.campaigns.len()
    }

    /// True where there is no campaign.
    pub fn is_empty(&self) -> bool {
        self.campaigns.is_empty()
    }
}
