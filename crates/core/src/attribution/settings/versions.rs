//! The versions of the settings, and which version is in force at which time (rule 4.1).

use serde::{Deserialize, Serialize};

use super::Settings;
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

/// All versions of a marketplace's settings, oldest first. At least one is not replaced.
#[derive(Debug, Clone)]
pub struct Versions(Vec<Version>);

impl Versions {
    /// Sorts the versions by number; `None` where none of them is ever in force.
    pub fn new(mut versions: Vec<Version>) -> Option<Self> {
        versions.sort_by_key(|version| version.version);
        versions
            .iter()
            .any(|version| !version.replaced)
            .then_some(Self(versions))
    }

    /// A single version that is in force at all times, as in runs over files.
    pub fn only(settings: Settings) -> Self {
        Self(vec![Version {
            version: 1,
            saved_at: Instant::from_ms(0),
            saved_by: String::new(),
            replaced: false,
            settings,
        }])
    }

    /// All versions, oldest first.
    pub fn all(&self) -> &[Version] {
        &self.0
    }

    /// The newest version.
    pub fn newest(&self) -> &Version {
        &self.0[self.0.len() - 1]
    }

    /// The index in [`Versions::all`] of the version in force at an instant. It is the last version saved by then. The first
    /// version also covers the time before it.
    pub fn place_at(&self, at: Instant) -> usize {
        let standing = |i: &usize| !self.0[*i].replaced;
        let saved = (0..self.0.len())
            .rev()
            .filter(standing)
            .find(|&i| self.0[i].saved_at <= at);
        saved
            .or_else(|| (0..self.0.len()).find(standing))
            .unwrap_or(0)
    }

    /// The version in force at an instant.
    pub fn at(&self, at: Instant) -> &Version {
        &self.0[self.place_at(at)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::settings::Preset;

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
}
