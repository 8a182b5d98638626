//! Fields of the process. The task name, ids, terminal and capabilities come with each event; the
//! arguments and the ancestors are what the partition remembers.

use outis_model::event::{Ancestor, What};

use super::{Value, View};
use crate::field::{Field, Id};
use crate::partition::Image;

impl<'a> View<'a> {
    /// Parents, nearest first. An event that carries them is believed before our memory.
    fn ancestors(&self) -> &'a [Ancestor] {
        let event = self.event;
        match &event.what {
            What::Exec(exec) => &exec.ancestors,
            What::Fork(fork) => &fork.ancestors,
            _ => self.process.map_or(&[], |process| &process.ancestors),
        }
    }

    fn ancestor(&self, generation: usize) -> Option<&'a Ancestor> {
        self.ancestors().get(generation.checked_sub(1)?)
    }

    fn image(&self) -> Option<&'a Image> {
        self.process.map(|process| &*process.image)
    }

    /// What an ancestor runs: as it was told itself, else as its child was told.
    fn ancestor_image(&self, generation: usize) -> Option<&'a Image> {
        let found = self.ancestor(generation)?;
        let copy = || self.process.filter(|_| generation == 1).and_then(|process| process.parent.as_deref());
        self.partition.image(found).or_else(copy)
    }

    pub(super) fn proc(&self, field: &Field) -> Value<'a> {
        use Id::*;
        let task = &self.event.task;
        let generation = usize::from(field.generation.unwrap_or(1));
        match field.id {
            ProcName => task.comm.as_str().into(),
            ProcTty => task.tty.into(),
            ProcPid => task.pid.into(),
            ProcPpid => task.ppid.into(),
            ProcVpid => task.vpid.into(),
            ProcDuration => self.since(task.start).into(),
            ProcPidStart => self.epoch(task.start).into(),
            ProcPpidDuration => self.ancestor(1).map(|parent| self.since(parent.start)).into(),
            ProcExe => self.image().map(|image| &*image.exe).into(),
            ProcExePath => self.image().map(|image| &*image.path).into(),
            ProcArgs => self.image().map(|image| image.args(self.shown)).into(),
            ProcCmdline => self.image().map(|image| image.cmdline(self.shown)).into(),
            ProcExeLine => {
                self.image().map(|image| format!("{} {}", image.exe, image.args(self.shown))).into()
            }
            ProcCwd => self.cwd(),
            ProcPname => self.ancestor(1).map(|parent| parent.comm.as_str()).into(),
            ProcAname => match field.generation {
                None if self.ancestors().is_empty() => Value::Missing,
                None => Value::Ancestors(self.ancestors()),
                Some(0) => task.comm.as_str().into(),
                Some(_) => self.ancestor(generation).map(|found| found.comm.as_str()).into(),
            },
            ProcApid if generation == 0 => task.pid.into(),
            ProcApid => self.ancestor(generation).map(|found| found.pid).into(),
            ProcPexe | ProcAexe => self.of(generation, |image| &image.exe),
            ProcPexePath | ProcAexePath => self.of(generation, |image| &image.path),
            ProcPcmdline | ProcAcmdline => match generation {
                0 => self.image().map(|image| image.cmdline(self.shown)).into(),
                _ => self.ancestor_image(generation).map(|image| image.cmdline(self.shown)).into(),
            },
            _ => self.executable(field.id),
        }
    }

    fn of(&self, generation: usize, part: fn(&Image) -> &str) -> Value<'a> {
        let image = if generation == 0 { self.image() } else { self.ancestor_image(generation) };
        image.map(part).into()
    }

    /// With a slash at its end, as rule authors expect it: `startswith /dev/shm/` means also the
    /// directory itself.
    fn cwd(&self) -> Value<'a> {
        let event = self.event;
        let cwd = match &event.what {
            What::Open(open) if !open.cwd.is_empty() => Some(open.cwd.as_str()),
            _ => self.process.map(|process| &*process.cwd),
        };
        match cwd {
            None | Some("") => Value::Missing,
            Some(cwd) if cwd.ends_with('/') => cwd.into(),
            Some(cwd) => format!("{cwd}/").into(),
        }
    }

    fn executable(&self, id: Id) -> Value<'a> {
        let Some(file) = self.image().and_then(|image| image.file) else { return Value::Missing };
        let time = |value: u64| (value != 0).then(|| super::nanoseconds(value));
        match id {
            Id::ProcUpperLayer => file.upper_layer.into(),
            Id::ProcMemfd => file.memfd.into(),
            Id::ProcExeCtime => time(file.ctime).into(),
            Id::ProcExeMtime => time(file.mtime).into(),
            Id::ProcExeAge => {
                time(file.ctime).map(|ctime| self.epoch(self.event.task.start).saturating_sub(ctime)).into()
            }
            _ => Value::Missing,
        }
    }
}
