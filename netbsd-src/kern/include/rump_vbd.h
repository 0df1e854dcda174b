/*
 * Block devices: what a kernel and its host agree on.
 *
 * The kernel (NetBSD's with the component vbd) has the disk; the host has what is behind
 * it.  The kernel exports the functions rump_vbd_*, and the host hands in a table of its
 * own when it makes a disk.
 *
 * Structures consist of integers of fixed width and are padded by hand.  The same
 * definitions stand in rump-sys/src/vbd.rs.
 */

#ifndef RUMP_VBD_H_
#define	RUMP_VBD_H_

#define	RUMP_VBD_VERSION	1

/* What a disk is. */
#define	RUMP_VBD_READ_ONLY	0x01u

/* How a transfer is to be done. */
#define	RUMP_VBD_WRITE		0x01u
/* Nobody waits for it yet: it may be put off, and others be done meanwhile. */
#define	RUMP_VBD_ASYNC		0x02u

/* What transfer returns if the host will call rump_vbd_done. */
#define	RUMP_VBD_LATER		(-1)

/* What the kernel calls, on a thread that holds a virtual CPU.  All may block if they give
   it up.  Those that can fail return an error number of NetBSD's. */
struct rump_vbd_ops {
	/*
	 * Reads or writes so many bytes at a place, all within the disk and in whole
	 * sectors.  With RUMP_VBD_LATER, the memory is the host's until it calls
	 * rump_vbd_done, once, for the last argument.
	 */
	int	(*transfer)(void *, uint32_t, uint8_t *, uint64_t, uint64_t, void *);
	/* Puts all that was written, and told to be, on stable storage. */
	int	(*flush)(void *);
	/* Says that nobody needs so many bytes at a place any more. */
	int	(*discard)(void *, uint64_t, uint64_t);
};

struct rump_vbd_config {
	uint32_t	version;	/* RUMP_VBD_VERSION */
	uint32_t	flags;
	uint64_t	sectors;
	uint32_t	sector_size;	/* a power of two from 512 to 65536 */
	uint32_t	pad;
};

struct rump_vbd;

/*
 * What the kernel exports.  The caller holds no virtual CPU; its thread should have an
 * lwp.  Those that can fail return an error number of NetBSD's.
 */

/* Makes a disk, with its nodes in /dev; its name has up to 16 bytes with the 0. */
int	rump_vbd_create(const struct rump_vbd_ops *, void *,
	    const struct rump_vbd_config *, struct rump_vbd **, char *);
/*
 * Removes it, or says EBUSY if it is in use.  When this returns 0, none of its ops is
 * called any more.
 */
int	rump_vbd_destroy(struct rump_vbd *);
/* A transfer is done, with an error number or 0. */
void	rump_vbd_done(void *, int);

#endif /* RUMP_VBD_H_ */
