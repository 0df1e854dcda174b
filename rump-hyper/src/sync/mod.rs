//! Mutexes, read-write locks and condition variables of the kernel.
//!
//! All three sleep on [`Host::park`](crate::host::Host::park), cost one
//! compare-and-swap when there is no contention, and make no system call to
//! wake nobody. [`spin`] decides when spinning before sleeping is worth it.
//!
//! Lock order inside this module: a lock's internal queue is taken last and
//! nothing is called while it is held, least of all the kernel.
//!
//! ## Virtual CPUs
//!
//! - A **spin mutex** never gives the virtual CPU up: the kernel takes such
//!   mutexes in its scheduler and in places where it must not lose its CPU.
//!   Their holders do not block, so the wait is short.
//! - Every other wait gives it up first. What follows is a question of order,
//!   because now two things have to be taken back, and a thread that holds one
//!   while it waits for the other must not meet a thread that does it the other
//!   way round: see [`cv`].

pub mod cv;
pub mod mutex;
pub(crate) mod queue;
pub mod raw;
pub mod rw;
pub mod spin;
pub(crate) mod waiter;

pub use cv::Cv;
pub use mutex::Mutex;
pub use rw::RwLock;
