/*
 * The host's frames over an interface below, without the stack: the direction out.
 *
 * What the host leaves to be done is left to the interface below as far as that does it
 * (vif_splice_output).  The host is told how many frames were taken, and keeps those
 * that there was no room for.
 */

#include "vifvar.h"

#include <sys/lwp.h>
#include <sys/systm.h>

#include <netinet/in.h>
#include <netinet/in_systm.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

/* Which checksum of the tree's that is; 0 if it has none such. */
static int
vif_sum(const uint8_t *frame, const struct rump_vif_offload *offload)
{
	const struct ether_header *eh = (const void *)frame;
	const struct ip *ip = (const void *)(eh + 1);
	const struct ip6_hdr *ip6 = (const void *)(eh + 1);
	u_int header = offload->csum_start - sizeof(*eh);
	int proto;
	bool v6;

	if (eh->ether_type == htons(ETHERTYPE_IP)) {
		v6 = false;
		proto = (u_int)ip->ip_hl << 2 == header ? ip->ip_p : -1;
	} else if (eh->ether_type == htons(ETHERTYPE_IPV6)) {
		v6 = true;
		proto = sizeof(*ip6) == header ? ip6->ip6_nxt : -1;
	} else {
		return 0;
	}
	if (proto == IPPROTO_TCP &&
	    offload->csum_offset == offsetof(struct tcphdr, th_sum))
		return v6 ? M_CSUM_TCPv6 : M_CSUM_TCPv4;
	if (proto == IPPROTO_UDP &&
	    offload->csum_offset == offsetof(struct udphdr, uh_sum))
		return v6 ? M_CSUM_UDPv6 : M_CSUM_UDPv4;
	return 0;
}

/* Says in a frame what is to be done to it; false if that cannot be. */
static bool
vif_ask(struct mbuf *m, const struct rump_vif_offload *offload)
{
	u_int start = offload->csum_start, at = start + offload->csum_offset;
	int gso = offload->gso_type & ~RUMP_VIF_GSO_ECN, sum;

	if ((offload->flags & RUMP_VIF_NEEDS_CSUM) == 0)
		return gso == RUMP_VIF_GSO_NONE;
	/* The headers lie in one piece: a frame that is not short begins a cluster. */
	if (start < ETHER_HDR_LEN + sizeof(struct ip) ||
	    at + sizeof(uint16_t) > (u_int)m->m_pkthdr.len ||
	    start + sizeof(struct tcphdr) > MCLBYTES - VIF_ALIGNED)
		return false;
	sum = vif_sum(mtod(m, const uint8_t *), offload);
	m->m_pkthdr.csum_data = (start - ETHER_HDR_LEN) << 16 |
	    offload->csum_offset;
	switch (gso) {
	case RUMP_VIF_GSO_NONE:
		if (sum == 0)
			vif_complete(m, start, at);
		m->m_pkthdr.csum_flags = sum;
		return true;
	case RUMP_VIF_GSO_TCPV4:
		m->m_pkthdr.csum_flags = M_CSUM_TSOv4;
		break;
	case RUMP_VIF_GSO_TCPV6:
		m->m_pkthdr.csum_flags = M_CSUM_TSOv6;
		break;
	default:
		return false;
	}
	m->m_pkthdr.segsz = offload->gso_size;
	return offload->gso_size > 0 &&
	    start + sizeof(struct tcphdr) <= (u_int)m->m_pkthdr.len &&
	    sum == (gso == RUMP_VIF_GSO_TCPV4 ? M_CSUM_TCPv4 : M_CSUM_TCPv6);
}

uint32_t
rump_vif_put(struct rump_vif *vif, const struct rump_vif_tx *frames,
    uint32_t count)
{
	struct vif_splice *s;
	struct mbuf *m;
	uint32_t i, dropped = 0;
	int bound, error;

	rump_schedule();
	mutex_enter(&vif->tx_lock);
	if ((s = vif->tx_through) != NULL)
		s->s_users++;
	mutex_exit(&vif->tx_lock);
	if (s == NULL) {
		/* What it went over is gone. */
		vif->vif_stats.rx_dropped += count;
		rump_unschedule();
		return count;
	}
	bound = curlwp_bind();
	for (i = 0; i < count; i++) {
		if (frames[i].len < ETHER_HDR_LEN) {
			dropped++;
			continue;
		}
		if ((m = vif_copied(frames[i].parts, frames[i].nparts,
		    frames[i].len)) == NULL)
			break;
		m->m_pkthdr.len = frames[i].len;
		if (!vif_ask(m, &frames[i].offload)) {
			m_freem(m);
			dropped++;
			continue;
		}
		if (ETHER_IS_MULTICAST(mtod(m, struct ether_header *)->ether_dhost))
			m->m_flags |= M_MCAST;
		if ((error = vif_splice_output(vif, s, m)) == ENOBUFS)
			break;
		dropped += error != 0;
	}
	curlwp_bindx(bound);
	mutex_enter(&vif->tx_lock);
	vif->vif_stats.tx_spliced += i;
	vif->vif_stats.tx_dropped += dropped;
	vif_splice_leave(vif, s);
	mutex_exit(&vif->tx_lock);
	rump_unschedule();
	return i;
}
