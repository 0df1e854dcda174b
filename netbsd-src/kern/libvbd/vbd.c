/*
 * Disks whose other end is in the host: vbd0, vbd1, ...
 *
 * Unlike the tree's rumpblk, which knows paths of the host and promises that what was
 * written is safe, this is a disk(9) as any other: it can be cut into wedges, and has a
 * cache that is flushed by DIOCCACHESYNC.
 *
 * There is one partition, the whole of it, under the name that NetBSD has for that on
 * this machine (vbd0d).
 */

#include "vbdvar.h"

#include <sys/fcntl.h>
#include <sys/ioctl.h>
#include <sys/dkio.h>
#include <sys/stat.h>
#include <sys/systm.h>

#include <rump-sys/kern.h>
#include <rump-sys/vfs.h>

struct rump_vbd *vbd_units[VBD_UNITS];
kmutex_t vbd_lock;
devmajor_t vbd_bmajor = -1, vbd_cmajor = -1;

static dev_type_open(vbd_open);
static dev_type_close(vbd_close);
static dev_type_read(vbd_read);
static dev_type_write(vbd_write);
static dev_type_ioctl(vbd_ioctl);
static dev_type_size(vbd_size);
static dev_type_discard(vbd_discard);

static const struct bdevsw vbd_bdevsw = {
	.d_open = vbd_open,
	.d_close = vbd_close,
	.d_strategy = vbd_strategy,
	.d_ioctl = vbd_ioctl,
	.d_dump = nodump,
	.d_psize = vbd_size,
	.d_discard = vbd_discard,
	.d_flag = D_DISK | D_MPSAFE
};

static const struct cdevsw vbd_cdevsw = {
	.d_open = vbd_open,
	.d_close = vbd_close,
	.d_read = vbd_read,
	.d_write = vbd_write,
	.d_ioctl = vbd_ioctl,
	.d_stop = nostop,
	.d_tty = notty,
	.d_poll = nopoll,
	.d_mmap = nommap,
	.d_kqfilter = nokqfilter,
	.d_discard = vbd_discard,
	.d_flag = D_DISK | D_MPSAFE
};

RUMP_COMPONENT(RUMP_COMPONENT_DEV)
{
	int error;

	mutex_init(&vbd_lock, MUTEX_DEFAULT, IPL_NONE);
	if ((error = devsw_attach("vbd", &vbd_bdevsw, &vbd_bmajor,
	    &vbd_cdevsw, &vbd_cmajor)) != 0)
		panic("vbd: cannot attach: %d", error);
}

static struct rump_vbd *
vbd_lookup(dev_t dev)
{
	int unit = DISKUNIT(dev);

	return unit < VBD_UNITS ? vbd_units[unit] : NULL;
}

static int
vbd_open(dev_t dev, int flag, int fmt, struct lwp *l)
{
	struct rump_vbd *vbd;
	struct disk *dk;

	mutex_enter(&vbd_lock);
	vbd = vbd_lookup(dev);
	if (vbd == NULL || vbd->vbd_dying || DISKPART(dev) != RAW_PART) {
		mutex_exit(&vbd_lock);
		return ENXIO;
	}
	if ((flag & FWRITE) != 0 && (vbd->vbd_flags & RUMP_VBD_READ_ONLY) != 0) {
		mutex_exit(&vbd_lock);
		return EROFS;
	}
	dk = &vbd->vbd_disk;
	mutex_enter(&dk->dk_openlock);
	if (fmt == S_IFCHR)
		dk->dk_copenmask |= 1 << RAW_PART;
	else
		dk->dk_bopenmask |= 1 << RAW_PART;
	dk->dk_openmask = dk->dk_copenmask | dk->dk_bopenmask;
	mutex_exit(&dk->dk_openlock);
	mutex_exit(&vbd_lock);
	return 0;
}

/* Called when nobody has the node open any more. */
static int
vbd_close(dev_t dev, int flag, int fmt, struct lwp *l)
{
	struct rump_vbd *vbd = vbd_lookup(dev);
	struct disk *dk = &vbd->vbd_disk;
	int error = 0;

	if (vbd->vbd_written) {
		vbd->vbd_written = false;
		error = vbd->vbd_ops->flush(vbd->vbd_host);
	}
	mutex_enter(&dk->dk_openlock);
	if (fmt == S_IFCHR)
		dk->dk_copenmask &= ~(1 << RAW_PART);
	else
		dk->dk_bopenmask &= ~(1 << RAW_PART);
	dk->dk_openmask = dk->dk_copenmask | dk->dk_bopenmask;
	mutex_exit(&dk->dk_openlock);
	return error;
}

/* The host cuts transfers itself; physio(9) has its own limit. */
void
vbd_minphys(struct buf *bp)
{
}

static int
vbd_read(dev_t dev, struct uio *uio, int flags)
{

	return physio(vbd_strategy, NULL, dev, B_READ, vbd_minphys, uio);
}

static int
vbd_write(dev_t dev, struct uio *uio, int flags)
{

	return physio(vbd_strategy, NULL, dev, B_WRITE, vbd_minphys, uio);
}

void
vbd_strategy(struct buf *bp)
{
	struct rump_vbd *vbd = vbd_lookup(bp->b_dev);
	uint64_t offset;
	uint32_t how = 0;
	int error;

	if (vbd == NULL) {
		bp->b_error = ENXIO;
		bp->b_resid = bp->b_bcount;
		biodone(bp);
		return;
	}
	offset = (uint64_t)bp->b_blkno << DEV_BSHIFT;
	if (bp->b_blkno < 0 ||
	    (bp->b_bcount | offset) & (vbd->vbd_disk.dk_geom.dg_secsize - 1)) {
		bp->b_error = EINVAL;
		bp->b_resid = bp->b_bcount;
		biodone(bp);
		return;
	}
	/* Cuts it short at the end of the disk. */
	if (bounds_check_with_mediasize(bp, DEV_BSIZE,
	    vbd->vbd_size >> DEV_BSHIFT) <= 0) {
		bp->b_resid = bp->b_bcount;
		biodone(bp);
		return;
	}
	if (BUF_ISWRITE(bp)) {
		how |= RUMP_VBD_WRITE;
		vbd->vbd_written = true;
	}
	if (bp->b_flags & B_ASYNC)
		how |= RUMP_VBD_ASYNC;
	error = vbd->vbd_ops->transfer(vbd->vbd_host, how, bp->b_data,
	    bp->b_bcount, offset, bp);
	if (error != RUMP_VBD_LATER) {
		bp->b_error = error;
		bp->b_resid = error ? bp->b_bcount : 0;
		biodone(bp);
	}
}

void
rump_vbd_done(void *io, int error)
{
	struct buf *bp = io;

	rump_schedule();
	bp->b_error = error;
	bp->b_resid = error ? bp->b_bcount : 0;
	biodone(bp);
	rump_unschedule();
}

static int
vbd_ioctl(dev_t dev, u_long cmd, void *data, int flag, struct lwp *l)
{
	struct rump_vbd *vbd = vbd_lookup(dev);
	int error;

	if (vbd == NULL)
		return ENXIO;
	error = disk_ioctl(&vbd->vbd_disk, dev, cmd, data, flag, l);
	if (error != EPASSTHROUGH)
		return error;
	switch (cmd) {
	case DIOCCACHESYNC:
		vbd->vbd_written = false;
		return vbd->vbd_ops->flush(vbd->vbd_host);
	default:
		return ENOTTY;
	}
}

static int
vbd_size(dev_t dev)
{
	struct rump_vbd *vbd = vbd_lookup(dev);

	if (vbd == NULL || vbd->vbd_size >> DEV_BSHIFT > INT_MAX)
		return -1;
	return vbd->vbd_size >> DEV_BSHIFT;
}

static int
vbd_discard(dev_t dev, off_t at, off_t len)
{
	struct rump_vbd *vbd = vbd_lookup(dev);

	if (vbd == NULL)
		return ENXIO;
	if (at < 0 || len < 0 || (uint64_t)at > vbd->vbd_size ||
	    (uint64_t)len > vbd->vbd_size - at)
		return EINVAL;
	return vbd->vbd_ops->discard(vbd->vbd_host, at, len);
}
