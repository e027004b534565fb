//! How a figure changed: against the period before, or against what is in force now.

use revtrail_core::value::money::{Money, share};

use crate::frame::Frame;
use crate::numbers::Figure;

/// A figure at the head of the page, and how it changed.
pub(crate) struct Tile {
    pub(crate) label: &'static str,
    pub(crate) about: &'static str,
    pub(crate) parts: Vec<(Figure, Change)>,
}

/// How a figure changed against the period before.
pub(crate) struct Change {
    /// `up`, `down`, `same` or `none`.
    pub(crate) way: &'static str,
    /// The same, where up is good and down is bad; else empty.
    pub(crate) colour: &'static str,
    pub(crate) by: Figure,
    pub(crate) was: Figure,
}

impl Change {
    /// The change from one amount to another, as a part of the first. It is a dash where there is nothing to compare.
    pub(crate) fn new(frame: &Frame, now: Option<&str>, before: Option<&str>, was: Figure) -> Self {
        let both = || Some((Money::stored(now?)?, Money::stored(before?)?));
        let by = || {
            let (now, before) = both()?;
            share(now.checked_sub(before)?, before)
        };
        Self::by(frame, by(), was)
    }

    /// The change from one share to another, in points: a part of a part tells nobody anything.
    pub(crate) fn in_points(
        frame: &Frame,
        now: Option<&str>,
        before: Option<&str>,
        was: Figure,
    ) -> Self {
        let points = || {
            let [now, before] = [Money::stored(now?)?, Money::stored(before?)?];
            share(now.checked_sub(before)?, Money::from(1))
        };
        let mut change = Self::by(frame, points(), was);
        if !matches!(change.way, "none" | "same") {
            change.by = change.by.with_unit("points");
        }
        change
    }

    fn by(frame: &Frame, by: Option<String>, was: Figure) -> Self {
        let way = match by.as_deref() {
            None => "none",
            Some("0.0000") => "same",
            Some(by) if by.starts_with('-') => "down",
            Some(_) => "up",
        };
        Self {
            way,
            colour: way,
            by: frame.numbers.rate(by.as_deref()),
            was,
        }
    }
}
