//! Tells when manifests change on disk.
//!
//! In: a file or folder. Out: one call after a change, when the folder has been quiet for a moment: an editor or a
//! checkout writes several files, and a World made of half of them is not what anybody meant. Never: the reload itself.

use rustix::fs::inotify;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long the folder must be quiet.
const QUIET: Duration = Duration::from_millis(15);
/// How often the end of the watch is noticed.
const BREATH: Duration = Duration::from_millis(250);

/// A watch; dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    ended: Arc<AtomicBool>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// Calls `changed` after every change below `path`, on a thread of its own.
///
/// # Errors
/// What the system said when the watch cannot be set up.
pub fn watch(path: &Path, changed: impl Fn() + Send + 'static) -> std::io::Result<Watch> {
    let folder = if path.is_dir() { path.to_owned() } else { path.parent().map_or_else(|| ".".into(), Path::to_owned) };
    let notify = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    add(&notify, &folder)?;
    let ended = Arc::new(AtomicBool::new(false));
    let done = ended.clone();
    std::thread::Builder::new().name("watch".into()).spawn(move || {
        while !done.load(Ordering::Relaxed) {
            if wait(&notify, BREATH) && drain(&notify) {
                while wait(&notify, QUIET) && drain(&notify) {}
                // A new folder must be watched too; adding one that is watched already changes nothing.
                drop(add(&notify, &folder));
                changed();
            }
        }
    })?;
    Ok(Watch { ended })
}

fn add(notify: &rustix::fd::OwnedFd, folder: &PathBuf) -> std::io::Result<()> {
    use inotify::WatchFlags as On;
    let on = On::CLOSE_WRITE | On::CREATE | On::DELETE | On::MOVED_FROM | On::MOVED_TO;
    inotify::add_watch(notify, folder, on)?;
    for entry in std::fs::read_dir(folder)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            add(notify, &entry.path())?;
        }
    }
    Ok(())
}

fn wait(notify: &rustix::fd::OwnedFd, most: Duration) -> bool {
    let mut polled = [rustix::event::PollFd::new(notify, rustix::event::PollFlags::IN)];
    let most = rustix::event::Timespec { tv_sec: 0, tv_nsec: i64::from(most.subsec_nanos()) };
    rustix::event::poll(&mut polled, Some(&most)).is_ok_and(|ready| ready > 0)
}

/// Reads what happened; `false` when it was nothing.
fn drain(notify: &rustix::fd::OwnedFd) -> bool {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(notify, &mut buffer);
    let mut some = false;
    while reader.next().is_ok() {
        some = true;
    }
    some
}

#[cfg(test)]
mod tests {
    use super::watch;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn a_change_is_told_also_in_a_new_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, receiver) = mpsc::channel();
        let kept = watch(folder.path(), move || sender.send(()).unwrap_or(())).unwrap();
        let told = || receiver.recv_timeout(Duration::from_secs(10)).unwrap();
        std::fs::write(folder.path().join("a.yaml"), "a").unwrap();
        told();
        std::fs::create_dir(folder.path().join("deeper")).unwrap();
        told();
        std::fs::write(folder.path().join("deeper/b.yaml"), "b").unwrap();
        told();
        drop(kept);
    }
}
