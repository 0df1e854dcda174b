/*
 * What the sources of this component share.
 */

#ifndef PCIHOST_H_
#define	PCIHOST_H_

#include <sys/bus.h>

struct nvme_softc;
struct rump_pci_stats;

/* How many devices are being attached or detached; changes with the kernel locked. */
extern volatile int pcihost_attaching;

/* When a map was loaded (pci_dma.c); 0 if it is not. */
time_t	pcihost_loaded(bus_dmamap_t);
/* From now on disks that do not answer are looked after (pci_late.c). */
void	pcihost_watch(void);

/* This thread waits for a device, as drivers do that poll (pci_late.c). */
void	pcihost_polls(void);
/* Whether a register is of a device that is gone (pci_gone.c). */
bool	pcihost_is_gone(bus_space_handle_t);
bool	pcihost_reads_gone(bus_space_handle_t, uint32_t *);
void	pcihost_forget_gone(void);

/*
 * Doorbells of disks (pci_bell.c).  Between the first two, if the first is true, those
 * that this thread is to ring are put off; it sleeps for nothing but locks.
 */
bool	pcihost_put_off(void);
void	pcihost_make_up(void);
bool	pcihost_is_put_off(bus_space_handle_t);
void	pcihost_forget_bells(struct nvme_softc *);
void	pcihost_count_bells(struct rump_pci_stats *);

#endif /* PCIHOST_H_ */
