//! The ingest-event function.
