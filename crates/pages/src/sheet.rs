//! A page that is mostly tables: what its parts are. Each page of lists fills one. Each of its tables can be had as CSV too.

use askama::Template;
use revtrail_core::value::time::Instant;
use revtrail_web::access::{Access, MARKETING};
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::problem::Problem;
use serde_json::Value;

use crate::chart::{self, Areas};
use crate::form::Form;
use crate::frame::{Field, Filters, Frame, Link};
use crate::numbers::Figure;
use crate::table_file;
use crate::times::Moment;

/// A cell of a table.
pub(crate) enum Cell {
    Text(String),
    Link {
        href: String,
        text: String,
    },
    Figures(Vec<Figure>),
    /// A figure that leads to what it is made of.
    Go {
        href: String,
        figure: Figure,
    },
    Time(Moment),
    /// A part of a whole: its width in percent, and what it is in figures.
    Meter {
        width: String,
        is_full: bool,
        share: Figure,
        /// What is used, and of how much; empty where the share says it all.
        of: Vec<Figure>,
    },
    Nothing,
}

/// A column of a table.
pub(crate) struct Head {
    pub(crate) label: &'static str,
    pub(crate) is_number: bool,
    /// Where the table sorted by it is; empty where it cannot be.
    pub(crate) href: String,
    pub(crate) sorted: &'static str,
}

impl Head {
    pub(crate) fn text(label: &'static str) -> Self {
        Self {
            label,
            is_number: false,
            href: String::new(),
            sorted: "",
        }
    }

    pub(crate) fn number(label: &'static str) -> Self {
        Self {
            is_number: true,
            ..Self::text(label)
        }
    }
}

/// A table with its heading.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) id: &'static str,
    pub(crate) heading: String,
    pub(crate) columns: Vec<Head>,
    pub(crate) rows: Vec<Vec<Cell>>,
    /// The last row, which sums the others up; empty where there is none.
    pub(crate) foot: Vec<Cell>,
    /// True where the heading says that something is wrong.
    pub(crate) is_wrong: bool,
    /// What is said where there is no row.
    pub(crate) empty: String,
    /// The call that would make a row, after the marketplace: its path and its body.
    pub(crate) fill: Option<(&'static str, String)>,
    /// Where the whole list is as CSV; otherwise the rows that are shown are.
    pub(crate) export: Option<String>,
    pub(crate) first: Option<String>,
    pub(crate) next: Option<String>,
    pub(crate) all: Option<String>,
}

impl Table {
    pub(crate) fn new(
        id: &'static str,
        heading: impl Into<String>,
        columns: Vec<Head>,
        empty: &str,
    ) -> Self {
        Self {
            id,
            heading: heading.into(),
            columns,
            empty: empty.to_owned(),
            ..Self::default()
        }
    }

    /// Lets the table go on where the API says so.
    pub(crate) fn paged(mut self, frame: &Frame, told: &Value) -> Self {
        let next = told["next_cursor"].as_str();
        self.all = next.map(|_| frame.all_rows());
        self.next = next.map(|cursor| frame.address.with("cursor", cursor).href());
        self.first = frame
            .address
            .get("cursor")
            .map(|_| frame.address.with("cursor", "").href());
        self
    }
}

/// A figure at the head of a page, with what it is.
pub(crate) struct Tile {
    pub(crate) label: String,
    pub(crate) about: String,
    pub(crate) figures: Vec<Figure>,
    /// Where the parts of the figure stand; empty where there are none.
    pub(crate) href: String,
}

/// Two layers of counts by day.
pub(crate) struct Layers {
    pub(crate) heading: String,
    pub(crate) names: [&'static str; 2],
    pub(crate) areas: Areas,
    /// The days on which there was something, with both counts.
    pub(crate) rows: Vec<(String, [Figure; 2])>,
}

#[derive(Template)]
#[template(path = "sheet.html")]
pub(crate) struct Sheet {
    pub(crate) frame: Frame,
    pub(crate) heading: String,
    pub(crate) sub: Vec<String>,
    /// How much of its time what the page is about has behind it, in percent.
    pub(crate) time_gone: Option<String>,
    pub(crate) fresh: String,
    pub(crate) filters: Option<Filters>,
    pub(crate) tabs: Vec<Link>,
    pub(crate) fields: Vec<Field>,
    pub(crate) tiles: Vec<Tile>,
    pub(crate) forms: Vec<Form>,
    pub(crate) layers: Option<Layers>,
    pub(crate) tables: Vec<Table>,
    pub(crate) notes: Vec<String>,
    /// The forms at the end of the page.
    pub(crate) closing: Vec<Form>,
    /// True while something on the page is under way, so that the page looks again.
    pub(crate) is_moving: bool,
    /// Who may have the tables as CSV.
    pub(crate) exports: Access,
}

impl Sheet {
    pub(crate) fn new(frame: Frame, heading: impl Into<String>) -> Self {
        Self {
            frame,
            heading: heading.into(),
            sub: Vec::new(),
            time_gone: None,
            fresh: String::new(),
            filters: None,
            tabs: Vec::new(),
            fields: Vec::new(),
            tiles: Vec::new(),
            forms: Vec::new(),
            layers: None,
            tables: Vec::new(),
            notes: Vec::new(),
            closing: Vec::new(),
            is_moving: false,
            exports: MARKETING,
        }
    }

    /// The fields by which the list is narrowed now: what each says, and where the list is without it.
    fn chips(&self) -> Vec<Link> {
        let set = self.fields.iter().filter(|field| !field.value.is_empty());
        let chip = |field: &Field| Link {
            href: self.frame.address.with(field.name, "").href(),
            label: format!("{}: {}", field.label.to_lowercase(), field.value),
            current: false,
        };
        set.map(chip).collect()
    }

    /// Where a table is as CSV; `None` where one may not have it, or where there is nothing in it.
    fn export_of(&self, table: &Table) -> Option<String> {
        let own = || self.frame.table_href(table.id);
        let may = self.exports.allows(self.frame.who) && !table.rows.is_empty();
        table.export.clone().or(may.then(own))
    }

    /// The line to paste that would make a row of a table.
    fn fill_of(&self, (path, body): &(&'static str, String)) -> String {
        let Frame {
            origin,
            marketplace,
            ..
        } = &self.frame;
        format!(
            "curl -H 'Authorization: Bearer <key>' -H 'Content-Type: application/json' '{origin}/v1/marketplaces/{marketplace}/{path}' -d '{body}'"
        )
    }

    /// The page or, where the address asks for one, a table of it as CSV.
    ///
    /// # Errors
    /// 403 where the role may have no CSV, 404 where the page has no such table.
    pub(crate) fn answer(self, call: &Call, status: StatusCode) -> Result<Response, Problem> {
        table_file::page(call, &self.frame.address, self.exports, status, &self)
    }
}

/// The text of a field; empty where it is absent.
pub(crate) fn text(told: &Value, field: &str) -> String {
    match &told[field] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A text as a cell.
pub(crate) fn said(told: &Value, field: &str) -> Cell {
    match text(told, field) {
        none if none.is_empty() => Cell::Nothing,
        text => Cell::Text(text),
    }
}

impl Frame {
    pub(crate) fn count_in(&self, told: &Value, field: &str) -> Figure {
        told[field]
            .as_i64()
            .map_or(Figure::default(), |n| self.numbers.count(n))
    }

    pub(crate) fn counted(&self, told: &Value, field: &str) -> Cell {
        Cell::Figures(vec![self.count_in(told, field)])
    }

    /// An object of amounts by currency, as figures.
    pub(crate) fn sums_in(&self, sums: &Value) -> Vec<Figure> {
        let amounts = sums.as_object().into_iter().flatten();
        let figure = |(currency, amount): (&String, &Value)| {
            Some(self.numbers.exact(amount.as_str()?, currency))
        };
        match amounts.filter_map(figure).collect::<Vec<_>>() {
            none if none.is_empty() => vec![Figure::default()],
            some => some,
        }
    }

    pub(crate) fn time_in(&self, told: &Value, field: &str) -> Cell {
        let at = told[field]
            .as_str()
            .and_then(|text| Instant::parse(text).ok());
        at.map_or(Cell::Nothing, |at| Cell::Time(self.moment(at)))
    }

    pub(crate) fn rate_in(&self, told: &Value, field: &str) -> Figure {
        self.numbers.rate(told[field].as_str())
    }

    /// How much of a limit is used, as a meter with its figures; nothing where there is no limit.
    pub(crate) fn meter(&self, usage: Option<&str>, of: [Figure; 2]) -> Cell {
        self.bar(
            usage,
            of.into(),
            usage.is_some_and(|usage| !usage.starts_with("0.")),
        )
    }

    /// A part of a whole, as a bar with its share.
    pub(crate) fn part(&self, share: Option<&str>) -> Cell {
        self.bar(share, Vec::new(), false)
    }

    fn bar(&self, share: Option<&str>, of: Vec<Figure>, is_full: bool) -> Cell {
        let Some(text) = share else {
            return Cell::Nothing;
        };
        Cell::Meter {
            width: chart::percent(text, 1.0),
            is_full,
            share: self.numbers.rate(share),
            of,
        }
    }

    /// A link that goes on from this page, with an id.
    pub(crate) fn link(&self, suffix: &str, told: &Value, id: &str, name: &str) -> Cell {
        let href = self.to(suffix).with("id", &text(told, id)).href();
        Cell::Link {
            href,
            text: text(told, name),
        }
    }
}
