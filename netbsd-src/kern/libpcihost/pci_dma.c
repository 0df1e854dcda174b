/*
 * bus_dma(9) on memory that the host's devices reach through a window.
 *
 * Nearly all of the kernel's memory lies in the window, and a device's address is the
 * kernel's plus a constant.  What lies elsewhere (a program's buffer that a disk is to
 * fill, a frame that came from another interface without being copied) is copied: the
 * whole of a load then goes through memory of the map's own, when the driver
 * synchronises it (bus_dmamap_sync).  That is counted.
 *
 * Unlike the tree's own, this respects all limits of a map and of an allocation: length
 * and boundary of segments, and 32 bits where the driver has asked for no more.
 */

#include <sys/param.h>
#include <sys/atomic.h>
#include <sys/bus.h>
#include <sys/kmem.h>
#include <sys/mbuf.h>
#include <sys/systm.h>
#include <sys/uio.h>

#include "rump_private.h"
#include "pci_user.h"
#include "pcihost.h"
#include "rump_pci.h"

/* When a map was loaded; 0 if it is not.  Buses may use that field as they like. */
#define	LOADED(map)	((map)->_dm_bounce_thresh)

/* The tag that the tree gives the bus for devices of 32 bits. */
#define	NARROW		((bus_dma_tag_t)0x20)
#define	NARROW_END	((bus_addr_t)1 << 32)

/* The window: where it begins, how long it is, what to add. */
static unsigned long window_start, window_len, window_offset;

static struct rump_pci_stats bounced;

/* Memory that stands in for what was loaded, and what that is. */
struct bounce {
	vaddr_t		b_memory;
	bus_addr_t	b_bus;
	bus_size_t	b_size;
	enum { B_NONE, B_BUFFER, B_MBUF, B_UIO } b_kind;
	void		*b_origin;
	struct iovec	*b_iov;
	int		b_iovcnt;
};

static bool
in_window(vaddr_t address, bus_size_t len)
{

	if (__predict_false(window_len == 0))
		rumpcomp_pci_dma_window(&window_start, &window_len,
		    &window_offset);
	return address >= window_start && len <= window_len &&
	    address - window_start <= window_len - len;
}

static bool
reaches(bus_dma_tag_t tag, bus_addr_t bus, bus_size_t len)
{

	return tag != NARROW || bus + len <= NARROW_END;
}

int
bus_dmamap_create(bus_dma_tag_t tag, bus_size_t size, int nsegments,
    bus_size_t maxsegsz, bus_size_t boundary, int flags, bus_dmamap_t *result)
{
	bus_dmamap_t map;
	size_t len = sizeof(*map) + (nsegments - 1) * sizeof(map->dm_segs[0]);

	map = kmem_intr_zalloc(len,
	    (flags & BUS_DMA_NOWAIT) != 0 ? KM_NOSLEEP : KM_SLEEP);
	if (map == NULL)
		return ENOMEM;
	map->_dm_size = size;
	map->_dm_segcnt = nsegments;
	map->_dm_maxmaxsegsz = map->dm_maxsegsz = maxsegsz;
	map->_dm_boundary = boundary;
	map->_dm_flags = flags & ~(BUS_DMA_WAITOK | BUS_DMA_NOWAIT);
	*result = map;
	return 0;
}

void
bus_dmamap_destroy(bus_dma_tag_t tag, bus_dmamap_t map)
{
	struct bounce *bounce = map->_dm_cookie;

	if (bounce != NULL) {
		rumpcomp_pci_dmafree(bounce->b_memory, bounce->b_size);
		kmem_intr_free(bounce, sizeof(*bounce));
	}
	kmem_intr_free(map, sizeof(*map) +
	    (map->_dm_segcnt - 1) * sizeof(map->dm_segs[0]));
}

/*
 * Appends a range of a device's addresses, in segments as the map wants them, none of
 * them across such a boundary (a power of two, or 0).
 */
static int
append_within(bus_dma_tag_t tag, bus_dmamap_t map, bus_addr_t bus, bus_size_t len,
    bus_size_t boundary)
{
	bus_addr_t mask = -boundary;
	bus_dma_segment_t *segment;
	bus_size_t part;

	if (!reaches(tag, bus, len))
		return EFBIG;
	for (; len > 0; bus += part, len -= part) {
		part = MIN(len, map->dm_maxsegsz);
		if (mask != 0)
			part = MIN(part, boundary - (bus & ~mask));
		segment = &map->dm_segs[map->dm_nsegs - 1];
		if (map->dm_nsegs > 0 &&
		    segment->ds_addr + segment->ds_len == bus &&
		    segment->ds_len < map->dm_maxsegsz &&
		    (segment->ds_addr & mask) == (bus & mask)) {
			part = MIN(part, map->dm_maxsegsz - segment->ds_len);
			segment->ds_len += part;
			continue;
		}
		if (map->dm_nsegs == map->_dm_segcnt)
			return EFBIG;
		segment = &map->dm_segs[map->dm_nsegs++];
		segment->ds_addr = bus;
		segment->ds_len = part;
	}
	return 0;
}

static int
append(bus_dma_tag_t tag, bus_dmamap_t map, bus_addr_t bus, bus_size_t len)
{

	return append_within(tag, map, bus, len, map->_dm_boundary);
}

static void
begin(bus_dmamap_t map)
{
	struct bounce *bounce = map->_dm_cookie;

	map->dm_mapsize = 0;
	map->dm_nsegs = 0;
	LOADED(map) = 0;
	if (bounce != NULL)
		bounce->b_kind = B_NONE;
}

static int
end(bus_dmamap_t map, bus_size_t len, int error)
{

	if (error == 0) {
		map->dm_mapsize = len;
		LOADED(map) = MAX(time_uptime, 1);
	} else
		map->dm_nsegs = 0;
	return error;
}

/* In seconds since the kernel booted. */
time_t
pcihost_loaded(bus_dmamap_t map)
{

	return LOADED(map);
}

/* Has memory of the map's own stand in for what is to be loaded. */
static int
load_bounce(bus_dma_tag_t tag, bus_dmamap_t map, bus_size_t len, int kind,
    void *origin)
{
	struct bounce *bounce = map->_dm_cookie;
	unsigned long bus, memory;
	int error;

	if (bounce == NULL) {
		bounce = kmem_intr_zalloc(sizeof(*bounce), KM_NOSLEEP);
		if (bounce == NULL)
			return ENOMEM;
		bounce->b_size = round_page(map->_dm_size);
		error = rumpcomp_pci_dmalloc(bounce->b_size, PAGE_SIZE, &bus,
		    &memory);
		if (error != 0) {
			kmem_intr_free(bounce, sizeof(*bounce));
			return error;
		}
		bounce->b_bus = bus;
		bounce->b_memory = memory;
		map->_dm_cookie = bounce;
	}
	bounce->b_kind = kind;
	bounce->b_origin = origin;
	map->dm_nsegs = 0;
	atomic_inc_64(&bounced.bounced_loads);
	atomic_add_64(&bounced.bounced_bytes, len);
	return append(tag, map, bounce->b_bus, len);
}

int
bus_dmamap_load(bus_dma_tag_t tag, bus_dmamap_t map, void *buf,
    bus_size_t len, struct proc *p, int flags)
{
	int error;

	begin(map);
	if (len > map->_dm_size)
		return EINVAL;
	/* A program of this host's has its memory where the kernel has its own. */
	if (p != NULL && !RUMP_LOCALPROC_P(p))
		return EOPNOTSUPP;
	if (in_window((vaddr_t)buf, len))
		error = append(tag, map, (vaddr_t)buf + window_offset, len);
	else
		error = load_bounce(tag, map, len, B_BUFFER, buf);
	return end(map, len, error);
}

static int
append_mbufs(bus_dma_tag_t tag, bus_dmamap_t map, struct mbuf *m0,
    bus_size_t boundary)
{
	struct mbuf *m;
	int error = 0;

	begin(map);
	for (m = m0; m != NULL && error == 0; m = m->m_next) {
		if (m->m_len == 0)
			continue;
		if (!in_window((vaddr_t)m->m_data, m->m_len))
			return load_bounce(tag, map, m0->m_pkthdr.len, B_MBUF, m0);
		error = append_within(tag, map,
		    (vaddr_t)m->m_data + window_offset, m->m_len, boundary);
	}
	return error;
}

/*
 * What lies side by side for the device need not do so in the memory of the machine.  An
 * IOMMU that is emulated may have a card reach only the first page of a segment, and such
 * a card drops the frame without a word.  So a frame's segments end where pages do, if
 * the map has room for as many.
 */
int
bus_dmamap_load_mbuf(bus_dma_tag_t tag, bus_dmamap_t map, struct mbuf *m0,
    int flags)
{
	bus_size_t boundary = map->_dm_boundary;
	int error;

	if (m0->m_pkthdr.len > map->_dm_size) {
		begin(map);
		return EINVAL;
	}
	error = append_mbufs(tag, map, m0,
	    boundary == 0 ? PAGE_SIZE : MIN(boundary, PAGE_SIZE));
	if (error == EFBIG)
		error = append_mbufs(tag, map, m0, boundary);
	return end(map, m0->m_pkthdr.len, error);
}

int
bus_dmamap_load_uio(bus_dma_tag_t tag, bus_dmamap_t map, struct uio *uio,
    int flags)
{
	bus_size_t len, left = uio->uio_resid;
	struct iovec *iov;
	struct bounce *bounce;
	int error = 0;

	begin(map);
	if (left > map->_dm_size)
		return EINVAL;
	if (!VMSPACE_IS_KERNEL_P(uio->uio_vmspace) &&
	    !RUMP_LOCALPROC_P(curproc))
		return EOPNOTSUPP;
	for (iov = uio->uio_iov; left > 0 && error == 0; iov++, left -= len) {
		len = MIN(left, iov->iov_len);
		if (!in_window((vaddr_t)iov->iov_base, len)) {
			error = load_bounce(tag, map, uio->uio_resid, B_UIO,
			    NULL);
			if (error == 0) {
				bounce = map->_dm_cookie;
				bounce->b_iov = uio->uio_iov;
				bounce->b_iovcnt = uio->uio_iovcnt;
			}
			break;
		}
		error = append(tag, map,
		    (vaddr_t)iov->iov_base + window_offset, len);
	}
	return end(map, uio->uio_resid, error);
}

/* Segments of bus_dmamem_alloc are in the window. */
int
bus_dmamap_load_raw(bus_dma_tag_t tag, bus_dmamap_t map,
    bus_dma_segment_t *segments, int nsegments, bus_size_t size, int flags)
{
	bus_size_t len, left = size;
	int error = 0;

	begin(map);
	if (size > map->_dm_size)
		return EINVAL;
	for (; nsegments > 0 && left > 0 && error == 0;
	    nsegments--, segments++, left -= len) {
		len = MIN(left, segments->ds_len);
		error = append(tag, map, segments->ds_addr, len);
	}
	return end(map, size, left > 0 && error == 0 ? EINVAL : error);
}

void
bus_dmamap_unload(bus_dma_tag_t tag, bus_dmamap_t map)
{

	map->dm_maxsegsz = map->_dm_maxmaxsegsz;
	begin(map);
}

/* One piece of what was loaded: `at` bytes from its start. */
static void
copy_piece(struct bounce *bounce, char *piece, bus_size_t piecelen,
    bus_size_t at, bus_size_t offset, bus_size_t len, bool out)
{
	bus_size_t first = MAX(at, offset);
	bus_size_t last = MIN(at + piecelen, offset + len);
	char *memory = (char *)bounce->b_memory + first;

	if (first >= last)
		return;
	piece += first - at;
	if (out)
		memcpy(memory, piece, last - first);
	else
		memcpy(piece, memory, last - first);
}

static void
copy(struct bounce *bounce, bus_size_t offset, bus_size_t len, bool out)
{
	bus_size_t at = 0;
	struct mbuf *m;
	int i;

	switch (bounce->b_kind) {
	case B_NONE:
		break;
	case B_BUFFER:
		copy_piece(bounce, bounce->b_origin, offset + len, 0, offset,
		    len, out);
		break;
	case B_MBUF:
		for (m = bounce->b_origin; m != NULL; m = m->m_next) {
			copy_piece(bounce, m->m_data, m->m_len, at, offset,
			    len, out);
			at += m->m_len;
		}
		break;
	case B_UIO:
		for (i = 0; i < bounce->b_iovcnt; i++) {
			copy_piece(bounce, bounce->b_iov[i].iov_base,
			    bounce->b_iov[i].iov_len, at, offset, len, out);
			at += bounce->b_iov[i].iov_len;
		}
		break;
	}
}

void
bus_dmamap_sync(bus_dma_tag_t tag, bus_dmamap_t map, bus_addr_t offset,
    bus_size_t len, int ops)
{
	struct bounce *bounce = map->_dm_cookie;

	membar_sync();
	if (__predict_true(bounce == NULL || bounce->b_kind == B_NONE))
		return;
	if (offset > map->dm_mapsize)
		return;
	len = MIN(len, map->dm_mapsize - offset);
	if ((ops & BUS_DMASYNC_PREWRITE) != 0)
		copy(bounce, offset, len, true);
	if ((ops & BUS_DMASYNC_POSTREAD) != 0)
		copy(bounce, offset, len, false);
	membar_sync();
}

int
bus_dmamem_alloc(bus_dma_tag_t tag, bus_size_t size, bus_size_t alignment,
    bus_size_t boundary, bus_dma_segment_t *segments, int nsegments,
    int *result, int flags)
{
	unsigned long bus, memory, at;
	bus_size_t part, align = MAX(alignment, PAGE_SIZE);
	int error, n = 0;

	size = round_page(size);
	/* What begins at a multiple of its length rounded up crosses no boundary. */
	if (boundary != 0 && size <= boundary) {
		while (align < size)
			align <<= 1;
	}
	error = rumpcomp_pci_dmalloc(size, align, &bus, &memory);
	if (error != 0)
		return error;
	if (!reaches(tag, bus, size))
		error = ENOMEM;
	for (at = 0; at < size && error == 0; at += part, n++) {
		if (n == nsegments) {
			error = EFBIG;
			break;
		}
		part = size - at;
		if (boundary != 0)
			part = MIN(part,
			    boundary - ((bus + at) & (boundary - 1)));
		segments[n].ds_addr = bus + at;
		segments[n].ds_len = part;
		segments[n]._ds_vacookie = memory + at;
		segments[n]._ds_sizecookie = size;
	}
	if (error != 0) {
		rumpcomp_pci_dmafree(memory, size);
		return error;
	}
	*result = n;
	return 0;
}

void
bus_dmamem_free(bus_dma_tag_t tag, bus_dma_segment_t *segments, int nsegments)
{

	rumpcomp_pci_dmafree(segments[0]._ds_vacookie,
	    segments[0]._ds_sizecookie);
}

/* Segments of one allocation are contiguous, and mapped. */
int
bus_dmamem_map(bus_dma_tag_t tag, bus_dma_segment_t *segments, int nsegments,
    size_t size, void **result, int flags)
{

	*result = (void *)segments[0]._ds_vacookie;
	return 0;
}

void
bus_dmamem_unmap(bus_dma_tag_t tag, void *address, size_t size)
{

}

paddr_t
bus_dmamem_mmap(bus_dma_tag_t tag, bus_dma_segment_t *segments, int nsegments,
    off_t offset, int protection, int flags)
{

	return (paddr_t)-1;
}

/* There is one window. */
int
bus_dmatag_subregion(bus_dma_tag_t tag, bus_addr_t least, bus_addr_t greatest,
    bus_dma_tag_t *result, int flags)
{

	(void)in_window(0, 0);
	if (window_start + window_offset < least ||
	    window_start + window_offset + window_len - 1 > greatest)
		return EOPNOTSUPP;
	*result = tag;
	return 0;
}

void
bus_dmatag_destroy(bus_dma_tag_t tag)
{

}

void
rump_pci_get_stats(struct rump_pci_stats *stats)
{

	stats->bounced_loads = atomic_add_64_nv(&bounced.bounced_loads, 0);
	stats->bounced_bytes = atomic_add_64_nv(&bounced.bounced_bytes, 0);
	pcihost_count_bells(stats);
}
