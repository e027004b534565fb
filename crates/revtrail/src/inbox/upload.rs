//! Files that come over HTTP: through a page, or to an address that was given for one. They are put into the inbox as files that
//! come by other means.

use std::fs::File as Opened;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http_body_util::BodyExt;
use revtrail_core::record::{Code, RecordProblem};
use revtrail_storage::beneath::{self, Draft};
use revtrail_storage::file::{File, INBOX, REDEMPTIONS};
use revtrail_store::random_hex;
use revtrail_web::app::{App, TakeFile};
use revtrail_web::problem::Problem;
use revtrail_web::upload;

/// What the names of drafts begin with. While a name begins with a dot, nobody takes the file.
const DRAFT: &str = ".upload-";
/// How many bytes are written at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Puts files into the inbox below a folder.
pub(crate) fn taker(root: PathBuf) -> TakeFile {
    Box::new(move |marketplace, name, bytes| {
        let root = root.clone();
        Box::pin(async move {
            on_a_thread(move || {
                let wrong = |says| RecordProblem::of("file", Code::UnknownValue, says);
                let file = File::new(&marketplace, &name);
                let file = file.map_err(|why| Problem::invalid(wrong(why).into()))?;
                let mut draft = NewFile::begin(&root, file).map_err(failed)?;
                draft.draft.file.write_all(&bytes).map_err(failed)?;
                match draft.finish().map_err(failed)? {
                    Finished::Put => Ok(()),
                    Finished::There | Finished::Other => {
                        let says = format!(
                            "there is a file {name:?} in the inbox already: rename this one"
                        );
                        Err(Problem::invalid(wrong(says).into()))
                    }
                }
            })
            .await
        })
    })
}

/// Adds the addresses that are given for files. Each takes one file of at most so many bytes, as it is sent.
pub(crate) fn with_uploads(router: Router, app: App, root: PathBuf, bytes_max: u64) -> Router {
    let put = any(move |request: Request| {
        let (app, root) = (app.clone(), root.clone());
        async move {
            let put = put(&app, root, bytes_max, request).await;
            put.unwrap_or_else(IntoResponse::into_response)
        }
    });
    router.route(upload::PATH, put)
}

/// Takes a file to the address that was given for it. S3 answers the same where it has the file.
async fn put(
    app: &App,
    root: PathBuf,
    bytes_max: u64,
    request: Request,
) -> Result<Response, Problem> {
    if request.method() != Method::PUT {
        return Err(Problem::method_not_allowed(Method::PUT.to_string()));
    }
    let to = app.uploaded_to(request.uri());
    let (marketplace, name) = to.ok_or_else(Problem::bad_upload)?;
    // Its name was found good before the address was given.
    let file = File::new(&marketplace, &name).map_err(|_| Problem::bad_upload())?;
    let body = request.into_body();
    let too_large = || Problem::too_large(format!("a file has at most {} MiB", bytes_max >> 20));
    if body.size_hint().lower() > bytes_max {
        return Err(too_large());
    }
    let draft = on_a_thread(move || NewFile::begin(&root, file).map_err(failed)).await?;
    let draft = fill(draft, body, bytes_max).await?.ok_or_else(too_large)?;
    match on_a_thread(move || draft.finish().map_err(failed)).await? {
        Finished::Put | Finished::There => Ok(StatusCode::OK.into_response()),
        Finished::Other => {
            let says = format!(
                "there is another file {name:?} in the inbox already: ask for an address by another name"
            );
            Err(Problem::conflict("conflict", says))
        }
    }
}

/// Writes a body into a draft; `None` where it has more bytes than it may.
async fn fill(
    mut draft: NewFile,
    mut body: Body,
    bytes_max: u64,
) -> Result<Option<NewFile>, Problem> {
    let (mut chunk, mut bytes) = (Vec::new(), 0_u64);
    loop {
        let frame = body.frame().await;
        let is_end = frame.is_none();
        let data = match frame.transpose() {
            Ok(frame) => frame.and_then(|frame| frame.into_data().ok()),
            Err(_) => return Err(Problem::unreadable("the file ended too early")),
        };
        let data = data.unwrap_or_default();
        bytes += data.len() as u64;
        if bytes > bytes_max {
            return Ok(None);
        }
        chunk.extend_from_slice(&data);
        if is_end || chunk.len() >= CHUNK_BYTES {
            let write = move || {
                draft.draft.file.write_all(&chunk).map_err(failed)?;
                Ok(draft)
            };
            draft = on_a_thread(write).await?;
            chunk = Vec::new();
        }
        if is_end {
            return Ok(Some(draft));
        }
    }
}

/// Does something that may block.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Problem::internal(&error)))
}

fn failed(error: io::Error) -> Problem {
    Problem::internal(&error)
}

/// What became of a file that was sent.
#[derive(Debug, PartialEq, Eq)]
enum Finished {
    /// It is in the inbox now.
    Put,
    /// It was there before, with the same content. Whoever lost an answer sends it again.
    There,
    /// Something else has its name, and stays, since it may be on its way.
    Other,
}

/// A file that is on its way into the inbox. Dropped before it is whole, it is gone.
struct NewFile {
    root: PathBuf,
    file: File,
    name: String,
    draft: Draft,
}

impl NewFile {
    fn begin(root: &Path, file: File) -> io::Result<Self> {
        let name = format!("{DRAFT}{}", random_hex());
        let draft = Draft::new(root, &file.key, name.clone())?;
        let root = root.to_owned();
        Ok(Self {
            root,
            file,
            name,
            draft,
        })
    }

    /// Gives the file its name, unless something has it.
    fn finish(self) -> io::Result<Finished> {
        /// Two files of one name do not come to the inbox at once.
        static FINISHING: Mutex<()> = Mutex::new(());
        let key = &self.file.key;
        let _one = FINISHING.lock().unwrap_or_else(PoisonError::into_inner);
        match beneath::open(&self.root, key) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.draft.finish(key)?;
                Ok(Finished::Put)
            }
            Err(error) if !beneath::is_link(&error) => Err(error),
            Ok(Some(there)) => {
                let folder = key.rsplit_once('/').map_or("", |(folder, _)| folder);
                let sent = beneath::open(&self.root, &format!("{folder}/{}", self.name))?;
                match sent.map(|sent| is_same(there, sent)).transpose()? {
                    Some(true) => Ok(Finished::There),
                    _ => Ok(Finished::Other),
                }
            }
            _ => Ok(Finished::Other),
        }
    }
}

/// True where two files hold the same bytes.
fn is_same(a: Opened, b: Opened) -> io::Result<bool> {
    if a.metadata()?.len() != b.metadata()?.len() {
        return Ok(false);
    }
    let (mut a, b) = (BufReader::new(a).bytes(), BufReader::new(b).bytes());
    for b in b {
        if a.next().transpose()? != Some(b?) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Deletes what a process that was killed left of files that were on their way. No process but this one uses the folder.
pub(crate) fn sweep(root: &Path) -> io::Result<()> {
    let entries = |key: &str| match beneath::list(root, key) {
        Err(error) if error.kind() == io::ErrorKind::NotFound || beneath::is_link(&error) => {
            Ok(Vec::new())
        }
        entries => entries,
    };
    for (marketplace, _) in entries(INBOX)? {
        let Some(marketplace) = marketplace.to_str() else {
            continue;
        };
        let folder = format!("{INBOX}/{marketplace}/{REDEMPTIONS}");
        for (name, _) in entries(&folder)? {
            if let Some(name) = name.to_str().filter(|name| name.starts_with(DRAFT)) {
                beneath::delete(root, &format!("{folder}/{name}"))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use revtrail_core::value::id::MarketplaceId;

    use super::*;

    #[test]
    fn what_becomes_of_files_that_are_sent() {
        let root = std::env::temp_dir().join(format!("revtrail-upload-{}", random_hex()));
        let m = MarketplaceId::new("m").unwrap();
        let begun = |name: &str, bytes: &[u8]| {
            let mut file = NewFile::begin(&root, File::new(&m, name).unwrap()).unwrap();
            file.draft.file.write_all(bytes).unwrap();
            file
        };
        let put = |name: &str, bytes: &[u8]| begun(name, bytes).finish().unwrap();
        let there = || {
            let folder = std::fs::read_dir(root.join("inbox/m/redemptions")).unwrap();
            let name = |entry: io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
            let mut names: Vec<_> = folder.map(|entry| name(entry).into_string()).collect();
            names.sort();
            names.into_iter().map(Result::unwrap).collect::<Vec<_>>()
        };
        for (name, bytes, finished) in [
            ("week 48.csv.gz", "a\n", Finished::Put),
            ("week 48.csv.gz", "a\n", Finished::There),
            ("week 48.csv.gz", "b\n", Finished::Other),
            ("week 48.csv.gz", "a\nb", Finished::Other),
            ("é.jsonl", "", Finished::Put),
            ("é.jsonl", "", Finished::There),
        ] {
            assert_eq!(put(name, bytes.as_bytes()), finished, "{name} {bytes}");
        }
        // A link and a folder have names too, and nothing is put beneath them.
        std::os::unix::fs::symlink("week 48.csv.gz", root.join("inbox/m/redemptions/l.csv"))
            .unwrap();
        std::fs::create_dir(root.join("inbox/m/redemptions/d.csv")).unwrap();
        for name in ["l.csv", "d.csv"] {
            assert_eq!(put(name, b"a\n"), Finished::Other, "{name}");
        }
        let whole = ["d.csv", "l.csv", "week 48.csv.gz", "é.jsonl"];
        assert_eq!(there(), whole);
        // One that is dropped is gone; one of a process that was killed is gone with the next one.
        drop(begun("late.csv", b"half"));
        assert_eq!(there(), whole);
        std::mem::forget(begun("late.csv", b"half"));
        assert_eq!(there().len(), whole.len() + 1);
        sweep(&root).unwrap();
        assert_eq!(there(), whole);
        let text = std::fs::read(root.join("inbox/m/redemptions/week 48.csv.gz")).unwrap();
        assert_eq!(text, b"a\n");
        std::fs::remove_dir_all(root).unwrap();
    }
}
