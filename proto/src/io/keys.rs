//! A node's key file on disk: made once, never overwritten, readable by its owner alone. What is in it is drawn in
//! `seal/key_text`.

use crate::ids::NodeId;
use crate::io::dir::sync_folder_of;
use crate::seal::{KEY_TEXT_BYTES_MAX, Keys, Seed, key_text, parse_key_text};
use rand::CryptoRng;
use std::fs::{File, OpenOptions, remove_file};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Who this node is, and the keys that prove it.
#[derive(Debug)]
pub struct NodeKeys {
    pub id: NodeId,
    pub keys: Keys,
}

#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("{0}: there is a file already, and a key is never overwritten")]
    Exists(PathBuf),
    #[error("{path}: others than its owner may read this key; run `chmod 600 {path}`")]
    Open { path: PathBuf },
    #[error("{path}: not a key file: {why}")]
    NotAKey { path: PathBuf, why: &'static str },
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
}

impl NodeKeys {
    /// Draws a key, and an id unless this is a new key for an old one, and writes both down before they are used.
    pub fn generate(path: &Path, id: Option<NodeId>, rng: &mut impl CryptoRng) -> Result<Self, KeysError> {
        let id = id.unwrap_or_else(|| NodeId(rng.next_u64()));
        let seed = Seed::draw(rng);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|source| {
            let path = path.to_owned();
            if source.kind() == io::ErrorKind::AlreadyExists { KeysError::Exists(path) } else { wrong(path, source) }
        })?;
        let written = file.write_all(key_text(id, &seed).as_bytes()).and_then(|()| file.sync_all());
        if let Err(source) = written.and_then(|()| sync_folder_of(path)) {
            // It is ours and it is not whole; whoever tries again should not find it.
            let _ = remove_file(path);
            return Err(wrong(path.to_owned(), source));
        }
        Ok(Self { id, keys: Keys::from_seed(&seed) })
    }

    pub fn read(path: &Path) -> Result<Self, KeysError> {
        let refuse = |source| wrong(path.to_owned(), source);
        let file = File::open(path).map_err(refuse)?;
        let mode = file.metadata().map_err(refuse)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(KeysError::Open { path: path.to_owned() });
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_TEXT_BYTES_MAX));
        file.take(KEY_TEXT_BYTES_MAX as u64).read_to_end(&mut bytes).map_err(refuse)?;
        let (id, seed) = parse_key_text(&bytes).map_err(|why| KeysError::NotAKey { path: path.to_owned(), why })?;
        Ok(Self { id, keys: Keys::from_seed(&seed) })
    }
}

fn wrong(path: PathBuf, source: io::Error) -> KeysError {
    KeysError::File { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::dir::tests::Temporary;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use std::fs::{Permissions, read, set_permissions, write};

    fn rng() -> StdRng {
        StdRng::seed_from_u64(1)
    }

    #[test]
    fn a_key_is_made_once_and_read_again() {
        let folder = Temporary::new();
        let path = folder.0.join("key");
        let made = NodeKeys::generate(&path, None, &mut rng()).expect("a new file");
        assert_eq!(path.metadata().expect("a file").permissions().mode() & 0o777, 0o600);
        let found = NodeKeys::read(&path).expect("a good file");
        assert_eq!((found.id, found.keys.public()), (made.id, made.keys.public()));

        let before = read(&path).expect("a file");
        let again = NodeKeys::generate(&path, None, &mut StdRng::seed_from_u64(2));
        assert!(matches!(again, Err(KeysError::Exists(_))));
        assert_eq!(read(&path).expect("a file"), before);

        let renewed = NodeKeys::generate(&folder.0.join("new"), Some(made.id), &mut StdRng::seed_from_u64(3));
        let renewed = renewed.expect("a new file");
        assert_eq!(renewed.id, made.id);
        assert_ne!(renewed.keys.public(), made.keys.public());
    }

    #[test]
    fn a_key_others_may_read_is_refused_with_what_to_do() {
        let folder = Temporary::new();
        let path = folder.0.join("key");
        NodeKeys::generate(&path, None, &mut rng()).expect("a new file");
        for mode in [0o644, 0o640, 0o604, 0o620, 0o601] {
            set_permissions(&path, Permissions::from_mode(mode)).expect("our file");
            let why = NodeKeys::read(&path).expect_err("too open").to_string();
            assert!(why.ends_with(&format!("run `chmod 600 {}`", path.display())), "{why}");
        }
        set_permissions(&path, Permissions::from_mode(0o400)).expect("our file");
        NodeKeys::read(&path).expect("its owner may read it");
    }

    #[test]
    fn no_flipped_bit_makes_another_key() {
        let folder = Temporary::new();
        let path = folder.0.join("key");
        NodeKeys::generate(&path, None, &mut rng()).expect("a new file");
        let good = read(&path).expect("a file");
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            write(&path, &bad).expect("our file");
            let error = NodeKeys::read(&path).expect_err("a bit flipped").to_string();
            assert!(error.starts_with(&format!("{}: not a key file: ", path.display())), "bit {bit}: {error}");
        }
        for length in 0..good.len() {
            write(&path, &good[..length]).expect("our file");
            assert!(matches!(NodeKeys::read(&path), Err(KeysError::NotAKey { .. })), "cut to {length}");
        }
    }

    #[test]
    fn what_is_no_key_file_is_refused_without_showing_it() {
        let folder = Temporary::new();
        let path = folder.0.join("key");
        NodeKeys::generate(&path, None, &mut rng()).expect("a new file");
        let good = String::from_utf8(read(&path).expect("a file")).expect("text");
        let cut = |by: usize| good[..good.len() - by].to_owned();
        let mut bad = vec![String::new(), cut(1), cut(2), cut(10), format!("{good}\n"), good.to_uppercase()];
        bad.push(good.replace("key 1", "key 2"));
        bad.push(good.replace("id ", "id  "));
        bad.push(good.replace("seed ", "seed g"));
        bad.push(good.replace('\n', "\r\n"));
        bad.push("x".repeat(5000));
        for text in bad {
            write(&path, &text).expect("our file");
            let error = NodeKeys::read(&path).expect_err("not a key");
            assert!(matches!(error, KeysError::NotAKey { .. }), "{text:?}");
            let seed = good.split("seed ").nth(1).expect("a seed").trim();
            assert!(!error.to_string().contains(&seed[..8]), "{error}");
        }
        assert!(matches!(NodeKeys::read(&folder.0.join("none")), Err(KeysError::File { .. })));
    }
}
