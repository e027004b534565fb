//! The requirements that HTTP can show: a test for each case of `tests/corpus/requirements.txt`, made by `tests/build.rs`.

include!(concat!(env!("OUT_DIR"), "/requirements.rs"));
