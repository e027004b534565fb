//! A wire under the SDK's client: a request for a key that is not of the active marketplace fails, and the test with it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use revtrail_store::table::embedded::Embedded;
use revtrail_store::table::keys;
use serde_json::Value;

#[derive(Debug, Clone)]
pub struct Tripwire {
    database: Embedded,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    active: Option<String>,
    allowed: BTreeSet<String>,
    touched: Vec<String>,
}

/// The wire is armed for a marketplace as long as this lives.
pub struct Armed(Arc<Mutex<State>>);

impl Drop for Armed {
    fn drop(&mut self) {
        self.0.lock().unwrap().active = None;
    }
}

impl Tripwire {
    pub fn over(database: Embedded) -> Self {
        Self {
            database,
            state: Arc::default(),
        }
    }

    /// The database below the wire.
    pub fn database(&self) -> &Embedded {
        &self.database
    }

    pub fn arm(&self, marketplace: &str) -> Armed {
        self.state.lock().unwrap().active = Some(marketplace.to_owned());
        Armed(self.state.clone())
    }

    /// Lets requests for one more marketplace pass from here on: a key may be made for several, and a key that is refused elsewhere is
    /// entered into the access log of its own.
    pub fn allow(&self, marketplace: &str) {
        self.state
            .lock()
            .unwrap()
            .allowed
            .insert(marketplace.to_owned());
    }

    pub fn assert_untouched(&self) {
        let touched = std::mem::take(&mut self.state.lock().unwrap().touched);
        assert!(
            touched.is_empty(),
            "keys of another marketplace: {touched:?}"
        );
    }

    /// Refuses a request for a key that is not of the active marketplace, and remembers it.
    pub fn check(&self, body: &[u8]) -> Result<(), ConnectorError> {
        let strays = self.strays(body);
        if strays.is_empty() {
            return Ok(());
        }
        self.state.lock().unwrap().touched.extend(strays);
        let why = "a key of another marketplace";
        Err(ConnectorError::other(why.into(), None))
    }

    fn strays(&self, body: &[u8]) -> Vec<String> {
        let (active, allowed) = {
            let state = self.state.lock().unwrap();
            (state.active.clone(), state.allowed.clone())
        };
        let Some(active) = active else {
            return Vec::new();
        };
        let mut found = Vec::new();
        if let Ok(request) = serde_json::from_slice::<Value>(body) {
            partitions(&request, &mut found);
        }
        let strays = |id: &str| id != active && !allowed.contains(id);
        found.retain(|pk| keys::marketplace_of(pk).is_some_and(strays));
        found
    }
}

/// Every partition key in a request.
pub fn partitions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value["S"].as_str() {
                    Some(pk) if name == "pk" || name == ":pk" => found.push(pk.to_owned()),
                    _ => partitions(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| partitions(value, found)),
        _ => {}
    }
}

impl HttpConnector for Tripwire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        match self.check(request.body().bytes().unwrap_or_default()) {
            Ok(()) => self.database.call(request),
            Err(stray) => HttpConnectorFuture::ready(Err(stray)),
        }
    }
}
