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

/// The bill of materials names every crate of the tree with the hash of its archive; those of this workspace have none.
#[test]
fn the_bill_of_materials_is_the_tree() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/sbom.py");
    let made = Command::new("python3").args([script, "revtrail"]).output();
    let made = made.unwrap();
    let told = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{told}");
    let bill: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let components = bill["components"].as_array().unwrap();
    let tree = crates_of(&["-p", "revtrail"]);
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let (name, rest) = line.split_once(" v").unwrap();
        let version = rest.split(' ').next().unwrap();
        let is = |one: &&serde_json::Value| one["name"] == name && one["version"] == version;
        let found = components.iter().find(is);
        let Some(found) = found else {
            assert_eq!(name, "revtrail", "{name} {version} is missing");
            continue;
        };
        let is_ours = rest.contains(" (/");
        assert_eq!(found["hashes"].is_array(), !is_ours, "{found}");
    }
    assert_eq!(bill["metadata"]["component"]["name"], "revtrail");
}
