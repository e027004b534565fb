//! A table of a page as a file. A page says each figure and each time exactly, as `data` and `time`, so the file is read off the page
//! itself, and nothing has to be said twice.

use askama::Template;
use revtrail_web::access::Access;
use revtrail_web::answer::with_note;
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::csv::{self, Style};
use revtrail_web::problem::Problem;

use crate::address::Address;
use crate::answer;

/// The parameter that asks for a table of a page as CSV, by its id.
pub(crate) const EXPORT: &str = "export";

/// The page or, where its address asks for one, a table of it as CSV.
///
/// # Errors
/// 403 where the role may have no CSV, 404 where the page has no such table.
pub(crate) fn page(
    call: &Call,
    address: &Address,
    access: Access,
    status: StatusCode,
    template: &impl Template,
) -> Result<Response, Problem> {
    let Some(id) = address.get(EXPORT) else {
        return answer::page(status, &call.headers, template);
    };
    call.must_be(access)?;
    let html = template.render();
    let html = html.map_err(|error| Problem::internal(&error))?;
    let Some((heads, rows)) = table(&html, id) else {
        let says = format!("this page has no table {id:?}, or nothing is in it now");
        return Err(Problem::not_found(says));
    };
    let mut file = csv::Table::new(Style::default(), heads.iter().map(|head| &*head.text));
    for row in &rows {
        file.row(row.iter().map(TableCell::printed));
    }
    Ok(with_note(
        file.answer(&format!("{id}.csv")),
        ("table", id.to_owned()),
    ))
}

/// What a cell of a page says.
#[derive(Debug, Default, PartialEq, Eq)]
struct TableCell {
    text: String,
    /// True where a person's words are in it, and not only figures and times.
    has_words: bool,
}

impl TableCell {
    fn printed(&self) -> csv::Cell<'_> {
        match self.has_words {
            _ if self.text.is_empty() => csv::Cell::Empty,
            true => csv::Cell::text(self.text.as_str()),
            false => csv::Cell::number(self.text.as_str()),
        }
    }
}

/// The heads and the rows of the table of an id, without the columns that have no head: those hold what one can do with a row.
fn table(html: &str, id: &str) -> Option<(Vec<TableCell>, Vec<Vec<TableCell>>)> {
    let (_, table) = html.split_once(&format!("<table id=\"{id}\">"))?;
    let (body, _) = table.split_once("</tbody>")?;
    let mut rows: Vec<Vec<TableCell>> = Vec::new();
    // Whether the text here is read, which is not so between cells, in a drawing, and where the exact value was read already.
    let (mut is_cell, mut is_hidden) = (false, false);
    for part in body.split('<') {
        let (tag, text) = part.split_once('>').unwrap_or(("", part));
        let name = tag.split(' ').next().unwrap_or_default();
        match name {
            "tr" => rows.push(Vec::new()),
            "th" | "td" => {
                rows.last_mut()?.push(TableCell::default());
                (is_cell, is_hidden) = (true, false);
            }
            "/th" | "/td" => is_cell = false,
            "svg" => is_hidden = true,
            "span" if tag.contains("class=none") || tag.contains("class=\"none\"") => {
                is_hidden = true
            }
            "small" => is_hidden = false,
            "/data" | "/time" | "/svg" | "/span" => is_hidden = false,
            _ => {}
        }
        let Some(cell) = rows.last_mut().and_then(|row| row.last_mut()) else {
            continue;
        };
        if tag.contains("class=\"line\"") || name == "li" {
            separate(&mut cell.text, "; ");
        }
        // The unit of a figure.
        if name == "small" {
            separate(&mut cell.text, " ");
        }
        if let Some(exact) = exact(name, tag) {
            cell.text.push_str(&unescaped(exact));
            is_hidden = true;
        }
        if is_cell && !is_hidden {
            cell.text.push_str(&unescaped(text));
            cell.has_words |= name != "small" && !text.trim().is_empty();
        }
    }
    let mut rows = rows.into_iter();
    let heads = rows.next()?;
    let is_named: Vec<bool> = heads.iter().map(|head| !head.text.is_empty()).collect();
    let named = |row: Vec<TableCell>| {
        let cells = row.into_iter().zip(&is_named);
        cells.filter(|(_, named)| **named).map(|(cell, _)| cell)
    };
    Some((
        named(heads).collect(),
        rows.map(|row| named(row).collect()).collect(),
    ))
}

fn separate(text: &mut String, by: &str) {
    if !text.is_empty() && !text.ends_with(by) {
        text.push_str(by);
    }
}

/// The exact value of a figure or a time.
fn exact<'a>(name: &str, tag: &'a str) -> Option<&'a str> {
    let attribute = match name {
        "data" => "value=\"",
        "time" => "datetime=\"",
        _ => return None,
    };
    let (_, value) = tag.split_once(attribute)?;
    value.split('"').next()
}

/// A text without the escapes that templates write.
fn unescaped(text: &str) -> String {
    let escapes = [
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#34;", "\""),
        ("&#39;", "'"),
        // The last, since what it gives may look like one of the others.
        ("&#38;", "&"),
    ];
    escapes
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_as_the_page_says_it() {
        for (cell, text, has_words) in [
            ("<bdi>=1+1</bdi>", "=1+1", true),
            (
                "<bdi> &#60;b&#62; &#38;#60; &#34;</bdi>",
                " <b> &#60; \"",
                true,
            ),
            (
                "<a href=\"/x\"><bdi>E</bdi></a> <small><bdi>m</bdi></small>",
                "E m",
                true,
            ),
            (
                "<data value=\"-1234.5\">-1,234.50 <small>EUR</small></data>",
                "-1234.5 EUR",
                false,
            ),
            (
                "<span class=\"line\"><data value=\"1\">1 <small>EUR</small></data></span><span class=\"line\"><data value=\"2\">2 <small>USD</small></data></span>",
                "1 EUR; 2 USD",
                false,
            ),
            (
                "<time datetime=\"2026-11-16T02:00:00.000Z\" title=\"x\">16 Nov</time>",
                "2026-11-16T02:00:00.000Z",
                false,
            ),
            ("<span class=\"none\">–</span>", "", false),
            (
                "<svg class=\"icon\"><title>won</title></svg><bdi>credited</bdi>",
                "credited",
                true,
            ),
            ("", "", false),
        ] {
            let html = format!(
                "<table id=\"a\"><thead><tr><th scope=\"col\">A</th><th scope=\"col\"></th></tr></thead><tbody>\n<tr><td>{cell}</td><td><button>Go</button></td></tr>\n</tbody></table>"
            );
            let (heads, rows) = table(&html, "a").unwrap();
            let expected = TableCell {
                text: text.to_owned(),
                has_words,
            };
            assert_eq!(heads.len(), 1);
            assert_eq!(rows, [[expected]], "{cell}");
            assert_eq!(table(&html, "b"), None);
        }
    }
}
