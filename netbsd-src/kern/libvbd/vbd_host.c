/* Making and removing disks: what the host calls. */

#include "vbdvar.h"

#include <sys/kmem.h>
#include <sys/stat.h>
#include <sys/systm.h>
#include <sys/vfs_syscalls.h>
#include <sys/vnode.h>

#include <rump-sys/kern.h>
#include <rump-sys/vfs.h>

CTASSERT(sizeof(struct rump_vbd_ops) == 24);
CTASSERT(sizeof(struct rump_vbd_config) == 24);
CTASSERT(offsetof(struct rump_vbd_config, sectors) == 8);

static const struct dkdriver vbd_dkdriver = {
	.d_strategy = vbd_strategy,
	.d_minphys = vbd_minphys,
};

/* Whether a disk can be so, and its size is one that counts of bytes can have. */
static bool
vbd_is_possible(const struct rump_vbd_config *config)
{
	uint32_t size = config->sector_size;

	return config->version == RUMP_VBD_VERSION &&
	    (config->flags & ~RUMP_VBD_READ_ONLY) == 0 &&
	    size >= 512 && size <= 65536 && (size & (size - 1)) == 0 &&
	    config->sectors > 0 && config->sectors <= INT64_MAX / size;
}

/* Its nodes, the block device's first. */
static void
vbd_node_name(const struct rump_vbd *vbd, bool raw, char *path, size_t size)
{

	snprintf(path, size, "/dev/%s%s%c", raw ? "r" : "", vbd->vbd_name,
	    'a' + RAW_PART);
}

static int
vbd_make_nodes(const struct rump_vbd *vbd)
{
	devminor_t node = vbd->vbd_unit * MAXPARTITIONS + RAW_PART;
	char path[32];
	int error;

	vbd_node_name(vbd, false, path, sizeof(path));
	error = rump_vfs_makeonedevnode(S_IFBLK, path, vbd_bmajor, node);
	if (error != 0 && error != EEXIST)
		return error;
	vbd_node_name(vbd, true, path, sizeof(path));
	error = rump_vfs_makeonedevnode(S_IFCHR, path, vbd_cmajor, node);
	return error == EEXIST ? 0 : error;
}

static int
vbd_attach(struct rump_vbd *vbd, const struct rump_vbd_config *config)
{
	struct disk_geom *geometry = &vbd->vbd_disk.dk_geom;
	int unit, error;

	mutex_enter(&vbd_lock);
	for (unit = 0; unit < VBD_UNITS; unit++)
		if (vbd_units[unit] == NULL)
			break;
	if (unit == VBD_UNITS) {
		mutex_exit(&vbd_lock);
		return EMFILE;
	}
	vbd->vbd_unit = unit;
	vbd->vbd_flags = config->flags;
	vbd->vbd_size = config->sectors * config->sector_size;
	snprintf(vbd->vbd_name, sizeof(vbd->vbd_name), "vbd%d", unit);
	vbd_units[unit] = vbd;
	mutex_exit(&vbd_lock);

	disk_init(&vbd->vbd_disk, vbd->vbd_name, &vbd_dkdriver);
	geometry->dg_secperunit = config->sectors;
	geometry->dg_secsize = config->sector_size;
	geometry->dg_nsectors = 32;
	geometry->dg_ntracks = 64;
	geometry->dg_ncylinders = config->sectors / (32 * 64);
	disk_attach(&vbd->vbd_disk);
	disk_set_info(NULL, &vbd->vbd_disk, NULL);

	if ((error = vbd_make_nodes(vbd)) != 0) {
		mutex_enter(&vbd_lock);
		vbd_units[unit] = NULL;
		mutex_exit(&vbd_lock);
		disk_detach(&vbd->vbd_disk);
		disk_destroy(&vbd->vbd_disk);
	}
	return error;
}

int
rump_vbd_create(const struct rump_vbd_ops *ops, void *host,
    const struct rump_vbd_config *config, struct rump_vbd **result, char *name)
{
	struct rump_vbd *vbd;
	int error;

	if (!vbd_is_possible(config))
		return EINVAL;
	rump_schedule();
	vbd = kmem_zalloc(sizeof(*vbd), KM_SLEEP);
	vbd->vbd_ops = ops;
	vbd->vbd_host = host;
	if ((error = vbd_attach(vbd, config)) == 0) {
		memcpy(name, vbd->vbd_name, sizeof(vbd->vbd_name));
		*result = vbd;
	} else {
		kmem_free(vbd, sizeof(*vbd));
	}
	rump_unschedule();
	return error;
}

static int
vbd_detach(struct rump_vbd *vbd)
{
	int node = vbd->vbd_unit * MAXPARTITIONS + RAW_PART;
	struct disk *dk = &vbd->vbd_disk;
	char path[32];
	bool busy;

	/* Wedges that nobody uses go; a wedge that is used has the disk open. */
	mutex_enter(&dk->dk_openlock);
	busy = dk->dk_openmask != 0;
	mutex_exit(&dk->dk_openlock);
	if (busy)
		return EBUSY;
	dkwedge_delall(dk);

	/* From here on it cannot be opened. */
	mutex_enter(&vbd_lock);
	mutex_enter(&dk->dk_openlock);
	busy = dk->dk_openmask != 0 || dk->dk_nwedges != 0;
	mutex_exit(&dk->dk_openlock);
	if (!busy)
		vbd->vbd_dying = true;
	mutex_exit(&vbd_lock);
	if (busy)
		return EBUSY;

	vdevgone(vbd_bmajor, node, node, VBLK);
	vdevgone(vbd_cmajor, node, node, VCHR);
	vbd_node_name(vbd, false, path, sizeof(path));
	(void)do_sys_unlink(path, UIO_SYSSPACE);
	vbd_node_name(vbd, true, path, sizeof(path));
	(void)do_sys_unlink(path, UIO_SYSSPACE);
	disk_detach(dk);
	disk_destroy(dk);

	/* Its number, and the names of its nodes, are free. */
	mutex_enter(&vbd_lock);
	vbd_units[vbd->vbd_unit] = NULL;
	mutex_exit(&vbd_lock);
	return 0;
}

int
rump_vbd_destroy(struct rump_vbd *vbd)
{
	int error;

	rump_schedule();
	if ((error = vbd_detach(vbd)) == 0)
		kmem_free(vbd, sizeof(*vbd));
	rump_unschedule();
	return error;
}
