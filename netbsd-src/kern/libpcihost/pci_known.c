/*
 * Known faults of drivers that a setting of theirs avoids.
 *
 * nvme(4) of NetBSD 8 polls for the answers to commands of the administration queue while
 * it attaches, and marks what it has seen in the queue itself, with the bit by which the
 * device marks new answers in every other turn.  From the third turn on it takes old
 * answers for new ones, and calls what is not there.  A command is needed for each
 * namespace that a controller could have, and there are controllers of 256.  A queue that
 * has more places makes fewer turns.
 */

#include <sys/param.h>
#include <sys/systm.h>

#include "rump_private.h"

/* How many places the queue has; of a kernel with this driver. */
extern int nvme_adminq_size __weak;

/* A quarter of what the specification allows (NVM Express 1.4, 3.1.9). */
#define	NVME_PLACES	1024

RUMP_COMPONENT(RUMP_COMPONENT_DEV)
{

	if (&nvme_adminq_size != NULL)
		nvme_adminq_size = MAX(nvme_adminq_size, NVME_PLACES);
}
