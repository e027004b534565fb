//! The rows that a run could not use. The texts are exact, and lines end in LF.

use std::collections::BTreeMap;
use std::path::Path;

use revtrail_core::record::RecordProblem;

use super::Failure;
use super::output::{Output, failed};

/// The rows that could not be used: they are counted, and written to the file that `--rejects` names.
#[derive(Debug)]
pub(crate) struct Rejects {
    csv: Option<csv::Writer<Output>>,
    rejected: RejectedRows,
}

/// How many rows were rejected.
#[derive(Debug, Default)]
pub(crate) struct RejectedRows {
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
            rejected: RejectedRows::default(),
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

    /// How much was rejected, and the file with it, if there is one, which is still to be finished.
    pub(crate) fn finish(self) -> Result<(RejectedRows, Option<Output>), Failure> {
        let mut output = None;
        if let Some(mut csv) = self.csv {
            csv.flush().map_err(failed(&csv.get_ref().path))?;
            output = csv.into_inner().ok();
        }
        Ok((self.rejected, output))
    }
}
