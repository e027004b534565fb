//! A folder for files that come in and go out, as tests use it.

use std::path::PathBuf;

use revtrail_storage::file::File;
use revtrail_storage::files::Folder;
use revtrail_store::random_hex;

/// A folder with an inbox and an outbox, gone with its owner.
pub struct Root(pub PathBuf);

impl Root {
    pub fn new() -> Self {
        Self(std::env::temp_dir().join(format!("revtrail-batches-{}", random_hex())))
    }

    pub fn put(&self, name: &str, bytes: &[u8]) -> File {
        let file = File::at(&format!("inbox/m/redemptions/{name}")).unwrap();
        let path = self.0.join(&file.key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // As it is to be done: elsewhere, and renamed.
        let elsewhere = self.0.join(random_hex());
        std::fs::write(&elsewhere, bytes).unwrap();
        std::fs::rename(elsewhere, path).unwrap();
        file
    }

    pub fn result(&self, file: &File, name: &str) -> String {
        std::fs::read_to_string(self.0.join(file.result(name))).unwrap_or_default()
    }

    pub fn folder(&self) -> Folder {
        Folder::new(self.0.clone())
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
