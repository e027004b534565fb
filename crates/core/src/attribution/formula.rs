//! The sale formula: what counts as a sale, in words, made from the settings in force (rule 4.5).

use crate::attribution::event::{Channel, EventKind};
use crate::attribution::settings::{ChannelRule, Settings, WindowFrom};

/// What counts as a sale on some channels, like “an order within 7 days of the send, after an open of or a click in an email”.
/// Channels that never earn are left out. Where none is left, the text says so.
pub fn sale_formula(settings: &Settings, channels: impl IntoIterator<Item = Channel>) -> String {
    if !settings.link {
        return "no order is connected to a campaign: linking is off".to_owned();
    }
    let parts: Vec<String> = channels
        .into_iter()
        .filter_map(|channel| Some(channel_formula(channel, settings.channels.get(&channel)?)))
        .collect();
    if parts.is_empty() {
        "no order: none of these channels earns under the settings".to_owned()
    } else {
        parts.join("; ")
    }
}

fn channel_formula(channel: Channel, rule: &ChannelRule) -> String {
    let message = match channel {
        Channel::Email => "an email",
        Channel::Push => "a push message",
        Channel::Sms => "an SMS",
    };
    let act = |kind: &EventKind| match kind {
        EventKind::Opened => format!("an open of {message}"),
        EventKind::Clicked => format!("a click in {message}"),
        EventKind::Delivered => format!("the delivery of {message}"),
        _ => format!("the sending of {message}"),
    };
    let acts = rule
        .connect_on
        .iter()
        .map(act)
        .collect::<Vec<_>>()
        .join(" or ");
    let window = rule.window.words();
    match rule.window_from {
        WindowFrom::Event => format!("an order within {window} after {acts}"),
        WindowFrom::Sent => format!("an order within {window} of the send, after {acts}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::settings::Preset;

    #[test]
    fn it_names_channel_kinds_window_and_start() {
        let redbox = Preset::Redbox.settings();
        let yespo = Preset::YespoV1.settings();
        for (settings, channel, words) in [
            (
                &redbox,
                Channel::Email,
                "an order within 7 days of the send, after an open of an email or a click in an email",
            ),
            (
                &redbox,
                Channel::Sms,
                "an order within 7 days of the send, after the delivery of an SMS",
            ),
            (
                &yespo,
                Channel::Email,
                "an order within 24 hours after a click in an email",
            ),
            (
                &yespo,
                Channel::Push,
                "an order within 24 hours after the delivery of a push message",
            ),
        ] {
            assert_eq!(sale_formula(settings, [channel]), words);
        }
        let none = Settings {
            channels: Default::default(),
            ..redbox
        };
        assert!(sale_formula(&none, Channel::ALL).starts_with("no order"));
    }
}
