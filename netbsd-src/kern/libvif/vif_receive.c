/*
 * Frames from the host.
 *
 * A thread of the host hands in a batch.  What the batch has the stack do (take the
 * data in, acknowledge it, wake readers) the thread does itself, on its way out.
 */

#include "vifvar.h"

#include <sys/cpu.h>
#include <sys/lwp.h>
#include <sys/systm.h>

#include <net/if_dl.h>
#include <net/pfil.h>
#include <net/pktqueue.h>

#include <netinet/in.h>
#include <netinet/in_var.h>
#include <netinet/ip.h>
#include <netinet/ip_var.h>
#include <netinet/ip6.h>
#include <netinet6/in6_var.h>
#include <netinet6/ip6_var.h>

/* The host has its memory back, and the mbuf is freed with it. */
static void
vif_lease_end(struct mbuf *m, void *data, size_t size, void *arg)
{
	struct rump_vif_lease *lease = arg;

	lease->release(lease);
	if (m != NULL) {
		m->m_type = MT_FREE;
		pool_cache_put(mb_cache, m);
	}
}

static struct mbuf *
vif_leased(const struct rump_vif_rx *rx)
{
	struct mbuf *m;

	if ((m = m_gethdr(M_DONTWAIT, MT_DATA)) == NULL)
		return NULL;
	MEXTADD(m, rx->data, rx->room, 0, vif_lease_end, rx->lease);
	m->m_flags |= M_EXT_RW;
	m->m_len = rx->len;
	return m;
}

/* Copies a frame that lies in parts, of so many bytes together. */
struct mbuf *
vif_copied(const struct rump_vif_part *part, u_int parts, size_t left)
{
	struct mbuf *head = NULL, *m = NULL, **next = &head;
	size_t offset = VIF_ALIGNED, room = 0, at, length;

	for (; parts > 0; part++, parts--)
		for (at = 0; at < part->len; at += length) {
			if (room == 0) {
				if (head == NULL) {
					m = m_gethdr(M_DONTWAIT, MT_DATA);
					room = MHLEN;
				} else {
					m = m_get(M_DONTWAIT, MT_DATA);
					room = MLEN;
				}
				if (m == NULL)
					goto fail;
				*next = m;
				next = &m->m_next;
				m->m_len = 0;
				if (left + offset > room) {
					MCLGET(m, M_DONTWAIT);
					if ((m->m_flags & M_EXT) == 0)
						goto fail;
					room = MCLBYTES;
				}
				m->m_data += offset;
				room -= offset;
				offset = 0;
			}
			length = MIN(room, part->len - at);
			memcpy(mtod(m, uint8_t *) + m->m_len,
			    (const uint8_t *)part->base + at, length);
			m->m_len += length;
			room -= length;
			left -= length;
		}
	return head;
fail:
	m_freem(head);
	return NULL;
}

static struct mbuf *
vif_mbuf(struct rump_vif *vif, const struct rump_vif_rx *rx)
{
	struct ifnet *ifp = VIF_IFP(vif);
	const struct rump_vif_part whole = { rx->data, rx->len };
	struct mbuf *m;

	m = rx->lease != NULL ? vif_leased(rx) : vif_copied(&whole, 1, rx->len);
	if (m == NULL) {
		if (rx->lease != NULL)
			rx->lease->release(rx->lease);
		return NULL;
	}
	m->m_pkthdr.len = rx->len;
	m->m_pkthdr.segsz = rx->offload.gso_type != RUMP_VIF_GSO_NONE ?
	    rx->offload.gso_size : 0;
	m_set_rcvif(m, ifp);
	if (rx->offload.flags == 0)
		return m;
	if (vif->vif_told & RUMP_VIF_RX_CSUM) {
		/* Whichever of these it is, it is good for the kernel itself. */
		m->m_pkthdr.csum_flags = VIF_CSUM_FLAGS;
		vif_mark(m, &rx->offload);
	} else if (rx->offload.flags & RUMP_VIF_NEEDS_CSUM)
		/* It was under way when the host was told. */
		vif_complete(m, rx->offload.csum_start,
		    rx->offload.csum_start + rx->offload.csum_offset);
	return m;
}

/*
 * A TCP segment longer than the MTU, for this host.  The tree's way in for Ethernet does
 * not let it pass, so it goes to IP directly.
 */
void
vif_input_large(struct rump_vif *vif, struct ifnet *ifp, struct mbuf *m)
{
	struct ether_header *eh;
	pktqueue_t *queue;

	vif->vif_stats.rx_large++;
	VIF_COUNT(ifp, if_ibytes, m->m_pkthdr.len);
	if (pfil_run_hooks(ifp->if_pfil, &m, ifp, PFIL_IN) != 0 || m == NULL)
		return;
	eh = mtod(m, struct ether_header *);
	switch (ntohs(eh->ether_type)) {
	case ETHERTYPE_IP:
		queue = ip_pktq;
		break;
	case ETHERTYPE_IPV6:
		queue = ip6_pktq;
		break;
	default:
		queue = NULL;
		break;
	}
	if ((ifp->if_flags & IFF_UP) == 0 || queue == NULL ||
	    memcmp(CLLADDR(ifp->if_sadl), eh->ether_dhost,
	    ETHER_ADDR_LEN) != 0) {
		vif->vif_stats.rx_dropped++;
		m_freem(m);
		return;
	}
	m_adj(m, sizeof(*eh));
	if (!pktq_enqueue(queue, m, 0)) {
		vif->vif_stats.rx_dropped++;
		m_freem(m);
	}
}

/* Takes a frame in, from the host or from what the interface is spliced over. */
void
vif_input(struct rump_vif *vif, struct mbuf *m)
{
	struct ifnet *ifp = VIF_IFP(vif);

	vif->vif_stats.rx_frames++;
	vif->vif_stats.rx_bytes += m->m_pkthdr.len;
	VIF_COUNT(ifp, if_ipackets, 1);
	VIF_TAP_IN(ifp, m);
	if ((m->m_flags & VIF_BESIDE) != 0 && ifp->if_bridge != NULL) {
		vif_bridge_input(vif, m);
		return;
	}
	m->m_flags &= ~VIF_BESIDE;
	if (vif_is_large(ifp, m) && ifp->_if_input != vif_splice_input)
		vif_input_large(vif, ifp, m);
	else
		(*ifp->_if_input)(ifp, m);
}

void
rump_vif_receive(struct rump_vif *vif, const struct rump_vif_rx *frames,
    uint32_t count)
{
	struct ifnet *ifp = VIF_IFP(vif);
	struct mbuf *mbufs[RUMP_VIF_BATCH];
	uint32_t i, n, dropped = 0, leased = 0;
	int bound;

	rump_schedule();
	for (i = n = 0; i < MIN(count, RUMP_VIF_BATCH); i++) {
		if ((ifp->if_flags & IFF_RUNNING) != 0 &&
		    frames[i].len >= ETHER_HDR_LEN &&
		    (mbufs[n] = vif_mbuf(vif, &frames[i])) != NULL) {
			leased += frames[i].lease != NULL;
			n++;
		} else {
			dropped++;
		}
	}

	/* The stack counts on staying on its CPU. */
	bound = curlwp_bind();
	KERNEL_LOCK(1, NULL);
	if (__predict_false(vif_offloads(vif) != vif->vif_told))
		vif_tell_state(vif);
	vif->vif_stats.rx_batches++;
	vif->vif_stats.rx_dropped += dropped;
	vif->vif_stats.rx_leased += leased;
	VIF_COUNT(ifp, if_ierrors, dropped);
	for (i = 0; i < n; i++)
		vif_input(vif, mbufs[i]);
	KERNEL_UNLOCK_ONE(NULL);
	curlwp_bindx(bound);
	rump_unschedule();
}
