//! Which files a run names, and that none of its outputs is another of them. Files are compared, not texts: a path has many
//! spellings, and a file has many paths.

use std::fs;
use std::path::{Path, PathBuf};

use revtrail_core::attribution::settings::Preset;

use super::{AttributeArgs, Failure};

/// As many links are followed to where a new file would lie, as systems do.
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

/// The outputs that are named, each with its option.
pub(crate) fn outputs(args: &AttributeArgs) -> impl Iterator<Item = (&'static str, &PathBuf)> {
    let credits = args.credits.iter().map(|path| ("--credits", path));
    let explain = args.explain.iter().map(|path| ("--explain", path));
    let rejects = args.rejects.iter().map(|path| ("--rejects", path));
    credits.chain(explain).chain(rejects)
}

/// The inputs with records, each with its option.
pub(crate) fn inputs(args: &AttributeArgs) -> impl Iterator<Item = (&'static str, &PathBuf)> {
    let events = args.events.iter().map(|path| ("--events", path));
    let orders = args.orders.iter().map(|path| ("--orders", path));
    let campaigns = args.campaigns.iter().map(|path| ("--campaigns", path));
    events.chain(orders).chain(campaigns)
}

/// Checks that no output overwrites an input or another output, and that standard input is read once.
///
/// # Errors
/// [`Failure::Usage`].
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
    let input = |(option, path): (_, &PathBuf)| (named(option, path), Place::of_input(path));
    let mut taken: Vec<(String, Place)> = inputs.into_iter().map(input).collect();
    // The report goes to standard output, unless a file goes there.
    let of_report = match outputs(args).any(|(_, path)| is_standard_output(path)) {
        _ if args.json => Some("--json"),
        true => None,
        false => Some("the report"),
    };
    let of_report = of_report.map(|name| (name.to_owned(), Place::of_output(Path::new("-"))));
    let of_files =
        outputs(args).map(|(option, path)| (named(option, path), Place::of_output(path)));
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

/// Where a file lies, or would lie.
struct Place {
    path: PathBuf,
    /// Device and inode of a file that is there, on systems that tell.
    inode: Option<(u64, u64)>,
}

impl Place {
    fn of(path: &Path) -> Self {
        let path = resolve(path);
        Self {
            inode: inode(&path),
            path,
        }
    }

    /// A standard stream is the file that the shell connects it with; a terminal, a pipe or /dev/null is nobody's file.
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

/// The one path of a file, without links, also of one that is not there yet.
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
