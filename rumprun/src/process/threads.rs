//! Threads: clone(2), and their end.

use super::copy::{self, Result};
use super::futex;
use super::lock::Mutex;
use super::task::Task;
use crate::sched;
use crate::trap::Frame;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use rump_linux::Errno;
use rump_linux::raw::general::*;

/// Those that live, the first of which is that which the program began with.
static TASKS: Mutex<Vec<Arc<Task>>> = Mutex::new(Vec::new());
static LAST: AtomicU32 = AtomicU32::new(super::PID);

/// All threads of the program.
pub(crate) fn tasks() -> Vec<Arc<Task>> {
    TASKS.lock().clone()
}

/// Adds one.
pub(crate) fn add(task: &Arc<Task>) {
    TASKS.lock().push(task.clone());
}

/// What a new thread is to share and to be told: `struct clone_args`.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    flags: u64,
    child_tid: u64,
    parent_tid: u64,
    stack: u64,
    tls: u64,
}

/// What a thread of the same program shares; less would be another process.
const SHARED: u64 = (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD) as u64;

impl Wanted {
    fn read(number: u32, args: &[u64; 6]) -> Result<Self> {
        if number == __NR_clone {
            return Ok(Self {
                flags: args[0],
                stack: args[1],
                parent_tid: args[2],
                child_tid: args[3],
                tls: args[4],
            });
        }
        if args[1] < 64 {
            return Err(Errno::EINVAL);
        }
        let [flags, _, child_tid, parent_tid, _, stack, size, tls]: [u64; 8] = copy::get(args[0])?;
        Ok(Self {
            flags,
            child_tid,
            parent_tid,
            stack: stack.checked_add(size).ok_or(Errno::EINVAL)?,
            tls,
        })
    }
}

/// clone(2), clone3(2).
pub(crate) fn clone(task: &Arc<Task>, frame: &Frame, number: u32, args: &[u64; 6]) -> Result<i64> {
    let wanted = Wanted::read(number, args)?;
    let has = |flag: u32| wanted.flags & u64::from(flag) != 0;
    if wanted.flags & SHARED != SHARED {
        // fork(2), vfork(2).
        return Err(Errno::ENOSYS);
    }
    if wanted.stack == 0 {
        return Err(Errno::EINVAL);
    }
    let id = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    let name = task.name.lock().clone();
    let new = Task::new(id, &name, task.mask.load(Ordering::Acquire));
    if has(CLONE_CHILD_CLEARTID) {
        new.clear_on_exit.store(wanted.child_tid, Ordering::Relaxed);
    }
    if has(CLONE_PARENT_SETTID) {
        copy::put(&id, wanted.parent_tid)?;
    }
    if has(CLONE_CHILD_SETTID) {
        copy::put(&id, wanted.child_tid)?;
    }
    let mut start = *frame;
    start.rax = 0;
    start.rsp = wanted.stack;
    start.rflags |= 1 << 9;
    start.restore_all();
    let fs_base = if has(CLONE_SETTLS) {
        wanted.tls
    } else {
        sched::fs_base()
    };
    add(&new);
    let thread = new.clone();
    let main = move || {
        thread.take_thread();
        drop(thread);
        sched::enter_program(&start, fs_base)
    };
    if sched::try_spawn(main, &name, sched::NORMAL).is_err() {
        remove(&new);
        return Err(Errno::EAGAIN);
    }
    Ok(id.into())
}

fn remove(task: &Task) {
    let mut tasks = TASKS.lock();
    tasks.retain(|other| other.id != task.id);
}

/// Gives a thread an lwp of the rump kernel's, if it has none and there is such a kernel.
pub(crate) fn attach(task: &Task) {
    if !task.attached.load(Ordering::Relaxed) {
        task.attached.store(true, Ordering::Relaxed);
        super::kernel::attach();
    }
}

/// exit(2): the end of the thread that runs.
pub(crate) fn exit() -> ! {
    if let Some(task) = Task::current() {
        if task.attached.load(Ordering::Relaxed) {
            super::kernel::detach();
        }
        remove(&task);
        if TASKS.lock().is_empty() {
            super::end(0);
        }
        let at = task.clear_on_exit.load(Ordering::Relaxed);
        if at != 0 && copy::put(&0_u32, at).is_ok() {
            futex::wake(at, 1, u32::MAX);
        }
    }
    Task::leave_thread();
    sched::exit()
}
