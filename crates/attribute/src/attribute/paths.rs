//! Which files a run names, and that no output is one of the other files. Files are compared, not texts, because a path has many
//! spellings, and a file has many paths.

use std::fs;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, glob_with};
use revtrail_core::attribution::settings::Preset;

use super::{AttributeArgs, Failure};

/// How many links are followed to the place of a new file; systems have the same limit.
const LINKS_MAX: usize = 40;

pub(crate) fn is_standard_input(path: impl AsRef<Path>) -> bool {
    is_one_of(
        path.as_ref(),
        ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"],
    )
}

pub(crate) fn is_standard_output(path: impl AsRef<Path>) -> bool {
    is_one_of(
        path.as_ref(),
        ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"],
    )
}

fn is_one_of(path: &Path, names: [&str; 4]) -> bool {
    names.iter().any(|name| path == Path::new(name))
}

/// The outputs that the arguments name, each with its option.
pub(crate) fn outputs(args: &AttributeArgs) -> impl Iterator<Item = (&'static str, &PathBuf)> {
    let credits = args.credits.iter().map(|path| ("--credits", path));
    let explain = args.explain.iter().map(|path| ("--explain", path));
    let rejects = args.rejects.iter().map(|path| ("--rejects", path));
    credits.chain(explain).chain(rejects)
}

/// The inputs with records that the arguments name, each with its option.
pub(crate) fn inputs(args: &AttributeArgs) -> impl Iterator<Item = (&'static str, &PathBuf)> {
    let events = args.events.iter().map(|path| ("--events", path));
    let orders = args.orders.iter().map(|path| ("--orders", path));
    let campaigns = args.campaigns.iter().map(|path| ("--campaigns", path));
    events.chain(orders).chain(campaigns)
}

/// The arguments with the files that each pattern among the inputs names, in the order of their paths. What exists is no pattern,
/// whatever characters its name has.
///
/// # Errors
/// [`Failure::Usage`] where a pattern is none, or names no file; [`Failure::Read`] where a folder cannot be read.
pub(crate) fn expand(args: &AttributeArgs) -> Result<AttributeArgs, Failure> {
    let mut args = args.clone();
    let mut problems = Vec::new();
    for (option, paths) in [
        ("--events", &mut args.events),
        ("--orders", &mut args.orders),
        ("--campaigns", &mut args.campaigns),
    ] {
        let mut expanded = Vec::new();
        for path in std::mem::take(paths) {
            match path.to_str().filter(|text| text.contains(['*', '?', '['])) {
                Some(pattern) if fs::symlink_metadata(&path).is_err() => {
                    match files_named(pattern)? {
                        Ok(files) => expanded.extend(files),
                        Err(why) => problems.push(format!("{option} {pattern}: {why}")),
                    }
                }
                _ => expanded.push(path),
            }
        }
        *paths = expanded;
    }
    match problems.is_empty() {
        true => Ok(args),
        false => Err(Failure::Usage(problems)),
    }
}

/// The files that a pattern names, or why it names none.
fn files_named(pattern: &str) -> Result<Result<Vec<PathBuf>, String>, Failure> {
    let as_in_a_shell = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let found = match glob_with(pattern, as_in_a_shell) {
        Ok(found) => found,
        Err(error) => return Ok(Err(format!("this is no pattern of file names: {error}"))),
    };
    let mut files = Vec::new();
    for path in found {
        let path = path.map_err(|error| Failure::Read {
            path: error.path().to_owned(),
            source: error.into(),
        })?;
        files.extend((!path.is_dir()).then_some(path));
    }
    Ok(match files.is_empty() {
        true => Err("no file has a name like this".to_owned()),
        false => Ok(files),
    })
}

/// Checks that no output overwrites an input or another output, and that standard input is read only once.
///
/// # Errors
/// [`Failure::Usage`] if one of them is the case.
pub(crate) fn check(args: &AttributeArgs) -> Result<(), Failure> {
    let settings = PathBuf::from(&args.settings);
    let settings = Preset::parse(&args.settings).is_none().then_some(settings);
    let settings = settings.iter().map(|path| ("--settings", path));
    let inputs: Vec<_> = inputs(args).chain(settings).collect();
    let mut problems = Vec::new();
    let standard_inputs = inputs.iter().filter(|(_, path)| is_standard_input(path));
    if standard_inputs.count() > 1 {
        problems.push("- is standard input, which is read once: name one input so".to_owned());
    }
    if args.rejects.as_deref().is_some_and(is_standard_output) {
        problems.push("--rejects needs a file: its rows are written while others are read".into());
    }
    let named = |option: &str, path: &Path| format!("{option} {}", path.display());
    let input = |(option, path): (_, &PathBuf)| (named(option, path), FileIdentity::of_input(path));
    let mut taken: Vec<(String, FileIdentity)> = inputs.into_iter().map(input).collect();
    // The report goes to standard output, unless a file goes there.
    let of_report = match outputs(args).any(|(_, path)| is_standard_output(path)) {
        _ if args.json => Some("--json"),
        true => None,
        false => Some("the report"),
    };
    let of_report =
        of_report.map(|name| (name.to_owned(), FileIdentity::of_output(Path::new("-"))));
    let of_files =
        outputs(args).map(|(option, path)| (named(option, path), FileIdentity::of_output(path)));
    for (output, place) in of_report.into_iter().chain(of_files) {
        if let Some((other, _)) = taken.iter().find(|(_, other)| other.is(&place)) {
            problems.push(format!(
                "{output} is the same file as {other}: give each output a file of its own"
            ));
        }
        taken.push((output, place));
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Failure::Usage(problems)),
    }
}

/// What identifies a file that exists, or that would be made.
struct FileIdentity {
    path: PathBuf,
    /// The device and the inode of a file that exists, on systems that give them.
    inode: Option<(u64, u64)>,
}

impl FileIdentity {
    fn of(path: &Path) -> Self {
        let path = resolve(path);
        Self {
            inode: inode(&path),
            path,
        }
    }

    /// A standard stream is the file that the shell connects it with. A terminal, a pipe or /dev/null is no such file.
    fn of_standard(stream: &str) -> Self {
        match fs::metadata(stream) {
            Ok(found) if found.is_file() => Self::of(Path::new(stream)),
            _ => Self {
                path: stream.into(),
                inode: None,
            },
        }
    }

    fn of_input(path: &Path) -> Self {
        match is_standard_input(path) {
            true => Self::of_standard("/dev/stdin"),
            false => Self::of(path),
        }
    }

    fn of_output(path: &Path) -> Self {
        match is_standard_output(path) {
            true => Self::of_standard("/dev/stdout"),
            false => Self::of(path),
        }
    }

    fn is(&self, other: &Self) -> bool {
        self.path == other.path || (self.inode.is_some() && self.inode == other.inode)
    }
}

#[cfg(unix)]
fn inode(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;

    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn inode(_: &Path) -> Option<(u64, u64)> {
    None
}

/// The one path of a file without links, also of a file that does not exist yet.
pub(crate) fn resolve(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        if let Ok(real) = fs::canonicalize(&path) {
            return real;
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let (Ok(folder), Some(name)) = (fs::canonicalize(folder), path.file_name()) else {
            break;
        };
        path = folder.join(name);
        match fs::read_link(&path) {
            Ok(target) => path = folder.join(target),
            Err(_) => break,
        }
    }
    path
}
