//! Addresses of pages: every state of a page is one, so that links, the history and bookmarks work without script.

use form_urlencoded::Serializer;

/// The parameters that are kept from page to page: the period, the channel, and whether revenue is shown.
pub(crate) const KEPT: [&str; 4] = ["from", "to", "channel", "revenue"];

/// The address of a page: its path, and the parameters of its query.
#[derive(Clone, Default)]
pub(crate) struct Address {
    path: String,
    pairs: Vec<(String, String)>,
}

impl Address {
    /// The address of a request, without parameters that have no value.
    pub(crate) fn new(path: &str, pairs: Vec<(String, String)>) -> Self {
        let mut pairs = pairs;
        pairs.retain(|(_, value)| !value.is_empty());
        Self {
            path: path.to_owned(),
            pairs,
        }
    }

    /// Another page with those of these parameters that are kept across pages.
    pub(crate) fn elsewhere(&self, path: impl Into<String>) -> Self {
        let kept = |(name, _): &&(String, String)| KEPT.contains(&name.as_str());
        Self {
            path: path.into(),
            pairs: self.pairs.iter().filter(kept).cloned().collect(),
        }
    }

    /// The same with one parameter set; an empty value takes it off. A list begins again, since its cursor is of other rows.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other
            .pairs
            .retain(|(given, _)| given != name && given != "cursor");
        if !value.is_empty() {
            other.pairs.push((name.to_owned(), value.to_owned()));
        }
        other
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The parameters that a form sends along, beside the fields that it has.
    pub(crate) fn besides<'a>(
        &'a self,
        fields: &'a [&str],
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let pairs = self
            .pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        pairs.filter(move |(name, _)| *name != "cursor" && !fields.contains(name))
    }

    pub(crate) fn pairs(&self) -> Vec<(&str, &str)> {
        self.besides(&[])
            .chain(self.get("cursor").map(|cursor| ("cursor", cursor)))
            .collect()
    }

    /// Those of the parameters that have these names.
    pub(crate) fn only(&self, names: &[&str]) -> Vec<(&str, &str)> {
        let mut pairs = self.pairs();
        pairs.retain(|(name, _)| names.contains(name));
        pairs
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn href(&self) -> String {
        if self.pairs.is_empty() {
            return self.path.clone();
        }
        let query = Serializer::new(String::new())
            .extend_pairs(&self.pairs)
            .finish();
        format!("{}?{query}", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_an_address() {
        let pairs = [
            ("from", "2026-11-01"),
            ("name", "a&b=\"<é"),
            ("cursor", "x"),
            ("tag", ""),
        ];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let page = Address::new("/app/m", pairs.to_vec());
        assert_eq!(
            page.href(),
            "/app/m?from=2026-11-01&name=a%26b%3D%22%3C%C3%A9&cursor=x"
        );
        assert_eq!(
            page.with("revenue", "true").with("name", "").href(),
            "/app/m?from=2026-11-01&revenue=true"
        );
        assert_eq!(
            page.elsewhere("/app/m/orders").href(),
            "/app/m/orders?from=2026-11-01"
        );
        assert_eq!(
            page.besides(&["name"]).collect::<Vec<_>>(),
            [("from", "2026-11-01")]
        );
    }
}
