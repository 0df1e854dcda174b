/*
 * Calls of bus_space(9) and bus_dma(9) that drivers make and the tree's component pci
 * does not have: 64-bit registers, regions, restricted tags.
 *
 * All of them are weak, because a later tree may have some.  They are made of the single
 * accesses, but for those of 64 bits, which memory alone has; I/O ports are tag 0 there.
 */

#include <sys/param.h>
#include <sys/bus.h>
#include <sys/systm.h>

#define	WEAK	__attribute__((__weak__))

WEAK uint64_t
bus_space_read_8(bus_space_tag_t tag, bus_space_handle_t handle, bus_size_t offset)
{

	if (tag == 0)
		panic("%s: I/O ports have no 64 bits", __func__);
	return *(volatile uint64_t *)(handle + offset);
}

WEAK void
bus_space_write_8(bus_space_tag_t tag, bus_space_handle_t handle, bus_size_t offset,
    uint64_t value)
{

	if (tag == 0)
		panic("%s: I/O ports have no 64 bits", __func__);
	*(volatile uint64_t *)(handle + offset) = value;
}

/* Successive registers, to and from memory. */
#define	READ_REGION(name, type, read)					\
WEAK void								\
name(bus_space_tag_t tag, bus_space_handle_t handle, bus_size_t offset,	\
    type *data, bus_size_t count)					\
{									\
									\
	for (; count > 0; count--, offset += sizeof(type))		\
		*data++ = read(tag, handle, offset);			\
}

#define	WRITE_REGION(name, type, write)					\
WEAK void								\
name(bus_space_tag_t tag, bus_space_handle_t handle, bus_size_t offset,	\
    const type *data, bus_size_t count)					\
{									\
									\
	for (; count > 0; count--, offset += sizeof(type))		\
		write(tag, handle, offset, *data++);			\
}

/* One value into successive registers, or again and again into one. */
#define	SET(name, type, write, step)					\
WEAK void								\
name(bus_space_tag_t tag, bus_space_handle_t handle, bus_size_t offset,	\
    type value, bus_size_t count)					\
{									\
									\
	for (; count > 0; count--, offset += (step))			\
		write(tag, handle, offset, value);			\
}

READ_REGION(bus_space_read_region_1, uint8_t, bus_space_read_1)
READ_REGION(bus_space_read_region_2, uint16_t, bus_space_read_2)
READ_REGION(bus_space_read_region_4, uint32_t, bus_space_read_4)
READ_REGION(bus_space_read_region_8, uint64_t, bus_space_read_8)
WRITE_REGION(bus_space_write_region_1, uint8_t, bus_space_write_1)
WRITE_REGION(bus_space_write_region_2, uint16_t, bus_space_write_2)
WRITE_REGION(bus_space_write_region_4, uint32_t, bus_space_write_4)
WRITE_REGION(bus_space_write_region_8, uint64_t, bus_space_write_8)
SET(bus_space_set_region_1, uint8_t, bus_space_write_1, sizeof(uint8_t))
SET(bus_space_set_region_2, uint16_t, bus_space_write_2, sizeof(uint16_t))
SET(bus_space_set_region_4, uint32_t, bus_space_write_4, sizeof(uint32_t))
SET(bus_space_set_region_8, uint64_t, bus_space_write_8, sizeof(uint64_t))
SET(bus_space_set_multi_1, uint8_t, bus_space_write_1, 0)
SET(bus_space_set_multi_2, uint16_t, bus_space_write_2, 0)
SET(bus_space_set_multi_4, uint32_t, bus_space_write_4, 0)
SET(bus_space_set_multi_8, uint64_t, bus_space_write_8, 0)

/*
 * The host decides where memory for DMA is, once for all devices.  A driver that asks
 * for less is told so, and goes on with what its bus has.
 */
WEAK int
bus_dmatag_subregion(bus_dma_tag_t tag, bus_addr_t first, bus_addr_t last,
    bus_dma_tag_t *result, int flags)
{

	return EOPNOTSUPP;
}

WEAK void
bus_dmatag_destroy(bus_dma_tag_t tag)
{
}
