/* Disks whose other end is in the host: what the sources of the component share. */

#ifndef VBDVAR_H_
#define	VBDVAR_H_

#include <sys/param.h>
#include <sys/buf.h>
#include <sys/conf.h>
#include <sys/disk.h>
#include <sys/disklabel.h>

#include <rump_vbd.h>

/* Disks at a time. */
#define	VBD_UNITS	64

struct rump_vbd {
	const struct rump_vbd_ops *vbd_ops;
	void		*vbd_host;
	struct disk	vbd_disk;
	uint64_t	vbd_size;	/* in bytes */
	uint32_t	vbd_flags;
	int		vbd_unit;
	bool		vbd_written;	/* since it was flushed; a hint */
	bool		vbd_dying;	/* under vbd_lock */
	char		vbd_name[16];
};

/* Set and cleared under vbd_lock; what is open stays. */
extern struct rump_vbd *vbd_units[VBD_UNITS];
extern kmutex_t vbd_lock;
extern devmajor_t vbd_bmajor, vbd_cmajor;

void	vbd_strategy(struct buf *);
void	vbd_minphys(struct buf *);

#endif /* VBDVAR_H_ */
