//! Makes a test of each case in the tables of requirements, so that a case is found by its name as any other test is.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a build script; it talks to cargo, and fails the build"
)]

use std::path::Path;
use std::{env, fs};

fn main() {
    let out = env::var("OUT_DIR").unwrap();
    for table in ["bad_input", "requirements", "requirements_promotions"] {
        let file = format!("corpus/{table}.txt");
        println!("cargo::rerun-if-changed={file}");
        let mut tests = String::new();
        for name in fs::read_to_string(&file).unwrap().lines() {
            if name.is_empty() || name.starts_with([' ', '#']) {
                continue;
            }
            tests += &format!(
                "#[tokio::test]\nasync fn {}() {{\n    crate::support::script::play({:?}, {name:?}).await;\n}}\n",
                name.replace(' ', "_"),
                format!("{table}.txt"),
            );
        }
        fs::write(Path::new(&out).join(format!("{table}.rs")), tests).unwrap();
    }
}
