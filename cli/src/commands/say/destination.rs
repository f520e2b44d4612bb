//! The place that `csm say -o` names: standard output, a file, or something to write through.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use csm_shared::process::output;

/// Name of standard output.
const STANDARD_OUTPUT: &str = "-";

/// Place of the audio, found before there is any.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// Standard output.
    StandardOutput,
    /// A regular file, new or replaced only when the audio is whole.
    File(PathBuf),
    /// A device, a pipe or a link, which stays what it is.
    Through(PathBuf),
}

impl Destination {
    /// Looks at what is at `path`.
    ///
    /// # Errors
    /// If nothing can be written there.
    pub(super) fn of(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new(STANDARD_OUTPUT) {
            return Ok(Self::StandardOutput);
        }
        if path.is_dir() {
            bail!("{} is a folder", path.display());
        }
        match fs::symlink_metadata(path) {
            Ok(there) if there.is_file() => Ok(Self::File(path.to_owned())),
            Ok(_) => Ok(Self::Through(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
                if !folder.is_dir() {
                    bail!("there is no folder {}", folder.display());
                }
                Ok(Self::File(path.to_owned()))
            }
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    /// Returns true for a regular file.
    pub(super) const fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// Writes the whole audio.
    ///
    /// # Errors
    /// If it cannot be written. A file is then as it was before.
    pub(super) fn write(&self, audio: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::StandardOutput => output::write_bytes(audio),
            Self::File(path) => replace(path, audio).with_context(|| format!("cannot write {}", path.display()))?,
            Self::Through(path) => {
                let written = OpenOptions::new().write(true).create(true).truncate(true).open(path);
                let written = written.and_then(|mut file| file.write_all(audio));
                written.with_context(|| format!("cannot write {}", path.display()))?;
            }
        }
        Ok(())
    }
}

/// Writes a new file beside the old one and renames it, so that no reader sees half a file.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{}.partial", std::process::id()));
    let partial = PathBuf::from(partial);
    let written = File::create_new(&partial).and_then(|mut file| {
        let old = fs::metadata(path).ok().as_ref().map(Metadata::permissions);
        old.map_or(Ok(()), |permissions| file.set_permissions(permissions))?;
        file.write_all(bytes)?;
        fs::rename(&partial, path)
    });
    if written.is_err() {
        // Fails if it was not made.
        let _ = fs::remove_file(&partial);
    }
    written
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io::Read as _;
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};

    use super::*;

    fn write(path: &Path, bytes: &[u8]) {
        Destination::of(path).unwrap().write(bytes).unwrap();
    }

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_file_is_replaced_when_whole_and_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.wav");
        write(&file, b"first");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        write(&file, b"second");
        assert_eq!(fs::read(&file).unwrap(), b"second");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(names(folder.path()), 1, "no partial file is left");
    }

    #[test]
    fn links_pipes_and_devices_are_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (link, target) = (folder.path().join("link.wav"), folder.path().join("target.wav"));
        symlink(&target, &link).unwrap();
        for bytes in [b"a longer text".as_slice(), b"short"] {
            write(&link, bytes);
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert_eq!(fs::read(&target).unwrap(), bytes);
        }

        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || {
                let mut heard = Vec::new();
                File::open(pipe).unwrap().read_to_end(&mut heard).unwrap();
                heard
            }
        });
        write(&pipe, b"through the pipe");
        assert_eq!(reader.join().unwrap(), b"through the pipe");
        assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo());

        write(Path::new("/dev/null"), b"away");
        assert!(fs::symlink_metadata("/dev/null").unwrap().file_type().is_char_device());
    }

    #[test]
    fn what_cannot_be_written_is_refused_before_there_is_audio() {
        let folder = tempfile::tempdir().unwrap();
        let why = |path: &Path| Destination::of(path).unwrap_err().to_string();
        assert!(why(folder.path()).ends_with(" is a folder"));
        assert!(why(&folder.path().join("none/a.wav")).starts_with("there is no folder "));
        assert_eq!(Destination::of(Path::new("-")).unwrap(), Destination::StandardOutput);
        assert!(Destination::of(Path::new("/dev/full")).unwrap().write(b"no room").is_err());
    }
}
