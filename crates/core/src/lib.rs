//! The rules of revtrail: what facts are, who earned an order, and what adds up to which figure.
//!
//! Pure functions over plain values: no async, no AWS, no HTTP, no environment, no clock (`now` is an argument), no floats.
//! SPEC numbers in the docs name the sections of revtrail's specification.

pub mod campaign;
pub mod claim;
pub mod decide;
pub mod event;
pub mod explain;
pub mod fold;
pub mod formula;
pub mod id;
pub mod money;
pub mod order;
pub mod promotion;
pub mod record;
pub mod redemption;
pub mod report;
pub mod row;
pub mod settings;
pub mod sheet;
pub mod time;
