use super::RESULT;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What is found in the output folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    File {
        path: PathBuf,
        name: String,
    },
    Other {
        name: String,
        reason: String,
    },
    /// There is more than is looked at.
    More,
}

/// How far a folder is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Files, folders and whatever else has a name.
    pub(super) entries: usize,
    /// Of a path below the folder.
    pub(super) path_bytes: usize,
}

/// Everything below a folder but the result, by name, within bounds. Links are not followed.
pub(super) fn walk(folder: &Path, bounds: Bounds) -> Vec<Found> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    let mut left = bounds.entries;
    while let Some(next) = folders.pop() {
        // One more than is looked at shows that there is more.
        let entries = fs::read_dir(&next)
            .and_then(|entries| entries.take(left + 1).collect::<io::Result<Vec<_>>>());
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                let name = relative(folder, &next).display().to_string();
                found.push(Found::Other { name, reason: error.to_string() });
                continue;
            }
        };
        if entries.len() > left {
            found.push(Found::More);
            return found;
        }
        left -= entries.len();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let name = relative(folder, &path);
            let shown = name.display().to_string();
            let is_long = name.as_os_str().len() > bounds.path_bytes;
            let other = |reason: &str| Found::Other { name: shown, reason: reason.to_owned() };
            match entry.file_type() {
                Ok(kind) if kind.is_symlink() => found.push(other("it is a symbolic link")),
                Ok(_) if name == Path::new(RESULT) => {}
                Ok(_) if is_long => found.push(other("its path is too long")),
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(kind) if !kind.is_file() => found.push(other("it is not a regular file")),
                Ok(_) => found.push(match name.to_str() {
                    Some(name) => Found::File { name: name.to_owned(), path },
                    None => other("its name is not UTF-8"),
                }),
                Err(error) => found.push(other(&error.to_string())),
            }
        }
    }
    found
}

fn relative<'a>(folder: &Path, path: &'a Path) -> &'a Path {
    path.strip_prefix(folder).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const BOUNDS: Bounds = Bounds { entries: 100, path_bytes: 40 };

    fn names(folder: &Path, bounds: Bounds) -> Vec<String> {
        let name = |found| match found {
            Found::File { name, .. } => name,
            Found::Other { name, reason } => format!("{name}: {reason}"),
            Found::More => "more".to_owned(),
        };
        walk(folder, bounds).into_iter().map(name).collect()
    }

    #[test]
    fn every_regular_file_but_the_result_is_found_and_links_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("deep/er")).expect("a folder");
        for name in ["result.json", "a", "deep/result.json", "deep/er/b"] {
            fs::write(path(name), name).expect("a file");
        }
        symlink("/etc/passwd", path("deep/link")).expect("a link");
        symlink("/etc", path("folder-link")).expect("a link");
        let expected = [
            "a",
            "folder-link: it is a symbolic link",
            "deep/link: it is a symbolic link",
            "deep/result.json",
            "deep/er/b",
        ];
        assert_eq!(names(folder.path(), BOUNDS), expected);
    }

    #[test]
    fn what_has_no_end_is_looked_at_to_a_bound_which_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut deep = folder.path().to_owned();
        for _ in 0..200 {
            deep.push("seven77");
        }
        fs::create_dir_all(&deep).expect("a deep folder");
        let too_deep = format!("{}: its path is too long", ["seven77"; 6].join("/"));
        assert_eq!(names(folder.path(), BOUNDS), [too_deep]);
        for number in 0..100 {
            fs::write(folder.path().join(number.to_string()), "").expect("a file");
        }
        assert_eq!(names(folder.path(), BOUNDS), ["more"], "it is read no further");
        let enough = Bounds { entries: 106, ..BOUNDS };
        assert_eq!(names(folder.path(), enough).len(), 101);
    }
}
