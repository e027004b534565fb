//! A bucket of S3. Files are read by ranges, so that a slow reader loses no connection, and only one range is in memory.

use std::io::{self, Cursor, Read};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::BehaviorVersion;
use aws_sdk_s3::error::{DisplayErrorContext, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use revtrail_aws::environment::{BadEnvironment, credentials, https, needed, region, timeouts};
use tokio::runtime::Handle;

use crate::fault::FilesError;

/// The bytes of a range that is read, and of a part that is written. S3 takes parts from 5 MiB on, and at most 10,000 of them.
const PART_BYTES: usize = 8 << 20;
/// The longest that a call takes, with its repetitions, up to the head of its answer. A function that has files keeps more than that
/// for its last step.
const OPERATION: Duration = Duration::from_secs(40);
/// How often a range is asked for if its bytes break off. The SDK itself repeats calls that fail as a whole.
const TRIES_MAX: usize = 3;

/// A bucket behind a client. It is cheap to clone.
#[derive(Debug, Clone)]
pub struct Bucket {
    client: Client,
    name: String,
}

impl Bucket {
    /// A bucket behind a client.
    pub fn new(client: Client, name: &str) -> Self {
        let name = name.to_owned();
        Self { client, name }
    }

    /// The bucket of `REVTRAIL_BUCKET`, with the region and the credentials that Lambda provides. `AWS_ENDPOINT_URL_S3` names
    /// another endpoint.
    ///
    /// # Errors
    /// A variable is missing.
    pub fn from_env() -> Result<Self, BadEnvironment> {
        let name = needed("REVTRAIL_BUCKET")?;
        let endpoint = std::env::var("AWS_ENDPOINT_URL_S3").ok();
        let mut config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(region()?)
            .credentials_provider(credentials()?)
            // Another endpoint has no host name for each bucket.
            .force_path_style(endpoint.is_some())
            .timeout_config(timeouts(OPERATION))
            .http_client(https());
        config.set_endpoint_url(endpoint);
        Ok(Self::new(Client::from_conf(config.build()), &name))
    }

    /// The name of the bucket.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Must be called on a thread that may block, of a runtime that runs on another thread.
    pub(crate) fn open(&self, key: &str, etag: &str) -> Result<Ranged, FilesError> {
        let mut ranged = Ranged {
            bucket: self.clone(),
            key: key.to_owned(),
            etag: etag.to_owned(),
            runtime: Handle::current(),
            range: Cursor::default(),
            next: Some(0),
        };
        ranged.load()?;
        Ok(ranged)
    }

    /// The ETag of a file's content.
    pub(crate) async fn etag(&self, key: &str) -> Result<String, FilesError> {
        let head = self.client.head_object().bucket(&self.name).key(key);
        match head.send().await {
            Ok(is) => Ok(is.e_tag().unwrap_or_default().trim_matches('"').to_owned()),
            Err(error) if status(&error) == Some(404) => Err(FilesError::Vanished),
            Err(error) => Err(failed("read", key, error)),
        }
    }

    /// A range of a file, and the offset of the next one.
    async fn range(
        &self,
        key: &str,
        etag: &str,
        from: u64,
    ) -> Result<(Vec<u8>, Option<u64>), FilesError> {
        let mut why = String::new();
        for _ in 0..TRIES_MAX {
            let to = from + PART_BYTES as u64 - 1;
            let get = self.client.get_object().bucket(&self.name).key(key);
            let got = match get.range(format!("bytes={from}-{to}")).send().await {
                Ok(got) => got,
                Err(error) => match status(&error) {
                    Some(404) => return Err(FilesError::Vanished),
                    // An empty file has no range.
                    Some(416) => return Ok((Vec::new(), None)),
                    _ => return Err(failed("read", key, error)),
                },
            };
            // The bytes must be of the same content as the ETag that comes with them.
            if got.e_tag().map(|tag| tag.trim_matches('"')) != Some(etag) {
                return Err(FilesError::Overwritten);
            }
            let range = got.content_range().unwrap_or_default();
            let size: Option<u64> = range.rsplit('/').next().and_then(|size| size.parse().ok());
            let size = size.ok_or_else(|| FilesError::failed("read", key, "no Content-Range"))?;
            match got.body.collect().await {
                Ok(bytes) => {
                    let bytes = bytes.to_vec();
                    let next = from + bytes.len() as u64;
                    return Ok((bytes, (next < size).then_some(next)));
                }
                Err(error) => why = error.to_string(),
            }
        }
        Err(FilesError::failed("read", key, why))
    }

    /// S3 answers the same where no file has this key.
    pub(crate) async fn delete(&self, key: &str) -> Result<(), FilesError> {
        let delete = self.client.delete_object().bucket(&self.name).key(key);
        let deleted = delete.send().await;
        deleted
            .map(drop)
            .map_err(|error| failed("delete", key, error))
    }

    pub(crate) fn write(&self, key: &str, media_type: &'static str) -> Upload {
        Upload {
            bucket: self.clone(),
            key: key.to_owned(),
            media_type,
            bytes: Vec::new(),
            parts: None,
        }
    }
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|answer| answer.status().as_u16())
}

fn failed<E: std::error::Error + 'static>(
    what: &'static str,
    key: &str,
    error: SdkError<E>,
) -> FilesError {
    FilesError::failed(what, key, DisplayErrorContext(error))
}

/// A file that is read one range at a time.
#[derive(Debug)]
pub(crate) struct Ranged {
    bucket: Bucket,
    key: String,
    etag: String,
    runtime: Handle,
    range: Cursor<Vec<u8>>,
    next: Option<u64>,
}

impl Ranged {
    fn load(&mut self) -> Result<(), FilesError> {
        let Some(from) = self.next else { return Ok(()) };
        let range = self.bucket.range(&self.key, &self.etag, from);
        let (bytes, next) = self.runtime.block_on(range)?;
        (self.range, self.next) = (Cursor::new(bytes), next);
        Ok(())
    }
}

impl Read for Ranged {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.range.position() == self.range.get_ref().len() as u64 && self.next.is_some() {
            self.load().map_err(io::Error::other)?;
        }
        self.range.read(buffer)
    }
}

/// A result on its way into the bucket: in one call, or in parts if it is large.
#[derive(Debug)]
pub struct Upload {
    bucket: Bucket,
    key: String,
    media_type: &'static str,
    bytes: Vec<u8>,
    parts: Option<(String, Vec<CompletedPart>)>,
}

impl Upload {
    pub(crate) async fn add(&mut self, bytes: &[u8]) -> Result<(), FilesError> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() < PART_BYTES {
            return Ok(());
        }
        self.send_part().await
    }

    async fn send_part(&mut self) -> Result<(), FilesError> {
        let Bucket { client, name } = &self.bucket;
        if self.parts.is_none() {
            let create = client.create_multipart_upload().bucket(name).key(&self.key);
            let create = create.checksum_algorithm(ChecksumAlgorithm::Crc32);
            let created = create.content_type(self.media_type).send().await;
            let created = created.map_err(|error| failed("write", &self.key, error))?;
            self.parts = Some((created.upload_id.unwrap_or_default(), Vec::new()));
        }
        let Some((upload, parts)) = &mut self.parts else {
            return Ok(());
        };
        let number = parts.len() as i32 + 1;
        let part = client.upload_part().bucket(name).key(&self.key);
        let part = part.upload_id(&*upload).part_number(number);
        let bytes = ByteStream::from(std::mem::take(&mut self.bytes));
        let sent = part.body(bytes).send().await;
        let sent = sent.map_err(|error| failed("write", &self.key, error))?;
        parts.push(
            CompletedPart::builder()
                .part_number(number)
                .set_e_tag(sent.e_tag)
                .set_checksum_crc32(sent.checksum_crc32)
                .build(),
        );
        Ok(())
    }

    pub(crate) async fn finish(mut self) -> Result<(), FilesError> {
        if self.parts.is_some() && !self.bytes.is_empty() {
            self.send_part().await?;
        }
        let Bucket { client, name } = &self.bucket;
        match self.parts {
            Some((upload, parts)) => {
                let whole = CompletedMultipartUpload::builder().set_parts(Some(parts));
                let complete = client.complete_multipart_upload().bucket(name);
                let complete = complete.key(&self.key).upload_id(upload);
                let sent = complete.multipart_upload(whole.build()).send().await;
                sent.map(drop)
                    .map_err(|error| failed("write", &self.key, error))
            }
            None => {
                let put = client.put_object().bucket(name).key(&self.key);
                let put = put.content_type(self.media_type);
                let sent = put.body(ByteStream::from(self.bytes)).send().await;
                sent.map(drop)
                    .map_err(|error| failed("write", &self.key, error))
            }
        }
    }
}
