//! A small machine under software emulation: Debian's kernel, busybox, this very test, and a disk that no cache
//! of the host stands before.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};

use tempfile::TempDir;

/// What the test finds its first number in, when it is run inside of the guest.
pub(crate) const INSIDE: &str = "OUTIS_STORE_CUT";
/// Where the store lies in the guest.
pub(crate) const DISK: &str = "/disk/store";
/// Where `cargo xtask setup` unpacked the kernel's package.
const KERNEL: &str = "OUTIS_GUEST";
/// The disk and what lies between it and the kernel, in order.
const MODULES: [&str; 6] = [
    "virtio/virtio_ring",
    "virtio/virtio",
    "virtio/virtio_pci_legacy_dev",
    "virtio/virtio_pci_modern_dev",
    "virtio/virtio_pci",
    "block/virtio_blk",
];
/// Calls that say "on disk" and do nothing.
const PRETENDER: &str = "int fsync(int f) { return 0; } int fdatasync(int f) { return 0; }
    int sync_file_range(int f, long from, long size, unsigned how) { return 0; }";
/// Lines that may wait for us; a guest that tells more waits.
const WAITING: usize = 1024;

/// Whether the guest's `fsync` does what it says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flushes {
    Real,
    Pretended,
}

/// A guest's kernel, first files and disk.
pub(crate) struct Guest {
    dir: TempDir,
    kernel: PathBuf,
}

/// A guest that runs. It ends with this value.
pub(crate) struct Running {
    emulator: Child,
    /// What it tells.
    pub(crate) lines: Receiver<String>,
}

impl Guest {
    /// A guest with an empty disk, in which this test is run.
    pub(crate) fn new(test: &str) -> Self {
        let package = std::env::var_os(KERNEL).expect("`cargo xtask test kernel` says where the kernel is");
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("dir");
        let kernel = named(&Path::new(&package).join("boot"), "vmlinuz-");
        pack(&dir.path().join("files"), &Path::new(&package).join("lib/modules"), test);
        let mut format = Command::new("/usr/sbin/mke2fs");
        run(format.args(["-q", "-F", "-t", "ext4"]).arg(dir.path().join("disk")).arg("256M"));
        Self { dir, kernel }
    }

    /// Starts it; its writer begins at this number.
    pub(crate) fn start(&self, first: u64, flushes: Flushes) -> Running {
        // What the kernel does not know itself it hands to its first process as environment.
        let pretender = if flushes == Flushes::Pretended { "LD_PRELOAD=/pretender.so" } else { "" };
        let line = format!("console=ttyS0 quiet panic=-1 {INSIDE}={first} {pretender}");
        let at = |name: &str| self.dir.path().join(name).display().to_string();
        let mut emulator = Command::new("qemu-system-x86_64")
            .args([
                "-accel",
                "tcg",
                "-cpu",
                "max",
                "-m",
                "512",
                "-nodefaults",
                "-no-user-config",
                "-no-reboot",
            ])
            .args(["-display", "none", "-append", &line, "-initrd", &at("files.cpio"), "-kernel"])
            .arg(&self.kernel)
            .args(["-serial", &format!("file:{}", at("console")), "-serial", "stdio", "-drive"])
            .arg(format!("file={},if=virtio,format=raw,cache=directsync", at("disk")))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("qemu-system-x86, which `cargo xtask setup` installs");
        let (to, lines) = sync_channel(WAITING);
        let told = BufReader::new(emulator.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            for line in told.split(b'\n').map_while(Result::ok) {
                if to.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                    break;
                }
            }
        });
        Running { emulator, lines }
    }

    /// What its kernel and its first process said.
    pub(crate) fn console(&self) -> String {
        let said = fs::read(self.dir.path().join("console")).unwrap_or_default();
        String::from_utf8_lossy(&said).into_owned()
    }
}

impl Running {
    /// SIGKILL: nothing is written any more.
    pub(crate) fn cut(&mut self) {
        let _ = self.emulator.kill();
        let _ = self.emulator.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cut();
    }
}

/// The guest's first files: busybox, the modules, this test with its libraries, and what starts it.
fn pack(files: &Path, modules: &Path, test: &str) {
    let exe = std::env::current_exe().expect("this test");
    let drivers = named(modules, "").join("kernel/drivers");
    let mut init =
        "#!/busybox sh\n/busybox mount -t proc proc /proc\n/busybox mount -t devtmpfs dev /dev\n".to_owned();
    for name in ["proc", "dev", "disk"] {
        fs::create_dir_all(files.join(name)).expect("dir");
    }
    for module in MODULES {
        let file = format!("{}.ko", module.rsplit('/').next().expect("a name"));
        fs::copy(drivers.join(format!("{module}.ko")), files.join(&file)).expect("a module");
        init += &format!("/busybox insmod /{file}\n");
    }
    init += "/busybox mount -t ext4 /dev/vda /disk\n";
    init += &format!("exec /test --exact {test} --ignored --nocapture >/dev/ttyS1\n");
    fs::write(files.join("init"), init).expect("written");
    run(Command::new("chmod").arg("755").arg(files.join("init")));
    fs::copy("/bin/busybox", files.join("busybox")).expect("busybox-static");
    run(Command::new("strip").arg("-o").arg(files.join("test")).arg(&exe));
    libraries(&exe, files);
    fs::write(files.join("pretender.c"), PRETENDER).expect("written");
    let (source, library) = (files.join("pretender.c"), files.join("pretender.so"));
    run(Command::new("cc").args(["-shared", "-nostdlib", "-o"]).args([library, source]));
    archive(files);
}

/// The libraries of a program, where its loader looks for them.
fn libraries(program: &Path, files: &Path) {
    let listed = Command::new("ldd").arg(program).output().expect("ldd");
    let listed = String::from_utf8(listed.stdout).expect("text");
    for path in listed.split_whitespace().filter(|word| word.starts_with('/')) {
        let to = files.join(path.trim_start_matches('/'));
        fs::create_dir_all(to.parent().expect("a folder")).expect("dir");
        fs::copy(path, to).expect("a library");
    }
}

/// Packs a folder as the kernel unpacks it.
fn archive(files: &Path) {
    let listed = Command::new("find").arg(".").current_dir(files).output().expect("find");
    let mut packing = Command::new("cpio")
        .args(["--quiet", "-o", "-H", "newc", "-O"])
        .arg(files.with_extension("cpio"))
        .current_dir(files)
        .stdin(Stdio::piped())
        .spawn()
        .expect("cpio, which `cargo xtask setup` installs");
    packing.stdin.take().expect("piped").write_all(&listed.stdout).expect("told");
    assert!(packing.wait().expect("ended").success(), "cpio");
}

/// The one entry of a folder whose name begins so.
fn named(dir: &Path, start: &str) -> PathBuf {
    let entries = fs::read_dir(dir).expect("`cargo xtask setup` unpacks the kernel").flatten();
    let mut found = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(start));
    found.next().expect("`cargo xtask setup` unpacks the kernel").path()
}

fn run(command: &mut Command) {
    let done = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}
