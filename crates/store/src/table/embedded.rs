//! The embedded database behind the SDK's client: an HTTP client hands the requests to it in this process, without a socket.

mod pages;
mod sweep;
mod turns;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use dynoxide::actions::delete_item::DeleteItemRequest;
use dynoxide::actions::get_item::GetItemRequest;
use dynoxide::actions::put_item::PutItemRequest;
use dynoxide::actions::transact_write_items::{TransactWriteItem, TransactWriteItemsRequest};
use dynoxide::actions::update_item::UpdateItemRequest;
use dynoxide::{AttributeValue, Database, DynoxideError, Item};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use serde_json::json;
use turns::Turns;

use crate::table::attributes::PARTITION_KEY;
use crate::table::client::Store;
use crate::table::fault::StoreError;
use crate::table::keys;

/// The name of the table in the embedded database.
pub const TABLE: &str = "revtrail";

/// The embedded database: dynoxide over SQLite.
#[derive(Clone)]
pub struct Embedded {
    database: Database,
    /// What SQLite opens a second time, for what dynoxide does not offer: a path, or the name of a database in memory.
    name: String,
    /// Every call takes its turn, so that dynoxide and the second connection never meet.
    turns: Arc<Turns>,
    /// The connection that reads pages of partitions, from the first page on.
    reader: Arc<Mutex<Option<Connection>>>,
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Embedded")
    }
}

/// Why a file is not opened as the database.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file belongs to another program.
    #[error(
        "{path} is no database of revtrail: {what}. Move it away, or give a folder of revtrail's own"
    )]
    NotOurs {
        /// The path of the file.
        path: PathBuf,
        /// What the file is instead, as part of a sentence.
        what: String,
    },
    /// The file was cut off or overwritten.
    #[error("{path} is damaged ({why}): put back a copy of it, or move it away and begin anew")]
    Damaged {
        /// The path of the file.
        path: PathBuf,
        /// What SQLite says about the damage.
        why: String,
    },
    /// The file cannot be used as it is.
    #[error(
        "failed to open {path}: {why}; revtrail must be able to read and write it and its folder"
    )]
    Failed {
        /// The path of the file.
        path: PathBuf,
        /// What the system or SQLite says about the failure.
        why: String,
    },
}

/// The bytes that every SQLite file begins with.
const SQLITE_BEGINS: &[u8] = b"SQLite format 3\0";
const HEADER_BYTES: usize = 100;
/// The tables in which dynoxide keeps its own records.
const DYNOXIDE_TABLES: [&str; 2] = ["_config", "_tables"];

fn failed(path: &Path, why: impl ToString) -> OpenError {
    OpenError::Failed {
        path: path.to_owned(),
        why: why.to_string(),
    }
}

fn not_opened(path: &Path, error: &rusqlite::Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => OpenError::Damaged {
            path: path.to_owned(),
            why: error.to_string(),
        },
        _ => failed(path, error),
    }
}

/// How many bytes an SQLite file must have, by its header (<https://sqlite.org/fileformat.html>). What a log beside the file
/// still holds is not counted.
fn bytes_needed(path: &Path, header: &[u8]) -> u64 {
    let Ok(header) = <&[u8; HEADER_BYTES]>::try_from(header) else {
        return HEADER_BYTES as u64;
    };
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let logged = std::fs::metadata(log).is_ok_and(|log| log.len() > 0);
    // The number of pages in the header is valid only if the last change wrote it.
    if logged || header[24..28] != header[92..96] {
        return HEADER_BYTES as u64;
    }
    let page_bytes = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        bytes => u64::from(bytes),
    };
    let pages = u32::from_be_bytes([header[28], header[29], header[30], header[31]]);
    page_bytes * u64::from(pages)
}

/// Checks a file before anything is written to it, because dynoxide would create its tables in the database of any program.
fn check_ours(path: &Path) -> Result<(), OpenError> {
    let not_ours = |what: &str| OpenError::NotOurs {
        path: path.to_owned(),
        what: what.to_owned(),
    };
    let about = match std::fs::metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(path, error)),
    };
    if !about.is_file() {
        return Err(not_ours(match about.is_dir() {
            true => "it is a folder",
            false => "it is no file",
        }));
    }
    let mut header = Vec::new();
    // The file is opened as it will be used later: revtrail cannot run on a database that it cannot write to.
    let mut both = std::fs::OpenOptions::new();
    both.read(true)
        .write(true)
        .open(path)
        .and_then(|file| file.take(HEADER_BYTES as u64).read_to_end(&mut header))
        .map_err(|error| failed(path, error))?;
    if header.is_empty() {
        return Ok(());
    }
    if !header.starts_with(SQLITE_BEGINS) {
        return Err(not_ours(
            "it does not begin as a file of SQLite does, or is encrypted",
        ));
    }
    if about.len() < bytes_needed(path, &header) {
        return Err(OpenError::Damaged {
            path: path.to_owned(),
            why: format!("it was cut off after {} bytes", about.len()),
        });
    }
    let names = |sql: &str| -> rusqlite::Result<Vec<String>> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let database = Connection::open_with_flags(path, flags)?;
        let mut rows = database.prepare(sql)?;
        rows.query_map([], |row| row.get(0))?.collect()
    };
    let theirs = |names: &[String]| {
        let some: Vec<String> = names
            .iter()
            .take(3)
            .map(|name| format!("{name:?}"))
            .collect();
        not_ours(&format!(
            "another program keeps its tables in it ({}{})",
            some.join(", "),
            if names.len() > 3 { ", …" } else { "" }
        ))
    };
    let not_read = |error| not_opened(path, &error);
    let tables = names("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name");
    let tables = tables.map_err(not_read)?;
    if tables.is_empty() {
        return Ok(());
    }
    if !DYNOXIDE_TABLES
        .iter()
        .all(|own| tables.iter().any(|name| name == own))
    {
        return Err(theirs(&tables));
    }
    // Other tables belong to another program that uses dynoxide. No table at all means that a process died just after it created
    // the file.
    let kept = names("SELECT table_name FROM _tables ORDER BY table_name").map_err(not_read)?;
    match kept.is_empty() || kept.iter().any(|name| name == TABLE) {
        true => Ok(()),
        false => Err(theirs(&kept)),
    }
}

impl Embedded {
    /// A database in memory, which is gone with the last clone.
    ///
    /// # Errors
    /// SQLite fails.
    pub fn memory() -> Result<Self, StoreError> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        Self::open(format!("file:revtrail-{made}?mode=memory&cache=shared"))
    }

    /// A database in a file, which is created if it does not exist. Every write is on disk before it is answered.
    ///
    /// # Errors
    /// What the path holds is no database of revtrail, or it cannot be used. It stays as it was found.
    pub fn file(path: &Path) -> Result<Self, OpenError> {
        check_ours(path)?;
        let name = path.to_string_lossy().into_owned();
        match Database::new(&name) {
            Ok(database) => Ok(Self::over(database, name)),
            Err(DynoxideError::SqliteError(error)) => Err(not_opened(path, &error)),
            Err(other) => Err(failed(path, other)),
        }
    }

    /// Copies a database into a file that is not there yet, as it is at one moment. Others may use it meanwhile, this process or another.
    ///
    /// # Errors
    /// What the path holds is no database of revtrail, or the other file cannot be written.
    pub fn copy_file(from: &Path, to: &Path) -> Result<(), OpenError> {
        check_ours(from)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let database = Connection::open_with_flags(from, flags);
        let database = database.map_err(|error| not_opened(from, &error))?;
        let copied = database.execute("VACUUM INTO ?1", [to.to_string_lossy()]);
        copied.map(drop).map_err(|error| failed(to, error))
    }

    fn open(name: String) -> Result<Self, StoreError> {
        let database = Database::new(&name).map_err(opening)?;
        Ok(Self::over(database, name))
    }

    fn over(database: Database, name: String) -> Self {
        Self {
            database,
            name,
            turns: Arc::default(),
            reader: Arc::default(),
        }
    }

    /// All items as the table's JSON, for tests of what is stored nowhere.
    ///
    /// # Errors
    /// SQLite fails.
    pub fn items(&self) -> Result<Vec<serde_json::Value>, StoreError> {
        let (mut items, mut scan) = (Vec::new(), json!({ "TableName": TABLE }));
        loop {
            let page = run(scan.to_string().as_bytes(), |q| self.database.scan(q));
            let mut page: serde_json::Value = serde_json::from_str(&page.map_err(opening)?)?;
            if let Some(found) = page["Items"].as_array_mut() {
                items.append(found);
            }
            match page["LastEvaluatedKey"].take() {
                serde_json::Value::Null => return Ok(items),
                last => scan["ExclusiveStartKey"] = last,
            }
        }
    }

    /// A copy of all items in a database of its own, in memory, for tests that begin from the same state many times. SQLite
    /// copies its pages.
    ///
    /// # Errors
    /// SQLite fails.
    pub fn copy(&self) -> Result<Self, StoreError> {
        let copy = Self::memory()?;
        copy.database.restore_from(&self.name).map_err(opening)?;
        Ok(copy)
    }

    fn answer(&self, operation: &str, body: &[u8]) -> (u16, String) {
        match self.dispatch(operation, body) {
            Ok(answer) => (200, answer),
            Err(error) => (error.status_code(), error.to_json()),
        }
    }

    /// What reads many items takes several turns, everything else one.
    fn dispatch(&self, operation: &str, body: &[u8]) -> Result<String, DynoxideError> {
        let database = &self.database;
        // JSON is read before a turn and written after it: nobody waits for that of another call.
        let turn = |owner: &str| self.turns.take(owner);
        match operation {
            "Query" => self.query(body),
            "BatchGetItem" => self.batch_get(body),
            "GetItem" => run(body, |q: GetItemRequest| {
                let _turn = turn(owner(&q.key));
                database.get_item(q)
            }),
            "PutItem" => run(body, |q: PutItemRequest| {
                let _turn = turn(owner(&q.item));
                database.put_item(q)
            }),
            "UpdateItem" => run(body, |q: UpdateItemRequest| {
                let _turn = turn(owner(&q.key));
                database.update_item(q)
            }),
            "DeleteItem" => run(body, |q: DeleteItemRequest| {
                let _turn = turn(owner(&q.key));
                database.delete_item(q)
            }),
            "TransactWriteItems" => run(body, |q: TransactWriteItemsRequest| {
                let _turn = turn(q.transact_items.first().map_or(DEPLOYMENT, writer));
                database.transact_write_items(q)
            }),
            "CreateTable" => {
                let _turn = turn(DEPLOYMENT);
                let created = run(body, |q| database.create_table(q))?;
                if database.get_table_metadata(TABLE)?.is_some() {
                    self.index_times()?;
                }
                Ok(created)
            }
            "DescribeTable" => {
                let _turn = turn(DEPLOYMENT);
                self.describe(body)
            }
            "UpdateTimeToLive" => {
                let _turn = turn(DEPLOYMENT);
                run(body, |q| database.update_time_to_live(q))
            }
            other => Err(DynoxideError::ValidationException(format!(
                "the embedded database is not asked for {other}"
            ))),
        }
    }

    /// Whether the table is there. Dynoxide would count its items and add up their sizes, which reads all of it.
    fn describe(&self, body: &[u8]) -> Result<String, DynoxideError> {
        match self.database.get_table_metadata(TABLE)? {
            Some(_) => {
                Ok(json!({ "Table": { "TableName": TABLE, "TableStatus": "ACTIVE" } }).to_string())
            }
            None => run(body, |q| self.database.describe_table(q)),
        }
    }
}

/// Whose turn it is for items that belong to no marketplace.
const DEPLOYMENT: &str = "";

/// Whose turn it is for an item.
fn owner(item: &Item) -> &str {
    item.get(PARTITION_KEY).map_or(DEPLOYMENT, owner_of)
}

/// Whose turn it is for a partition: its marketplace's.
fn owner_of(pk: &AttributeValue) -> &str {
    match pk {
        AttributeValue::S(pk) => keys::marketplace_of(pk).unwrap_or(DEPLOYMENT),
        _ => DEPLOYMENT,
    }
}

/// Whose turn it is for a write of a transaction. All writes of one are for the same marketplace, but for a few of the deployment's.
fn writer(write: &TransactWriteItem) -> &str {
    let put = write.put.as_ref().map(|put| &put.item);
    let update = write.update.as_ref().map(|update| &update.key);
    let delete = write.delete.as_ref().map(|delete| &delete.key);
    let check = write.condition_check.as_ref().map(|check| &check.key);
    let item = put.or(update).or(delete).or(check);
    item.map_or(DEPLOYMENT, owner)
}

fn opening(error: DynoxideError) -> StoreError {
    StoreError::Refused {
        op: "the embedded database",
        source: Box::new(error),
    }
}

fn broken(error: serde_json::Error) -> DynoxideError {
    DynoxideError::ValidationException(error.to_string())
}

fn run<Q: serde::de::DeserializeOwned, A: serde::Serialize>(
    body: &[u8],
    call: impl FnOnce(Q) -> Result<A, DynoxideError>,
) -> Result<String, DynoxideError> {
    serde_json::to_string(&call(serde_json::from_slice(body).map_err(broken)?)?).map_err(broken)
}

/// Runs what waits for the disk: SQLite must not run on the threads that serve requests. A test's only thread may wait.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    match tokio::runtime::Handle::current().runtime_flavor() {
        tokio::runtime::RuntimeFlavor::CurrentThread => Ok(work()),
        _ => tokio::task::spawn_blocking(work).await,
    }
}

impl HttpConnector for Embedded {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let embedded = self.clone();
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        HttpConnectorFuture::new(async move {
            let body = request.into_body();
            let work = move || embedded.answer(&operation, body.bytes().unwrap_or_default());
            let (status, answer) = off_thread(work)
                .await
                .map_err(|error| ConnectorError::other(error.into(), None))?;
            let status = status
                .try_into()
                .map_err(|_| ConnectorError::other("no HTTP status".into(), None))?;
            Ok(HttpResponse::new(status, SdkBody::from(answer)))
        })
    }
}

/// The SDK's client over a connector that needs no network: the embedded database itself, or a test's wrapper around it.
pub fn client(connector: impl HttpConnector + 'static) -> Client {
    let connector = SharedHttpConnector::new(connector);
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("local"))
        .endpoint_url("http://embedded.invalid")
        .allow_no_auth()
        .retry_config(aws_sdk_dynamodb::config::retry::RetryConfig::disabled())
        .stalled_stream_protection(
            aws_sdk_dynamodb::config::StalledStreamProtectionConfig::disabled(),
        )
        .http_client(http_client_fn(move |_, _| connector.clone()))
        .build();
    Client::from_conf(config)
}

/// A store whose table is in an embedded database.
///
/// # Errors
/// SQLite fails.
pub async fn store(embedded: Embedded) -> Result<Store, StoreError> {
    let store = Store::new(client(embedded), TABLE);
    store.create_table().await?;
    Ok(store)
}

/// A store whose table is in memory.
///
/// # Errors
/// SQLite fails.
pub async fn memory() -> Result<Store, StoreError> {
    store(Embedded::memory()?).await
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn put(embedded: &Embedded, sk: &str) {
        let item = json!({
            "pk": { "S": "p" }, "sk": { "S": sk }, "n": { "N": "12.50" }, "b": { "B": "AAH/" }, "s": { "SS": ["a", "b"] },
            "m": { "M": { "l": { "L": [{ "NULL": true }, { "BOOL": false }, { "S": "ü😀" }] } } },
        });
        let put = json!({ "TableName": TABLE, "Item": item }).to_string();
        run(put.as_bytes(), |q| embedded.database.put_item(q)).unwrap();
    }

    /// All items, and the description of the table itself.
    fn held(embedded: &Embedded) -> (Vec<(String, String)>, String) {
        let table = json!({ "TableName": TABLE }).to_string();
        let told = run(table.as_bytes(), |q| embedded.database.describe_table(q));
        let items = rows(
            embedded,
            "SELECT sk, item_json FROM revtrail ORDER BY pk, sk",
        );
        (items, told.unwrap())
    }

    /// What a statement finds, by a connection of its own.
    pub(super) fn rows(embedded: &Embedded, sql: &str) -> Vec<(String, String)> {
        let database = Connection::open(&embedded.name).unwrap();
        let mut rows = database.prepare(sql).unwrap();
        let found = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        found.unwrap().map(Result::unwrap).collect()
    }

    /// Changes the database behind dynoxide's back.
    pub(super) fn change(embedded: &Embedded, sql: &str) {
        let database = Connection::open(&embedded.name).unwrap();
        database.execute_batch(sql).unwrap();
    }

    /// Whether a table exists is asked at every start. The size of an item is a text here, so adding up the sizes of all would
    /// fail.
    #[tokio::test]
    async fn a_start_does_not_add_up_the_table() {
        let embedded = Embedded::memory().unwrap();
        let store = store(embedded.clone()).await.unwrap();
        put(&embedded, "a");
        change(&embedded, "UPDATE revtrail SET item_size = 'unread'");
        store.create_table().await.unwrap();
        let nothing = Embedded::memory().unwrap();
        let body = json!({ "TableName": TABLE }).to_string();
        let (status, told) = nothing.answer("DescribeTable", body.as_bytes());
        assert_eq!(status, 400, "{told}");
        assert!(told.contains("ResourceNotFound"), "{told}");
    }

    #[tokio::test]
    async fn a_copy_holds_the_same_and_goes_its_own_way() {
        let folder = std::env::temp_dir().join(format!("revtrail-copy-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = Embedded::file(&folder.join("revtrail.db")).unwrap();
        for original in [Embedded::memory().unwrap(), file] {
            store(original.clone()).await.unwrap();
            // More items than fit into one page of SQLite.
            (0..300).for_each(|n| put(&original, &format!("{n:03}")));
            let before = held(&original);
            assert_eq!(before.0.len(), 300);
            let (copy, other) = (original.copy().unwrap(), original.copy().unwrap());
            assert_eq!(held(&copy), before);
            put(&original, "later");
            put(&copy, "here");
            put(&copy, "there");
            assert_eq!(held(&copy.copy().unwrap()), held(&copy), "a copy's copy");
            let items = [&original, &copy, &other].map(|embedded| held(embedded).0.len());
            assert_eq!(items, [301, 302, 300]);
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
