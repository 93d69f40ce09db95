use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tollgate_core::CallId;

use crate::{
    StoreError,
    row::{Reading, Row},
};

/// How many rows are handed on at once.
const CHUNK: usize = 4096;

/// Where charges wait while the database cannot be written: a file beside it, one line for each,
/// checksum first.
///
/// Whoever reads or writes it holds its lock, so that two processes may share it. What was appended
/// is on the disk.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    limit: u64,
    torn: AtomicU64,
}

/// Where the rows of a journal go.
pub(crate) trait Keep {
    /// Keeps rows, those it has already only once.
    fn keep<'a>(&mut self, rows: impl Iterator<Item = Row<'a>> + Clone) -> Result<(), StoreError>;

    /// Makes sure that what was kept is on the disk.
    fn secure(&mut self) -> Result<(), StoreError>;
}

impl Journal {
    /// The journal of the database at `path`, of at most `limit` bytes.
    pub(crate) fn beside(path: &Path, limit: u64) -> Self {
        let mut name = path.as_os_str().to_owned();
        name.push(".journal");
        Self { path: name.into(), limit, torn: AtomicU64::new(0) }
    }

    /// How many torn records were found and cut off.
    pub(crate) fn torn(&self) -> u64 {
        self.torn.load(Relaxed)
    }

    /// Whether there is something to replay.
    pub(crate) fn is_filled(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|file| file.len() > 0)
    }

    /// Appends rows, all or none, and waits until they are on the disk.
    pub(crate) fn append<'a>(&self, rows: impl Iterator<Item = Row<'a>>) -> io::Result<()> {
        let mut lines = Vec::new();
        rows.for_each(|row| line(&row, &mut lines));
        let mut file = self.open(OpenOptions::new().create(true).read(true).append(true))?;
        let end = self.whole(&mut file)?;
        if end + lines.len() as u64 > self.limit {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "the journal is full"));
        }
        file.write_all(&lines).and_then(|()| file.sync_data()).inspect_err(|_| {
            // Half a line must not be followed by others. If this fails too, the next one does it.
            let _ = file.set_len(end);
        })?;
        if end == 0 { sync_dir_of(&self.path) } else { Ok(()) }
    }

    /// Hands all rows on and empties the file. Returns how many there were.
    ///
    /// A last line that is not whole was being written when its process ended: it is cut off.
    /// Errors: a line before it is damaged, or the rows cannot be kept; the file stays.
    pub(crate) fn replay(&self, to: &mut impl Keep) -> Result<usize, StoreError> {
        let file = match self.open(OpenOptions::new().read(true).write(true)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(e) => return Err(StoreError::file(&self.path, e)),
        };
        let mut lines = Lines { reader: BufReader::new(file), number: 0 };
        let (mut count, mut torn) = (0, false);
        while !torn {
            let (texts, end) = self.chunk(&mut lines)?;
            torn = end == End::Torn;
            let lines: Vec<(Line<'_>, Reading<'_>)> =
                texts.iter().filter_map(|text| parse(text)).collect();
            let rows = lines.iter().filter_map(|(line, read)| line.row(read));
            let kept = rows.clone().count();
            if kept > 0 {
                to.keep(rows)?;
            }
            count += kept;
            if end == End::File {
                break;
            }
        }
        to.secure()?;
        self.torn.fetch_add(u64::from(torn), Relaxed);
        let file = lines.reader.into_inner();
        let emptied = file.set_len(0).and_then(|()| file.sync_data());
        emptied.map_err(|e| StoreError::file(&self.path, e))?;
        Ok(count)
    }

    /// The next lines that are whole.
    fn chunk(&self, lines: &mut Lines) -> Result<(Vec<Vec<u8>>, End), StoreError> {
        let mut texts = Vec::new();
        while texts.len() < CHUNK {
            let Some(text) = lines.next().map_err(|e| StoreError::file(&self.path, e))? else {
                return Ok((texts, End::File));
            };
            if parse(&text).is_some() {
                texts.push(text);
            } else if lines.at_end().map_err(|e| StoreError::file(&self.path, e))? {
                return Ok((texts, End::Torn));
            } else {
                return Err(StoreError::Journal { path: self.path.clone(), line: lines.number });
            }
        }
        Ok((texts, End::Chunk))
    }

    /// Opens the file and locks it until it is dropped.
    fn open(&self, options: &mut OpenOptions) -> io::Result<File> {
        let file = private(options).open(&self.path)?;
        file.lock()?;
        Ok(file)
    }

    /// Cuts off what a process that ended left half written. Returns the file's length.
    fn whole(&self, file: &mut File) -> io::Result<u64> {
        let length = file.seek(SeekFrom::End(0))?;
        let mut last = [b'\n'];
        if length > 0 {
            file.seek(SeekFrom::Start(length - 1))?;
            file.read_exact(&mut last)?;
        }
        if last == [b'\n'] {
            return Ok(length);
        }
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.read_to_end(&mut text)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1) as u64;
        file.set_len(whole)?;
        self.torn.fetch_add(1, Relaxed);
        Ok(whole)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Chunk,
    File,
    Torn,
}

struct Lines {
    reader: BufReader<File>,
    number: u64,
}

impl Lines {
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut text = Vec::new();
        self.number += 1;
        Ok((self.reader.read_until(b'\n', &mut text)? > 0).then_some(text))
    }

    fn at_end(&mut self) -> io::Result<bool> {
        Ok(self.reader.fill_buf()?.is_empty())
    }
}

/// What a line holds behind its checksum.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    call: String,
    attempt: u32,
    #[serde(borrow)]
    record: &'a RawValue,
}

impl Line<'_> {
    fn row<'a>(&'a self, read: &'a Reading<'_>) -> Option<Row<'a>> {
        Some(Row {
            call: *self.call.parse::<CallId>().ok()?.as_bytes(),
            attempt: self.attempt,
            record: self.record.get().as_bytes().into(),
            counted: read.counted(),
        })
    }
}

fn line(row: &Row<'_>, to: &mut Vec<u8>) {
    let Some(json) = row.json() else { return };
    let Ok(record) = serde_json::from_str::<&RawValue>(&json) else { return };
    let call = CallId::from_bytes(row.call).to_string();
    let start = to.len();
    to.extend_from_slice(b"00000000 ");
    // Strings and numbers into memory: there is nothing that could fail.
    if serde_json::to_writer(&mut *to, &Line { call, attempt: row.attempt, record }).is_err() {
        return to.truncate(start);
    }
    let sum = format!("{:08x}", crc32fast::hash(&to[start + 9..]));
    to[start..start + 8].copy_from_slice(sum.as_bytes());
    to.push(b'\n');
}

fn parse(line: &[u8]) -> Option<(Line<'_>, Reading<'_>)> {
    let (sum, json) = line.strip_suffix(b"\n")?.split_at_checked(9)?;
    let sum = u32::from_str_radix(str::from_utf8(&sum[..8]).ok()?, 16).ok()?;
    if sum != crc32fast::hash(json) {
        return None;
    }
    let line: Line<'_> = serde_json::from_slice(json).ok()?;
    line.call.parse::<CallId>().ok()?;
    let read = Reading::of(line.record.get())?;
    Some((line, read))
}

/// Makes a file that was just made durable: its name, that is.
#[cfg(unix)]
pub(crate) fn sync_dir_of(path: &Path) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
pub(crate) fn sync_dir_of(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}
