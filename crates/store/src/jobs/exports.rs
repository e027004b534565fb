//! Exports as they are stored: what was asked for, the place where it goes on, and which files belong to it.
//!
//! The files of an export are written in parts. A part is first put on record as a draft, under the version of the export that was
//! read, so that no two workers ever write a file of one name; then its files are written; and then it is counted, in the
//! transaction that moves the place. A worker that dies leaves a draft that never counts: whoever goes on begins at the last place
//! and writes the same rows into files of other names. So each row is in exactly one file of those that count. Every file that may
//! exist is on record before it does, so that all of them can be deleted.
//!
//! An export is kept for a day. An erasure takes all exports away that may name somebody, also those that are being written: their
//! version is raised, so nobody adds to them any more. The files are deleted by whoever has them. Until that is done, an erasure is
//! shown as running. Files are deleted once more when the day is over, because a worker that froze may have written one since.

use aws_sdk_dynamodb::types::AttributeValue;
use revtrail_core::value::time::{DAY_MS, Instant};

use crate::jobs::export::{Export, ExportFile, ExportPart, ExportStage, ExportState};
use crate::market::once::{CallRecord, Once};
use crate::market::{Market, TRIES_MAX};
use crate::table::attributes::{VERSION, export_part};
use crate::table::client::{Range, Reading};
use crate::table::condition::Condition;
use crate::table::contention::backoff;
use crate::table::fault::{Fault, StoreError};
use crate::table::item::{Item, NewItem, data, sk, unreadable, version};
use crate::table::keys;
use crate::table::write::{Transacted, Write};

/// For how much longer the record of an export is kept, so that its files are deleted before it is gone.
const SWEPT_WITHIN_MS: i64 = 2 * DAY_MS;

/// The exports of one marketplace. Reached by [`Market::exports`].
#[derive(Debug, Clone, Copy)]
pub struct Exports<'m> {
    market: &'m Market,
}

impl Market {
    /// The exports of the marketplace.
    pub fn exports(&self) -> Exports<'_> {
        Exports { market: self }
    }
}

impl Exports<'_> {
    /// Puts a new export on record, with the job that writes its files. Returns the name of the job.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn begin(self, export: &mut Export) -> Result<String, StoreError> {
        let job = export.job();
        let job_is_put = vec![self.market.jobs().put_job(&job)];
        match self.save(export, job_is_put).await? {
            true => Ok(job.job_id),
            // The name was drawn for this export alone.
            false => Err(StoreError::Contended {
                op: "starting an export",
            }),
        }
    }

    /// The same for a call that names itself. Its answer is the names of the export and of its job. `None` if another call of that
    /// name was faster.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn begin_named(
        self,
        export: &mut Export,
        named: &Once,
        record: CallRecord,
    ) -> Result<Option<CallRecord>, StoreError> {
        let job = export.job();
        let record = record.answered(serde_json::json!([export.id, job.job_id]));
        let beside = vec![
            self.market.jobs().put_job(&job),
            self.market.store.call_record_write(named, &record),
        ];
        Ok(self.save(export, beside).await?.then_some(record))
    }

    /// An export; `None` if there is none, or if there is none any more.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn export(self, id: &str) -> Result<Option<Export>, StoreError> {
        let key = keys::export(&self.market.id, id);
        let item = self.market.store.get(&key, true).await?;
        item.as_ref().map(read_export).transpose()
    }

    /// All parts of an export, in the order in which they were drafted.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn parts(self, export: &Export) -> Result<Vec<ExportPart>, StoreError> {
        let parts = keys::export_parts(&self.market.id, &export.id);
        let store = &self.market.store;
        let items = store.query(&parts, &Range::All, Reading::STRONG).await?;
        items.iter().map(read_part).collect()
    }

    /// The files that belong to an export, by kind and day.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn files(self, export: &Export) -> Result<Vec<ExportFile>, StoreError> {
        let parts = self.parts(export).await?.into_iter();
        let mut files: Vec<ExportFile> = parts
            .filter(|part| part.counted)
            .flat_map(|part| part.files)
            .collect();
        files.sort_by_key(|file| (file.what, file.day, file.attempt));
        Ok(files)
    }

    /// Puts a part on record before its files are written. `None` if another worker goes on with the export.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn draft(
        self,
        export: &mut Export,
        files: Vec<ExportFile>,
        now: Instant,
    ) -> Result<Option<ExportPart>, StoreError> {
        let part = ExportPart {
            number: export.version + 1,
            counted: false,
            files,
        };
        let key = keys::export_part(&self.market.id, &export.id, part.number);
        let item = NewItem::at(&key).packed(&part.files);
        // It goes with its export. This is only for what nobody deletes.
        let expires_at = now.plus_ms(self.market.retention.keep_ms());
        let beside = vec![
            self.market
                .store
                .put_write(item.expires(expires_at), Some(Condition::absent())),
        ];
        let mut drafted = export.clone();
        (drafted.drafts, drafted.moved_at) = (export.next_attempt(), now);
        let saved = self.save(&mut drafted, beside).await?;
        Ok(saved.then(|| {
            *export = drafted;
            part
        }))
    }

    /// Counts a part whose files are written, and moves the place where the export goes on, in one transaction. Without a part, only
    /// the place is moved. False if another worker goes on with the export.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn count(
        self,
        export: &mut Export,
        part: Option<&ExportPart>,
        stage: ExportStage,
        now: Instant,
    ) -> Result<bool, StoreError> {
        let counted = part.map(|part| {
            let key = keys::export_part(&self.market.id, &export.id, part.number);
            let yes = vec![(":yes", AttributeValue::Bool(true))];
            let set = format!("SET {} = :yes", export_part::COUNTED);
            let there = Some(Condition::present());
            self.market.store.update_write(&key, &set, yes, there)
        });
        let mut moved = export.clone();
        let same = std::mem::discriminant(&export.stage) == std::mem::discriminant(&stage);
        moved.drafts = if same { export.drafts } else { 0 };
        (moved.stage, moved.moved_at) = (stage, now);
        let saved = self.save(&mut moved, Vec::from_iter(counted)).await?;
        if saved {
            *export = moved;
        }
        Ok(saved)
    }

    /// Ends an export whose manifest is written. False if another worker goes on with it, or if it was removed.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn finish(self, export: &mut Export, now: Instant) -> Result<bool, StoreError> {
        (export.state, export.moved_at) = (ExportState::Done, now);
        self.save(export, Vec::new()).await
    }

    /// Takes away all exports that may name somebody, because somebody was erased. Their files are still to be deleted.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub(crate) async fn remove_naming(self) -> Result<(), StoreError> {
        for attempt in 0..TRIES_MAX {
            let mut left = false;
            for mut export in self.all().await? {
                if export.names_customers() && export.state != ExportState::Removed {
                    // The place names a customer too.
                    (export.state, export.stage) = (ExportState::Removed, ExportStage::Manifest);
                    left |= match self.save(&mut export, Vec::new()).await {
                        Err(StoreError::Contended { .. }) => true,
                        saved => !saved?,
                    };
                }
            }
            if !left {
                return Ok(());
            }
            backoff(attempt).await;
        }
        Err(StoreError::Contended {
            op: "removing exports",
        })
    }

    /// True if some removed export has files that are still to be deleted.
    pub(crate) async fn has_files_to_delete(self) -> Result<bool, StoreError> {
        let all = self.all().await?;
        let named = |export: &Export| export.state == ExportState::Removed && !export.deleted;
        Ok(all.iter().any(named))
    }

    /// Records that the files of a removed export are deleted.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn files_deleted(self, export: &mut Export) -> Result<(), StoreError> {
        if export.deleted {
            return Ok(());
        }
        export.deleted = true;
        self.save(export, Vec::new()).await.map(drop)
    }

    /// Deletes an export that is over and whose files are deleted, first its parts and then itself.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn forget(self, export: &Export) -> Result<(), StoreError> {
        for part in self.parts(export).await? {
            let key = keys::export_part(&self.market.id, &export.id, part.number);
            self.market.store.delete(&key).await?;
        }
        let key = keys::export(&self.market.id, &export.id);
        self.market.store.delete(&key).await
    }

    async fn all(self) -> Result<Vec<Export>, StoreError> {
        let exports = keys::exports(&self.market.id);
        let store = &self.market.store;
        let items = store.query(&exports, &Range::All, Reading::STRONG).await?;
        items.iter().map(read_export).collect()
    }

    /// Writes an export under the version that was read. False if somebody else was faster.
    async fn save(self, export: &mut Export, beside: Vec<Write>) -> Result<bool, StoreError> {
        let key = keys::export(&self.market.id, &export.id);
        let item = NewItem::at(&key)
            .number(VERSION, export.version + 1)
            .data(export)
            .expires(export.expires_at().plus_ms(SWEPT_WITHIN_MS));
        let read = Condition::version(export.version);
        let mut writes = vec![self.market.store.put_write(item, Some(read))];
        writes.extend(beside);
        match self.market.store.transact(writes).await? {
            Transacted::Done => {
                export.version += 1;
                Ok(true)
            }
            Transacted::Cancelled(faults) if faults.contains(&Fault::Condition) => Ok(false),
            Transacted::Cancelled(_) => Err(StoreError::Contended {
                op: "writing an export",
            }),
        }
    }
}

fn read_export(item: &Item) -> Result<Export, StoreError> {
    Ok(Export {
        id: sk(item).to_owned(),
        version: version(item),
        ..data(item)?
    })
}

fn read_part(item: &Item) -> Result<ExportPart, StoreError> {
    Ok(ExportPart {
        number: sk(item).parse().map_err(|why| unreadable(item, why))?,
        counted: item.contains_key(export_part::COUNTED),
        files: data(item)?,
    })
}
