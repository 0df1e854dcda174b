/*
 * Wedges, dk(4).  The tree's component disk has the code, but no device that programs
 * could open, and leaves out what finds partitions.
 *
 * Nothing is looked for unless somebody asks for it (DIOCMWEDGES), or a driver does when
 * it attaches a disk.
 */

#include <sys/param.h>
#include <sys/conf.h>
#include <sys/device.h>
#include <sys/disk.h>
#include <sys/stat.h>
#include <sys/systm.h>

#include <rump-sys/kern.h>
#include <rump-sys/vfs.h>

/* Wedges that have nodes in /dev. */
#define	NODES	16

extern const struct bdevsw dk_bdevsw;
extern const struct cdevsw dk_cdevsw;
extern struct cfdriver dk_cd;
extern struct cfattach dk_ca;
extern int dkwedge_autodiscover;

RUMP_COMPONENT(RUMP_COMPONENT_DEV)
{
	devmajor_t bmajor = -1, cmajor = -1;
	char path[16];
	int error, unit;

	if ((error = devsw_attach("dk", &dk_bdevsw, &bmajor,
	    &dk_cdevsw, &cmajor)) != 0)
		panic("wedges: cannot attach dk: %d", error);
	if ((error = config_cfdriver_attach(&dk_cd)) != 0 && error != EEXIST)
		panic("wedges: no driver dk: %d", error);
	if ((error = config_cfattach_attach(dk_cd.cd_name, &dk_ca)) != 0 &&
	    error != EEXIST)
		panic("wedges: no attachment of dk: %d", error);
	dkwedge_autodiscover = 1;

	for (unit = 0; unit < NODES; unit++) {
		snprintf(path, sizeof(path), "/dev/dk%d", unit);
		error = rump_vfs_makeonedevnode(S_IFBLK, path, bmajor, unit);
		if (error == 0) {
			snprintf(path, sizeof(path), "/dev/rdk%d", unit);
			error = rump_vfs_makeonedevnode(S_IFCHR, path, cmajor,
			    unit);
		}
		if (error != 0 && error != EEXIST)
			panic("wedges: cannot make %s: %d", path, error);
	}
}
