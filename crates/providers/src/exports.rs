//! Files as shops and mail tools export them, turned into the records that intake reads. A map says of a kind of file which columns
//! make which fields. The known maps are JSON files beside this one, and `--map` reads the same form. Nobody here opens a file: rows
//! come in, records go out.

mod cell;
mod json;
mod map;
mod reader;
mod words;

pub use cell::Row;
pub use json::{Entries, Entry, entries};
pub use map::{Makes, Map, Missing, known};
pub use reader::{Given, Made, Notes, Reader};
