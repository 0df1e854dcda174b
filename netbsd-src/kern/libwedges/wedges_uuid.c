/*
 * UUIDs, uuid(3), as what finds GPT partitions needs them; the tree has them beside a
 * system call that a rump kernel lacks.
 */

#include <sys/param.h>
#include <sys/endian.h>
#include <sys/systm.h>
#include <sys/uuid.h>

/* The text of RFC 4122, 3: five numbers, the last two of which are kept as bytes. */
int
uuid_snprintf(char *buf, size_t size, const struct uuid *uuid)
{
	unsigned int clock = uuid->clock_seq_hi_and_reserved << 8 |
	    uuid->clock_seq_low;
	unsigned long long node = 0;
	size_t i;

	for (i = 0; i < sizeof(uuid->node); i++)
		node = node << 8 | uuid->node[i];
	return snprintf(buf, size, "%08x-%04x-%04x-%04x-%012llx",
	    (unsigned int)uuid->time_low, uuid->time_mid,
	    uuid->time_hi_and_version, clock, node);
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
