//! One database per day: small, opened when needed, removed as a whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};
use sled::{Db, Tree};

use crate::error::StoreError;

/// Cache of one day's database.
const CACHE_MIB: u64 = 16;

/// One day's rows by position, and positions by record id.
#[derive(Clone)]
pub(crate) struct Day {
    pub(crate) db: Db,
    pub(crate) rows: Tree,
    pub(crate) ids: Tree,
}

/// All days of a log.
pub(crate) struct Days {
    dir: PathBuf,
    /// Every day on disk; opened when first needed.
    known: BTreeMap<Date, Option<Day>>,
}

/// The day an instant belongs to, in UTC.
pub(crate) fn day_of(at: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(at).date()
}

impl Days {
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir).map_err(|source| StoreError::Io {
            what: "create",
            path: dir.into(),
            source,
        })?;
        let io = |source| StoreError::Io { what: "list", path: dir.into(), source };
        let mut known = BTreeMap::new();
        for entry in std::fs::read_dir(dir).map_err(io)? {
            let name = entry.map_err(io)?.file_name();
            known.extend(name.to_str().and_then(|name| Some((name.parse::<Date>().ok()?, None))));
        }
        Ok(Self { dir: dir.into(), known })
    }

    /// Days on disk, oldest first.
    pub(crate) fn list(&self) -> Vec<Date> {
        self.known.keys().copied().collect()
    }

    /// A day's database, opened or created.
    pub(crate) fn day(&mut self, date: Date) -> Result<Day, StoreError> {
        if let Some(Some(day)) = self.known.get(&date) {
            return Ok(day.clone());
        }
        let dir = self.dir.join(date.to_string());
        let db = crate::database(&dir, CACHE_MIB)?;
        let tree = |name| db.open_tree(name).map_err(|error| StoreError::at(&dir, error));
        let day = Day { rows: tree("rows")?, ids: tree("ids")?, db: db.clone() };
        self.known.insert(date, Some(day.clone()));
        Ok(day)
    }

    /// Removes days before `date`; gives those removed.
    pub(crate) fn remove_before(&mut self, date: Date) -> Result<Vec<Date>, StoreError> {
        let old: Vec<Date> = self.list().into_iter().filter(|day| *day < date).collect();
        for day in &old {
            self.known.remove(day);
            let path = self.dir.join(day.to_string());
            std::fs::remove_dir_all(&path).map_err(|source| StoreError::Io {
                what: "remove",
                path,
                source,
            })?;
        }
        Ok(old)
    }
}
