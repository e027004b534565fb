//! The browser that the pages are tested in: it is the machine's own, and what drives it is installed below the target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::run::run;
use crate::tools::npm_ci;

/// What lies in the folder of the tests: names of files, and what stands in them.
const FILES: [(&str, &str); 5] = [
    ("package.json", include_str!("../browser/package.json")),
    (
        "package-lock.json",
        include_str!("../browser/package-lock.json"),
    ),
    ("pages.mjs", include_str!("../browser/pages.mjs")),
    ("forms.mjs", include_str!("../browser/forms.mjs")),
    (
        "requirements.mjs",
        include_str!("../browser/requirements.mjs"),
    ),
];

/// The browser of this machine, if it has one; `CHROMIUM` names another.
fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let known = ["chromium", "chromium-browser", "google-chrome"]
        .map(|name| Path::new("/usr/bin").join(name));
    named.into_iter().chain(known).find(|path| path.exists())
}

/// What the machine lacks for tests in a browser; `None` where it has all.
pub(crate) fn lacks() -> Option<String> {
    let runs = |program: &str| {
        let asked = Command::new(program)
            .arg("--version")
            .stdin(Stdio::null())
            .output();
        asked.is_ok_and(|told| told.status.success())
    };
    let node = (!runs("node") || !runs("npm")).then_some("Node 20 with npm (Debian: nodejs npm)");
    let browser = chromium()
        .is_none()
        .then_some("chromium (Debian: chromium), or CHROMIUM=PATH");
    let lacking: Vec<&str> = node.into_iter().chain(browser).collect();
    (!lacking.is_empty()).then(|| format!("this machine lacks {}", lacking.join(" and ")))
}

/// The tests, after what they need was installed where it was not.
pub(crate) fn tests(tools: &Path) -> Result<Command, String> {
    let (folder, wanted) = (tools.join("browser"), FILES[1].1);
    let failed = |error: std::io::Error| format!("failed to write into target/tools: {error}");
    fs::create_dir_all(&folder).map_err(failed)?;
    for (name, text) in FILES {
        fs::write(folder.join(name), text).map_err(failed)?;
    }
    // Written last, so what it says is there is there.
    let mark = folder.join("installed.json");
    if !fs::read_to_string(&mark).is_ok_and(|there| there == wanted) {
        println!("playwright-core and axe-core are installed into target/tools");
        let ran = run("npm-browser", npm_ci(&folder), tools)?;
        if !ran.ok {
            return Err(ran.output);
        }
        fs::write(&mark, wanted).map_err(failed)?;
    }
    let mut command = Command::new("node");
    command.arg(folder.join("pages.mjs"));
    command.env("CHROMIUM", chromium().ok_or("there is no chromium")?);
    Ok(command)
}
