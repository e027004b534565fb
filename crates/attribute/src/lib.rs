//! revtrail over files: `attribute` decides here which campaign earned which order, `import` sends the files into a running service.
//! A crate of its own, because it is optimised for speed and the rest of the command line for its size.

pub mod attribute;
mod exports;
pub mod import;
pub mod stop;
