//! One process as rules see it. Texts that outputs show are kept twice when credentials had to be
//! hidden: conditions compare what was written, nobody reads it.

use std::sync::Arc;

use outis_model::event::{Ancestor, Exec, Fork, Task};

use crate::hide;

/// A program with its arguments; shared by a process and the children it forked.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct Image {
    /// First argument.
    pub(crate) exe: Box<str>,
    /// Resolved path.
    pub(crate) path: Box<str>,
    /// Task name and arguments.
    cmdline: Box<str>,
    /// The same with credentials hidden, when there were any.
    shown: Option<Box<str>>,
    /// Where the arguments begin in `cmdline`.
    args: usize,
    /// Of the file, in that order: overlay's upper layer, memfd, change time, modification time.
    pub(crate) file: Option<FileFacts>,
}

/// What is only told when a program is executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct FileFacts {
    pub(crate) upper_layer: bool,
    pub(crate) memfd: bool,
    pub(crate) ctime: u64,
    pub(crate) mtime: u64,
}

impl Image {
    fn new(comm: &str, args: &[String], path: &str, file: Option<FileFacts>) -> Self {
        let exe = args.first().map_or(path, String::as_str);
        let cmdline = line(comm, args.get(1..).unwrap_or_default());
        let shown = line(comm, hide::args(args).get(1..).unwrap_or_default());
        Self {
            exe: exe.into(),
            path: path.into(),
            args: cmdline.len().min(comm.len() + 1),
            shown: (shown != cmdline).then(|| shown.into()),
            cmdline: cmdline.into(),
            file,
        }
    }

    /// Task name and arguments; to be shown, or to be compared.
    pub(crate) fn cmdline(&self, shown: bool) -> &str {
        if shown { self.shown.as_deref().unwrap_or(&self.cmdline) } else { &self.cmdline }
    }

    /// Arguments behind the first.
    pub(crate) fn args(&self, shown: bool) -> &str {
        self.cmdline(shown).get(self.args..).unwrap_or_default()
    }

    fn bytes(&self) -> usize {
        self.exe.len()
            + self.path.len()
            + self.cmdline.len()
            + self.shown.as_ref().map_or(0, |text| text.len())
    }
}

fn line(comm: &str, args: &[String]) -> String {
    args.iter().fold(comm.to_owned(), |mut line, arg| {
        line.push(' ');
        line.push_str(arg);
        line
    })
}

/// A process we were told of.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) image: Arc<Image>,
    /// What the parent ran when it forked this one; it may live in another partition.
    pub(crate) parent: Option<Arc<Image>>,
    pub(crate) cwd: Box<str>,
    pub(crate) ancestors: Arc<[Ancestor]>,
}

impl Process {
    /// After a successful `execve`. The fork that came before told what the parent runs.
    pub(crate) fn executed(exec: &Exec, task: &Task, former: Option<&Self>) -> Self {
        let file = FileFacts {
            upper_layer: exec.upper_layer,
            memfd: exec.memfd,
            ctime: exec.exe_ctime,
            mtime: exec.exe_mtime,
        };
        let same_parent = |former: &&Self| {
            former.ancestors.first().map(|parent| (parent.pid, parent.start))
                == exec.ancestors.first().map(|parent| (parent.pid, parent.start))
        };
        Self {
            image: Arc::new(Image::new(&task.comm, &exec.args, &exec.exe_path, Some(file))),
            parent: former.filter(same_parent).and_then(|former| former.parent.clone()),
            cwd: exec.cwd.as_str().into(),
            ancestors: exec.ancestors.as_slice().into(),
        }
    }

    /// A child runs what its parent runs.
    pub(crate) fn forked(fork: &Fork, task: &Task, parent: Option<Arc<Image>>) -> Self {
        let told = || Arc::new(Image::new(&task.comm, &fork.args, &fork.exe_path, None));
        let image = parent.unwrap_or_else(told);
        Self {
            parent: Some(image.clone()),
            image,
            cwd: fork.cwd.as_str().into(),
            ancestors: fork.ancestors.as_slice().into(),
        }
    }

    /// Bytes it costs; a shared image is counted with each that shares it.
    pub(crate) fn bytes(&self) -> usize {
        let ancestors: usize = self
            .ancestors
            .iter()
            .map(|one| 64 + one.comm.len() + one.exe.as_ref().map_or(0, String::len))
            .sum();
        let parent = self.parent.as_ref().map_or(0, |parent| parent.bytes());
        size_of::<Self>() + self.image.bytes() + parent + self.cwd.len() + ancestors
    }
}
