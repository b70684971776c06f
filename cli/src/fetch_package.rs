//! The name of the package that `offmap fetch` makes beside its file.

use std::path::{Path, PathBuf};

/// Digits that tell what was asked for.
const DIGITS: usize = 8;
/// Before them, behind the name of the file.
const MARK: &str = ".fetch-";

/// The package of a file, by a digest of what was asked for.
pub(crate) fn package_of(file: &Path, digest: &str) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!("{MARK}{}", digest.get(..DIGITS).unwrap_or_default()));
    file.with_file_name(name)
}

/// The file that a package was to become; `None` for what has no such name.
pub(crate) fn destination_of(package: &Path) -> Option<PathBuf> {
    let (file, digits) = package.file_name()?.to_str()?.rsplit_once(MARK)?;
    let is_digest = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (is_digest && !file.is_empty()).then(|| package.with_file_name(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_known_by_the_name_that_it_gets() {
        let file = Path::new("/data/a.fetch-x.gpkg");
        let package = package_of(file, "0123456789abcdef");
        assert_eq!(package, Path::new("/data/a.fetch-x.gpkg.fetch-01234567"));
        assert_eq!(destination_of(&package).as_deref(), Some(file));
        for other in ["a.gpkg", ".fetch-01234567", "a.fetch-0123456", "a.fetch-0123456G", "a.fetch-01234567.new"] {
            assert_eq!(destination_of(&Path::new("/data").join(other)), None, "{other}");
        }
    }
}
