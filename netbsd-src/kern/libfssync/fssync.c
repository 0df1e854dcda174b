/*
 * Writing a file system out, and waiting for it: sync(2) does not wait, and fsync(2) is
 * about one file.
 */

#include <sys/param.h>
#include <sys/kauth.h>
#include <sys/lwp.h>
#include <sys/mount.h>
#include <sys/namei.h>
#include <sys/systm.h>
#include <sys/vnode.h>

#include <rump-sys/kern.h>
#include <rump-sys/vfs.h>

/*
 * Writes all that belongs to the file system which a path is in.  The cache of its disk
 * is for the caller to flush.  Called without a virtual CPU; an error number or 0.
 */
int
rump_fs_sync(const char *path)
{
	struct vnode *vp;
	int error;

	rump_schedule();
	error = namei_simple_kernel(path, NSM_FOLLOW_NOEMULROOT, &vp);
	if (error == 0) {
		/* The vnode keeps the file system mounted. */
		error = VFS_SYNC(vp->v_mount, MNT_WAIT, curlwp->l_cred);
		vrele(vp);
	}
	rump_unschedule();
	return error;
}
