/*
 * PCI: what a kernel with the component pcihost and its host agree on, beyond the
 * hypercalls of the component pci.  The host's side stands in
 * rump-hyper/src/hypercall/pci.rs.
 */

#ifndef RUMP_PCI_H_
#define	RUMP_PCI_H_

/*
 * What the kernel asks of the host.  Those that can fail return an error number of
 * NetBSD's.
 */

/*
 * A range of ports (1), or of memory that cannot be mapped (0), as a handle whose
 * highest bit is set.  What is added to the handle is added to the address.
 */
int	rumpcomp_pci_access_map(int, unsigned long, unsigned long,
	    unsigned long *);
/* 1, 2 or 4 bytes. */
unsigned rumpcomp_pci_access_read(unsigned long, unsigned);
void	rumpcomp_pci_access_write(unsigned long, unsigned, unsigned);
/*
 * Whether the device does not answer any more whose register has such a handle, or that
 * address where it is mapped; then where the handles of the region begin, and how many
 * bytes it has.
 */
int	rumpcomp_pci_is_gone(unsigned long, unsigned long *, unsigned long *);

/*
 * Turns on so many interrupts of a kind (pci_intr_type_t) of the function at bus, device
 * and function, in place of others, and gives them cookies from the last argument on.
 */
int	rumpcomp_pci_irq_alloc(unsigned, unsigned, unsigned, int, int,
	    unsigned);
void	rumpcomp_pci_irq_release(unsigned, unsigned, unsigned, int, unsigned);
/* Undoes rumpcomp_pci_irq_establish; the handler does not run any more. */
void	rumpcomp_pci_irq_disestablish(void *);

/* Which memory devices reach: where it begins, how long it is, what to add. */
void	rumpcomp_pci_dma_window(unsigned long *, unsigned long *,
	    unsigned long *);

/*
 * What the kernel exports.  The caller holds no virtual CPU.
 */

/*
 * What the kernel had to copy, because devices do not reach where it was; how many
 * doorbells of disks it has put off, and how many it rang to make up for them.
 */
struct rump_pci_stats {
	uint64_t	bounced_loads;
	uint64_t	bounced_bytes;
	uint64_t	put_off;
	uint64_t	made_up;
};

/*
 * Has the kernel look at the device on a bus; writes the name that its driver gave it
 * (up to 16 bytes with the 0).  ENXIO: no driver took it.
 */
int	rump_pci_attach(unsigned, unsigned, char *);
/* Has the driver of a device let go of it; 1: in any case, it is gone. */
int	rump_pci_detach(const char *, int);
void	rump_pci_get_stats(struct rump_pci_stats *);
/* How many seconds a disk may take to answer a command; 0: any time. */
void	rump_pci_set_timeout(unsigned);

#endif /* RUMP_PCI_H_ */
