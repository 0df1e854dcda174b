/*
 * bus_space(9) on regions of the host's devices.
 *
 * Memory is mapped, and a handle is its address.  Ports, and memory that the host cannot
 * map because a page has more in it, are reached by calls, and their handles have the
 * highest bit set, which no address has.
 */

#include <sys/param.h>
#include <sys/atomic.h>
#include <sys/bus.h>
#include <sys/systm.h>

#include "pci_user.h"
#include "pcihost.h"
#include "rump_pci.h"

/* The tag for ports, as the tree gives it to the bus. */
#define	PORTS		((bus_space_tag_t)0)

#define	BY_CALL(handle)	((long)(handle) < 0)

int
bus_space_map(bus_space_tag_t tag, bus_addr_t address, bus_size_t size,
    int flags, bus_space_handle_t *handle)
{
	void *mapped = NULL;

	pcihost_forget_gone();
	if (tag != PORTS)
		mapped = rumpcomp_pci_map(address, size);
	if (mapped != NULL) {
		*handle = (bus_space_handle_t)mapped;
		return 0;
	}
	if ((flags & BUS_SPACE_MAP_LINEAR) != 0)
		return EOPNOTSUPP;
	return rumpcomp_pci_access_map(tag == PORTS, address, size, handle);
}

/* The host keeps regions mapped as long as it has the device. */
void
bus_space_unmap(bus_space_tag_t tag, bus_space_handle_t handle,
    bus_size_t size)
{

}

paddr_t
bus_space_mmap(bus_space_tag_t tag, bus_addr_t address, off_t offset,
    int protection, int flags)
{

	return (paddr_t)-1;
}

void *
bus_space_vaddr(bus_space_tag_t tag, bus_space_handle_t handle)
{

	return BY_CALL(handle) ? NULL : (void *)handle;
}

/* Of registers that are not to be written; doorbells have 4 bytes. */
#define	IS_IN_VAIN(width, address)					\
	(pcihost_is_gone(address) ||					\
	((width) == 4 && pcihost_is_put_off(address)))

#define	ACCESS(width, type)						\
type									\
bus_space_read_##width(bus_space_tag_t tag, bus_space_handle_t handle,	\
    bus_size_t offset)							\
{									\
	uint32_t gone;							\
									\
	if (__predict_false(pcihost_reads_gone(handle + offset, &gone)))\
		return gone;						\
	if (__predict_false(BY_CALL(handle)))				\
		return rumpcomp_pci_access_read(handle + offset, width);\
	return *(volatile type *)(handle + offset);			\
}									\
									\
void									\
bus_space_write_##width(bus_space_tag_t tag, bus_space_handle_t handle,	\
    bus_size_t offset, type value)					\
{									\
									\
	if (__predict_false(IS_IN_VAIN(width, handle + offset)))	\
		return;							\
	if (__predict_false(BY_CALL(handle)))				\
		rumpcomp_pci_access_write(handle + offset, width, value);\
	else								\
		*(volatile type *)(handle + offset) = value;		\
}									\
									\
void									\
bus_space_read_multi_##width(bus_space_tag_t tag,			\
    bus_space_handle_t handle, bus_size_t offset, type *data,		\
    bus_size_t count)							\
{									\
									\
	while (count-- > 0) {						\
		*data++ = bus_space_read_##width(tag, handle, offset);	\
		membar_sync();						\
	}								\
}									\
									\
void									\
bus_space_write_multi_##width(bus_space_tag_t tag,			\
    bus_space_handle_t handle, bus_size_t offset, const type *data,	\
    bus_size_t count)							\
{									\
									\
	while (count-- > 0) {						\
		bus_space_write_##width(tag, handle, offset, *data++);	\
		membar_sync();						\
	}								\
}

ACCESS(1, uint8_t)
ACCESS(2, uint16_t)
ACCESS(4, uint32_t)
