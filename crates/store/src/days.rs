//! One database per day: small, opened when needed, removed as a whole.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};
use sled::Tree;

use crate::database::Database;
use crate::error::StoreError;

/// Cache of one day's database.
const CACHE_MIB: u64 = 16;
/// Days that are open at a time: today, and those readers were last at.
const OPEN: usize = 3;
/// One day's rows by position, and positions by record id.
pub(crate) struct Day {
    pub(crate) db: Database,
    pub(crate) rows: Tree,
    pub(crate) ids: Tree,
}

/// All days of a log.
pub(crate) struct Days {
    dir: PathBuf,
    /// Every day on disk, and who holds it open: a database can be open once in a process.
    known: BTreeMap<Date, Weak<Day>>,
    /// Those we hold open ourselves, the one used last at the end.
    open: VecDeque<(Date, Arc<Day>)>,
}

/// The day an instant belongs to, in UTC.
pub(crate) fn day_of(at: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(at).date()
}

impl Days {
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        let io = |what| move |source| StoreError::Io { what, path: dir.into(), source };
        std::fs::create_dir_all(dir).map_err(io("create"))?;
        let mut known = BTreeMap::new();
        for entry in std::fs::read_dir(dir).map_err(io("list"))? {
            let name = entry.map_err(io("list"))?.file_name();
            known.extend(name.to_str().and_then(|name| Some((name.parse::<Date>().ok()?, Weak::new()))));
        }
        Ok(Self { dir: dir.into(), known, open: VecDeque::new() })
    }

    /// Days on disk, oldest first.
    pub(crate) fn list(&self) -> Vec<Date> {
        self.known.keys().copied().collect()
    }

    /// A day's database, if there is such a day.
    pub(crate) fn read(&mut self, date: Date) -> Result<Option<Arc<Day>>, StoreError> {
        if self.known.contains_key(&date) { self.day(date).map(Some) } else { Ok(None) }
    }

    /// A day's database, opened or created.
    pub(crate) fn day(&mut self, date: Date) -> Result<Arc<Day>, StoreError> {
        if let Some(at) = self.open.iter().position(|(open, _)| *open == date) {
            let found = self.open.remove(at).expect("just found");
            self.open.push_back(found);
        } else {
            let held = self.known.get(&date).and_then(Weak::upgrade);
            let day = match held {
                Some(day) => day,
                None => Arc::new(self.database(date)?),
            };
            self.known.insert(date, Arc::downgrade(&day));
            self.open.push_back((date, day));
        }
        if self.open.len() > OPEN {
            // The newest day is the writer's; it stays.
            let newest = self.known.keys().next_back().copied();
            let at = self.open.iter().position(|(date, _)| Some(*date) != newest).unwrap_or(0);
            self.open.remove(at);
        }
        let (_, day) = self.open.back().expect("just put there");
        Ok(Arc::clone(day))
    }

    fn database(&self, date: Date) -> Result<Day, StoreError> {
        let dir = self.dir.join(date.to_string());
        let db = match self.known.contains_key(&date) {
            true => Database::open_again(&dir, CACHE_MIB)?,
            false => Database::open(&dir, CACHE_MIB)?,
        };
        let tree = |name| db.open_tree(name).map_err(|error| StoreError::at(&dir, error));
        Ok(Day { rows: tree("rows")?, ids: tree("ids")?, db })
    }

    /// Lets go of every database, so that they are read from disk again. False while a reader holds one.
    pub(crate) fn close(&mut self) -> bool {
        self.open.clear();
        self.known.values().all(|held| held.strong_count() == 0)
    }

    /// Removes days before `date`; gives how many.
    pub(crate) fn remove_before(&mut self, date: Date) -> Result<usize, StoreError> {
        let old: Vec<Date> = self.list().into_iter().filter(|day| *day < date).collect();
        for day in &old {
            self.known.remove(day);
            self.open.retain(|(open, _)| open != day);
            let path = self.dir.join(day.to_string());
            std::fs::remove_dir_all(&path).map_err(|source| StoreError::Io {
                what: "remove",
                path,
                source,
            })?;
        }
        Ok(old.len())
    }
}
