use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use tollgate_keys::KeyFileError;

/// A store cannot be used. The text names the file and never holds a key.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// SQLite says no: locked, full, unreadable, damaged.
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file beside the database cannot be read or written.
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is a database of something else.
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer Tollgate.
    Newer {
        /// The file.
        path: PathBuf,
        /// The newest migration in the file.
        found: u32,
        /// The newest this program knows.
        known: u32,
    },
    /// A migration in the file is not the one of that number this program knows.
    Altered {
        /// The file.
        path: PathBuf,
        /// Which one.
        number: u32,
    },
    /// The journal is damaged before its end: what follows may be charges.
    Journal {
        /// The journal.
        path: PathBuf,
        /// The damaged line, counted from 1.
        line: u64,
    },
    /// The key file to import cannot be read.
    Keys(KeyFileError),
}

impl StoreError {
    pub(crate) fn database(path: &Path, source: rusqlite::Error) -> Self {
        Self::Database { path: path.to_owned(), source: source.into() }
    }

    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database { path, source } => write!(f, "{}: {source}", path.display()),
            Self::File { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Foreign { path } => {
                write!(f, "{} is a database, but not one of Tollgate's", path.display())
            }
            Self::Newer { path, found, known } => write!(
                f,
                "{} was written by a newer Tollgate: it has migration {found}, this program knows \
                 {known}",
                path.display()
            ),
            Self::Altered { path, number } => write!(
                f,
                "{} was made with another migration {number} than this program's",
                path.display()
            ),
            Self::Journal { path, line } => write!(
                f,
                "{} is damaged at line {line}; move it away to start without its charges",
                path.display()
            ),
            Self::Keys(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Database { source, .. } => Some(&**source),
            Self::File { source, .. } => Some(source),
            Self::Keys(error) => Some(error),
            _ => None,
        }
    }
}

impl From<KeyFileError> for StoreError {
    fn from(error: KeyFileError) -> Self {
        Self::Keys(error)
    }
}
