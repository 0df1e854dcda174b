/*
 * Network interfaces: what a kernel and its host agree on.
 *
 * The kernel (NetBSD's with the component vif, or rump-lite) has the interface;
 * the host has what is behind it.  The kernel exports the functions rump_vif_*,
 * and the host hands in a table of its own when it makes an interface.  Frames
 * go in batches, both ways, and each says what is still to be done to it.
 *
 * Structures consist of integers of fixed width and of pointers, and are padded
 * by hand.  The same definitions stand in rump-hyper/src/vif/abi.rs.
 */

#ifndef RUMP_VIF_H_
#define	RUMP_VIF_H_

#define	RUMP_VIF_VERSION	2

/* The longest frame: an IP packet of the greatest length behind an Ethernet header
   with a VLAN tag. */
#define	RUMP_VIF_FRAME_MAX	(65535 + 18)

/* How many frames there are in a batch at most. */
#define	RUMP_VIF_BATCH		64

/*
 * What one side may leave to the other.
 */
/* The kernel sends frames whose TCP or UDP checksum is to be completed. */
#define	RUMP_VIF_TX_CSUM	0x0001u
/* The kernel sends TCP segments that are to be cut up; needs TX_CSUM. */
#define	RUMP_VIF_TX_TSO4	0x0002u
#define	RUMP_VIF_TX_TSO6	0x0004u
/* The kernel takes frames whose checksum is to be completed, or was verified. */
#define	RUMP_VIF_RX_CSUM	0x0100u
/* The kernel takes TCP segments that would have to be cut up; needs RX_CSUM. */
#define	RUMP_VIF_RX_LRO4	0x0200u
#define	RUMP_VIF_RX_LRO6	0x0400u
#define	RUMP_VIF_OFFLOADS	0x0707u

/*
 * What is to be done to a frame, or has been.  The layout and the values are those of
 * the header of virtio-net (virtio 1.1, 5.1.6), in the byte order of the machine.
 */
#define	RUMP_VIF_NEEDS_CSUM	0x01	/* the sum of the pseudo header is in place */
#define	RUMP_VIF_DATA_VALID	0x02	/* the checksum was verified */

#define	RUMP_VIF_GSO_NONE	0
#define	RUMP_VIF_GSO_TCPV4	1
#define	RUMP_VIF_GSO_TCPV6	4
#define	RUMP_VIF_GSO_ECN	0x80	/* CWR is for the first segment only */

struct rump_vif_offload {
	uint8_t		flags;
	uint8_t		gso_type;
	uint16_t	hdr_len;	/* of all headers, if gso_type */
	uint16_t	gso_size;	/* of the data in each segment */
	uint16_t	csum_start;	/* from the start of the frame */
	uint16_t	csum_offset;	/* from csum_start */
};

/* Laid out as a POSIX iovec. */
struct rump_vif_part {
	void		*base;
	uintptr_t	len;
};

/* A frame that the kernel sends. */
struct rump_vif_tx {
	const struct rump_vif_part *parts;
	uint32_t	nparts;
	uint32_t	len;		/* of all parts together */
	struct rump_vif_offload offload;
	uint8_t		pad[6];
};

/*
 * Memory of the host that the kernel may keep as long as it likes.  The kernel
 * calls release once, from any thread and with locks held: it must not block.
 */
struct rump_vif_lease {
	void		(*release)(struct rump_vif_lease *);
};

/* A frame for the kernel. */
struct rump_vif_rx {
	uint8_t		*data;		/* 2 more than a multiple of 4 */
	uint32_t	len;
	uint32_t	room;		/* how much of the memory is the frame's */
	struct rump_vif_lease *lease;	/* null: copied before the call returns */
	struct rump_vif_offload offload;
	uint8_t		pad[6];
};

/* The state of an interface: its users want frames to flow. */
#define	RUMP_VIF_UP		0x01
/* It sends over another interface, and not to the host. */
#define	RUMP_VIF_SPLICED	0x02

/* What the kernel calls.  None of these may call the kernel. */
struct rump_vif_ops {
	/*
	 * Sends a batch; when it returns, the kernel has its memory back.  May block
	 * if it gives up the virtual CPU.  One batch of a queue at a time.
	 */
	void	(*transmit)(void *, uint32_t, const struct rump_vif_tx *, uint32_t);
	/*
	 * Tells flags (RUMP_VIF_UP, RUMP_VIF_SPLICED) and the offloads in use.  Must
	 * not block.
	 */
	void	(*state)(void *, uint32_t, uint32_t);
};

struct rump_vif_config {
	uint32_t	version;	/* RUMP_VIF_VERSION */
	int32_t		unit;		/* of its name; -1 for the first that is free */
	uint32_t	mtu;
	uint32_t	offloads;	/* what the host can do */
	uint8_t		address[6];
	uint8_t		link;		/* 1 if there is one */
	uint8_t		pad;
};

/* What an interface has counted, beyond what SIOCGIFDATA tells. */
struct rump_vif_stats {
	uint64_t	rx_batches;
	uint64_t	rx_frames;
	uint64_t	rx_bytes;
	uint64_t	rx_leased;	/* frames taken without a copy */
	uint64_t	rx_large;	/* longer than the MTU */
	uint64_t	rx_dropped;	/* no memory, not up, malformed */
	uint64_t	tx_batches;
	uint64_t	tx_frames;
	uint64_t	tx_bytes;
	uint64_t	tx_large;
	uint64_t	tx_dropped;	/* the queue was full, or no memory */
	/* Of these frames, how many went over another interface. */
	uint64_t	rx_spliced;
	uint64_t	tx_spliced;
	uint64_t	tx_finished;	/* in software, which that one does not do */
};

struct rump_vif;

/*
 * What the kernel exports.  The caller holds no virtual CPU; its thread should have an
 * lwp.  Those that can fail return an error number of NetBSD's.
 */

/* Makes an interface that is down; its name has up to 16 bytes with the 0. */
int	rump_vif_create(const struct rump_vif_ops *, void *,
	    const struct rump_vif_config *, struct rump_vif **, char *);
/*
 * Removes it.  No other call for it may be under way.  When this returns, none of its
 * ops is called any more; leases may still be out.
 */
void	rump_vif_destroy(struct rump_vif *);
/* Takes a batch in.  Several threads may do so at a time. */
void	rump_vif_receive(struct rump_vif *, const struct rump_vif_rx *, uint32_t);
/* What the host can do from now on.  Frames under way may still ask for more. */
void	rump_vif_set_offloads(struct rump_vif *, uint32_t);
/* Whether there is a link.  Counts while the interface sends to the host. */
void	rump_vif_set_link(struct rump_vif *, int);
void	rump_vif_get_stats(struct rump_vif *, struct rump_vif_stats *);
/* Sends a frame as if the stack had: len bytes that begin with an Ethernet header. */
int	rump_vif_send(struct rump_vif *, const void *, uint32_t);

/*
 * Splices the interface over another Ethernet interface of the kernel, of this name:
 * from when this returns, it sends over that one, with that one's link and what that one
 * can do (as set there), and takes what comes to it.  It keeps its own Ethernet address:
 * the other is made promiscuous, unless it has the same.  The other's filters follow the
 * groups of the interface, and its MTU is raised where it is less.
 *
 * The interface sends over one at most, but takes what comes to all that it was spliced
 * over, and from the host, so that nothing is lost between one and another: with the
 * new one in place, rump_vif_unsplice lets go of the old one.  A null name has it send to
 * the host again.  If the other is removed, the splice ends, the interface has no link,
 * and the state is told without RUMP_VIF_SPLICED.
 *
 * Errors: ENXIO if there is no such interface, EPFNOSUPPORT if it is no Ethernet,
 * EADDRINUSE if it has addresses (other than those of links, of IPv6), EBUSY if it is
 * spliced, a member of a bridge or has VLANs, ELOOP if it is this one or is spliced over
 * it, EMSGSIZE if it cannot have such an MTU, EOPNOTSUPP if the kernel has no splices,
 * and those of its driver.
 */
int	rump_vif_splice(struct rump_vif *, const char *);
void	rump_vif_unsplice(struct rump_vif *, const char *);

/*
 * Joins the host to another Ethernet interface of the kernel, of this name, without the
 * stack: what that one receives, whoever it is for, is sent to the host, with whether its
 * checksum was verified, and what the host puts in (rump_vif_put) that one sends.  It is made
 * promiscuous.  rump_vif_unsplice ends it.
 *
 * Errors: as rump_vif_splice; EBUSY also if the interface is joined to another already.
 */
int	rump_vif_through(struct rump_vif *, const char *);
/*
 * Sends a batch over that interface.  What is to be done to a frame is done there, by the
 * interface or in software.  Returns how many frames were taken, from the first on: there was
 * no room for the rest.  One that cannot be sent at all is taken, and counted as dropped.
 */
uint32_t rump_vif_put(struct rump_vif *, const struct rump_vif_tx *, uint32_t);

#endif /* RUMP_VIF_H_ */
