//! What a log that was just opened holds, against what was acknowledged.

use std::path::Path;

use jiff::civil::Date;
use outis_model::record::Logged;

use crate::chain::{Hash, link, split};
use crate::checkpoint::Checkpoint;
use crate::days::{Day, Days};
use crate::error::StoreError;

type Row = (u64, Hash, Vec<u8>);

/// The head to go on from, and what is wrong with the log when it does not hold what was acknowledged.
/// Reads the newest days alone, so that opening takes as long whatever the history.
pub(super) fn recover(
    days: &mut Days,
    acknowledged: Option<Checkpoint>,
) -> Result<(Checkpoint, Option<String>), StoreError> {
    let found = last(days)?;
    let Some(goal) = acknowledged else {
        let Some((seq, hash, _)) = found else { return Ok((Checkpoint::default(), None)) };
        let head = Checkpoint { count: seq + 1, head: hash, ..Checkpoint::default() };
        let text = format!("its checkpoint is gone, and so is the proof that record {seq} is the last");
        return Ok((head, Some(text)));
    };
    let count = found.as_ref().map_or(goal.first, |(seq, ..)| seq + 1);
    if count < goal.count {
        let text = format!("records {count} to {} were acknowledged and are gone", goal.count - 1);
        return Ok((goal, Some(text)));
    }
    let head = match &found {
        Some((_, hash, _)) if count > goal.count => Checkpoint { count, head: *hash, ..goal },
        _ => goal,
    };
    if goal.count > goal.first {
        let at = goal.count - 1;
        if find(days, at)?.is_none_or(|(_, hash, _)| hash != goal.head) {
            return Ok((head, Some(format!("record {at} is not the one that was acknowledged"))));
        }
    }
    // Rows behind the checkpoint were on disk before it was: not acknowledged, but whole if they chain.
    let broken = mend(days, goal)?;
    Ok((head, broken.map(|seq| format!("record {seq} does not follow from the one before it"))))
}

/// Walks the rows behind the checkpoint. Rows and ids are two trees, and only a flush makes both durable:
/// a group that was cut short may have its rows without its ids, so those are written again.
fn mend(days: &mut Days, goal: Checkpoint) -> Result<Option<u64>, StoreError> {
    let at = |error| StoreError::at(Path::new("log"), error);
    let (mut next, mut head) = (goal.count, goal.head);
    for date in holding(days, goal.count)? {
        let day = days.day(date)?;
        for row in day.rows.range(goal.count.to_be_bytes()..) {
            let (key, row) = row.map_err(at)?;
            let (seq, (hash, bytes)) = (position(&key)?, split(&row).ok_or_else(|| short(&key))?);
            if seq != next || link(head, seq, bytes) != hash {
                return Ok(Some(seq));
            }
            (next, head) = (seq + 1, hash);
            day.ids.insert(decode(&key, &row)?.record.id.to_bytes(), &key).map_err(at)?;
        }
        day.db.flush()?;
    }
    Ok(None)
}

/// Days with rows at `from` or behind it, oldest first.
fn holding(days: &mut Days, from: u64) -> Result<Vec<Date>, StoreError> {
    let mut found = Vec::new();
    for date in days.list().into_iter().rev() {
        let last = days.day(date)?.rows.last().map_err(|error| StoreError::at(Path::new("log"), error))?;
        let Some((key, _)) = last else { continue };
        if position(&key)? < from {
            break;
        }
        found.push(date);
    }
    found.reverse();
    Ok(found)
}

/// Where the log begins when days before `date` are gone, and the hash of the record before.
pub(super) fn beginning(days: &mut Days, date: Date, head: Checkpoint) -> Result<(u64, Hash), StoreError> {
    let mut first = head.count;
    for kept in days.list().into_iter().filter(|kept| *kept >= date) {
        let row = days.day(kept)?.rows.first().map_err(|error| StoreError::at(Path::new("log"), error))?;
        if let Some((key, _)) = row {
            first = position(&key)?;
            break;
        }
    }
    if first == head.first || first == 0 {
        return Ok((head.first, head.before));
    }
    if first == head.count {
        return Ok((first, head.head));
    }
    let (_, before, _) = find(days, first - 1)?
        .ok_or_else(|| StoreError::Damaged(format!("record {} is missing", first - 1)))?;
    Ok((first, before))
}

fn row_at(day: &Day, seq: u64) -> Result<Option<Row>, StoreError> {
    let row = day.rows.get(seq.to_be_bytes()).map_err(|error| StoreError::at(Path::new("log"), error))?;
    let Some(row) = row else { return Ok(None) };
    let (hash, bytes) = split(&row).ok_or_else(|| short(&seq.to_be_bytes()))?;
    Ok(Some((seq, hash, bytes.to_vec())))
}

fn last(days: &mut Days) -> Result<Option<Row>, StoreError> {
    for date in days.list().into_iter().rev() {
        let day = days.day(date)?;
        if let Some((key, _)) = day.rows.last().map_err(|error| StoreError::at(Path::new("log"), error))? {
            return row_at(&day, position(&key)?);
        }
    }
    Ok(None)
}

fn find(days: &mut Days, seq: u64) -> Result<Option<Row>, StoreError> {
    for date in days.list().into_iter().rev() {
        let day = days.day(date)?;
        if let Some(row) = row_at(&day, seq)? {
            return Ok(Some(row));
        }
        // Days hold positions in order: what is not behind this day's first is not further back, too.
        let first = day.rows.first().map_err(|error| StoreError::at(Path::new("log"), error))?;
        if let Some((key, _)) = first
            && position(&key)? <= seq
        {
            break;
        }
    }
    Ok(None)
}

pub(super) fn short(seq: &[u8]) -> StoreError {
    StoreError::Damaged(format!("the row at {seq:02x?} is too short"))
}

pub(super) fn position(key: &[u8]) -> Result<u64, StoreError> {
    key.try_into()
        .map(u64::from_be_bytes)
        .map_err(|_| StoreError::Damaged(format!("key {key:02x?} is no position")))
}

pub(super) fn decode(key: &[u8], row: &[u8]) -> Result<Logged, StoreError> {
    let seq = position(key)?;
    let (_, bytes) = split(row).ok_or_else(|| short(key))?;
    let record = serde_json::from_slice(bytes)
        .map_err(|error| StoreError::Damaged(format!("record {seq} cannot be read: {error}")))?;
    Ok(Logged { seq, record })
}
