//! Numbers and layouts of Xen's interface: its public headers, named at each.

/// Hypercalls: xen.h.
pub(super) mod hypercall {
    pub(in super::super) const MEMORY: u32 = 12;
    pub(in super::super) const GRANT_TABLE: u32 = 20;
    pub(in super::super) const SCHED: u32 = 29;
    pub(in super::super) const EVENT_CHANNEL: u32 = 32;
    pub(in super::super) const HVM: u32 = 34;
}

/// `XENMEM_add_to_physmap`, and what can be put there: memory.h.
pub(super) const ADD_TO_PHYSMAP: u64 = 7;
/// The page that each domain shares with Xen.
pub(super) const SPACE_SHARED_INFO: u32 = 0;
/// The table of grants.
pub(super) const SPACE_GRANT_TABLE: u32 = 1;

/// Operations of `sched_op`, and reasons of a shutdown: sched.h.
pub(super) mod sched {
    pub(in super::super) const YIELD: u64 = 0;
    pub(in super::super) const SHUTDOWN: u64 = 2;
    pub(in super::super) const POWER_OFF: u32 = 0;
    pub(in super::super) const CRASH: u32 = 3;
}

/// Operations of `event_channel_op`: event_channel.h.
pub(super) mod event {
    pub(in super::super) const BIND_INTERDOMAIN: u64 = 0;
    pub(in super::super) const CLOSE: u64 = 3;
    pub(in super::super) const SEND: u64 = 4;
    pub(in super::super) const ALLOC_UNBOUND: u64 = 6;
    pub(in super::super) const BIND_VCPU: u64 = 8;
    pub(in super::super) const UNMASK: u64 = 9;
}

/// Operations of `hvm_op`, hvm/hvm_op.h, and parameters, hvm/params.h.
pub(super) mod hvm {
    pub(in super::super) const SET_PARAM: u64 = 0;
    pub(in super::super) const GET_PARAM: u64 = 1;
    pub(in super::super) const SET_UPCALL_VECTOR: u64 = 23;
    /// How CPUs without a vector of their own are told of events: by this line of the I/O APIC.
    pub(in super::super) const CALLBACK: u32 = 0;
    pub(in super::super) const CALLBACK_LINE: u64 = 1;
    pub(in super::super) const STORE_FRAME: u32 = 1;
    pub(in super::super) const STORE_PORT: u32 = 2;
    pub(in super::super) const CONSOLE_FRAME: u32 = 17;
    pub(in super::super) const CONSOLE_PORT: u32 = 18;
}

/// The domain that calls: `DOMID_SELF`.
pub(super) const SELF: u16 = 0x7ff0;

/// cpuid: arch-x86/cpuid.h. The first leaf is at a multiple of 0x100 from here on.
pub(super) mod cpuid {
    pub(in super::super) const FIRST: u32 = 0x4000_0000;
    pub(in super::super) const STEP: u32 = 0x100;
    pub(in super::super) const LAST: u32 = 0x4001_0000;
    /// `XenVMMXenVMM`, in ebx, ecx, edx.
    pub(in super::super) const SIGNATURE: [u32; 3] = [0x566e_6558, 0x6558_4d4d, 0x4d4d_566e];
    /// From the first: of time, and of HVM.
    pub(in super::super) const TIME: u32 = 3;
    pub(in super::super) const HVM: u32 = 4;
    /// In eax of the latter: ebx has the number of the CPU.
    pub(in super::super) const HAS_CPU: u32 = 1 << 3;
}

/// Offsets in the page that is shared with Xen, for 64-bit domains: xen.h. The first part has
/// 64 bytes for each of 32 CPUs.
pub(super) mod shared {
    pub(in super::super) const CPUS: usize = 32;
    pub(in super::super) const CPU_SIZE: usize = 64;
    /// Of a CPU: an upcall is pending; which words of events to look at; its clock.
    pub(in super::super) const UPCALL: usize = 0;
    pub(in super::super) const SELECTOR: usize = 8;
    pub(in super::super) const CLOCK: usize = 32;
    /// Of the clock.
    pub(in super::super) const VERSION: usize = 0;
    pub(in super::super) const TICKS: usize = 8;
    pub(in super::super) const TIME: usize = 16;
    pub(in super::super) const MULTIPLIER: usize = 24;
    pub(in super::super) const SHIFT: usize = 28;
    /// Behind the CPUs: words of pending and of masked events; the wall clock.
    pub(in super::super) const PENDING: usize = 0x800;
    pub(in super::super) const MASKED: usize = 0xa00;
    pub(in super::super) const WALL_VERSION: usize = 0xc00;
    pub(in super::super) const WALL_SECONDS: usize = 0xc04;
    pub(in super::super) const WALL_NANOSECONDS: usize = 0xc08;
    pub(in super::super) const WALL_SECONDS_HIGH: usize = 0xc0c;
}

/// The console's page: io/console.h.
pub(super) mod console {
    pub(in super::super) const OUT: usize = 1024;
    pub(in super::super) const OUT_SIZE: usize = 2048;
    pub(in super::super) const OUT_CONSUMER: usize = 3080;
    pub(in super::super) const OUT_PRODUCER: usize = 3084;
}

/// xenstore's page and messages: io/xs_wire.h.
pub(super) mod store {
    pub(in super::super) const REQUESTS: usize = 0;
    pub(in super::super) const REPLIES: usize = 1024;
    pub(in super::super) const SIZE: usize = 1024;
    pub(in super::super) const REQUEST_CONSUMER: usize = 2048;
    pub(in super::super) const REQUEST_PRODUCER: usize = 2052;
    pub(in super::super) const REPLY_CONSUMER: usize = 2056;
    pub(in super::super) const REPLY_PRODUCER: usize = 2060;
    /// The most bytes behind a header.
    pub(in super::super) const LONGEST: usize = 4096;

    pub(in super::super) const DIRECTORY: u32 = 1;
    pub(in super::super) const READ: u32 = 2;
    pub(in super::super) const WATCH: u32 = 4;
    pub(in super::super) const UNWATCH: u32 = 5;
    pub(in super::super) const WRITE: u32 = 11;
    pub(in super::super) const REMOVE: u32 = 13;
    pub(in super::super) const EVENT: u32 = 15;
    pub(in super::super) const ERROR: u32 = 16;
}

/// States of a device: io/xenbus.h.
pub(super) mod state {
    pub(in super::super) const INITIALISING: u32 = 1;
    pub(in super::super) const WAITING: u32 = 2;
    pub(in super::super) const INITIALISED: u32 = 3;
    pub(in super::super) const CONNECTED: u32 = 4;
    pub(in super::super) const CLOSING: u32 = 5;
    pub(in super::super) const CLOSED: u32 = 6;
}

/// Flags of a grant, and the entries that Xen uses itself: grant_table.h, version 1.
pub(super) mod grant {
    pub(in super::super) const ACCESS: u16 = 1;
    pub(in super::super) const READ_ONLY: u16 = 1 << 2;
    /// Set by Xen: it is being read, or written, or mapped so.
    pub(in super::super) const IN_USE: u16 = 1 << 3 | 1 << 4;
    pub(in super::super) const ENTRY: usize = 8;
    pub(in super::super) const RESERVED: u32 = 8;
    /// Operations of `grant_table_op`, on what others have granted.
    pub(in super::super) const MAP: u64 = 0;
    pub(in super::super) const UNMAP: u64 = 1;
    pub(in super::super) const COPY: u64 = 5;
    /// Of a mapping: for the CPU, at the address that is given.
    pub(in super::super) const HOST_MAP: u32 = 1 << 1;
    /// Of a copy: which of its ends is a grant, and not a frame.
    pub(in super::super) const FROM_GRANT: u16 = 1;
    pub(in super::super) const TO_GRANT: u16 = 1 << 1;
}

/// A network interface: io/netif.h.
pub(super) mod net {
    /// Bytes of a request to send, and of the response to it.
    pub(in super::super) const SEND: usize = 12;
    pub(in super::super) const SENT: usize = 4;
    /// Bytes of a request to receive, and of the response to it.
    pub(in super::super) const RECEIVE: usize = 8;
    pub(in super::super) const RECEIVED: usize = 8;
    /// Requests that a frame may have at most, without what is said of it beside.
    pub(in super::super) const PIECES: usize = 18;
    /// Flags of a request to send: its checksum is to be completed.
    pub(in super::super) const SEND_BLANK: u16 = 1;
    /// Its checksum need not be checked.
    pub(in super::super) const SEND_VALID: u16 = 1 << 1;
    /// Flags of a response with a frame: its checksum is to be completed, and need not be
    /// checked.
    pub(in super::super) const RECEIVED_VALID: u16 = 1;
    pub(in super::super) const RECEIVED_BLANK: u16 = 1 << 1;
    /// Flags of both: the frame goes on in the next one; more is said of it in the next one.
    pub(in super::super) const MORE: u16 = 1 << 2;
    pub(in super::super) const EXTRA: u16 = 1 << 3;
    /// What is said of a frame beside: its kind, that there is another, and the kinds.
    pub(in super::super) const EXTRA_MORE: u8 = 1;
    pub(in super::super) const EXTRA_GSO: u8 = 1;
    pub(in super::super) const EXTRA_JOIN: u8 = 2;
    pub(in super::super) const EXTRA_LEAVE: u8 = 3;
    pub(in super::super) const EXTRA_HASH: u8 = 4;
    pub(in super::super) const EXTRA_KINDS: u8 = 5;
    /// TCP segments that are to be cut up.
    pub(in super::super) const TCP4: u8 = 1;
    pub(in super::super) const TCP6: u8 = 2;
    /// Results.
    pub(in super::super) const OKAY: i16 = 0;
    pub(in super::super) const ERROR: i16 = -1;
    /// To what is said beside.
    pub(in super::super) const NOTHING: i16 = 1;

    /// The control ring.
    pub(in super::super) mod control {
        /// Bytes of a request, and of the response to it.
        pub(in super::super::super) const REQUEST: usize = 16;
        pub(in super::super::super) const RESPONSE: usize = 12;
        /// What is asked: about kinds of hashes, the key, the table from hashes to queues, and the
        /// algorithm.
        pub(in super::super::super) const GET_KINDS: u16 = 1;
        pub(in super::super::super) const SET_KINDS: u16 = 2;
        pub(in super::super::super) const SET_KEY: u16 = 3;
        pub(in super::super::super) const GET_TABLE_SIZE: u16 = 4;
        pub(in super::super::super) const SET_TABLE_SIZE: u16 = 5;
        pub(in super::super::super) const SET_TABLE: u16 = 6;
        pub(in super::super::super) const SET_ALGORITHM: u16 = 7;
        /// Algorithms.
        pub(in super::super::super) const NONE: u32 = 0;
        pub(in super::super::super) const TOEPLITZ: u32 = 1;
        /// What comes of it.
        pub(in super::super::super) const SUCCESS: u32 = 0;
        pub(in super::super::super) const NOT_SUPPORTED: u32 = 1;
        pub(in super::super::super) const INVALID: u32 = 2;
        pub(in super::super::super) const OVERFLOW: u32 = 3;
    }
}

/// A disk: io/blkif.h, as a 64-bit domain has it.
pub(super) mod disk {
    pub(in super::super) const PROTOCOL: &str = "x86_64-abi";
    /// Bytes of a request, and of a response as far as it says something.
    pub(in super::super) const REQUEST: usize = 112;
    pub(in super::super) const RESPONSE: usize = 12;
    /// What places and sizes are counted in, whatever the sectors of the disk are.
    pub(in super::super) const UNIT: usize = 512;
    pub(in super::super) const READ: u8 = 0;
    pub(in super::super) const WRITE: u8 = 1;
    pub(in super::super) const FLUSH: u8 = 3;
    pub(in super::super) const DISCARD: u8 = 5;
    /// To read or write what is in segments that a page has.
    pub(in super::super) const INDIRECT: u8 = 6;
    /// Segments of a request at most, and their bytes, also in a page of them.
    pub(in super::super) const SEGMENTS: usize = 11;
    pub(in super::super) const SEGMENT: usize = 8;
    /// Of a response: done; failed; the operation is not known.
    pub(in super::super) const OKAY: i16 = 0;
    pub(in super::super) const ERROR: i16 = -1;
    pub(in super::super) const UNKNOWN: i16 = -2;
    /// Of what the back end tells of the disk (`info`): it cannot be written.
    pub(in super::super) const READ_ONLY: u32 = 4;
}

/// A ring of requests and responses: io/ring.h.
pub(super) mod ring {
    pub(in super::super) const REQUEST_PRODUCER: usize = 0;
    pub(in super::super) const RESPONSE_PRODUCER: usize = 8;
    pub(in super::super) const REQUEST_EVENT: usize = 4;
    pub(in super::super) const RESPONSE_EVENT: usize = 12;
    pub(in super::super) const ENTRIES: usize = 64;
}
