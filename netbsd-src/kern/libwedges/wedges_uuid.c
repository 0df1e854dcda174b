/*
 * UUIDs, uuid(3), as what finds GPT partitions needs them; the tree has them beside a
 * system call that a rump kernel lacks.
 */

#include <sys/param.h>
#include <sys/endian.h>
#include <sys/systm.h>
#include <sys/uuid.h>

int
uuid_snprintf(char *buf, size_t size, const struct uuid *uuid)
{

	return snprintf(buf, size,
	    "%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x",
	    uuid->time_low, uuid->time_mid, uuid->time_hi_and_version,
	    uuid->clock_seq_hi_and_reserved, uuid->clock_seq_low,
	    uuid->node[0], uuid->node[1], uuid->node[2],
	    uuid->node[3], uuid->node[4], uuid->node[5]);
}

/* From the 16 bytes that a disk has, little-endian. */
void
uuid_dec_le(const void *from, struct uuid *uuid)
{
	const uint8_t *bytes = from;

	uuid->time_low = le32dec(bytes);
	uuid->time_mid = le16dec(bytes + 4);
	uuid->time_hi_and_version = le16dec(bytes + 6);
	uuid->clock_seq_hi_and_reserved = bytes[8];
	uuid->clock_seq_low = bytes[9];
	memcpy(uuid->node, bytes + 10, sizeof(uuid->node));
}
