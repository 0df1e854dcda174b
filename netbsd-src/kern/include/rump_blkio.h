/*
 * Transfers of disks that nobody waits for in the kernel: what a kernel and its host
 * agree on.
 *
 * The kernel (NetBSD's with the component blkio) has the disks; the host starts transfers
 * of theirs, as many as it likes at a time, and is told when each is done.
 *
 * Structures consist of integers of fixed width and pointers.  The same definitions stand
 * in rump-sys/src/blkio.rs.
 */

#ifndef RUMP_BLKIO_H_
#define	RUMP_BLKIO_H_

/* A transfer to the disk. */
#define	RUMP_BLKIO_WRITE	0x01u

/* A transfer.  It and the memory are the kernel's until it is done. */
struct rump_blkio {
	uint8_t		*data;
	uint64_t	len;		/* whole sectors, all within the disk */
	uint64_t	offset;
	uint32_t	flags;
	uint32_t	pieces;		/* the kernel's */
	int32_t		error;		/* once it is done: an error number, or 0 */
	uint32_t	pad;
	/*
	 * Called once, when it is done, on any thread with a virtual CPU, which it must
	 * neither keep for long nor give up.
	 */
	void		(*done)(struct rump_blkio *);
};

/* The device of an open descriptor. */
struct rump_blkio_device;

/*
 * What the kernel exports.  The caller holds no virtual CPU; its thread has an lwp.
 */

/*
 * Finds the disk that a descriptor of the calling process has open.  It must stay open
 * until the device was closed here.  An error number of NetBSD's or 0.
 */
int	rump_blkio_open(int, struct rump_blkio_device **);
/* No transfer may be under way. */
void	rump_blkio_close(struct rump_blkio_device *);
/* Starts so many transfers, in this order. */
void	rump_blkio_start(struct rump_blkio_device *, struct rump_blkio **, uint32_t);

#endif /* RUMP_BLKIO_H_ */
