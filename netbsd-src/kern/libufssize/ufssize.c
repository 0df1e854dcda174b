/*
 * Files whose length is no length.
 *
 * On an image that is damaged, or made to be, the length of a file can be negative.  When
 * such a file is removed, or has no name left, ffs and ext2fs shorten it to nothing.
 * They take that for making it longer: ffs then writes to the file while it is being
 * reclaimed, and waits for itself for ever, and either clears so much memory behind a
 * short symbolic link.
 *
 * Here that is an error, and said.  The inode is freed with what it has; fsck finds it.
 */

#include <sys/param.h>
#include <sys/systm.h>
#include <sys/vnode.h>

#include <ufs/ufs/inode.h>

/* Of a kernel with these file systems. */
int	ffs_truncate_tree(struct vnode *, off_t, int, kauth_cred_t) __weak;
int	ext2fs_truncate_tree(struct vnode *, off_t, int, kauth_cred_t) __weak;
int	ffs_truncate(struct vnode *, off_t, int, kauth_cred_t);
int	ext2fs_truncate(struct vnode *, off_t, int, kauth_cred_t);

static bool
has_length(const char *kind, struct vnode *vp, int64_t length)
{

	if (length >= 0)
		return true;
	printf("%s: the file of inode %llu is %lld bytes long, which is"
	    " impossible; unmount the file system and run fsck\n", kind,
	    (unsigned long long)VTOI(vp)->i_number, (long long)length);
	return false;
}

int
ffs_truncate(struct vnode *vp, off_t length, int flags, kauth_cred_t cred)
{

	if (!has_length("ffs", vp, VTOI(vp)->i_size))
		return EIO;
	return ffs_truncate_tree(vp, length, flags, cred);
}

int
ext2fs_truncate(struct vnode *vp, off_t length, int flags, kauth_cred_t cred)
{

	/* As ext2fs has set it (uvm_vnp_setsize). */
	if (!has_length("ext2fs", vp, vp->v_size))
		return EIO;
	return ext2fs_truncate_tree(vp, length, flags, cred);
}
