//! Numbers as a reader of some language writes them, made of exact decimal text. No number becomes a float on its way.

use std::cell::RefCell;
use std::fmt;

use askama::filters::HtmlSafe;
use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;
use icu_decimal::DecimalFormatter;
use icu_decimal::input::Decimal;
use icu_locale_core::Locale;
use revtrail_web::session::cookie;

/// The cookie of the language that a reader chose.
pub(crate) const COOKIE: &str = "revtrail-language";
/// The languages that are offered, each by its own name.
pub(crate) const LANGUAGES: [(&str, &str); 12] = [
    ("en", "English"),
    ("de", "Deutsch"),
    ("de-CH", "Deutsch (Schweiz)"),
    ("es", "Español"),
    ("fr", "Français"),
    ("it", "Italiano"),
    ("nl", "Nederlands"),
    ("pl", "Polski"),
    ("pt", "Português"),
    ("tr", "Türkçe"),
    ("uk", "Українська"),
    ("ja", "日本語"),
];

/// A figure: its exact value for programs, and how it is shown. It is HTML.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Figure {
    value: String,
    shown: String,
    unit: String,
}

impl HtmlSafe for Figure {}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { value, shown, unit } = self;
        match (value.is_empty(), unit.is_empty()) {
            (true, _) => f.write_str("<span class=none title=\"cannot be told\">–</span>"),
            (_, true) => write!(f, "<data value=\"{value}\">{shown}</data>"),
            _ => write!(
                f,
                "<data value=\"{value}\">{shown} <small>{unit}</small></data>"
            ),
        }
    }
}

impl Figure {
    /// The number as it is shown, without its unit.
    pub(crate) fn bare(&self) -> &str {
        if self.value.is_empty() {
            "–"
        } else {
            &self.shown
        }
    }

    /// The same in a unit.
    pub(crate) fn with_unit(mut self, unit: &str) -> Self {
        unit.clone_into(&mut self.unit);
        self
    }

    /// The same without its unit, where the unit is said nearby.
    pub(crate) fn unitless(mut self) -> Self {
        self.unit.clear();
        self
    }

    /// The figure as text, for titles.
    pub(crate) fn text(&self) -> String {
        match (self.value.is_empty(), self.unit.is_empty()) {
            (true, _) => "–".to_owned(),
            (_, true) => self.shown.clone(),
            _ => format!("{} {}", self.shown, self.unit),
        }
    }
}

thread_local! {
    /// The formatter of the language that was used last. It cannot go from thread to thread, and takes a while to make.
    static LAST: RefCell<Option<(String, DecimalFormatter)>> = const { RefCell::new(None) };
}

/// Prints numbers in a language.
pub(crate) struct Numbers {
    pub(crate) language: String,
}

impl Numbers {
    /// The numbers of whoever sent these headers: the language they chose, else the first that their browser names.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let asked = headers
            .get(ACCEPT_LANGUAGE)
            .and_then(|value| value.to_str().ok());
        let first = asked.and_then(|text| text.split([',', ';']).next());
        let wanted = cookie(headers, COOKIE).or(first).unwrap_or_default().trim();
        let locale = Locale::try_from_str(wanted)
            .ok()
            .filter(|locale| !locale.id.language.is_unknown());
        Self {
            language: locale.map_or("en".to_owned(), |locale| locale.to_string()),
        }
    }

    fn print(&self, number: &Decimal) -> String {
        LAST.with_borrow_mut(|last| {
            if last
                .as_ref()
                .is_none_or(|(language, _)| *language != self.language)
            {
                let locale = Locale::try_from_str(&self.language).unwrap_or(Locale::UNKNOWN);
                let formatter = DecimalFormatter::try_new(locale.into(), Default::default());
                *last = formatter
                    .ok()
                    .map(|formatter| (self.language.clone(), formatter));
            }
            match last {
                Some((_, formatter)) => formatter.format_to_string(number),
                None => number.to_string(),
            }
        })
    }

    /// A number that is printed as exactly as it is given; one that is none is a dash.
    pub(crate) fn exact(&self, text: &str, unit: &str) -> Figure {
        let Ok(number) = Decimal::try_from_str(text) else {
            return Figure::default();
        };
        Figure {
            value: text.to_owned(),
            shown: self.print(&number),
            unit: unit.to_owned(),
        }
    }

    pub(crate) fn count(&self, n: i64) -> Figure {
        self.exact(&n.to_string(), "")
    }

    /// A rate in percent with one digit, half-even; absent is a dash.
    pub(crate) fn rate(&self, rate: Option<&str>) -> Figure {
        let number = rate.and_then(|text| Decimal::try_from_str(text).ok());
        let (Some(text), Some(mut number)) = (rate, number) else {
            return Figure::default();
        };
        number.multiply_pow10(2);
        // This rounds half to even.
        number.round(-1);
        number.absolute.trim_start();
        number.absolute.pad_end(-1);
        Figure {
            value: text.to_owned(),
            shown: format!("{}%", self.print(&number)),
            unit: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn numbers(accept: &'static str, chosen: Option<&'static str>) -> Numbers {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static(accept));
        if let Some(chosen) = chosen {
            headers.insert("cookie", HeaderValue::from_static(chosen));
        }
        Numbers::of(&headers)
    }

    #[test]
    fn numbers_of_languages() {
        for (accept, text, shown) in [
            ("en", "1234567.50", "1,234,567.50"),
            ("en-GB,de;q=0.5", "-1234.50", "-1,234.50"),
            ("de", "1234.50", "1.234,50"),
            ("fr", "1234.500", "1\u{202f}234,500"),
            ("pl", "1234", "1234"),
            ("hi", "1234567", "12,34,567"),
            ("", "1234", "1,234"),
            ("*", "1234", "1,234"),
            ("<script>", "1234", "1,234"),
            ("en", "999999999999999.999999", "999,999,999,999,999.999999"),
        ] {
            assert_eq!(
                numbers(accept, None).exact(text, "").text(),
                shown,
                "{accept} {text}"
            );
        }
        let chosen = numbers("en", Some("a=b; revtrail-language=de"));
        assert_eq!(chosen.exact("1234.50", "EUR").text(), "1.234,50 EUR");
        assert_eq!(
            chosen.exact("1234.50", "EUR").to_string(),
            "<data value=\"1234.50\">1.234,50 <small>EUR</small></data>"
        );
    }

    #[test]
    fn rates_are_percents_with_one_digit() {
        let numbers = numbers("en", None);
        for (rate, shown) in [
            (Some("0.3200"), "32.0%"),
            (Some("0.0000"), "0.0%"),
            (Some("0.3245"), "32.4%"),
            (Some("0.3255"), "32.6%"),
            (Some("1.0000"), "100.0%"),
            (Some("12.3456"), "1,234.6%"),
            (Some("-0.0500"), "-5.0%"),
            (None, "–"),
        ] {
            assert_eq!(numbers.rate(rate).text(), shown, "{rate:?}");
        }
    }
}
