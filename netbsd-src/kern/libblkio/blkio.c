/*
 * Transfers of disks that nobody waits for in the kernel.
 *
 * Reading a character device comes to physio(9): its caller waits, a thread of physio's
 * own hears that the disk is done and wakes it, and memory that does not begin on a page
 * is transferred in pieces that wait for one another.  Here whoever starts transfers goes
 * on; the host hears from the thread that the driver completes them on.
 *
 * The memory is not locked, as all memory of a rump kernel is there and is its own.
 * Where devices cannot reach it, bus_dma(9) goes through memory that they can.
 */

#include <sys/param.h>
#include <sys/atomic.h>
#include <sys/buf.h>
#include <sys/conf.h>
#include <sys/disk.h>
#include <sys/disklabel.h>
#include <sys/fcntl.h>
#include <sys/file.h>
#include <sys/filedesc.h>
#include <sys/kmem.h>
#include <sys/systm.h>
#include <sys/vnode.h>

#include <miscfs/specfs/specdev.h>

#include <rump-sys/kern.h>

#include "rump_blkio.h"

CTASSERT(sizeof(struct rump_blkio) == 48);
CTASSERT(offsetof(struct rump_blkio, done) == 40);

struct rump_blkio_device {
	dev_t	dev;
	int	mode;		/* FREAD, FWRITE */
	int	most;		/* bytes of a piece, before the driver is asked */
	void	(*minphys)(struct buf *);
};

/* Of the component pcihost, if the kernel has it: a disk is told of several together. */
bool	pcihost_put_off(void) __weak;
void	pcihost_make_up(void) __weak;

TAILQ_HEAD(pieces, buf);

/* How much a driver takes at a time is known where the disk is. */
static void
(*minphys_of(dev_t dev))(struct buf *)
{
	const char *driver = devsw_blk2name(major(dev));
	struct disk *disk;
	char name[32];

	if (driver == NULL)
		return minphys;
	/* A wedge is a disk without partitions. */
	snprintf(name, sizeof(name), "%s%d", driver,
	    (int)(strcmp(driver, "dk") == 0 ? minor(dev) : DISKUNIT(dev)));
	disk = disk_find(name);
	if (disk == NULL || disk->dk_driver == NULL ||
	    disk->dk_driver->d_minphys == NULL)
		return minphys;
	return disk->dk_driver->d_minphys;
}

static int
find(int fd, struct rump_blkio_device *device)
{
	const char *driver;
	struct file *fp;
	struct vnode *vp;
	int error;

	if ((error = fd_getvnode(fd, &fp)) != 0)
		return error;
	vp = fp->f_vnode;
	device->mode = fp->f_flag & (FREAD | FWRITE);
	device->dev = NODEV;
	if (vp->v_type == VBLK)
		device->dev = vp->v_rdev;
	else if (vp->v_type == VCHR)
		device->dev = devsw_chr2blk(vp->v_rdev);
	fd_putfile(fd);
	if (device->dev == NODEV || bdevsw_lookup(device->dev) == NULL)
		return ENOTBLK;
	device->minphys = minphys_of(device->dev);
	/* The host's disks take any number; drivers may trust that it is not more than this. */
	driver = devsw_blk2name(major(device->dev));
	device->most = driver != NULL && strcmp(driver, "vbd") == 0 ?
	    INT_MAX & ~(DEV_BSIZE - 1) : MAXPHYS;
	return 0;
}

int
rump_blkio_open(int fd, struct rump_blkio_device **result)
{
	struct rump_blkio_device *device;
	int error;

	rump_schedule();
	device = kmem_alloc(sizeof(*device), KM_SLEEP);
	error = find(fd, device);
	if (error == 0)
		*result = device;
	else
		kmem_free(device, sizeof(*device));
	rump_unschedule();
	return error;
}

void
rump_blkio_close(struct rump_blkio_device *device)
{

	rump_schedule();
	kmem_free(device, sizeof(*device));
	rump_unschedule();
}

static void
piece_over(struct rump_blkio *io, int error)
{

	/* Which error is told does not matter; that one is, does. */
	if (error != 0)
		io->error = error;
	membar_exit();
	if (atomic_dec_uint_nv(&io->pieces) == 0)
		io->done(io);
}

static void
piece_done(struct buf *bp)
{
	struct rump_blkio *io = bp->b_private;
	int error = bp->b_error;

	if (error == 0 && bp->b_resid != 0)
		error = EIO;
	putiobuf(bp);
	piece_over(io, error);
}

/* Appends the pieces of a transfer; one that has none is over. */
static void
prepare(struct rump_blkio_device *device, struct rump_blkio *io, struct pieces *pieces)
{
	bool write = (io->flags & RUMP_BLKIO_WRITE) != 0;
	uint64_t at, todo;
	struct buf *bp;
	int error = 0;

	io->error = 0;
	io->pieces = 0;
	if ((device->mode & (write ? FWRITE : FREAD)) == 0)
		error = EBADF;
	else if (io->offset % DEV_BSIZE != 0 || io->len % DEV_BSIZE != 0)
		error = EINVAL;
	for (at = 0; error == 0 && at < io->len; at += todo) {
		bp = getiobuf(NULL, true);
		bp->b_cflags = BC_BUSY;
		bp->b_oflags = 0;
		bp->b_flags = (write ? B_WRITE : B_READ) | B_PHYS | B_RAW |
		    B_ASYNC;
		bp->b_dev = device->dev;
		bp->b_proc = curproc;
		bp->b_private = io;
		bp->b_iodone = piece_done;
		bp->b_blkno = btodb(io->offset + at);
		bp->b_data = io->data + at;
		bp->b_bcount = MIN(device->most, io->len - at);
		device->minphys(bp);
		todo = bp->b_bufsize = bp->b_bcount;
		BIO_SETPRIO(bp, BPRIO_TIMECRITICAL);
		io->pieces++;
		TAILQ_INSERT_TAIL(pieces, bp, b_actq);
	}
	if (io->pieces == 0) {
		io->error = error;
		io->done(io);
	}
}

void
rump_blkio_start(struct rump_blkio_device *device, struct rump_blkio **ios,
    uint32_t count)
{
	struct pieces pieces = TAILQ_HEAD_INITIALIZER(pieces);
	struct buf *bp;
	bool put_off;
	uint32_t i;

	rump_schedule();
	for (i = 0; i < count; i++)
		prepare(device, ios[i], &pieces);
	/* There is memory for all; nothing is waited for from here on. */
	bp = TAILQ_FIRST(&pieces);
	put_off = &pcihost_put_off != NULL && bp != NULL &&
	    TAILQ_NEXT(bp, b_actq) != NULL && pcihost_put_off();
	while ((bp = TAILQ_FIRST(&pieces)) != NULL) {
		TAILQ_REMOVE(&pieces, bp, b_actq);
		bdev_strategy(bp);
	}
	if (put_off)
		pcihost_make_up();
	rump_unschedule();
}
