//! The report-query function.
