use super::*;
use std::collections::HashSet;
use std::thread;

#[test]
fn pages_are_whole_distinct_and_used_again() {
    let arena = Arena::reserve().unwrap();
    let take = || {
        let page = arena.allocate();
        assert!(!page.is_null() && page.addr().is_multiple_of(SIZE));
        // SAFETY: a page of this test's own.
        unsafe { page.write_bytes(0xa5, SIZE) };
        page.expose_provenance()
    };
    let all: Vec<usize> = thread::scope(|scope| {
        let takers = [(); 4].map(|()| scope.spawn(|| [(); WARM].map(|()| take())));
        takers
            .into_iter()
            .flat_map(|taker| taker.join().unwrap())
            .collect()
    });
    let distinct: HashSet<usize> = all.iter().copied().collect();
    assert_eq!(distinct.len(), all.len());
    for &page in &all {
        // SAFETY: nobody uses it after this.
        assert!(unsafe { arena.release(with_exposed_provenance_mut(page)) });
    }
    assert_eq!(arena.pages().warm.len(), WARM);
    let again: HashSet<usize> = all.iter().map(|_| take()).collect();
    assert_eq!(again, distinct);
}

#[test]
fn what_is_not_of_the_arena_is_not_taken() {
    let arena = Arena::reserve().unwrap();
    let mut other = [0_u8; 8];
    // SAFETY: it is not taken.
    assert!(!unsafe { arena.release(other.as_mut_ptr()) });
}

/// Ranges: where they begin, and how long they are.
type Mapped = std::sync::Arc<Mutex<Vec<(usize, usize)>>>;

/// An arena that devices reach, and what was mapped for them.
fn for_devices(len: u64) -> (Arena, Mapped) {
    let arena = Arena::reserve().unwrap();
    let mapped = std::sync::Arc::new(Mutex::new(Vec::new()));
    let log = mapped.clone();
    // Some of it is in use before there is a device.
    assert!(!arena.allocate().is_null());
    let window = arena.give_to_devices::<Error>(|room| {
        let start = room.start;
        assert_eq!(room.window, None);
        assert!(room.used == DMA_STEP && room.all > room.used && start.is_multiple_of(DMA_STEP));
        let window = Window {
            start: start as u64,
            len,
            offset: 0,
        };
        let mapper = move |start, len| {
            log.lock().unwrap().push((start, len));
            Ok(())
        };
        Ok((window, Box::new(mapper)))
    });
    assert_eq!(window.unwrap().len, len);
    (arena, mapped)
}

#[test]
fn devices_reach_all_that_is_handed_out() {
    const LEN: usize = 64 << 20;
    let (arena, mapped) = for_devices(LEN as u64);
    let mut taken = Vec::new();
    for turn in 1.. {
        let len = SIZE * (turn % 300);
        let memory = match len {
            0 => arena.allocate(),
            _ => arena.allocate_run(len, SIZE << (turn % 4)),
        };
        if memory.is_null() {
            break;
        }
        let len = len.max(SIZE);
        // SAFETY: memory of this test's own.
        unsafe { memory.write_bytes(0xa5, len) };
        taken.push((memory.expose_provenance(), len));
    }
    let mapped = mapped.lock().unwrap();
    let reached: usize = mapped.iter().map(|(_, len)| len).sum();
    assert!(reached <= LEN && mapped.windows(2).all(|two| two[0].0 + two[0].1 == two[1].0));
    let (first, last) = (mapped[0].0, mapped[0].0 + reached);
    assert_eq!(first, arena.start);
    taken.sort_unstable();
    assert!(taken.windows(2).all(|two| two[0].0 + two[0].1 <= two[1].0));
    assert!(taken[0].0 >= first && taken.iter().all(|(start, len)| start + len <= last));
    // It is used again, and never goes back to the system.
    for &(start, len) in &taken {
        assert!(arena.release_run(with_exposed_provenance_mut(start), len));
    }
    assert!(!arena.allocate_run(LEN / 2, SIZE).is_null());
    assert_eq!(mapped.iter().map(|(_, len)| len).sum::<usize>(), reached);
}

#[test]
fn what_cannot_be_mapped_is_not_handed_out() {
    let (arena, _) = for_devices(64 << 20);
    arena.pages().mapper = Some(Box::new(|_, _| Err(Error::from_raw_os_error(libc::ENOMEM))));
    assert!(arena.allocate_run(8 << 20, SIZE).is_null());
    assert!(!arena.allocate().is_null());
}
