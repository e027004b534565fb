//! What the command line's tree must not hold: the crates of Lambda stand behind a feature of the functions.

use std::process::Command;

fn crates_of(args: &[&str]) -> String {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none"])
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        tree.status.success(),
        "{}",
        String::from_utf8_lossy(&tree.stderr)
    );
    String::from_utf8(tree.stdout).unwrap()
}

#[test]
fn the_command_line_knows_no_lambda() {
    let knows_lambda = |tree: &str| tree.lines().any(|line| line.starts_with("lambda_"));
    let deployed = crates_of(&["-p", "ingest-event", "--features", "ingest-event/lambda"]);
    assert!(knows_lambda(&deployed), "the check finds what is there");
    let command_line = crates_of(&["-p", "revtrail"]);
    assert!(command_line.contains("ingest-event "), "{command_line}");
    assert!(!knows_lambda(&command_line), "{command_line}");
}
