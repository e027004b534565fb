//! The versions of the settings, and which version is in force at which time (rule 4.1).

use serde::{Deserialize, Serialize};

use super::{Replay, Settings};
use crate::value::time::Instant;

/// One saved version of the settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The number of the version, counted from 1.
    pub version: u32,
    /// When the version was saved, in UTC. It is in force from then on, unless it was replaced.
    pub saved_at: Instant,
    /// The name of the access key that saved the version.
    pub saved_by: String,
    /// True where the version was replaced before the marketplace had its first order. Such a version was never in force.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replaced: bool,
    /// The settings that were saved.
    pub settings: Settings,
}

/// All versions of a marketplace's settings, and the replays of them. At least one version is not replaced.
#[derive(Debug, Clone)]
pub struct Versions {
    /// Oldest first.
    versions: Vec<Version>,
    /// Oldest first.
    replays: Vec<Replay>,
}

impl Versions {
    /// Sorts the versions by number; `None` where none of them is ever in force.
    pub fn new(mut versions: Vec<Version>) -> Option<Self> {
        versions.sort_by_key(|version| version.version);
        versions
            .iter()
            .any(|version| !version.replaced)
            .then_some(Self {
                versions,
                replays: Vec::new(),
            })
    }

    /// A single version that is in force at all times, as in runs over files.
    pub fn only(settings: Settings) -> Self {
        let version = Version {
            version: 1,
            saved_at: Instant::from_ms(0),
            saved_by: String::new(),
            replaced: false,
            settings,
        };
        Self {
            versions: vec![version],
            replays: Vec::new(),
        }
    }

    /// These versions with all replays of them, oldest first.
    pub fn with_replays(self, replays: Vec<Replay>) -> Self {
        Self { replays, ..self }
    }

    /// All replays, oldest first.
    pub fn replays(&self) -> &[Replay] {
        &self.replays
    }

    /// All versions, oldest first.
    pub fn all(&self) -> &[Version] {
        &self.versions
    }

    /// The version of a number; `None` where there is none.
    pub fn numbered(&self, number: u32) -> Option<&Version> {
        self.versions.iter().find(|one| one.version == number)
    }

    /// The newest version.
    pub fn newest(&self) -> &Version {
        &self.versions[self.versions.len() - 1]
    }

    /// The index in [`Versions::all`] of the version in force at an instant. It is the last version saved by then. The first
    /// version also covers the time before it.
    pub fn place_at(&self, at: Instant) -> usize {
        let standing = |i: &usize| !self.versions[*i].replaced;
        let count = self.versions.len();
        let saved = (0..count)
            .rev()
            .filter(standing)
            .find(|&i| self.versions[i].saved_at <= at);
        saved.or_else(|| (0..count).find(standing)).unwrap_or(0)
    }

    /// The version in force at an instant.
    pub fn at(&self, at: Instant) -> &Version {
        &self.versions[self.place_at(at)]
    }

    /// The index in [`Versions::all`] of the version that decides an order: that of the newest replay whose period holds it, or
    /// else the version in force when the order was placed. The day of an order, and how its customer's events count, follow the
    /// version in force and no replay.
    pub fn place_for_order(&self, placed_at: Instant) -> usize {
        let in_force = self.place_at(placed_at);
        if self.replays.is_empty() {
            return in_force;
        }
        let day = placed_at.day(self.versions[in_force].settings.timezone);
        let holds = |replay: &&Replay| replay.period.holds(placed_at, day);
        let newest = self.replays.iter().rfind(holds);
        let index = |replay: &Replay| {
            let of_number = |one: &Version| one.version == replay.version;
            self.versions.iter().position(of_number)
        };
        newest.and_then(index).unwrap_or(in_force)
    }

    /// The version that decides an order, by when the order was placed.
    pub fn for_order(&self, placed_at: Instant) -> &Version {
        &self.versions[self.place_for_order(placed_at)]
    }

    /// The versions that decide orders, now or in times to come: those that were not replaced, and those that were replayed.
    pub fn deciding(&self) -> impl Iterator<Item = &Version> {
        let replayed = |number| self.replays.iter().any(|one| one.version == number);
        self.versions
            .iter()
            .filter(move |one| !one.replaced || replayed(one.version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::settings::{Bound, Period, Preset};

    #[test]
    fn which_version_is_in_force() {
        let version = |version, saved_at, replaced| Version {
            version,
            saved_at: Instant::from_ms(saved_at),
            saved_by: String::new(),
            replaced,
            settings: Preset::Redbox.settings(),
        };
        let versions = Versions::new(vec![
            version(4, 30, false),
            version(1, 10, true),
            version(2, 20, false),
            version(3, 25, false),
        ])
        .unwrap();
        for (at, number) in [
            (0, 2),
            (10, 2),
            (20, 2),
            (24, 2),
            (25, 3),
            (29, 3),
            (30, 4),
            (99, 4),
        ] {
            assert_eq!(versions.at(Instant::from_ms(at)).version, number, "{at}");
        }
        assert!(Versions::new(vec![version(1, 1, true)]).is_none());
    }

    #[test]
    fn the_newest_replay_decides_an_order() {
        let version = |version, at, replaced| Version {
            version,
            saved_at: Instant::parse(at).unwrap(),
            saved_by: String::new(),
            replaced,
            settings: Preset::Redbox.settings(),
        };
        let replay = |version, from, to| Replay {
            replay_id: String::new(),
            version,
            period: Period {
                from: Bound::parse(from).unwrap(),
                to: Bound::parse(to).unwrap(),
            },
            by: String::new(),
            at: Instant::from_ms(0),
        };
        let versions = Versions::new(vec![
            version(1, "2026-11-01T00:00:00Z", true),
            version(2, "2026-11-02T00:00:00Z", false),
            version(3, "2026-11-10T00:00:00Z", false),
            version(4, "2026-11-20T00:00:00Z", true),
        ])
        .unwrap()
        .with_replays(vec![
            replay(3, "2026-11-03", "2026-11-12"),
            replay(1, "2026-11-05", "2026-11-06T12:00:00Z"),
            replay(2, "2026-11-11T00:00:00Z", "2026-11-13"),
        ]);
        for (placed_at, decided_by) in [
            ("2026-11-02T23:59:59.999Z", 2),
            ("2026-11-03T00:00:00Z", 3),
            ("2026-11-05T00:00:00Z", 1),
            ("2026-11-06T11:59:59.999Z", 1),
            ("2026-11-06T12:00:00Z", 3),
            ("2026-11-11T00:00:00Z", 2),
            ("2026-11-12T23:59:59.999Z", 2),
            ("2026-11-13T00:00:00Z", 3),
        ] {
            let at = Instant::parse(placed_at).unwrap();
            assert_eq!(versions.for_order(at).version, decided_by, "{placed_at}");
            let in_force = 2 + u32::from(placed_at >= "2026-11-10");
            assert_eq!(versions.at(at).version, in_force, "{placed_at}");
        }
        let deciding: Vec<u32> = versions.deciding().map(|one| one.version).collect();
        assert_eq!(deciding, [1, 2, 3]);
    }
}
