/*
 * What the sources of this component share.
 */

#ifndef PCIHOST_H_
#define	PCIHOST_H_

/* How many devices are being attached or detached; changes with the kernel locked. */
extern volatile int pcihost_attaching;

/* When a map was loaded (pci_dma.c); 0 if it is not. */
time_t	pcihost_loaded(bus_dmamap_t);
/* From now on disks that do not answer are looked after (pci_late.c). */
void	pcihost_watch(void);

#endif /* PCIHOST_H_ */
