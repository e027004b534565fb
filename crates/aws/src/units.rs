//! What work costs: the units of the table that it used, as the table says. Reads and writes are added up, each by its own measure.

use std::cell::Cell;

use aws_sdk_dynamodb::operation::batch_get_item::{BatchGetItemInput, BatchGetItemOutput};
use aws_sdk_dynamodb::operation::delete_item::{DeleteItemInput, DeleteItemOutput};
use aws_sdk_dynamodb::operation::get_item::{GetItemInput, GetItemOutput};
use aws_sdk_dynamodb::operation::put_item::{PutItemInput, PutItemOutput};
use aws_sdk_dynamodb::operation::query::{QueryInput, QueryOutput};
use aws_sdk_dynamodb::operation::transact_write_items::{
    TransactWriteItemsInput, TransactWriteItemsOutput,
};
use aws_sdk_dynamodb::operation::update_item::{UpdateItemInput, UpdateItemOutput};
use aws_sdk_dynamodb::types::{ConsumedCapacity, ReturnConsumedCapacity};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    AfterDeserializationInterceptorContextRef, BeforeSerializationInterceptorContextMut, Input,
    Output,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

tokio::task_local! {
    static USED: Cell<f64>;
}

/// Does some work; says how many units it used. What it does on tasks of its own does not count.
pub async fn counted<T>(work: impl Future<Output = T>) -> (T, f64) {
    let all = async {
        let done = work.await;
        (done, USED.with(Cell::get))
    };
    USED.scope(Cell::new(0.0), all).await
}

/// Lets the table say what each call used, and adds it up.
#[derive(Debug)]
pub(crate) struct Units;

impl Intercept for Units {
    fn name(&self) -> &'static str {
        "units of the table"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        ask(context.input_mut());
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Ok(output) = context.output_or_error() {
            let used = used(output);
            // Work that nobody counts has no place for it.
            let _ = USED.try_with(|units| units.set(units.get() + used));
        }
        Ok(())
    }
}

/// Asks for the units of a call.
fn ask(input: &mut Input) {
    macro_rules! ask {
        ($($kind:ty)*) => {
            $(if let Some(input) = input.downcast_mut::<$kind>() {
                input.return_consumed_capacity = Some(ReturnConsumedCapacity::Total);
            })*
        };
    }
    ask!(GetItemInput BatchGetItemInput QueryInput);
    ask!(PutItemInput UpdateItemInput DeleteItemInput TransactWriteItemsInput);
}

/// The units that a call used; 0 where its answer does not say.
fn used(output: &Output) -> f64 {
    let units = |one: &ConsumedCapacity| one.capacity_units().unwrap_or_default();
    macro_rules! used {
        ($($kind:ty)*) => {
            $(if let Some(output) = output.downcast_ref::<$kind>() {
                return output.consumed_capacity.iter().map(units).sum();
            })*
        };
    }
    macro_rules! used_by_tables {
        ($($kind:ty)*) => {
            $(if let Some(output) = output.downcast_ref::<$kind>() {
                return output.consumed_capacity.iter().flatten().map(units).sum();
            })*
        };
    }
    used!(GetItemOutput QueryOutput PutItemOutput UpdateItemOutput DeleteItemOutput);
    used_by_tables!(BatchGetItemOutput TransactWriteItemsOutput);
    0.0
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::Client;
    use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
    use aws_sdk_dynamodb::types::AttributeValue;
    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
    };
    use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
    use aws_smithy_types::body::SdkBody;
    use serde_json::{Value, json};

    use super::*;

    /// A table that says what a call used where it is asked for it.
    #[derive(Debug)]
    struct Table;

    impl HttpConnector for Table {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            let asked: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
            let used = json!({ "CapacityUnits": 1.5 });
            let answer = match asked["ReturnConsumedCapacity"].as_str() {
                None => json!({}),
                Some(_) if asked["TransactItems"].is_array() => {
                    json!({ "ConsumedCapacity": [used, used] })
                }
                Some(_) => json!({ "ConsumedCapacity": used }),
            };
            let answer = SdkBody::from(answer.to_string());
            HttpConnectorFuture::ready(Ok(HttpResponse::new(200.try_into().unwrap(), answer)))
        }
    }

    #[tokio::test]
    async fn what_calls_use_is_added_up() {
        let connector = SharedHttpConnector::new(Table);
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("local"))
            .endpoint_url("http://table.invalid")
            .allow_no_auth()
            .interceptor(Units)
            .http_client(http_client_fn(move |_, _| connector.clone()));
        let client = Client::from_conf(config.build());
        let get = async || {
            let get = client.get_item().table_name("t");
            get.key("pk", AttributeValue::S("p".to_owned()))
                .send()
                .await
                .unwrap()
        };
        let transact = async || {
            let transact = client
                .transact_write_items()
                .set_transact_items(Some(Vec::new()));
            transact.send().await.unwrap()
        };
        let (_, none) = counted(async {}).await;
        let (_, several) = counted(async { (get().await, get().await, transact().await) }).await;
        assert_eq!((none, several), (0.0, 6.0));
        // Work that nobody counts is done all the same.
        get().await;
    }
}
