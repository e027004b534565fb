//! The ingest-order function.
