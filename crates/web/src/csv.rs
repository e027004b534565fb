//! Reports as CSV: which calls ask for it, and cells that no spreadsheet reads as a formula (rule 5).

use std::borrow::Cow;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, TryStreamExt, future, stream};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};

use crate::accept::wants_csv;
use crate::access::Access;
use crate::call::Call;
use crate::problem::Problem;
use crate::query::Query;

/// How a CSV is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    /// True where texts are written unchanged, even those that a spreadsheet reads as a formula. This is meant for programs.
    raw: bool,
    /// True where a byte order mark is written, by which Excel recognises UTF-8.
    excel: bool,
}

impl Style {
    /// Reads `raw` and `excel`; `None` where the call does not ask for CSV.
    ///
    /// # Errors
    /// 403 where the call asks for CSV and its role may not have it.
    pub fn read(
        query: &mut Query<'_>,
        call: &Call,
        csv_for: Access,
    ) -> Result<Option<Self>, Problem> {
        let style = Self {
            raw: query.flag("raw"),
            excel: query.flag("excel"),
        };
        if !wants_csv(&call.headers) {
            return Ok(None);
        }
        call.must_be(csv_for)?;
        Ok(Some(style))
    }
}

/// One cell of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell<'a> {
    /// A text. It is written so that no spreadsheet reads a formula in it.
    Text(Cow<'a, str>),
    /// A number, as it is printed.
    Number(Cow<'a, str>),
    /// A cell without content.
    Empty,
}

impl<'a> Cell<'a> {
    /// A cell with a text.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(text.into())
    }

    /// A cell with a number, a rate or an amount, which was printed by a program and not written by a person.
    pub fn number(number: impl Into<Cow<'a, str>>) -> Self {
        Self::Number(number.into())
    }

    /// A cell with a text that may be absent.
    pub fn maybe_text(text: Option<impl Into<Cow<'a, str>>>) -> Self {
        text.map_or(Self::Empty, Self::text)
    }

    /// A cell with a number that may be absent.
    pub fn maybe_number(number: Option<impl Into<Cow<'a, str>>>) -> Self {
        number.map_or(Self::Empty, Self::number)
    }

    fn printed(&self, style: Style) -> Cow<'_, str> {
        match self {
            Self::Text(text) if !style.raw => disarmed(text),
            Self::Text(text) | Self::Number(text) => Cow::Borrowed(text),
            Self::Empty => "".into(),
        }
    }
}

/// A text that no spreadsheet reads as a formula. An apostrophe is put before each part of it that a formula sign begins, and a
/// person who takes it away has the text again. A part begins with the text, and behind everything at which some spreadsheet may
/// cut a cell: `;` where that separates cells, a tab, the end of a line. What cannot be seen before the sign does not hide it, and
/// neither does a quotation mark, which such a cut leaves at the beginning. A text that begins with a tab or CR gets an apostrophe
/// in any case (rule 5).
fn disarmed(text: &str) -> Cow<'_, str> {
    let cuts = |c: char| c == ';' || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let is_formula = |part: &str| part.trim_start_matches(hides_nothing).starts_with(is_sign);
    let mut safe = String::new();
    for part in text.split_inclusive(cuts) {
        if is_formula(part) || safe.is_empty() && part.starts_with(['\t', '\r']) {
            safe.push('\'');
        }
        safe.push_str(part);
    }
    match safe.len() == text.len() {
        true => Cow::Borrowed(text),
        false => Cow::Owned(safe),
    }
}

/// The signs that begin a formula, and those that Unicode holds equal to them.
fn is_sign(c: char) -> bool {
    let small = ['\u{fe62}', '\u{fe63}', '\u{fe66}', '\u{fe6b}'];
    ['=', '+', '-', '@', '＝', '＋', '－', '＠', '\u{2212}'].contains(&c) || small.contains(&c)
}

/// Characters that a spreadsheet may drop from the beginning of a cell: blanks, the quotation mark, and what Unicode lists as
/// `Default_Ignorable_Code_Point`, like zero-width characters and the byte order mark; also the empty Braille pattern.
fn hides_nothing(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(
            c,
            '"' | '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{17b4}'
                | '\u{17b5}'
        )
        || matches!(c, '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}')
        || matches!(c, '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// A CSV document that is being written.
pub struct Table {
    writer: ::csv::Writer<Vec<u8>>,
    style: Style,
    /// How many cells a row has: as many as the header, once that is written.
    columns: Option<usize>,
    failure: Option<String>,
}

impl Table {
    /// Starts a table with its header.
    pub fn new<'a>(style: Style, columns: impl IntoIterator<Item = &'a str>) -> Self {
        let start = if style.excel { "\u{feff}" } else { "" };
        let mut table = Self {
            writer: ::csv::Writer::from_writer(start.into()),
            style,
            columns: None,
            failure: None,
        };
        table.row(columns.into_iter().map(Cell::text));
        table
    }

    /// Adds a row, which must have as many cells as there are columns. Otherwise the whole answer fails.
    pub fn row<'a>(&mut self, cells: impl IntoIterator<Item = Cell<'a>>) {
        let mut n = 0;
        for cell in cells {
            n += 1;
            let written = self.writer.write_field(cell.printed(self.style).as_bytes());
            self.keep_failure(written);
        }
        let ended = self.writer.write_record(None::<&[u8]>);
        self.keep_failure(ended);
        let columns = *self.columns.get_or_insert(n);
        if n != columns {
            self.keep_failure(Err(format!("a row has {n} cells under {columns} columns")));
        }
    }

    fn keep_failure(&mut self, done: Result<(), impl ToString>) {
        if let Err(error) = done {
            self.failure.get_or_insert_with(|| error.to_string());
        }
    }

    /// What was written since this was last asked for.
    fn take(&mut self) -> Result<Vec<u8>, Problem> {
        let next = ::csv::Writer::from_writer(Vec::new());
        let written = std::mem::replace(&mut self.writer, next).into_inner();
        match (self.failure.take(), written) {
            (None, Ok(bytes)) => Ok(bytes),
            (Some(error), _) => Err(Problem::internal(&error)),
            (None, Err(error)) => Err(Problem::internal(&error)),
        }
    }

    fn take_rows<T>(
        &mut self,
        rows: &[T],
        cells: &impl for<'t> Fn(&'t T) -> Vec<Cell<'t>>,
    ) -> Result<Vec<u8>, Problem> {
        rows.iter().for_each(|one| self.row(cells(one)));
        self.take()
    }

    /// The answer, as a file to save, whose rows are read while it is sent. So a list of any length takes the memory of one part.
    /// A part that fails breaks the answer off, so that a part of the list is never shown as the whole.
    ///
    /// # Errors
    /// The problem of the first part, which is read before the answer begins. 500 where one of its rows cannot be written.
    pub async fn streamed<T: Send + 'static>(
        mut self,
        file_name: &str,
        parts: impl Stream<Item = Result<Vec<T>, Problem>> + Send + 'static,
        cells: impl for<'t> Fn(&'t T) -> Vec<Cell<'t>> + Send + 'static,
    ) -> Result<Response, Problem> {
        let mut parts = Box::pin(parts);
        let first = parts.try_next().await?.unwrap_or_default();
        let first = self.take_rows(&first, &cells)?;
        let rest = parts.map(move |part| self.take_rows(&part?, &cells));
        let body = stream::once(future::ok(first)).chain(rest);
        Ok(saved(file_name, Body::from_stream(body)))
    }

    /// The answer, as a file to save. It is 500 where a row could not be written, so that a part is never shown as the whole.
    pub fn answer(mut self, file_name: &str) -> Response {
        let written = self.take();
        written.map_or_else(Problem::into_response, |bytes| {
            saved(file_name, bytes.into())
        })
    }
}

/// A file that is CSV already, whose parts are read while it is sent. A part that fails breaks the answer off.
pub fn in_parts(
    file_name: &str,
    header: &'static str,
    parts: impl Stream<Item = Result<String, Problem>> + Send + 'static,
) -> Response {
    let whole = stream::once(future::ok(header.to_owned())).chain(parts);
    saved(file_name, Body::from_stream(whole))
}

fn saved(file_name: &str, body: Body) -> Response {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name = file_name.replace(|c| !plain(c), "_");
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    let csv = HeaderValue::from_static("text/csv; charset=utf-8");
    headers.insert(CONTENT_TYPE, csv);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(saved) = HeaderValue::try_from(format!("attachment; filename=\"{name}\"")) {
        headers.insert(CONTENT_DISPOSITION, saved);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_cells_are_disarmed() {
        let mut table = Table::new(Style::default(), ["name", "revenue_USD"]);
        for (name, revenue) in [
            ("=1+1", "-5.00"),
            ("+a", "+1"),
            ("-a", "0.10"),
            ("@a", ""),
            ("\ta", ""),
            ("\ra", ""),
            ("a=1", ""),
            ("'a", ""),
            ("", ""),
            ("say \"a,b\"\n", "1"),
        ] {
            table.row([Cell::text(name), Cell::number(revenue)]);
        }
        table.row([Cell::Empty, Cell::maybe_number(None::<String>)]);
        let expected = "name,revenue_USD\n'=1+1,-5.00\n'+a,+1\n'-a,0.10\n'@a,\n'\ta,\n\"'\ra\",\na=1,\n'a,\n,\n\
                        \"say \"\"a,b\"\"\n\",1\n,\n";
        let text = String::from_utf8(table.writer.into_inner().unwrap()).unwrap();
        assert_eq!(text, expected);
    }

    #[test]
    fn no_text_hides_a_formula() {
        for (text, safe) in [
            ("", ""),
            ("=1", "'=1"),
            (" =1", "' =1"),
            ("\u{a0}\u{2003}\u{3000}@a", "'\u{a0}\u{2003}\u{3000}@a"),
            ("\n=1", "\n'=1"),
            ("\r\n=1", "'\r\n'=1"),
            ("\u{feff}=1", "'\u{feff}=1"),
            ("\u{200b}\u{200f}+1", "'\u{200b}\u{200f}+1"),
            ("\u{e0001}=1", "'\u{e0001}=1"),
            ("＝1", "'＝1"),
            ("＋1", "'＋1"),
            ("－1", "'－1"),
            ("＠1", "'＠1"),
            ("\u{ad}\u{fe66}1", "'\u{ad}\u{fe66}1"),
            ("\u{2212}1", "'\u{2212}1"),
            ("a;=1+1", "a;'=1+1"),
            ("a; \u{200b}=1;b;-c", "a;' \u{200b}=1;b;'-c"),
            ("a;\"=1&\"", "a;'\"=1&\""),
            ("a\t=1", "a\t'=1"),
            ("\ta", "'\ta"),
            ("\t=1", "'\t'=1"),
            ("a,\"b\"\n=1", "a,\"b\"\n'=1"),
            ("a\u{2028}=1", "a\u{2028}'=1"),
            // These are no formulas.
            ("a=1", "a=1"),
            ("a;b", "a;b"),
            ("a; b\nc\td", "a; b\nc\td"),
            ("🎁 -20%", "🎁 -20%"),
            ("1-2; 3", "1-2; 3"),
            ("'=1", "'=1"),
            (" ;\"", " ;\""),
        ] {
            assert_eq!(disarmed(text), safe, "{text:?}");
            let raw = Style {
                raw: true,
                ..Style::default()
            };
            assert_eq!(Cell::text(text).printed(raw), text);
            assert_eq!(Cell::number(text).printed(Style::default()), text);
        }
    }

    #[test]
    fn a_row_too_short_fails_the_answer() {
        let mut table = Table::new(Style::default(), ["a", "b"]);
        table.row([Cell::text("1")]);
        assert_eq!(table.answer("x.csv").status(), 500);
    }
}
