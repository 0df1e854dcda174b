/*
 * Known faults of drivers that a setting of theirs avoids.
 *
 * nvme(4) of NetBSD 8 polls for the answers to commands of the administration queue while
 * it attaches, and marks what it has seen in the queue itself, with the bit by which the
 * device marks new answers in every other turn.  From the third turn on it takes old
 * answers for new ones, and calls what is not there.  A command is needed for each
 * namespace that a controller could have, and there are controllers of 256.  A queue that
 * has more places makes fewer turns.
 *
 * ld(4) attaches to each namespace that there could be, and makes a disk without blocks
 * of one that is not there.  Here it is asked for first whether there is any block.
 */

#include <sys/param.h>
#include <sys/device.h>
#include <sys/systm.h>

#include <dev/ic/nvmereg.h>
#include <dev/ic/nvmevar.h>

#include "rump_private.h"

/* Of a kernel with these drivers: how many places the queue has, and what ld(4) is. */
extern int nvme_adminq_size __weak;
extern struct cfattach ld_nvme_ca __weak;
int	nvme_ns_identify(struct nvme_softc *, uint16_t) __weak;
void	nvme_ns_free(struct nvme_softc *, uint16_t) __weak;

/* A quarter of what the specification allows (NVM Express 1.4, 3.1.9). */
#define	NVME_PLACES	1024

static int	(*ld_match)(device_t, cfdata_t, void *);

/* The driver identifies the namespace again, if it takes it. */
static int
match_namespace(device_t parent, cfdata_t match, void *aux)
{
	struct nvme_softc *sc = device_private(parent);
	struct nvme_attach_args *naa = aux;
	bool there;

	if (naa->naa_nsid == 0 || nvme_ns_identify(sc, naa->naa_nsid) != 0)
		return 0;
	there = nvme_ns_get(sc, naa->naa_nsid)->ident->nsze != 0;
	nvme_ns_free(sc, naa->naa_nsid);
	return there ? (*ld_match)(parent, match, aux) : 0;
}

RUMP_COMPONENT(RUMP_COMPONENT_DEV)
{

	if (&nvme_adminq_size != NULL)
		nvme_adminq_size = MAX(nvme_adminq_size, NVME_PLACES);
	if (&ld_nvme_ca != NULL) {
		ld_match = ld_nvme_ca.ca_match;
		ld_nvme_ca.ca_match = match_namespace;
	}
}
