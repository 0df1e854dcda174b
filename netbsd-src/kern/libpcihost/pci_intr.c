/*
 * pci_intr(9), pci_msi(9): lines, messages, and messages from a table.
 *
 * The host turns the interrupts of a function on, all of one kind at a time, and knows
 * each by a number (cookie).  A handle holds the number, the kind and the function.  A
 * handler is called by a thread of its own, which may be bound to a virtual CPU
 * (interrupt_distribute), or in its place by one that waits for what it does; one that does
 * not say that it locks for itself runs with the kernel locked.
 *
 * While a device is attached or detached, all handlers do.  Drivers poll then, and on a
 * machine the interrupt comes to the CPU that polls, or not at all yet; some do not bear
 * a handler that runs beside it (nvme_poll of nvme(4) leaves what the handler still uses).
 */

#include <sys/param.h>
#include <sys/atomic.h>
#include <sys/cpu.h>
#include <sys/interrupt.h>
#include <sys/kcpuset.h>
#include <sys/kmem.h>
#include <sys/proc.h>
#include <sys/systm.h>

#include <dev/pci/pcivar.h>

#include "pci_user.h"
#include "pcihost.h"
#include "rump_pci.h"

/* A handle: number, kind, whether the handler locks for itself, function. */
#define	HANDLE(cookie, kind, bus, device, function)			\
	((pci_intr_handle_t)(cookie) | (pci_intr_handle_t)(kind) << 32 |\
	(pci_intr_handle_t)(bus) << 40 | (pci_intr_handle_t)(device) << 48 |\
	(pci_intr_handle_t)(function) << 56)
#define	COOKIE(handle)		((unsigned)(handle))
#define	KIND(handle)		((unsigned)((handle) >> 32) & 0x3)
#define	MPSAFE			((pci_intr_handle_t)1 << 36)
#define	BUS(handle)		((unsigned)((handle) >> 40) & 0xff)
#define	DEVICE(handle)		((unsigned)((handle) >> 48) & 0xff)
#define	FUNCTION(handle)	((unsigned)((handle) >> 56) & 0xff)

CTASSERT(sizeof(pci_intr_handle_t) == 8);

/* A handler that was established. */
struct pcihost_intr {
	int		(*pi_func)(void *);
	void		*pi_arg;
	bool		pi_mpsafe;
	struct cpu_info	*volatile pi_cpu;	/* NULL: any */
	struct lwp	*pi_own;		/* of its own thread */
	void		*pi_host;
};

/* Turns so many interrupts on; fills in their handles. */
static int
turn_on(const struct pci_attach_args *pa, int kind, int count,
    pci_intr_handle_t *handles)
{
	static unsigned cookies;
	unsigned cookie;
	int error, i;

	cookie = atomic_add_int_nv(&cookies, count) - count;
	error = rumpcomp_pci_irq_alloc(pa->pa_bus, pa->pa_device,
	    pa->pa_function, kind, count, cookie);
	if (error != 0)
		return error;
	for (i = 0; i < count; i++)
		handles[i] = HANDLE(cookie + i, kind, pa->pa_bus,
		    pa->pa_device, pa->pa_function);
	return 0;
}

static int
allocate(const struct pci_attach_args *pa, int kind, int count,
    pci_intr_handle_t **result)
{
	pci_intr_handle_t *handles;
	int error;

	if (count <= 0)
		return EINVAL;
	handles = kmem_alloc(count * sizeof(*handles), KM_SLEEP);
	error = turn_on(pa, kind, count, handles);
	if (error != 0)
		kmem_free(handles, count * sizeof(*handles));
	else
		*result = handles;
	return error;
}

int
pci_intr_map(const struct pci_attach_args *pa, pci_intr_handle_t *handle)
{

	if (pa->pa_intrpin == 0)
		return ENXIO;
	return turn_on(pa, PCI_INTR_TYPE_INTX, 1, handle);
}

int
pci_intx_alloc(const struct pci_attach_args *pa, pci_intr_handle_t **handles)
{

	if (pa->pa_intrpin == 0)
		return ENXIO;
	return allocate(pa, PCI_INTR_TYPE_INTX, 1, handles);
}

/* The count is of those wanted at most, and then of those there are. */
int
pci_msi_alloc(const struct pci_attach_args *pa, pci_intr_handle_t **handles,
    int *count)
{
	int most = pci_msi_count(pa->pa_pc, pa->pa_tag);

	*count = MIN(*count, most);
	return pci_msi_alloc_exact(pa, handles, *count);
}

int
pci_msi_alloc_exact(const struct pci_attach_args *pa,
    pci_intr_handle_t **handles, int count)
{

	/* A device can tell powers of two apart (PCI 3.0, 6.8.1.3). */
	if (!powerof2(count))
		return EINVAL;
	return allocate(pa, PCI_INTR_TYPE_MSI, count, handles);
}

int
pci_msix_alloc(const struct pci_attach_args *pa, pci_intr_handle_t **handles,
    int *count)
{
	int most = pci_msix_count(pa->pa_pc, pa->pa_tag);

	*count = MIN(*count, most);
	return allocate(pa, PCI_INTR_TYPE_MSIX, *count, handles);
}

int
pci_msix_alloc_exact(const struct pci_attach_args *pa,
    pci_intr_handle_t **handles, int count)
{

	return allocate(pa, PCI_INTR_TYPE_MSIX, count, handles);
}

/* The host fills the table from its beginning. */
int
pci_msix_alloc_map(const struct pci_attach_args *pa,
    pci_intr_handle_t **handles, u_int *indexes, int count)
{
	int i;

	for (i = 0; i < count; i++) {
		if (indexes[i] != i)
			return EOPNOTSUPP;
	}
	return allocate(pa, PCI_INTR_TYPE_MSIX, count, handles);
}

/*
 * The best kind that there is, up to the greatest wanted.  Counts are of those wanted,
 * -1 for all there are, and then of those that were turned on.
 */
int
pci_intr_alloc(const struct pci_attach_args *pa, pci_intr_handle_t **handles,
    int *counts, pci_intr_type_t greatest)
{
	int wanted[PCI_INTR_TYPE_SIZE] = { 1, 1, 1 };
	int kind, error = EINVAL;

	if (counts != NULL)
		memcpy(wanted, counts, sizeof(wanted));
	if (wanted[PCI_INTR_TYPE_MSIX] < 0)
		wanted[PCI_INTR_TYPE_MSIX] =
		    pci_msix_count(pa->pa_pc, pa->pa_tag);
	if (wanted[PCI_INTR_TYPE_MSI] < 0)
		wanted[PCI_INTR_TYPE_MSI] =
		    pci_msi_count(pa->pa_pc, pa->pa_tag);
	for (kind = greatest; kind >= 0; kind--) {
		if (wanted[kind] == 0)
			continue;
		if (kind == PCI_INTR_TYPE_MSIX)
			error = pci_msix_alloc_exact(pa, handles,
			    wanted[kind]);
		else if (kind == PCI_INTR_TYPE_MSI)
			error = pci_msi_alloc_exact(pa, handles,
			    wanted[kind]);
		else
			error = pci_intx_alloc(pa, handles);
		if (error == 0)
			break;
	}
	if (error == 0 && counts != NULL) {
		memset(counts, 0, sizeof(wanted));
		counts[kind] = kind == PCI_INTR_TYPE_INTX ? 1 : wanted[kind];
	}
	return error;
}

void
pci_intr_release(pci_chipset_tag_t pc, pci_intr_handle_t *handles, int count)
{

	if (handles == NULL || count <= 0)
		return;
	rumpcomp_pci_irq_release(BUS(handles[0]), DEVICE(handles[0]),
	    FUNCTION(handles[0]), count, COOKIE(handles[0]));
	kmem_free(handles, count * sizeof(*handles));
}

pci_intr_type_t
pci_intr_type(pci_chipset_tag_t pc, pci_intr_handle_t handle)
{

	return KIND(handle);
}

const char *
pci_intr_string(pci_chipset_tag_t pc, pci_intr_handle_t handle, char *buf,
    size_t len)
{
	static const char *const names[] = { "line", "msi", "msix" };

	snprintf(buf, len, "%s of %u:%u:%u, number %u", names[KIND(handle)],
	    BUS(handle), DEVICE(handle), FUNCTION(handle), COOKIE(handle));
	return buf;
}

int
pci_intr_setattr(pci_chipset_tag_t pc, pci_intr_handle_t *handle, int attr,
    uint64_t data)
{

	if (attr != PCI_INTR_MPSAFE)
		return ENODEV;
	if (data)
		*handle |= MPSAFE;
	else
		*handle &= ~MPSAFE;
	return 0;
}

/*
 * On the thread of the handler's own, which is the first, or on one that waits for what
 * the handler does; on a virtual CPU.
 */
static int
handle_intr(void *arg)
{
	struct pcihost_intr *intr = arg;
	struct cpu_info *ci = intr->pi_cpu;
	struct lwp *l = curlwp;
	bool lock = !intr->pi_mpsafe || pcihost_attaching > 0;
	int handled;

	if (__predict_false(intr->pi_own == NULL))
		intr->pi_own = l;
	/* From the next time on. */
	if (ci != NULL && l == intr->pi_own && l->l_target_cpu != ci) {
		l->l_pflag |= LP_BOUND;
		l->l_target_cpu = ci;
	}
	if (lock)
		KERNEL_LOCK(1, NULL);
	handled = intr->pi_func(intr->pi_arg);
	if (lock)
		KERNEL_UNLOCK_ONE(NULL);
	return handled;
}

void *
pci_intr_establish(pci_chipset_tag_t pc, pci_intr_handle_t handle, int level,
    int (*func)(void *), void *arg)
{
	struct pcihost_intr *intr;

	intr = kmem_zalloc(sizeof(*intr), KM_SLEEP);
	intr->pi_func = func;
	intr->pi_arg = arg;
	intr->pi_mpsafe = (handle & MPSAFE) != 0;
	intr->pi_host = rumpcomp_pci_irq_establish(COOKIE(handle), handle_intr,
	    intr);
	if (intr->pi_host == NULL) {
		kmem_free(intr, sizeof(*intr));
		return NULL;
	}
	return intr;
}

void *
pci_intr_establish_xname(pci_chipset_tag_t pc, pci_intr_handle_t handle,
    int level, int (*func)(void *), void *arg, const char *name)
{

	return pci_intr_establish(pc, handle, level, func, arg);
}

void
pci_intr_disestablish(pci_chipset_tag_t pc, void *cookie)
{
	struct pcihost_intr *intr = cookie;

	rumpcomp_pci_irq_disestablish(intr->pi_host);
	kmem_free(intr, sizeof(*intr));
}

/* The first virtual CPU of the set. */
int
interrupt_distribute(void *cookie, const kcpuset_t *set, kcpuset_t *old)
{
	struct pcihost_intr *intr = cookie;
	struct cpu_info *ci;
	CPU_INFO_ITERATOR cii;

	if (old != NULL) {
		kcpuset_zero(old);
		for (CPU_INFO_FOREACH(cii, ci)) {
			if (intr->pi_cpu == NULL || intr->pi_cpu == ci)
				kcpuset_set(old, cpu_index(ci));
		}
	}
	for (CPU_INFO_FOREACH(cii, ci)) {
		if (kcpuset_isset(set, cpu_index(ci))) {
			intr->pi_cpu = ci;
			return 0;
		}
	}
	return EINVAL;
}
