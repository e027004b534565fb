//! Access keys: made, listed, revoked.

use std::collections::BTreeSet;

use revtrail_core::record::{Code, Problems, RecordProblem as Bad, quoted};
use revtrail_core::value::id::MarketplaceId;
use revtrail_store::market::access::{AccessKey, KeyPut, KeyRight, Role, key_hash};
use revtrail_store::market::once::CallRecord;
use revtrail_web::answer::{json, located, no_content};
use revtrail_web::call::{Call, Response, StatusCode};
use revtrail_web::problem::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{name, once};

/// The most marketplaces of one key.
pub(crate) const KEY_MARKETPLACES_MAX: usize = 50;

pub(crate) async fn create(call: Call) -> Result<Response, Problem> {
    let mut problems = Problems::new();
    let fields = call.fields(&["name", "role", "marketplaces"], &mut problems)?;
    let name = name(&fields, &mut problems);
    if name.is_none()
        && problems
            .iter()
            .all(|problem| problem.field.as_deref() != Some("name"))
    {
        problems.push(Bad::of(
            "name",
            Code::Missing,
            "name is needed: who will use the key",
        ));
    }
    let roles = || Role::ALL.map(Role::name).join(", ");
    let role = match fields.get("role") {
        None | Some(Value::Null) => Err(Bad::of(
            "role",
            Code::Missing,
            format!("role is needed: {}", roles()),
        )),
        Some(Value::String(role)) => Role::parse(role).ok_or_else(|| {
            Bad::of(
                "role",
                Code::UnknownValue,
                format!("role is one of {}", roles()),
            )
        }),
        Some(_) => Err(Bad::of(
            "role",
            Code::WrongType,
            format!("role is a text: {}", roles()),
        )),
    };
    let role = role.map_err(|problem| problems.push(problem)).ok();
    let marketplaces = match fields.get("marketplaces") {
        None | Some(Value::Null) => vec![call.marketplace()?.clone()],
        Some(_) if !call.caller()?.deployment => return Err(Problem::forbidden()),
        Some(listed) => key_marketplaces(&call, listed, &mut problems).await?,
    };
    let (Some(name), Some(role), true) = (name, role, problems.is_empty()) else {
        return Err(Problem::invalid(problems));
    };
    let store = call.app.store();
    let caller = call.caller()?;
    let right = KeyRight {
        marketplace: call.marketplace()?,
        key_id: &caller.key_id,
    };
    let by = Some(&right).filter(|_| !caller.deployment);
    let Some(named) = call.once()? else {
        let new = store.create_key(&name, role, &marketplaces, by, call.now);
        let (key, secret) = new.await?.ok_or_else(Problem::unauthorized)?;
        return Ok(made(&call, &key, &secret));
    };
    // The secret is not stored. It follows from the deployment's key and the record, from which it can be derived again.
    let secret =
        |record: &CallRecord| format!("rt_{}", call.app.secret("access key", &record.seed));
    let (named, drawn) = (&named, AccessKey::new(&name, role, &marketplaces, call.now));
    let make = |record: CallRecord| {
        let (key, secret) = (drawn.clone(), secret(&record));
        let hash = key_hash(&secret);
        let record = record.answered(json!(MadeKey {
            hash,
            key: key.clone()
        }));
        async move {
            let made = store.put_key(&key, &secret, Some((named, &record)), by);
            match made.await? {
                KeyPut::Made => Ok(Some(record)),
                KeyPut::Before => Ok(None),
                KeyPut::Revoked => Err(Problem::unauthorized()),
            }
        }
    };
    let record = once::only(&call, named, make).await?;
    let secret = secret(&record);
    let answered: Option<MadeKey> = serde_json::from_value(record.answer.unwrap_or_default()).ok();
    match answered.filter(|answered| answered.hash == key_hash(&secret)) {
        Some(answered) => Ok(made(&call, &answered.key, &secret)),
        None => Err(Problem::conflict(
            once::CONFLICT,
            "this key was made, and the deployment's key was changed since: its secret cannot be told again",
        )),
    }
}

/// What is remembered of a key that was made: the key, and the hash by which its secret is recognised.
#[derive(Serialize, Deserialize)]
struct MadeKey {
    hash: String,
    key: AccessKey,
}

fn made(call: &Call, key: &AccessKey, secret: &str) -> Response {
    let body = json!({ "key_id": key.key_id, "key": secret, "name": key.name, "role": key.role, "marketplaces": key.marketplaces });
    let location = format!("{}/{}", call.path(), key.key_id);
    located(StatusCode::CREATED, &location, &body)
}

async fn key_marketplaces(
    call: &Call,
    listed: &Value,
    problems: &mut Problems,
) -> Result<Vec<MarketplaceId>, Problem> {
    let Ok(names) = serde_json::from_value::<Vec<String>>(listed.clone()) else {
        problems.push(Bad::of(
            "marketplaces",
            Code::WrongType,
            "marketplaces is a list of marketplace ids",
        ));
        return Ok(Vec::new());
    };
    if !(1..=KEY_MARKETPLACES_MAX).contains(&names.len()) {
        problems.push(Bad::of(
            "marketplaces",
            Code::UnknownValue,
            "marketplaces names 1 to 50 of them",
        ));
        return Ok(Vec::new());
    }
    let mut found = BTreeSet::new();
    for name in names {
        match MarketplaceId::new(&name) {
            Ok(id) if call.app.store().marketplace_exists(&id).await? => drop(found.insert(id)),
            _ => problems.push(Bad::of(
                "marketplaces",
                Code::UnknownValue,
                format!("there is no marketplace {}", quoted(&name)),
            )),
        }
    }
    Ok(found.into_iter().collect())
}

pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let uses = call.app.store().key_uses(call.marketplace()?).await?;
    let shown = |key: &AccessKey| {
        json!({
            "key_id": key.key_id, "name": key.name, "role": key.role, "created_at": key.created_at, "used_at": uses.get(&key.key_id),
        })
    };
    let keys: Vec<Value> = call
        .app
        .store()
        .keys(call.marketplace()?)
        .await?
        .iter()
        .map(shown)
        .collect();
    Ok(json(StatusCode::OK, &json!({ "keys": keys })))
}

pub(crate) async fn revoke(call: Call) -> Result<Response, Problem> {
    let key_id = call.own_id("key_id")?;
    let revoked = call.app.store().revoke_key(call.marketplace()?, key_id);
    let revoked = revoked.await;
    // The key may be revoked even if the answer of the table was lost.
    call.app.forget_key(key_id);
    if revoked? {
        Ok(no_content())
    } else {
        Err(Problem::not_found("this marketplace has no such key"))
    }
}
