//! What is told of a call once it is answered: to the log of a function, and to the measures of a service. Nothing in it names a
//! customer: of a path only its pattern is told, and no parameter.

use axum::response::Response;

/// A call that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The method and the pattern of the path, like `GET /v1/marketplaces/{marketplace}/orders`; `none` where there is no such route.
    pub route: String,
    /// The HTTP status of the answer.
    pub status: u16,
    /// How long it took until the answer began, in milliseconds by the clock of the service.
    pub ms: i64,
    /// The id of the key, which is no secret; `None` where no good key was sent.
    pub key_id: Option<String>,
    /// The marketplace that the key could enter.
    pub marketplace: Option<String>,
}

impl Observed {
    /// What is told of the call of an answer.
    pub fn of(response: &Response) -> Self {
        let told = response.extensions().get::<Self>().cloned();
        let none = || Self {
            route: "none".to_owned(),
            status: response.status().as_u16(),
            ms: 0,
            key_id: None,
            marketplace: None,
        };
        told.unwrap_or_else(none)
    }
}
