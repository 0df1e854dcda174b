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
 * nvme(4) of before 2018 does not say that its controller may read and write memory: the
 * firmware of most machines has said so.
 *
 * wm(4) relies on the reset that it makes to turn off what it does not use.  QEMU 7.2 resets
 * hardly anything of its 82574L then, and the host has no better reset of it.  What somebody
 * who was killed has left on is turned off here:
 * - Receiving and sending, as the driver lets the card reach memory before it resets it.
 *   All of this program's memory has addresses at which another's was a moment ago, and the
 *   card wrote frames where it had been told to.
 * - Interrupts.  It has a timer that puts off the next one while it has no table of messages,
 *   and QEMU ends itself if that is over when there is a table; so it is waited for.
 * - That frames go to several queues (MRQC).  With one queue, after somebody who had two, the
 *   first frame for the second one stopped all others, for good.
 *
 * ld(4) attaches to each namespace that there could be, and makes a disk without blocks
 * of one that is not there.  Here it is asked for first whether there is any block.
 */

#include <sys/param.h>
#include <sys/bus.h>
#include <sys/device.h>
#include <sys/systm.h>

#include <dev/pci/pcireg.h>
#include <dev/pci/pcivar.h>

#include <dev/ic/nvmereg.h>
#include <dev/ic/nvmevar.h>

#include "rump_private.h"

/* Of a kernel with these drivers: how many places the queue has, and what ld(4) is. */
extern int nvme_adminq_size __weak;
extern struct cfattach ld_nvme_ca __weak;
extern struct cfattach nvme_pci_ca __weak;
extern struct cfattach wm_ca __weak;
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

static void	(*nvme_attach_pci)(device_t, device_t, void *);

static void
attach_controller(device_t parent, device_t self, void *aux)
{
	struct pci_attach_args *pa = aux;
	pcireg_t word = pci_conf_read(pa->pa_pc, pa->pa_tag, PCI_COMMAND_STATUS_REG);

	pci_conf_write(pa->pa_pc, pa->pa_tag, PCI_COMMAND_STATUS_REG,
	    (word & 0xffff) | PCI_COMMAND_MASTER_ENABLE);
	(*nvme_attach_pci)(parent, self, aux);
}

/* Where registers are (82574 datasheet, 10.2); the last one in cards of PCI Express only. */
#define	WM_BAR		0x10
#define	WM_IMC		0x00d8
#define	WM_RCTL		0x0100
#define	WM_TCTL		0x0400
#define	WM_MRQC		0x5818
/* How long an interrupt may be put off, in microseconds: 65,535 times 256 ns. */
#define	WM_PUT_OFF	17000

static void	(*wm_attach)(device_t, device_t, void *);

static void
attach_card(device_t parent, device_t self, void *aux)
{
	struct pci_attach_args *pa = aux;
	bus_space_tag_t tag;
	bus_space_handle_t handle;
	bus_size_t size;
	pcireg_t type = pci_mapreg_type(pa->pa_pc, pa->pa_tag, WM_BAR);

	if (PCI_MAPREG_TYPE(type) == PCI_MAPREG_TYPE_MEM &&
	    pci_mapreg_map(pa, WM_BAR, type, 0, &tag, &handle, NULL,
	    &size) == 0) {
		if (size >= WM_MRQC + 4) {
			bus_space_write_4(tag, handle, WM_IMC, 0xffffffff);
			bus_space_write_4(tag, handle, WM_RCTL, 0);
			bus_space_write_4(tag, handle, WM_TCTL, 0);
			if (pci_get_capability(pa->pa_pc, pa->pa_tag,
			    PCI_CAP_PCIEXPRESS, NULL, NULL))
				bus_space_write_4(tag, handle, WM_MRQC, 0);
			delay(WM_PUT_OFF);
		}
		bus_space_unmap(tag, handle, size);
	}
	(*wm_attach)(parent, self, aux);
}

RUMP_COMPONENT(RUMP_COMPONENT_DEV)
{

	if (&nvme_adminq_size != NULL)
		nvme_adminq_size = MAX(nvme_adminq_size, NVME_PLACES);
	if (&ld_nvme_ca != NULL) {
		ld_match = ld_nvme_ca.ca_match;
		ld_nvme_ca.ca_match = match_namespace;
	}
	if (&nvme_pci_ca != NULL) {
		nvme_attach_pci = nvme_pci_ca.ca_attach;
		nvme_pci_ca.ca_attach = attach_controller;
	}
	if (&wm_ca != NULL) {
		wm_attach = wm_ca.ca_attach;
		wm_ca.ca_attach = attach_card;
	}
}
