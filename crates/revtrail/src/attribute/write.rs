//! The files that a run writes: credits, explanations, rejected rows. The texts are exact, and lines end in LF.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use revtrail_core::attribution::explain::{Explanation, explain, reason};
use revtrail_core::figures::fold::World;
use revtrail_core::record::RecordProblem;
use serde::Serialize;

use super::Failure;
use super::decided::{Decided, DecidedOrder};
use super::paths::{is_standard_output, resolve};

/// A file that is written under another name. It appears under its own name when it is complete.
#[derive(Debug)]
pub(crate) struct Output {
    path: PathBuf,
    part: PathBuf,
    writer: BufWriter<File>,
}

impl Output {
    fn create(path: &Path) -> Result<Self, Failure> {
        // If the path is a link, the file behind it is written, and the link stays.
        let real = resolve(path);
        let (file, part) = open(&real).map_err(failed(path))?;
        Ok(Self {
            path: real,
            part,
            writer: BufWriter::new(file),
        })
    }

    fn finish(mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(failed(&self.path))?;
        if self.part == self.path {
            return Ok(());
        }
        fs::rename(&self.part, &self.path).map_err(failed(&self.path))
    }

    /// Writes a whole file, or writes to `out` if the path is `-`.
    pub(crate) fn write_all(
        path: &Path,
        out: &mut dyn Write,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        if is_standard_output(path) {
            let mut buffered = BufWriter::new(out);
            return content(&mut buffered)
                .and_then(|()| buffered.flush())
                .map_err(failed(path));
        }
        let mut output = Self::create(path)?;
        content(&mut output).map_err(failed(path))?;
        output.finish()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.part != self.path {
            // The file is already gone if it was completed.
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// Opens a new file beside the final one, with a random name. So another run writes to another file, and no file that already
/// exists is touched. A path that is not a plain file, like /dev/null, must not be replaced by one, and is opened itself.
fn open(path: &Path) -> io::Result<(File, PathBuf)> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Ok((File::create(path)?, path.to_owned()));
    }
    let mut number = std::process::id();
    loop {
        let mut part = path.as_os_str().to_owned();
        part.push(format!(".{number}.part"));
        match File::create_new(&part) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            created => return Ok((created?, part.into())),
        }
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Failure {
    move |source| Failure::Write {
        path: path.to_owned(),
        source,
    }
}

const CREDITS: [&str; 12] = [
    "order_id",
    "customer_id",
    "campaign_id",
    "channel",
    "message_id",
    "touch_kind",
    "touch_at",
    "sent_at",
    "amount",
    "currency",
    "counted",
    "reason",
];

/// Writes which campaign earned each order, one row for each order.
pub(crate) fn write_credits(
    to: &mut dyn Write,
    decided: &Decided<'_>,
    world: &World<'_>,
) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(to);
    csv.write_record(CREDITS)?;
    for decided in &decided.orders {
        write_credit(&mut csv, decided, world)?;
    }
    csv.flush()
}

fn write_credit<W: Write>(
    csv: &mut csv::Writer<W>,
    decided: &DecidedOrder<'_>,
    world: &World<'_>,
) -> io::Result<()> {
    let DecidedOrder {
        order, decision, ..
    } = decided;
    csv.write_field(order.order_id.as_str())?;
    csv.write_field(order.customer_id.as_str())?;
    match &decision.credit {
        Some(credit) => {
            let campaign = world.catalog.at(credit.message.campaign);
            csv.write_field(campaign.campaign_id.as_str())?;
            csv.write_field(credit.message.channel.name())?;
            csv.write_field(credit.message.message.unwrap_or_default())?;
            csv.write_field(credit.touch.kind.name())?;
            csv.write_field(credit.touch.at.to_string())?;
            csv.write_field(credit.message.sent_at.to_string())?;
        }
        None => {
            for _ in 0..6 {
                csv.write_field("")?;
            }
        }
    }
    let counted = decision.not_counted.is_none();
    let linked = world.rules_at(order.placed_at).settings.link;
    let reason = reason(decision.not_counted, decision.credit.is_some(), linked);
    csv.write_field(decision.amount.in_currency(order.currency))?;
    csv.write_field(order.currency.code())?;
    csv.write_field(if counted { "true" } else { "false" })?;
    csv.write_field(reason.unwrap_or_default())?;
    csv.write_record(None::<&[u8]>)?;
    Ok(())
}

/// An explanation as `GET …/attribution` answers it. In a file run, the decision and the run are the same.
#[derive(Serialize)]
struct Explained {
    #[serde(flatten)]
    explanation: Explanation,
    decided: &'static str,
}

/// Writes why each order was decided as it was, one JSON object on each line.
pub(crate) fn write_explanations(
    to: &mut dyn Write,
    decided: &Decided<'_>,
    world: &World<'_>,
) -> io::Result<()> {
    for order in &decided.orders {
        let explained = Explained {
            explanation: explain(order.order, decided.timeline(order), world),
            decided: "run",
        };
        serde_json::to_writer(&mut *to, &explained)?;
        to.write_all(b"\n")?;
    }
    Ok(())
}

/// The rows that could not be used: they are counted, and written to the file that `--rejects` names.
#[derive(Debug)]
pub(crate) struct Rejects {
    csv: Option<csv::Writer<Output>>,
    rejected: RejectedRow,
}

/// How many rows were rejected.
#[derive(Debug, Default)]
pub(crate) struct RejectedRow {
    pub(crate) rows: u64,
    pub(crate) by_code: BTreeMap<String, u64>,
}

impl Rejects {
    /// Begins the file, if `path` names one.
    pub(crate) fn new(path: Option<&Path>) -> Result<Self, Failure> {
        let csv = match path {
            None => None,
            Some(path) => {
                let mut csv = csv::Writer::from_writer(Output::create(path)?);
                csv.write_record(["file", "line", "code", "detail"])
                    .map_err(|error| failed(path)(error.into()))?;
                Some(csv)
            }
        };
        Ok(Self {
            csv,
            rejected: RejectedRow::default(),
        })
    }

    /// Takes in a rejected row of a file.
    pub(crate) fn add(
        &mut self,
        file: &Path,
        line: u64,
        problem: &RecordProblem,
    ) -> Result<(), Failure> {
        let code = problem.code.text();
        if let Some(csv) = &mut self.csv {
            let (file, line) = (file.to_string_lossy(), line.to_string());
            csv.write_record([&*file, &line, &code, &problem.detail])
                .map_err(|error| failed(&csv.get_ref().path)(error.into()))?;
        }
        self.rejected.rows += 1;
        *self.rejected.by_code.entry(code).or_default() += 1;
        Ok(())
    }

    /// Completes the file.
    pub(crate) fn finish(self) -> Result<RejectedRow, Failure> {
        if let Some(mut csv) = self.csv {
            csv.flush().map_err(failed(&csv.get_ref().path))?;
            if let Ok(output) = csv.into_inner() {
                output.finish()?;
            }
        }
        Ok(self.rejected)
    }
}
