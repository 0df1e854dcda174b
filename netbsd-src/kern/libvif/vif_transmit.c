/*
 * Frames for the host.
 *
 * Who sends a frame puts it into the interface's queue, with whatever locks it holds.
 * A soft interrupt empties the queue, in batches: on the way out of the system call,
 * where no lock is held any more.  One thread at a time does so; what others put into
 * the queue meanwhile, it sends too, in order.
 */

#include "vifvar.h"

#include <sys/intr.h>
#include <sys/systm.h>

#include <netinet/in.h>
#include <netinet/in_systm.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>

static void	vif_send(void *);

void
vif_transmit_attach(struct rump_vif *vif)
{

	mutex_init(&vif->tx_lock, MUTEX_DEFAULT, IPL_NET);
	cv_init(&vif->tx_idle, "vifidle");
	vif->tx_tail = &vif->tx_head;
	vif->tx_softint = softint_establish(SOFTINT_NET | SOFTINT_MPSAFE,
	    vif_send, vif);
}

/* The interface is gone from the stack: nobody sends on it any more. */
void
vif_transmit_detach(struct rump_vif *vif)
{
	struct mbuf *m;

	mutex_enter(&vif->tx_lock);
	vif->tx_closed = true;
	while (vif->tx_busy)
		cv_wait(&vif->tx_idle, &vif->tx_lock);
	mutex_exit(&vif->tx_lock);
	softint_disestablish(vif->tx_softint);

	while ((m = vif->tx_head) != NULL) {
		vif->tx_head = m->m_nextpkt;
		m->m_nextpkt = NULL;
		m_freem(m);
	}
	cv_destroy(&vif->tx_idle);
	mutex_destroy(&vif->tx_lock);
}

/* Counts a frame that the stack has handed over. */
static void
vif_count(struct ifnet *ifp, u_int length, bool mcast)
{

	VIF_COUNT(ifp, if_opackets, 1);
	VIF_COUNT(ifp, if_obytes, length);
	if (mcast)
		VIF_COUNT(ifp, if_omcasts, 1);
}

/*
 * Sends a frame over what the interface is spliced over.  Called with the lock held,
 * which is given up meanwhile.
 */
static int
vif_send_spliced(struct rump_vif *vif, struct mbuf *m)
{
	struct vif_splice *s = vif_splice_enter(vif);
	struct rump_vif_stats *stats = &vif->vif_stats;
	int error;

	stats->tx_frames++;
	stats->tx_spliced++;
	stats->tx_bytes += m->m_pkthdr.len;
	stats->tx_large +=
	    (m->m_pkthdr.csum_flags & (M_CSUM_TSOv4 | M_CSUM_TSOv6)) != 0;
	mutex_exit(&vif->tx_lock);
	error = vif_splice_output(vif, s, m);
	mutex_enter(&vif->tx_lock);
	stats->tx_dropped += error != 0;
	vif_splice_leave(vif, s);
	return error;
}

/* Puts a frame into the queue, or sends it at once where that takes no waiting. */
int
vif_transmit(struct ifnet *ifp, struct mbuf *m)
{
	struct rump_vif *vif = ifp->if_softc;
	bool first, mcast = (m->m_flags & M_MCAST) != 0;
	u_int length = m->m_pkthdr.len;
	int error;

	VIF_TAP_OUT(ifp, m);
	mutex_enter(&vif->tx_lock);
	if (vif->tx_splice != NULL && vif->tx_head == NULL && !vif->tx_busy) {
		error = vif_send_spliced(vif, m);
		mutex_exit(&vif->tx_lock);
		if (error != 0)
			VIF_COUNT(ifp, if_oerrors, 1);
		else
			vif_count(ifp, length, mcast);
		return error;
	}
	if (__predict_false(vif->tx_length >= VIF_QUEUE || vif->tx_closed)) {
		vif->vif_stats.tx_dropped++;
		mutex_exit(&vif->tx_lock);
		VIF_COUNT(ifp, if_oerrors, 1);
		m_freem(m);
		return ENOBUFS;
	}
	first = vif->tx_head == NULL && !vif->tx_busy;
	m->m_nextpkt = NULL;
	*vif->tx_tail = m;
	vif->tx_tail = &m->m_nextpkt;
	vif->tx_length++;
	vif->tx_bytes += length;
	mutex_exit(&vif->tx_lock);

	vif_count(ifp, length, mcast);
	if (first)
		softint_schedule(vif->tx_softint);
	return 0;
}

/* What other parts of the stack put into the interface's own queue. */
void
vif_start(struct ifnet *ifp)
{
	struct mbuf *m;

	for (;;) {
		IFQ_DEQUEUE(&ifp->if_snd, m);
		if (m == NULL)
			break;
		(void)vif_transmit(ifp, m);
	}
}

/*
 * Brings the headers of a TCP segment that is to be cut up to what the host expects:
 * the sum of the pseudo header has the length of the whole, and IPv4's own checksum is
 * there.  The headers lie in one piece.
 */
static void
vif_describe_tso(struct mbuf *m, struct rump_vif_offload *offload)
{
	uint8_t *frame = mtod(m, uint8_t *);
	struct tcphdr *th = (void *)(frame + offload->csum_start);
	u_int length = m->m_pkthdr.len - offload->csum_start;

	if (m->m_pkthdr.csum_flags & M_CSUM_TSOv4) {
		u_int hlen = M_CSUM_DATA_IPv4_IPHL(m->m_pkthdr.csum_data);
		struct ip *ip = (void *)((uint8_t *)th - hlen);

		offload->gso_type = RUMP_VIF_GSO_TCPV4;
		ip->ip_sum = 0;
		ip->ip_sum = in4_cksum(m, 0, (uint8_t *)ip - frame, hlen);
		th->th_sum = in_cksum_phdr(ip->ip_src.s_addr, ip->ip_dst.s_addr,
		    htons((uint16_t)(length + IPPROTO_TCP)));
	} else {
		u_int hlen = m->m_pkthdr.csum_data >> 16;
		struct ip6_hdr *ip6 = (void *)((uint8_t *)th - hlen);

		offload->gso_type = RUMP_VIF_GSO_TCPV6;
		th->th_sum = in6_cksum_phdr(&ip6->ip6_src, &ip6->ip6_dst,
		    htonl(length), htonl(IPPROTO_TCP));
	}
	offload->gso_size = m->m_pkthdr.segsz;
	offload->hdr_len = offload->csum_start + (th->th_off << 2);
}

/*
 * Describes a frame for the host; uses up to room parts and returns how many.  The
 * chain may be replaced by another; it is NULL if the frame had to be dropped, and
 * there are no parts if the room was too small.
 */
static u_int
vif_describe(struct mbuf **mp, struct rump_vif_tx *tx,
    struct rump_vif_part *parts, u_int room)
{
	struct mbuf *m = *mp, *n;
	struct rump_vif_offload *offload = &tx->offload;
	int flags = m->m_pkthdr.csum_flags;
	u_int count = 0, header, link;

	memset(offload, 0, sizeof(*offload));
	if (flags & VIF_TX_FLAGS) {
		link = vif_link_header(m);
		offload->flags = RUMP_VIF_NEEDS_CSUM;
		offload->csum_start = link + (m->m_pkthdr.csum_data >> 16);
		offload->csum_offset = m->m_pkthdr.csum_data & 0xffff;
	} else if (m->m_flags & VIF_VERIFIED) {
		offload->flags = RUMP_VIF_DATA_VALID;
	}
	if (flags & (M_CSUM_TSOv4 | M_CSUM_TSOv6)) {
		header = offload->csum_start + sizeof(struct tcphdr);
		if (m->m_len < header && (m = m_pullup(m, header)) == NULL)
			goto out;
		vif_describe_tso(m, offload);
	}
	for (n = m; n != NULL; n = n->m_next) {
		if (n->m_len == 0)
			continue;
		if (count == room) {
			count = 0;
			goto out;
		}
		parts[count].base = mtod(n, void *);
		parts[count].len = n->m_len;
		count++;
	}
	tx->parts = parts;
	tx->nparts = count;
	tx->len = m->m_pkthdr.len;
out:
	*mp = m;
	return count;
}

/* Takes the first frame out of the queue, if there is one. */
static struct mbuf *
vif_dequeue(struct rump_vif *vif)
{
	struct mbuf *m;

	if ((m = vif->tx_head) != NULL) {
		if ((vif->tx_head = m->m_nextpkt) == NULL)
			vif->tx_tail = &vif->tx_head;
		m->m_nextpkt = NULL;
		vif->tx_length--;
		vif->tx_bytes -= m->m_pkthdr.len;
	}
	return m;
}

static void
vif_requeue(struct rump_vif *vif, struct mbuf *m)
{

	if ((m->m_nextpkt = vif->tx_head) == NULL)
		vif->tx_tail = &m->m_nextpkt;
	vif->tx_head = m;
	vif->tx_length++;
	vif->tx_bytes += m->m_pkthdr.len;
}

/*
 * Makes up a batch.  Called with the lock held by the thread that is sending, and
 * describes the frames without it.
 */
static u_int
vif_fill(struct rump_vif *vif)
{
	struct mbuf *m;
	u_int count = 0, taken = 0, used = 0, dropped = 0, parts, i;

	while (taken < RUMP_VIF_BATCH && (m = vif_dequeue(vif)) != NULL)
		vif->tx_mbufs[taken++] = m;
	mutex_exit(&vif->tx_lock);

	for (i = 0; i < taken; i++) {
		m = vif->tx_mbufs[i];
		parts = vif_describe(&m, &vif->tx_frames[count],
		    vif->tx_parts + used, VIF_PARTS - used);
		if (parts == 0 && m != NULL) {
			if (used > 0) {
				vif->tx_mbufs[i] = m;
				break;
			}
			/* More parts than any frame should have. */
			m_freem(m);
			m = NULL;
		}
		if (m == NULL) {
			dropped++;
			continue;
		}
		used += parts;
		vif->tx_mbufs[count++] = m;
	}

	mutex_enter(&vif->tx_lock);
	vif->vif_stats.tx_dropped += dropped;
	/* What there was no room for comes with the next batch. */
	while (taken > i)
		vif_requeue(vif, vif->tx_mbufs[--taken]);
	return count;
}

static void
vif_send(void *arg)
{
	struct rump_vif *vif = arg;
	struct rump_vif_stats *stats = &vif->vif_stats;
	u_int count, i;

	mutex_enter(&vif->tx_lock);
	if (vif->tx_busy) {
		mutex_exit(&vif->tx_lock);
		return;
	}
	vif->tx_busy = true;
	while (vif->tx_head != NULL && !vif->tx_closed) {
		if (vif->tx_splice != NULL) {
			/* It was on its way to the host. */
			(void)vif_send_spliced(vif, vif_dequeue(vif));
			continue;
		}
		vif->tx_to_host = true;
		count = vif_fill(vif);
		stats->tx_batches++;
		for (i = 0; i < count; i++) {
			stats->tx_frames++;
			stats->tx_bytes += vif->tx_frames[i].len;
			stats->tx_large +=
			    vif->tx_frames[i].offload.gso_type != 0;
		}
		mutex_exit(&vif->tx_lock);
		if (count > 0)
			vif->vif_ops->transmit(vif->vif_host, 0,
			    vif->tx_frames, count);
		for (i = 0; i < count; i++)
			m_freem(vif->tx_mbufs[i]);
		mutex_enter(&vif->tx_lock);
		vif->tx_to_host = false;
		/* Who is about to send over another interface waits for it. */
		if (vif->tx_splice != NULL)
			cv_broadcast(&vif->tx_idle);
	}
	vif->tx_busy = false;
	if (vif->tx_closed)
		cv_broadcast(&vif->tx_idle);
	mutex_exit(&vif->tx_lock);
}

int
rump_vif_send(struct rump_vif *vif, const void *frame, uint32_t length)
{
	struct mbuf *m;
	int error = ENOBUFS;

	if (length < ETHER_HDR_LEN || length > MCLBYTES)
		return EINVAL;
	rump_schedule();
	if ((m = m_gethdr(M_DONTWAIT, MT_DATA)) != NULL) {
		m->m_len = m->m_pkthdr.len = 0;
		m_copyback(m, 0, length, frame);
		if (ETHER_IS_MULTICAST((const uint8_t *)frame))
			m->m_flags |= M_MCAST;
		if (m->m_pkthdr.len == length)
			error = vif_transmit(VIF_IFP(vif), m);
		else
			m_freem(m);
	}
	rump_unschedule();
	return error;
}
