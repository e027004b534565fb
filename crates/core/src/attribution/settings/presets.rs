//! The presets: named settings to start from (the table of rule 4.1).

use super::{
    ChannelRule, MachineEvents, Providers, Refunds, Settings, Supersede, WindowFrom, Winner,
};
use crate::attribution::event::{Channel, EventKind};
use crate::attribution::order::Status;
use crate::value::time::Span;

/// A named set of settings to start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "rule 4.1 has their table")]
pub enum Preset {
    Redbox,
    YespoV1,
    YespoV2,
}

impl Preset {
    /// All presets.
    pub const ALL: [Self; 3] = [Self::Redbox, Self::YespoV1, Self::YespoV2];

    /// The name of the preset, as the interface spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Redbox => "redbox",
            Self::YespoV1 => "yespo_v1",
            Self::YespoV2 => "yespo_v2",
        }
    }

    /// The preset with this name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// The settings of the preset. No currency is set, so currencies are kept apart.
    pub fn settings(self) -> Settings {
        let redbox = self == Self::Redbox;
        let rule = |kinds: &[EventKind]| ChannelRule {
            connect_on: kinds.iter().copied().collect(),
            window: if redbox {
                Span::days(7)
            } else {
                Span::hours(24)
            },
            window_from: if redbox {
                WindowFrom::Sent
            } else {
                WindowFrom::Event
            },
        };
        let email = rule(if redbox {
            &[EventKind::Opened, EventKind::Clicked]
        } else {
            &[EventKind::Clicked]
        });
        let other = rule(&[EventKind::Delivered]);
        let counted: &[Status] = if redbox {
            &[Status::Preparing, Status::Ready, Status::Complete]
        } else {
            &[Status::Delivered]
        };
        Settings {
            enabled: true,
            link: true,
            timezone: chrono_tz::UTC,
            currency: None,
            channels: [
                (Channel::Email, email),
                (Channel::Push, other.clone()),
                (Channel::Sms, other),
            ]
            .into(),
            winner: if self == Self::YespoV2 {
                Winner::LastInteraction
            } else {
                Winner::LastSent
            },
            supersede: if redbox {
                Supersede::Marketplace
            } else {
                Supersede::None
            },
            excluded_tags: vec![],
            counted_statuses: counted.iter().copied().collect(),
            refunds: if redbox {
                Refunds::DropOrder
            } else {
                Refunds::Gross
            },
            machine_events: MachineEvents::Ignore,
            providers: Providers::default(),
        }
    }
}
