/*
 * fsync(2) on a file of ffs with a log, WAPBL.
 *
 * The tree's writes the data of the file, and leaves the rest to the log; but it commits
 * the log only if buffers of the file itself are to be written, which a small file has
 * none of.  So neither a new name nor a new size of it was safe when the call returned.
 * This commits the log each time that somebody waits, and flushes the disk's cache
 * behind the data.
 */

#include <sys/param.h>
#include <sys/dkio.h>
#include <sys/fcntl.h>
#include <sys/ioctl.h>
#include <sys/kauth.h>
#include <sys/mount.h>
#include <sys/systm.h>
#include <sys/vnode.h>
#include <sys/wapbl.h>

#include <ufs/ufs/inode.h>

#include <rump-sys/kern.h>
#include <rump-sys/vfs.h>

extern int (**ffs_vnodeop_p)(void *);

static int (*fssync_tree)(void *);

static int
fssync_fsync(void *v)
{
	struct vop_fsync_args args = *(struct vop_fsync_args *)v;
	struct vnode *vp = args.a_vp;
	struct wapbl *log = vp->v_mount->mnt_wapbl;
	int error, force = 1;

	if (log == NULL || (args.a_flags & FSYNC_WAIT) == 0 ||
	    (args.a_flags & (FSYNC_LAZY | FSYNC_NOLOG | FSYNC_RECLAIM)) != 0)
		return fssync_tree(v);

	/* Where data is, and how much, is in the log, too. */
	args.a_flags &= ~FSYNC_DATAONLY;
	error = fssync_tree(&args);
	if (error == 0)
		error = wapbl_flush(log, 0);
	if (error == 0 && (args.a_flags & FSYNC_CACHE) != 0)
		error = VOP_IOCTL(VTOI(vp)->i_devvp, DIOCCACHESYNC, &force,
		    FWRITE, kauth_cred_get());
	/* A disk without a cache knows of none. */
	return error == ENOTTY || error == ENODEV ? 0 : error;
}

/* By now the file systems are attached, whose tables are made then. */
RUMP_COMPONENT(RUMP_COMPONENT_VFS)
{
	int (**entry)(void *);

	if (ffs_vnodeop_p == NULL)
		panic("fssync: no ffs");
	entry = &ffs_vnodeop_p[vop_fsync_desc.vdesc_offset];
	fssync_tree = *entry;
	*entry = fssync_fsync;
}
