//! Fork and join over a few threads, for regions of some microseconds.
//!
//! A frame has about a thousand parallel regions, each as long as a matrix takes to come from
//! memory. Threads therefore wait for the next region by spinning, but only for [`SPINS`] turns: an
//! idle engine uses no CPU.
//!
//! Tasks are taken one by one from a counter. A region ends when its tasks are done and every
//! thread that *joined* it has left. A thread that the system has taken off its core joins nothing,
//! so no thread waits for it. A barrier for all threads would lose a scheduler slice per region
//! when another process wants the core.

#![expect(unsafe_code, reason = "a region's tasks borrow from its caller, which waits for everyone who may call them")]

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Turns of the waiting loop before a thread sleeps: about half a millisecond, ten times as long as
/// a long region. The pauses within a step are far shorter, so threads sleep only between steps.
const SPINS: u32 = 20_000;
/// Bit of the state: a region is open for joining.
const OPEN: u64 = 1 << 31;
/// Unit of the state's epoch: one more region.
const EPOCH: u64 = 1 << 32;
/// Bit of the state: the pool is being dropped.
const CLOSED: u64 = 1 << 30;
/// Mask of the state: number of threads inside the region.
const JOINED: u64 = CLOSED - 1;

type Task<'a> = &'a (dyn Fn(usize) + Sync);

struct ParallelRegion {
    task: UnsafeCell<Option<Task<'static>>>,
    tasks: AtomicUsize,
    next: AtomicUsize,
}

struct PoolState {
    /// Epoch, open, closed and joined bits.
    state: AtomicU64,
    region: ParallelRegion,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    sleepers: Mutex<usize>,
    wake: Condvar,
}

// SAFETY: `task` is written only while no thread is joined and the region is not open, by the one
// caller of `Pool::run` that holds `run_lock`. Only joined threads read it; joining reads the state
// that the writer released.
unsafe impl Sync for PoolState {}

/// Threads that run the tasks of one region at a time; the caller is one of them.
pub struct Pool {
    shared: Arc<PoolState>,
    run_lock: Mutex<()>,
    threads: Vec<JoinHandle<()>>,
}

impl PoolState {
    fn work(&self) {
        // SAFETY: this thread is joined, or is the caller, so the task is not written now.
        let Some(task) = (unsafe { *self.region.task.get() }) else { return };
        let tasks = self.region.tasks.load(Ordering::Relaxed);
        loop {
            let index = self.region.next.fetch_add(1, Ordering::Relaxed);
            if index >= tasks {
                return;
            }
            task(index);
        }
    }

    fn serve(&self) {
        let mut seen = 0;
        loop {
            let state = self.wait(seen);
            if state & CLOSED != 0 {
                return;
            }
            if self.state.compare_exchange(state, state + 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
                continue;
            }
            seen = state >> 32;
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.work())) {
                self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
            }
            self.state.fetch_sub(1, Ordering::Release);
        }
    }

    /// Waits for a region after the epoch `seen`, or the end.
    fn wait(&self, seen: u64) -> u64 {
        let news = |state: u64| state & CLOSED != 0 || (state >> 32 != seen && state & OPEN != 0);
        for _ in 0..SPINS {
            let state = self.state.load(Ordering::Acquire);
            if news(state) {
                return state;
            }
            std::hint::spin_loop();
        }
        let mut sleepers = self.sleepers.lock().unwrap_or_else(PoisonError::into_inner);
        *sleepers += 1;
        loop {
            let state = self.state.load(Ordering::SeqCst);
            if news(state) {
                *sleepers -= 1;
                return state;
            }
            sleepers = self.wake.wait(sleepers).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn rouse(&self) {
        if *self.sleepers.lock().unwrap_or_else(PoisonError::into_inner) > 0 {
            self.wake.notify_all();
        }
    }
}

/// Returns the number of threads asked for, or one for each core.
pub fn threads_or_all(asked: Option<usize>) -> usize {
    asked.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1)
}

impl Pool {
    /// Creates a pool of `threads`, the caller of [`Pool::run`] included. The pool is smaller if
    /// the system refuses threads.
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(PoolState {
            state: AtomicU64::new(0),
            region: ParallelRegion {
                task: UnsafeCell::new(None),
                tasks: AtomicUsize::new(0),
                next: AtomicUsize::new(0),
            },
            panic: Mutex::new(None),
            sleepers: Mutex::new(0),
            wake: Condvar::new(),
        });
        let spawn = |index| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name(format!("csm-compute-{index}")).spawn(move || shared.serve()).ok()
        };
        let threads = (1..threads.max(1)).map_while(spawn).collect();
        Self { shared, run_lock: Mutex::new(()), threads }
    }

    /// Returns the number of threads, the caller included.
    pub fn threads(&self) -> usize {
        self.threads.len() + 1
    }

    /// Calls `task` once with each of `0..tasks`, on any thread and in any order; returns when all
    /// calls have.
    ///
    /// A panic of a task is raised here, after the other threads have left.
    pub fn run(&self, tasks: usize, task: Task<'_>) {
        if self.threads.is_empty() || tasks < 2 {
            (0..tasks).for_each(task);
            return;
        }
        let _run_lock = self.run_lock.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = &*self.shared;
        // SAFETY: the lifetime ends with this call, and so do all uses: `leave` closes the region
        // and waits for joiners.
        let task: Task<'static> = unsafe { std::mem::transmute::<Task<'_>, Task<'static>>(task) };
        // SAFETY: no region is open and no thread is joined; the lock keeps other callers away.
        unsafe { *shared.region.task.get() = Some(task) };
        shared.region.tasks.store(tasks, Ordering::Relaxed);
        shared.region.next.store(0, Ordering::Relaxed);
        let epoch = shared.state.load(Ordering::Relaxed) & !(EPOCH - 1);
        shared.state.store(epoch.wrapping_add(EPOCH) | OPEN, Ordering::SeqCst);
        shared.rouse();
        let own = catch_unwind(AssertUnwindSafe(|| shared.work()));
        shared.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut turns = 0;
        while shared.state.load(Ordering::Acquire) & JOINED != 0 {
            turns += 1;
            if turns < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        // SAFETY: no thread is joined any more.
        unsafe { *shared.region.task.get() = None };
        let theirs = shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(panic) = own.err().or(theirs) {
            resume_unwind(panic);
        }
    }

    /// Calls `task` once with each chunk of `items` of `size` elements (the last may be shorter)
    /// and its index.
    pub fn run_chunks<T: Send>(&self, items: &mut [T], size: usize, task: &(dyn Fn(usize, &mut [T]) + Sync)) {
        let whole = Scattered::new(items);
        let (len, size) = (whole.len, size.max(1));
        self.run(len.div_ceil(size), &|index| {
            let start = index * size;
            // SAFETY: chunks of different indices do not overlap, and each index comes once.
            task(index, unsafe { whole.slice(start, size.min(len - start)) });
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.state.fetch_or(CLOSED, Ordering::SeqCst);
        self.shared.rouse();
        for thread in self.threads.drain(..) {
            // Tasks' panics are caught inside.
            let _ = thread.join();
        }
    }
}

/// Slice whose parts are written by different tasks.
pub(super) struct Scattered<'a, T> {
    start: *mut T,
    len: usize,
    _borrowed: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: access goes through `slice`, whose callers promise that no two parts overlap.
unsafe impl<T: Send> Sync for Scattered<'_, T> {}

impl<'a, T> Scattered<'a, T> {
    pub(super) fn new(items: &'a mut [T]) -> Self {
        Self { start: items.as_mut_ptr(), len: items.len(), _borrowed: std::marker::PhantomData }
    }

    /// Returns the elements `start..start + len`. Panics outside the slice.
    ///
    /// # Safety
    /// No other part that is alive at the same time may overlap this one.
    #[expect(clippy::mut_from_ref, reason = "the caller promises that parts do not overlap")]
    pub(super) unsafe fn slice(&self, start: usize, len: usize) -> &mut [T] {
        assert!(start.checked_add(len).is_some_and(|end| end <= self.len), "part outside the slice");
        // SAFETY: inside the borrowed slice, and alone by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}
