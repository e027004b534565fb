//! What calls the built service from outside, by its document: schemathesis, and the clients that generators make.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::root;
use crate::run::run;
use crate::tools::{npm_ci, parts};

/// How many calls of each operation the tier of every change makes up: as many as take less than a minute.
pub(crate) const CALLS: u32 = 1;

/// The packages of npm that make a client: names of files, and what stands in them.
const FILES: [(&str, &str); 2] = [
    ("package.json", include_str!("../api/package.json")),
    (
        "package-lock.json",
        include_str!("../api/package-lock.json"),
    ),
];

/// So many calls of each operation, after what makes them up was installed where it was not. `REVTRAIL` is still to be named.
pub(crate) fn made_up_calls(tools: &Path, calls: u32) -> Result<Command, String> {
    let bin = parts(tools)?;
    let mut command = Command::new(bin.join("python"));
    command.arg(root().join("crates/xtask/api/made_up_calls.py"));
    command.arg(calls.to_string());
    command.env("SCHEMATHESIS", bin.join("st"));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

/// The clients, after what makes them was installed where it was not. `REVTRAIL` is still to be named.
pub(crate) fn clients(tools: &Path) -> Result<Command, String> {
    let (bin, folder) = (parts(tools)?, tools.join("clients"));
    let failed = |error: std::io::Error| format!("failed to write into target/tools: {error}");
    fs::create_dir_all(&folder).map_err(failed)?;
    // Written last, so what it says is there is there.
    let (mark, wanted) = (folder.join("installed.json"), FILES[1].1);
    if !fs::read_to_string(&mark).is_ok_and(|there| there == wanted) {
        println!("openapi-typescript and openapi-fetch are installed into target/tools");
        for (name, text) in FILES {
            fs::write(folder.join(name), text).map_err(failed)?;
        }
        let ran = run("npm-clients", npm_ci(&folder), tools)?;
        if !ran.ok {
            return Err(ran.output);
        }
        fs::write(&mark, wanted).map_err(failed)?;
    }
    let mut command = Command::new(bin.join("python"));
    command.arg(root().join("crates/xtask/api/clients.py"));
    command.env("REVTRAIL_TOOLS", tools);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}
