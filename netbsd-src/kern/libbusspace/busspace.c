/*
 * Calls of bus_space(9) that drivers make and the tree's component pci does not have:
 * 64-bit registers, and regions.
 *
 * All of them are weak, because a later tree may have some.  They are made of single
 * accesses.  Handles are those of the component pcihost: an address, or with the highest
 * bit set what is reached by calls, which go by 32 bits.
 */

#include <sys/param.h>
#include <sys/bus.h>

#define	WEAK		__attribute__((__weak__))
#define	BY_CALL(handle)	((long)(handle) < 0)

WEAK uint64_t
bus_space_read_8(bus_space_tag_t tag, bus_space_handle_t handle, bus_size_t offset)
{
	uint64_t low;

	if (!BY_CALL(handle))
		return *(volatile uint64_t *)(handle + offset);
	low = bus_space_read_4(tag, handle, offset);
	return low | (uint64_t)bus_space_read_4(tag, handle, offset + 4) << 32;
}

WEAK void
bus_space_write_8(bus_space_tag_t tag, bus_space_handle_t handle, bus_size_t offset,
    uint64_t value)
{

	if (!BY_CALL(handle)) {
		*(volatile uint64_t *)(handle + offset) = value;
		return;
	}
	bus_space_write_4(tag, handle, offset, (uint32_t)value);
	bus_space_write_4(tag, handle, offset + 4, (uint32_t)(value >> 32));
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
